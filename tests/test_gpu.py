"""On a GPU: the same training as on a CPU, replayed as one CUDA graph."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from study.config import TrialConfig
from study.training import checkpoint
from study.training.capture import CapturedIterations, EagerIterations, iterations_of
from study.training.divergence import Divergence
from study.training.pack import Pack
from study.training.schedule import schedule
from study.training.step import critic_step, iteration
from study.training.streams import Draws, Streams
from study.training.trainer import Due, Trainer, carry_out
from study.trial.pack_size import choose, measure
from tests.packs import Case, everything, make_pack, member_state, training_data
from tests.studies import trial_plan

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

GPU = torch.device("cuda")


@pytest.fixture
def _no_tf32(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Convolutions and matrix products in all of float32's digits."""
    monkeypatch.setattr("study.training.pack.settle", lambda _: None)
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def repeat(iterate: Callable[[], None], times: int) -> None:
    for _ in range(times):
        iterate()


def moved(draws: Draws) -> Draws:
    return Draws(**{name: value.to(GPU) for name, value in vars(draws).items()})


@pytest.mark.usefixtures("double")
def test_a_gpu_trains_as_a_cpu_does(case: Case, data: Tensor) -> None:
    # From the same draws. In float64 the two part by rounding alone, as a member in a pack and alone.
    cpu, gpu, start = make_pack(*case), make_pack(*case, device=GPU), make_pack(*case)
    for _ in range(4):
        draws = cpu.streams.draw(len(data))
        iteration(cpu, data, draws)
        iteration(gpu, data.to(GPU), moved(draws))
    for player in ("generator", "critic"):
        own, expected, initial = (getattr(pack, player).values.cpu() for pack in (gpu, cpu, start))
        torch.testing.assert_close(own, expected, rtol=1e-8, atol=1e-9)
        assert float((expected - initial).abs().max()) > 3e-4
    assert gpu.watch.alive.all()


@pytest.mark.usefixtures("_no_tf32")
def test_a_gpus_first_gradient_is_a_cpus(case: Case, data: Tensor, precision: str) -> None:
    # What is allowed to bfloat16 is three times what it differs from float32 here, on a CPU: 1.4e-4 of a
    # difference of scores, 0.4% of a norm.
    cpu = make_pack(*case, precision=precision)
    gpu = make_pack(*case, precision=precision, device=GPU)
    draws = cpu.streams.draw(len(data))
    batch = (data[draws.indices[:, 0]], draws.critic_noise[:, 0], draws.epsilon[:, 0])
    critic_step(cpu, *batch)
    critic_step(gpu, *(part.to(GPU) for part in batch))
    share, absolute = {"fp32": (1e-4, 1e-6), "bf16": (0.012, 4e-4)}[precision]
    for name in ("loss_d", "grad_norm_d"):
        own, expected = (pack.meters[name].read_and_reset() for pack in (gpu, cpu))
        assert own == pytest.approx(expected, rel=share, abs=absolute)


def test_on_a_gpu_iterations_are_captured() -> None:
    iterate = iterations_of(make_pack("wgan_gp", "points", device=GPU), training_data("points").to(GPU))
    assert isinstance(iterate, CapturedIterations)


def test_a_graph_does_what_eager_iterations_do_bit_for_bit(case: Case, data: Tensor, precision: str) -> None:
    data = data.to(GPU)
    eager, replayed = (make_pack(*case, precision=precision, beta1=0.5, device=GPU) for _ in range(2))
    repeat(EagerIterations(eager, data), 12)
    repeat(iterations_of(replayed, data), 12)
    assert everything(replayed) == everything(eager)


def test_a_nan_in_one_member_leaves_the_others_bit_identical(
    case: Case, data: Tensor, precision: str
) -> None:
    # Planted after the capture.
    data = data.to(GPU)
    healthy, spoiled = (make_pack(*case, precision=precision, device=GPU) for _ in range(2))
    for pack in (healthy, spoiled):
        iterate = iterations_of(pack, data)
        repeat(iterate, 6)
        if pack is spoiled:
            pack.generator.parameters[-1][1].view(-1)[0] = math.nan
        repeat(iterate, 4)
    assert healthy.watch.alive.all()
    assert spoiled.watch.alive.tolist() == [True, False, True, True]
    for k in (0, 2, 3):
        assert member_state(spoiled, k) == member_state(healthy, k)
    config = spoiled.config
    shown = (6 * config.n_critic + 1) * config.batch_size / 1000
    assert spoiled.watch.divergences(config.batch_size)[1] == Divergence(shown, "non-finite critic loss")


def test_a_member_whose_training_explodes_leaves_the_others_bit_identical() -> None:
    def pack_with(lr: float) -> Pack:
        own = [{"lr_d": 1e-4}, {"lr_d": lr, "lr_g": lr}, {"lr_d": 1e-3}]
        return make_pack("wgan_gp", "images", seeds=(0, 1, 2), per_member=own, device=GPU)

    data = training_data("images").to(GPU)
    healthy, exploding = pack_with(1e-4), pack_with(1e6)
    for pack in (healthy, exploding):
        repeat(iterations_of(pack, data), 12)
    assert exploding.watch.alive.tolist() == [True, False, True]
    for k in (0, 2):
        assert member_state(exploding, k) == member_state(healthy, k)


def test_a_resumed_run_is_the_uninterrupted_one(
    case: Case, data: Tensor, precision: str, tmp_path: Path
) -> None:
    data = data.to(GPU)
    whole, first, resumed = (make_pack(*case, precision=precision, beta1=0.5, device=GPU) for _ in range(3))
    repeat(iterations_of(whole, data), 12)
    repeat(iterations_of(first, data), 6)
    checkpoint.save(first, tmp_path / "pack.pt")
    checkpoint.load(resumed, tmp_path / "pack.pt")
    assert everything(resumed) == everything(first)
    repeat(iterations_of(resumed, data), 6)
    assert everything(resumed) == everything(whole)
    assert torch.equal(resumed.sample(10), whole.sample(10))


def test_evaluations_between_replays_do_not_change_the_training(case: Case, data: Tensor) -> None:
    data = data.to(GPU)
    often, seldom = (make_pack(*case, n_critic=2, batch_size=10, device=GPU) for _ in range(2))
    for _ in carry_out(schedule(often, data, 0.24, 0.04)):
        often.sample(5)
    list(carry_out(schedule(seldom, data, 0.24, 0.24)))
    differing = {name for name, value in everything(often).items() if value != everything(seldom)[name]}
    assert differing <= {"/next_evaluation"}  # and meters were read at the end of both


@pytest.mark.usefixtures("double")
def test_trials_train_together_as_each_does_alone(case: Case, data: Tensor) -> None:
    # Twelve iterations, captured, then five more with the states of after the first interval.
    data = data.to(GPU)
    together, alone = (
        [make_pack(*case, seeds=(0, 1), per_member=[{"lr_d": lr}] * 2, device=GPU) for lr in (1e-3, 3e-4)]
        for _ in range(2)
    )
    per_iteration = together[0].config.n_critic * together[0].config.batch_size
    shared, own = Trainer(), [Trainer(), Trainer()]
    for iterations in (12, 17):
        shared.train([Due(pack, data, iterations * per_iteration) for pack in together])
        for trainer, pack in zip(own, alone, strict=True):
            trainer.train([Due(pack, data, iterations * per_iteration)])
    for pack, single in zip(together, alone, strict=True):
        assert pack.generator_updates == single.generator_updates == 17
        for player in ("generator", "critic"):
            values = (getattr(p, player).values for p in (pack, single))
            torch.testing.assert_close(*values, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("model", ["wgan_gp", "dcgan"])
def test_pack_sizes_are_measured(model: str) -> None:
    sizes = measure(trial_plan(config=TrialConfig(model=model, dataset="ring8")), GPU, largest=16)
    assert [size.members for size in sizes] == [2, 4, 8, 16][: len(sizes)]
    assert len(sizes) > 1
    assert all(size.rate > 0 and size.mib > 0 for size in sizes)
    assert choose(sizes) > 2  # a GPU is far from filled by two small networks


def test_a_member_draws_the_same_in_every_pack() -> None:
    alone, packed = Streams(7, [3], 2, 1, 33, 5, GPU), Streams(7, [0, 3, 9], 2, 1, 33, 5, GPU)
    for _ in range(3):
        one, three = vars(alone.draw(50)), vars(packed.draw(50))
        for name in one:
            assert torch.equal(one[name][0], three[name][1])


def test_the_data_order_does_not_depend_on_how_often_the_critic_is_updated() -> None:
    orders = []
    for n_critic in (1, 2, 3, 6):
        own = Streams(7, [0, 1], n_critic, 1, 33, 5, GPU)
        orders.append(torch.cat([own.draw(50).indices.clone() for _ in range(6 // n_critic)], 1))
    assert all(torch.equal(order, orders[0]) for order in orders)
