"""What bfloat16 costs: the same seeds in both precisions, and the interval of the differences.

python -m tests.benchmarks.precision [--seeds 8] [--first-seed 0] [--json FILE]

Trains every model on ring8 and on digits, each seed once in fp32 and once in bf16 (same initial weights,
data and noise), and compares final metrics in pairs. A difference is within the interval when the 95%
interval of its mean (Student's t over the seeds) holds zero.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from study.config import TrialConfig
from study.data import load
from study.machine.memory import keep_freed_memory
from study.metrics import metrics_for
from study.metrics.judge.evaluator import evaluator_for
from study.models import MODELS
from study.training.pack import Pack
from study.training.schedule import images_of
from study.training.trainer import Due, Trainer

CPU = torch.device("cpu")
# Configurations and budgets (kimg) under which each model learns the data.
RUNS: dict[str, dict[str, tuple[dict[str, float], float]]] = {
    "ring8": {
        "dcgan": ({"lr_g": 5e-4, "lr_d": 5e-4, "beta2": 0.9}, 600),
        "wgan_cp": ({"lr_g": 5e-4, "lr_d": 5e-4, "clip_value": 0.1}, 1500),
        "wgan_gp": ({"lr_g": 5e-4, "lr_d": 5e-4, "beta1": 0.5, "lambda_gp": 0.1}, 1500),
    },
    "digits": {
        "dcgan": ({"lr_g": 5e-4, "lr_d": 5e-4}, 40),
        "wgan_cp": ({"lr_g": 5e-4, "lr_d": 5e-4, "clip_value": 0.03}, 60),
        "wgan_gp": ({"lr_g": 1e-3, "lr_d": 1e-3}, 60),
    },
}
METRICS = {"ring8": ("w1", "mode_coverage", "hq"), "digits": ("fd", "mode_coverage", "mode_kl")}
# Student's t, two-sided, by number of pairs.
T_95 = {
    2: 12.706,
    3: 4.303,
    4: 3.182,
    5: 2.776,
    6: 2.571,
    7: 2.447,
    8: 2.365,
    16: 2.131,
    24: 2.069,
    32: 2.040,
}


def final_metrics(config: TrialConfig, seeds: range, kimg: float, precision: str) -> list[dict[str, Any]]:
    """One dict of metrics per seed; NaN for a seed that diverged."""
    data, evaluator = load(config.dataset, CPU), evaluator_for(config.dataset, CPU)
    pack = Pack([config] * len(seeds), seeds, 0, data.sample_shape, CPU, precision)
    Trainer().train([Due(pack, data.train, images_of(kimg))])
    samples = pack.sample(evaluator.samples)
    alive = pack.watch.alive.tolist()
    return [
        evaluator(own) if lives else dict.fromkeys(metrics_for(config.dataset), float("nan"))
        for own, lives in zip(samples, alive, strict=True)
    ]


def compare(fp32: list[float], bf16: list[float]) -> dict[str, float | bool]:
    """Means, spread over seeds, and the mean paired difference with its 95% interval."""
    a, b = torch.tensor(fp32, dtype=torch.float64), torch.tensor(bf16, dtype=torch.float64)
    difference = b - a
    half = T_95[len(a)] * float(difference.std()) / len(a) ** 0.5
    mean = float(difference.mean())
    return {
        "fp32": float(a.mean()),
        "bf16": float(b.mean()),
        "std_over_seeds": float(a.std()),
        "difference": mean,
        "low": mean - half,
        "high": mean + half,
        "within": mean - half <= 0 <= mean + half,
    }


def main() -> None:
    p = argparse.ArgumentParser(prog="python -m tests.benchmarks.precision")
    p.add_argument("--seeds", type=int, choices=T_95, default=8)
    p.add_argument("--first-seed", type=int, default=0)
    p.add_argument("--dataset", nargs="+", choices=RUNS, default=list(RUNS))
    p.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    p.add_argument("--json", type=Path)
    options = p.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    rows = []
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    for dataset in options.dataset:
        for model in options.model:
            hyperparameters, kimg = RUNS[dataset][model]
            config = TrialConfig.from_dict({"model": model, "dataset": dataset, **hyperparameters})
            found, seconds = {}, {}
            for precision in ("fp32", "bf16"):
                start = time.perf_counter()
                found[precision] = final_metrics(config, seeds, kimg, precision)
                seconds[precision] = time.perf_counter() - start
            for metric in METRICS[dataset]:
                values = {precision: [m[metric] for m in found[precision]] for precision in found}
                row = {"dataset": dataset, "model": model, "kimg": kimg, "metric": metric}
                row |= compare(values["fp32"], values["bf16"]) | {"seeds": list(seeds), "values": values}
                row["seconds"] = seconds
                rows.append(row)
                print(
                    f"{dataset:7}{model:9}{metric:14} fp32 {row['fp32']:9.4f}"
                    f" (std {row['std_over_seeds']:.4f})  bf16 {row['bf16']:9.4f}"
                    f"  difference {row['difference']:+.4f}"
                    f" [{row['low']:+.4f}, {row['high']:+.4f}] {'within' if row['within'] else 'OUTSIDE'}"
                    f"  {seconds['fp32']:.0f} s, {seconds['bf16']:.0f} s",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
