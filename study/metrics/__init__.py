"""The metrics, a function each, and figures of stability made of them. Importing this is cheap."""

from study.data import dataset_named
from study.errors import UserError, did_you_mean, shown
from study.metrics.declaration import EVERY, LAST, Metric, metric
from study.registry import Registry

METRICS = Registry("metric", Metric)
METRICS.collect_package(__name__)


def metrics_for(dataset: str) -> list[str]:
    """Names of a dataset's metrics: the one that is optimised by default first, then as declared."""
    declared = dataset_named(dataset)
    names = [name for name, metric in METRICS.items() if metric.applies_to(declared)]
    return sorted(names, key=lambda name: not METRICS[name].is_default)


def default_metric(dataset: str) -> str:
    """What is optimised where nobody says. Raises UserError for a dataset without metrics."""
    names = [name for name in metrics_for(dataset) if METRICS[name].when == EVERY]
    if not names:
        raise UserError(f"{dataset} has no metric that could be optimised")
    return names[0]


def check_metric(name: str, dataset: str) -> str:
    """The metric's name, if a study of the dataset can optimise it. Raises UserError."""
    names = metrics_for(dataset)
    if name not in METRICS:
        raise UserError(f"unknown metric {shown(name)}{did_you_mean(name, names)}")
    if name not in names:
        kind = dataset_named(dataset).kind
        raise UserError(
            f"metric {shown(name)} is not for {kind} like {dataset}, which has {', '.join(names)}"
        )
    if METRICS[name].when == LAST:
        raise UserError(f"metric {shown(name)} is computed at the end only: it can't be optimised")
    return name


__all__ = ["METRICS", "Metric", "check_metric", "default_metric", "metric", "metrics_for"]
