"""torchvision's sets from small files in their real formats, and what is said where there are none."""

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from study.command import use_data_folder
from study.data import load, prepare
from study.errors import UserError
from tests.packs import CPU

RNG = np.random.default_rng(0)
TRAIN, TEST = 120, 30


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_STUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GAN_STUDY_DATA", "")  # restored at the end
    use_data_folder(tmp_path / "data")
    load.cache_clear()


def write_idx(folder: Path) -> dict[str, np.ndarray]:
    """The four files of MNIST: a big-endian head, then bytes."""
    folder.mkdir(parents=True)
    made = {}
    for part, n in (("train", TRAIN), ("t10k", TEST)):
        images = RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = np.arange(n, dtype=np.uint8) % 10
        head = struct.pack(">iiii", 0x803, n, 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">ii", 0x801, n) + labels.tobytes())
        made[part] = images
    return made


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_idx_files_are_padded_and_the_sets_own_test_part_is_kept_apart(
    name: str, folder: str, tmp_path: Path
) -> None:
    made = write_idx(tmp_path / "data" / folder / "raw")
    dataset = prepare(name)
    arrays = load(name, CPU)
    arrays.check(dataset)
    assert arrays.number == {"train": 100, "held_out": 20, "test": TEST}
    assert arrays.test is not None
    assert np.array_equal(arrays.test.numpy()[:, 0, 2:30, 2:30], made["t10k"])
    seen = {
        image.tobytes()
        for part in (arrays.train, arrays.held_out)
        for image in part.numpy()[:, 0, 2:30, 2:30]
    }
    assert seen == {image.tobytes() for image in made["train"]}
    assert not arrays.test.numpy()[:, :, :2].any()


def test_cifar_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    listed, pixels = {}, {}
    for name, n in [*((f"data_batch_{k}", TRAIN // 5) for k in range(1, 6)), ("test_batch", TEST)]:
        pixels[name] = RNG.integers(0, 256, (n, 3072), dtype=np.uint8)
        content = pickle.dumps({"data": pixels[name], "labels": [i % 10 for i in range(n)]})
        (folder / name).write_bytes(content)
        listed[name] = [name, hashlib.md5(content).hexdigest()]
    meta = pickle.dumps({"label_names": [str(k) for k in range(10)]})
    (folder / "batches.meta").write_bytes(meta)
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [listed[f"data_batch_{k}"] for k in range(1, 6)])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [listed["test_batch"]])
    known = {**datasets.CIFAR10.meta, "md5": hashlib.md5(meta).hexdigest()}
    monkeypatch.setattr(datasets.CIFAR10, "meta", known)
    arrays = load(prepare("cifar10").name, CPU)
    assert arrays.sample_shape == (3, 32, 32)
    assert arrays.test is not None
    assert np.array_equal(arrays.test.numpy().reshape(TEST, -1), pixels["test_batch"])


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST/raw"), ("cifar10", "cifar-10-batches-py")])
def test_a_set_that_is_not_there_and_no_network(
    name: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(UserError) as refusal:
        prepare(name)
    assert f"{tmp_path / 'data' / folder} does not hold" in str(refusal.value)
    assert not (tmp_path / "data").exists()
    assert "--data-dir" in str(refusal.value)
