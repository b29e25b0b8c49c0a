"""A resumed run equals an uninterrupted one, bit for bit; a damaged file is refused by name."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from study.machine.files import is_full
from study.training import checkpoint
from tests.packs import Case, everything, make_pack, train, training_data


def test_a_resumed_run_is_the_uninterrupted_one(
    case: Case, data: Tensor, precision: str, tmp_path: Path
) -> None:
    whole, first, resumed = (make_pack(*case, precision=precision, beta1=0.5) for _ in range(3))
    train(whole, data, 5)
    train(first, data, 2)
    first.train_seconds, first.next_evaluation = 12.5, 3
    whole.next_evaluation = 3
    checkpoint.save(first, tmp_path / "pack.pt")
    checkpoint.load(resumed, tmp_path / "pack.pt")
    assert everything(resumed) == everything(first)
    for counter in ("critic_updates", "generator_updates", "next_evaluation", "train_seconds"):
        assert getattr(resumed, counter) == getattr(first, counter)
    assert everything(train(resumed, data, 3)) == everything(whole)
    assert torch.equal(resumed.sample(10), whole.sample(10))


class Trap:
    """Unpickling it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return os.mkdir, (self.path,)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "pack.pt"
    torch.save({"generator": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(RuntimeError, match="can't be read"):
        checkpoint.load(make_pack("dcgan", "points"), path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("share", [None, 0.0, 0.01, 0.5, 0.99])
def test_a_missing_or_truncated_file_is_refused_by_name(share: float | None, tmp_path: Path) -> None:
    path, pack = tmp_path / "pack.pt", make_pack("dcgan", "points")
    if share is not None:
        checkpoint.save(pack, path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
    before = everything(pack)
    with pytest.raises(RuntimeError, match=str(path)):
        checkpoint.load(pack, path)
    assert everything(pack) == before


@pytest.mark.parametrize(
    "other",
    [{"seeds": (0,)}, {"seeds": (0, 1, 2, 3, 4)}, {"width": 8}, {"optimizer": "rmsprop"}],
    ids=["one member", "five members", "another width", "another optimiser"],
)
def test_the_checkpoint_of_a_pack_of_another_shape_is_refused(other: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "pack.pt"
    checkpoint.save(make_pack("dcgan", "points", **other), path)
    with pytest.raises(RuntimeError, match=str(path)):
        checkpoint.load(make_pack("dcgan", "points"), path)


def test_a_fault_while_writing_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, pack = tmp_path / "pack.pt", make_pack("dcgan", "points")
    checkpoint.save(pack, path)
    saved = everything(pack)
    train(pack, training_data("points"), 1)

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


def test_a_checkpoint_says_that_the_disk_is_full(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "write_whole", lambda path, write: write(path))
    with pytest.raises(Exception) as fault:  # noqa: PT011 - torch's own
        checkpoint.save(make_pack(*case), Path("/dev/full"))
    assert is_full(fault.value)
