"""What the metrics are called, what they apply to and which way is better. Importing this is cheap."""

from dataclasses import dataclass

from study.config import DATASET_KINDS, did_you_mean
from study.errors import UserError


@dataclass(frozen=True)
class Metric:
    """`kinds`: datasets it applies to; `higher_is_better`: its direction; `help`: unit and meaning."""

    kinds: tuple[str, ...]
    higher_is_better: bool
    help: str


METRICS: dict[str, Metric] = {
    "fd": Metric(("images",), False, "Fréchet distance to held-out images in classifier features"),
    "w1": Metric(("points",), False, "exact 1-Wasserstein distance to held-out points"),
    "modes_covered": Metric(("images", "points"), True, "number of modes reached"),
    "mode_coverage": Metric(("images", "points"), True, "fraction of modes reached"),
    "mode_kl": Metric(("images", "points"), False, "KL(modes of samples || real modes), nats"),
    "hq": Metric(("points",), True, "share of samples within 3 std of a mode"),
}

DEFAULT_METRIC = {"images": "fd", "points": "w1"}


def metrics_for(kind: str) -> list[str]:
    """Names of the metrics of a kind of dataset, in table order."""
    return [name for name, metric in METRICS.items() if kind in metric.kinds]


def check_metric(name: str, dataset: str) -> str:
    """The metric's name, if the dataset has it. Raises UserError."""
    kind = DATASET_KINDS[dataset]
    if name not in METRICS:
        raise UserError(f"unknown metric {name!r}{did_you_mean(name, metrics_for(kind))}")
    if kind not in METRICS[name].kinds:
        raise UserError(f"metric {name!r} is not for {kind}; {dataset} has {', '.join(metrics_for(kind))}")
    return name
