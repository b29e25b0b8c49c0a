"""From options and hardware to a plan: what a study uses where the user does not say."""

from dataclasses import replace
from typing import Any

import pytest

from study import tune
from study.errors import UserError
from study.machine.hardware import Hardware, together
from study.plan import StudyPlan
from study.space import find_space, parse_space, read_space

LAPTOP = Hardware(2, "test", 8.0, (), cpu_bf16=False, gpu_bf16=False)
GPU_SERVER = Hardware(16, "test", 128.0, ("H100",) * 2, cpu_bf16=False, gpu_bf16=True)


def plan(hardware: Hardware, *arguments: str) -> StudyPlan:
    options: Any = tune.parser().parse_args(["--space", "wgan_gp", *arguments])
    return tune.plan_from(options, [read_space(find_space("wgan_gp"))], hardware)


def test_on_a_cpu_each_trial_is_a_pack() -> None:
    found = plan(LAPTOP)
    assert (found.pack, found.concurrency, found.gpus_per_trial) == ("trial", 2, 0)
    assert found.precision == {"wgan_gp": "fp32"}


def test_a_map_spreads_its_trials_and_stops_none() -> None:
    found = plan(LAPTOP, "--map")
    assert (found.samplers, found.schedulers) == ({"wgan_gp": "qmc"}, {"wgan_gp": "fifo"})
    assert (found.maps("wgan_gp"), found.trials) == (True, {"wgan_gp": 64})
    assert plan(LAPTOP, "--map", "--trials", "8").trials == {"wgan_gp": 8}
    assert not plan(LAPTOP).maps("wgan_gp")


def test_a_space_that_is_a_grid_is_mapped_as_one() -> None:
    document = {
        "method": "grid",
        "parameters": {"model": {"value": "wgan_gp"}, "n_critic": {"values": [1, 5]}},
    }
    options: Any = tune.parser().parse_args(["--space", "a", "--map"])
    found = tune.plan_from(options, [parse_space("a", document)], LAPTOP)
    assert (found.samplers, found.trials, found.maps("a")) == ({"a": "grid"}, {"a": 2}, True)


@pytest.mark.parametrize("option", [("--sampler", "random"), ("--scheduler", "asha")])
def test_a_map_chooses_sampler_and_scheduler_itself(option: tuple[str, str]) -> None:
    with pytest.raises(UserError, match=f"leave out {option[0]}"):
        plan(LAPTOP, "--map", *option)


def test_on_gpus_each_is_filled_with_packs() -> None:
    found = plan(GPU_SERVER)
    assert (found.pack, found.concurrency, found.gpus_per_trial) == ("auto", 2, 1)
    assert found.precision == {"wgan_gp": "bf16"}


def test_a_trial_a_pack_on_gpus_that_up_to_four_share() -> None:
    found = plan(GPU_SERVER, "--pack", "trial")
    assert (found.pack, found.concurrency, found.gpus_per_trial) == ("trial", 8, 0.25)


def test_without_its_gpus_a_server_is_a_machine_without() -> None:
    found = plan(GPU_SERVER, "--gpus-per-trial", "0")
    assert (found.pack, found.concurrency, found.gpus_per_trial) == ("trial", 16, 0)
    assert found.precision == {"wgan_gp": "fp32"}


def test_the_best_networks_are_kept_unless_the_user_says_no() -> None:
    assert plan(LAPTOP).keep_best
    assert not plan(LAPTOP, "--no-keep-best").keep_best


@pytest.mark.parametrize(("asked", "pack"), [("trial", "trial"), ("auto", "auto"), ("16", 16)])
def test_the_pack_asked_for(asked: str, pack: int | str) -> None:
    assert plan(LAPTOP, "--pack", asked).pack == pack
    assert StudyPlan.from_dict(plan(LAPTOP, "--pack", asked).to_dict()).pack == pack


def test_on_a_cluster_packs_leave_a_cpu_for_the_trials() -> None:
    cluster = together([replace(LAPTOP, cpus=1)] * 2)
    assert plan(cluster, "--address", "auto", "--pack", "8").concurrency == 1
    assert plan(cluster, "--address", "auto").concurrency == 2
    with pytest.raises(UserError, match=r"2 packs of 1 CPUs leave none of the cluster's 2"):
        plan(cluster, "--address", "auto", "--pack", "8", "--concurrency", "2")


def test_nodes_are_those_of_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tune.main(["--space", "wgan_gp", "--nodes", "2"])
    assert ended.value.code == 2
    assert "--nodes goes with --address" in capsys.readouterr().err
