"""What a study's packs run on, and how large it is, where the user does not say."""

from dataclasses import replace

import pytest

from study.errors import UserError
from study.machine.hardware import Hardware, together
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


def test_a_study_that_moves_to_less_room_has_fewer_at_a_time() -> None:
    smaller = together([machine(2), machine(1)])
    asked = Resources(8, 1, 0)
    assert asked.within(smaller) == Resources(3, 1, 0)
    assert replace(asked, pack="auto").within(smaller) == Resources(2, 1, 0, "auto")  # Ray Tune wants one CPU
    assert Resources(2, 1, 0).within(smaller) == Resources(2, 1, 0)
    asked.within(smaller).check(smaller)
    assert Resources(4, 1, 1).within(machine(8, 1)) == Resources(1, 1, 1)
    assert asked.within(machine(2)) == asked  # the CPUs of one machine may be shared


@pytest.mark.parametrize(
    ("machines", "asked", "room"),
    [
        ([(2, 1)], Resources(4, 1, 1), 1),  # would hang for ever
        ([(4, 1)], Resources(4, 1, 0.25), 4),
        ([(32, 1)], Resources(10, 1, 0.1), 10),
        ([(2, 1)], Resources(3, 1, 0.4), 2),
        ([(4, 3), (4, 3)], Resources(3, 1, 2), 2),  # of six GPUs two are left over
        ([(3, 0), (3, 0), (3, 0)], Resources(4, 2, 0), 3),
        ([(64, 0), (2, 4)], Resources(4, 4, 1), 0),  # CPUs and GPUs on different machines
    ],
)
def test_there_is_room_machine_by_machine(
    machines: list[tuple[int, int]], asked: Resources, room: int
) -> None:
    found = together([machine(*known) for known in machines])
    assert asked.fit(found) == room
    if room < asked.concurrency:
        with pytest.raises(UserError, match=f"machine by machine, there is room for {room} at a time"):
            asked.check(found)
    else:
        asked.check(found)


def test_cpus_of_one_machine_may_be_shared_and_gpus_not() -> None:
    Resources(50, 1, 0).check(machine(2))
    Resources(4, 1, 0.25).check(machine(1, gpus=1))
    with pytest.raises(
        UserError, match="--concurrency 4: there is room for 1 at a time of 1 CPUs and 1 GPUs"
    ):
        Resources(4, 1, 1).check(machine(8, gpus=1))


@pytest.mark.parametrize("pack", [None, "trial", "auto", 8])
@pytest.mark.parametrize(
    "machines",
    [[(4, 0), (2, 0)], [(8, 1), (2, 0)], [(2, 4), (32, 0)], [(1, 1)], [(16, 2), (8, 4)], [(64, 8)]],
)
def test_what_a_cluster_is_given_by_itself_has_room(
    machines: list[tuple[int, int]], pack: int | str | None
) -> None:
    found = together([machine(*known) for known in machines])
    chosen = default_resources(found, pack)
    assert 1 <= chosen.concurrency <= max(1, chosen.fit(found))


def test_a_cluster_is_what_its_machines_have() -> None:
    first = Hardware(4, "A", 16.0, ("H100",), cpu_bf16=True, gpu_bf16=True)
    second = Hardware(2, "B", 8.0, (), cpu_bf16=False, gpu_bf16=False)
    found = together([first, second, first])
    assert (found.cpus, found.cpu_name, found.memory_gib) == (10, "2 x A, 1 x B", 40.0)
    assert (found.gpus, found.gpu_bf16, found.cpu_bf16) == (("H100", "H100"), True, False)
    assert found.machines == ((4, 1), (2, 0), (4, 1))
