"""What a study costs beside training: the breakdown of its time, start-up per trial, the driver's memory.

python -m tests.benchmarks.study                     all three, about five minutes on two cores
python -m tests.benchmarks.study --parts breakdown --trials 6 --kimg 10
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from study.command import positive, whole_at_least
from tests.benchmarks.processes import watch

PARTS = ("breakdown", "startup", "memory")
TRIVIAL = """
method: random
parameters:
  model: {value: wgan_gp}
  width: {value: 8}
  batch_size: {value: 32}
  n_critic: {value: 1}
  lr_g: {distribution: log_uniform_values, min: 1.0e-4, max: 1.0e-2}
  lr_d: {distribution: log_uniform_values, min: 1.0e-4, max: 1.0e-2}
"""
USEFUL = ("train", "evaluate")


def run_study(*arguments: str, watch_cores: bool = False) -> dict[str, Any]:
    """Run `python -m study.tune` to its end; its cost, its wall time seen from outside, its cores' use."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "measured"
        command = [sys.executable, "-m", "study.tune", "--results", temporary, "--name", "measured"]
        began = time.perf_counter()
        process = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL)
        cores = watch(process, folder) if watch_cores else {}
        if process.wait() != 0:
            raise SystemExit(f"the study failed with status {process.returncode}")
        seconds = time.perf_counter() - began
        record = json.loads((folder / "study.json").read_text())
        trials = len(list((folder / "trials").iterdir()))
    return {"cost": record["cost"], "trials": trials, "outside_seconds": seconds, **cores}


def breakdown(options: argparse.Namespace) -> dict[str, Any]:
    """A default study on digits (or shorter, as the options say)."""
    more = [f"--{name}={value}" for name in ("trials", "kimg") if (value := getattr(options, name))]
    found = run_study("--space", "wgan_gp", "--wandb", options.wandb, *more, watch_cores=True)
    cost = found["cost"]
    total = cost["slots"] * cost["wall_seconds"]
    assert abs(sum(cost["slot_seconds"].values()) - total) < 1e-6 * total
    print(f"\n{found['trials']} trials, {cost['wall_seconds']:.1f} s by its own account, ", end="")
    print(f"{found['outside_seconds']:.1f} s from outside")
    _table("slots", cost["slot_seconds"], total)
    _table("driver", cost["driver_seconds"], cost["wall_seconds"])
    rest = 1 - sum(cost["slot_seconds"][part] for part in USEFUL) / total
    print(f"neither training nor evaluation: {rest:.1%} of the slots' time")
    print(
        f"while all slots train ({found['full_seconds']:.0f} s): workers on a core {found['core_use']:.1%}, "
        f"ready but waiting for one {found['core_wait']:.1%} of the time"
    )
    _table("CPU time", found["cpu_seconds"], found["cores"] * found["outside_seconds"])
    return found


def _table(name: str, parts: dict[str, float], total: float) -> None:
    print(f"| {name} | seconds | share |\n|---|---|---|")
    for part, seconds in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"| {part} | {seconds:.2f} | {seconds / total:.1%} |")
    print(f"| sum | {sum(parts.values()):.2f} | {sum(parts.values()) / total:.1%} |")


def startup(options: argparse.Namespace) -> dict[str, Any]:
    """40 trials that train next to nothing: from one trial's last report to the next one's first step."""
    del options
    with tempfile.TemporaryDirectory() as temporary:
        space = Path(temporary) / "trivial.yaml"
        space.write_text(TRIVIAL)
        budget = ["--seeds", "2", "--kimg", "0.064", "--eval-kimg", "0.064", "--trials", "40"]
        found = run_study("--space", str(space), "--wandb", "disabled", *budget)
    parts, trials = found["cost"]["slot_seconds"], found["trials"]
    print(f"\n{trials} trivial trials, once workers are up, seconds a trial:")
    for part in ("next_trial", "build", "record", "checkpoint", "report", "train", "evaluate"):
        print(f"  {part:12s}{parts[part] / trials:.4f}")
    found["startup_seconds"] = (parts["next_trial"] + parts["build"]) / trials
    print(f"start-up (next_trial + build): {found['startup_seconds']:.4f} s a trial")
    return found


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """The driver of a study whose trials train nothing, through real Ray, Optuna, books and tables."""
    command = [sys.executable, "-m", "tests.benchmarks.hollow", "--trials", str(options.memory_trials)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    print("\n| trials ended | driver MiB | ms a trial since the last line |\n|---|---|---|")
    before: dict[str, float] = {"trials": 0, "seconds": found["samples"][0]["seconds"]}
    for sample in found["samples"]:
        trials = sample["trials"] - before["trials"]
        pace = 1000 * (sample["seconds"] - before["seconds"]) / trials
        print(f"| {sample['trials']} | {sample['mib']:.0f} | {pace:.1f} |")
        before = sample
    print({part: round(seconds, 2) for part, seconds in found["cost"]["driver_seconds"].items()})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--trials", type=whole_at_least(1), help="of the breakdown's study (default: the command's)"
    )
    parser.add_argument("--kimg", type=positive, help="of the breakdown's study (default: the command's)")
    parser.add_argument("--wandb", default="offline", help="of the breakdown's study (default: offline)")
    parser.add_argument("--memory-trials", type=whole_at_least(1), default=2000)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    run = {"breakdown": breakdown, "startup": startup, "memory": memory}
    found = {part: run[part](options) for part in options.parts}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
