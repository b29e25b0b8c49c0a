"""What a study's packs run on, and how large it is, where the user does not say."""

import pytest

from study.machine.hardware import Hardware
from study.resources import Resources, default_resources, default_seeds, default_trials, resolve_resources


def machine(cpus: int, gpus: int = 0) -> Hardware:
    return Hardware(
        cpus=cpus, cpu_name="test", memory_gib=8.0, gpus=("H100",) * gpus, cpu_bf16=False, gpu_bf16=False
    )


@pytest.mark.parametrize(
    ("cpus", "trials", "seeds"),
    [(1, 12, 2), (2, 24, 2), (8, 64, 4), (64, 64, 4)],
)
def test_the_size_of_a_study_without_a_gpu(cpus: int, trials: int, seeds: int) -> None:
    found = machine(cpus)
    assert (default_trials(found), default_seeds(found)) == (trials, seeds)
    assert default_resources(found) == Resources(cpus, 1, 0, "trial")


@pytest.mark.parametrize(
    ("cpus", "gpus", "threads"),
    [
        (16, 1, 4),
        (4, 1, 3),  # trials that ask for their evaluations need a CPU, too
        (1, 1, 1),
        (64, 8, 4),
        (8, 4, 1),
        (4, 8, 1),  # fewer CPUs than GPUs
    ],
)
def test_with_gpus_each_has_one_process_that_fills_it(cpus: int, gpus: int, threads: int) -> None:
    chosen = default_resources(machine(cpus, gpus))
    assert (chosen.concurrency, chosen.gpus_per_trial, chosen.pack) == (gpus, 1, "auto")
    assert chosen.cpus_per_trial == threads


@pytest.mark.parametrize("cpus", [1, 2, 3, 7, 8, 32, 64, 256])
def test_trials_never_ask_for_more_cpus_than_there_are(cpus: int) -> None:
    chosen = default_resources(machine(cpus))
    assert chosen.concurrency * chosen.cpus_per_trial <= cpus


def test_what_is_asked_for_comes_before_the_fallback() -> None:
    fallback = Resources(2, 1.5, 0.25, "auto")
    nothing = dict.fromkeys(("concurrency", "cpus_per_trial", "gpus_per_trial", "pack", "kimg"))
    assert resolve_resources(nothing, fallback) == fallback
    asked = resolve_resources({**nothing, "gpus_per_trial": 0, "pack": 8, "kimg": 1.0}, fallback)
    assert asked == Resources(2, 1.5, 0, 8)
