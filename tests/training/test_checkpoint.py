"""A resumed run equals an uninterrupted one, bit for bit; a damaged file is refused by name."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from study.training import checkpoint
from study.training.capture import EagerIterations
from study.training.pack import Pack
from study.training.schedule import Progress, schedule
from study.training.step import critic_step
from study.training.trainer import carry_out

MakePack = Callable[..., Pack]
Data = Callable[[str], Tensor]
Everything = Callable[[Any], dict[str, object]]


def run(pack: Pack, data: Tensor, iterations: int) -> None:
    iterate = EagerIterations(pack, data)
    for _ in range(iterations):
        iterate()


def test_a_resumed_run_is_the_uninterrupted_one(
    case: tuple[str, str],
    precision: str,
    make_pack: MakePack,
    training_data: Data,
    everything: Everything,
    tmp_path: Path,
) -> None:
    data = training_data(case[1])
    whole, first, resumed = (make_pack(*case, precision=precision, beta1=0.5) for _ in range(3))
    run(whole, data, 5)
    run(first, data, 2)
    checkpoint.save(first, tmp_path / "pack.pt")
    checkpoint.load(resumed, tmp_path / "pack.pt")
    assert everything(resumed) == everything(first)
    run(resumed, data, 3)
    assert everything(resumed) == everything(whole)
    assert torch.equal(resumed.sample(10), whole.sample(10))
    read = [{k: m.read_and_reset() for k, m in p.meters.items()} for p in (whole, resumed)]
    assert read[0] == read[1]


def test_a_checkpoint_between_two_critic_updates_keeps_the_meters(
    make_pack: MakePack, training_data: Data, tmp_path: Path
) -> None:
    data = training_data("points")
    whole, resumed = make_pack("wgan_gp", "points"), make_pack("wgan_gp", "points")
    run(whole, data, 1)
    checkpoint.save(whole, tmp_path / "pack.pt")
    checkpoint.load(resumed, tmp_path / "pack.pt")
    for pack in (whole, resumed):
        pack.generator.refresh()
        draws = pack.streams.draw(len(data))
        critic_step(pack, data[draws.indices[:, 0]], draws.critic_noise[:, 0], draws.epsilon[:, 0])
    assert resumed.meters["loss_d"].read_and_reset() == whole.meters["loss_d"].read_and_reset()


def test_the_dead_stay_dead_after_a_resume(
    make_pack: MakePack, everything: Everything, training_data: Data, tmp_path: Path
) -> None:
    data = training_data("points")
    whole, resumed = make_pack("wgan_gp", "points"), make_pack("wgan_gp", "points")
    with torch.no_grad():
        whole.critic.parameters[0][1] = torch.nan
    run(whole, data, 2)
    checkpoint.save(whole, tmp_path / "pack.pt")
    checkpoint.load(resumed, tmp_path / "pack.pt")
    for pack in (whole, resumed):
        run(pack, data, 2)
    assert resumed.watch.alive.tolist() == [True, False, True, True]
    assert resumed.watch.divergences(16) == whole.watch.divergences(16)
    assert everything(resumed) == everything(whole)


def test_the_loop_goes_on_from_a_checkpoint_as_if_nothing_had_happened(
    case: tuple[str, str], make_pack: MakePack, everything: Everything, training_data: Data, tmp_path: Path
) -> None:
    data = training_data(case[1])
    packs = [make_pack(*case, n_critic=2, batch_size=10) for _ in range(3)]
    whole, interrupted, resumed = packs
    expected = list(carry_out(schedule(whole, data, 0.1, 0.04)))
    seen: list[Progress] = []
    for progress in carry_out(schedule(interrupted, data, 0.1, 0.04)):
        seen.append(progress)
        checkpoint.save(interrupted, tmp_path / "pack.pt")
        if progress.evaluation == 1:
            break
    checkpoint.load(resumed, tmp_path / "pack.pt")
    assert resumed.train_seconds == interrupted.train_seconds
    seen += carry_out(schedule(resumed, data, 0.1, 0.04))

    def without_clock(p: Progress) -> dict[str, object]:
        return {**vars(p), "train_seconds": None, "means": repr(p.means)}

    assert [without_clock(p) for p in seen] == [without_clock(p) for p in expected]
    assert everything(resumed) == everything(whole)


def test_a_checkpoint_loads_without_unpickling_code(
    make_pack: MakePack, everything: Everything, tmp_path: Path
) -> None:
    pack = make_pack("wgan_gp", "images")
    checkpoint.save(pack, tmp_path / "pack.pt")
    state = torch.load(tmp_path / "pack.pt", weights_only=True)
    assert everything(state) == everything(pack)
    assert state["train_seconds"] == pack.train_seconds


class Trap:
    """Unpickling it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return os.mkdir, (self.path,)


def test_code_in_a_checkpoint_is_not_run(make_pack: MakePack, tmp_path: Path) -> None:
    path = tmp_path / "pack.pt"
    torch.save({"generator": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(RuntimeError, match="can't be read"):
        checkpoint.load(make_pack("dcgan", "points"), path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused_by_name(
    share: float, make_pack: MakePack, everything: Everything, tmp_path: Path
) -> None:
    path, pack = tmp_path / "pack.pt", make_pack("dcgan", "points")
    checkpoint.save(pack, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    before = everything(pack)
    with pytest.raises(RuntimeError, match=str(path)):
        checkpoint.load(pack, path)
    assert everything(pack) == before


def test_a_missing_file_is_refused_by_name(make_pack: MakePack, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=str(tmp_path / "none.pt")):
        checkpoint.load(make_pack("dcgan", "points"), tmp_path / "none.pt")


@pytest.mark.parametrize(
    "other",
    [{"seeds": (0,)}, {"seeds": (0, 1, 2, 3, 4)}, {"width": 8}, {"optimizer": "rmsprop"}],
    ids=["one member", "five members", "another width", "another optimiser"],
)
def test_the_checkpoint_of_a_pack_of_another_shape_is_refused(
    other: dict[str, Any], make_pack: MakePack, tmp_path: Path
) -> None:
    path = tmp_path / "pack.pt"
    checkpoint.save(make_pack("dcgan", "points", **other), path)
    with pytest.raises(RuntimeError, match=str(path)):
        checkpoint.load(make_pack("dcgan", "points"), path)


def test_nothing_temporary_is_left(make_pack: MakePack, tmp_path: Path) -> None:
    pack = make_pack("dcgan", "points")
    for _ in range(2):
        checkpoint.save(pack, tmp_path / "pack.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["pack.pt"]


def test_a_fault_while_writing_keeps_the_last_checkpoint(
    make_pack: MakePack,
    everything: Everything,
    training_data: Data,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, pack = tmp_path / "pack.pt", make_pack("dcgan", "points")
    checkpoint.save(pack, path)
    saved = everything(pack)
    run(pack, training_data("points"), 1)

    def full_disk(state: Any, file: Any) -> None:
        del state
        (file.write_bytes if isinstance(file, Path) else file.write)(b"half of it")
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full_disk)
        with pytest.raises(OSError, match="No space"):
            checkpoint.save(pack, path)
    restored = make_pack("dcgan", "points")
    checkpoint.load(restored, path)
    assert everything(restored) == saved
