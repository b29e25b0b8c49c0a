"""Principal components of images without labels, and the distance in them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from study.data import DATASETS, Dataset
from study.data.arrays import Arrays
from study.errors import UserError
from study.metrics import metrics_for
from study.metrics.frechet import frechet_distance
from study.metrics.judge import components
from study.metrics.judge.components import Components
from study.metrics.judge.evaluator import Evaluator
from study.metrics.judge.judge import load_judge
from tests.packs import CPU

SIDE = 8
PLANTED = Dataset(name="planted", meaning="", kind="images", sample_shape=(1, SIDE, SIDE), load=Arrays)


def planted(n: int, seed: int) -> Tensor:
    """Images (n, 1, 8, 8) that vary in two directions, three times as much in one, and a little in all."""
    generator = torch.Generator().manual_seed(seed)
    directions, _ = torch.linalg.qr(torch.randn(SIDE * SIDE, 2, generator=torch.Generator().manual_seed(0)))
    weights = torch.randn(n, 2, generator=generator) * torch.tensor([0.3, 0.1])
    noise = 0.001 * torch.randn(n, SIDE * SIDE, generator=generator)
    return (weights @ directions.T + noise + 0.1).view(n, 1, SIDE, SIDE)


def of(arrays: Arrays) -> Components:
    return components.restore(PLANTED, components.make(PLANTED, arrays), CPU)


def test_components_are_the_directions_in_which_images_vary() -> None:
    arrays = Arrays(train=planted(1000, 1), held_out=planted(10, 2))
    found = of(arrays)
    assert found.vectors.shape == (SIDE * SIDE, 2)  # a fifth of ten
    assert found.explained == pytest.approx(1, abs=1e-3)
    features = found.features(arrays.train)
    assert features.mean(0).tolist() == pytest.approx([0, 0], abs=1e-5)
    # Standard errors of a spread from 1,000 numbers are 1/sqrt(2000) of it.
    assert features.std(0).tolist() == pytest.approx([0.3, 0.1], rel=0.1)


@pytest.mark.parametrize(("held_out", "k"), [(10, 2), (99, 19), (319, 63), (400, 64), (3, 1)])
def test_there_are_64_but_at_most_a_fifth_of_the_held_out_images(held_out: int, k: int) -> None:
    train = torch.rand(100, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert of(Arrays(train=train, held_out=train[:1].expand(held_out, -1, -1, -1))).vectors.shape[1] == k


def test_bytes_and_the_floats_they_stand_for_have_the_same_features() -> None:
    bytes_ = torch.randint(
        0, 256, (700, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    floats = bytes_ / 127.5 - 1
    found = of(Arrays(train=bytes_, held_out=bytes_[:50]))
    torch.testing.assert_close(found.features(bytes_), found.features(floats))
    torch.testing.assert_close(of(Arrays(train=floats, held_out=floats[:50])).vectors, found.vectors)


def test_finding_them_is_repeatable_and_leaves_the_global_generator_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(components, "FITTED_ON", 100)
    arrays = Arrays(train=planted(300, 1), held_out=planted(50, 2))
    before = torch.get_rng_state()
    first, second = (components.make(PLANTED, arrays) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first["vectors"], second["vectors"])


def test_fd_pca_is_the_frechet_distance_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = Arrays(train=planted(300, 1), held_out=planted(100, 2))
    monkeypatch.setitem(DATASETS, "planted", PLANTED)
    assert metrics_for("planted") == ["fd_pca", "improved_precision"]
    evaluator = Evaluator(PLANTED, arrays)
    samples, judge = planted(200, 3) + 0.2, of(arrays)
    expected = frechet_distance(judge.features(arrays.held_out), judge.features(samples[:100]))
    assert evaluator(samples)["fd_pca"] == pytest.approx(expected, rel=1e-6)
    assert evaluator.facts()["components"] == {"number": 20, "explained": judge.explained}
    assert evaluator.facts()["fd"] == {"images": 100, "dimension": 20, "features": 20}


def test_a_damaged_judge_of_the_machines_is_made_again_and_a_studys_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_STUDY_CACHE", str(tmp_path / "cache"))
    arrays = Arrays(train=planted(100, 1), held_out=planted(10, 2))
    first, _ = load_judge(PLANTED, arrays)
    (file,) = (tmp_path / "cache").glob("*.pt")
    for content in (b"", file.read_bytes()[:-100], b"nonsense"):
        file.write_bytes(content)
        again, _ = load_judge(PLANTED, arrays, tmp_path / "judge")
        assert torch.equal(again.features(arrays.train), first.features(arrays.train))
    (own,) = (tmp_path / "judge").glob("*.pt")
    own.write_bytes(own.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"\.pt: the judge is damaged; delete it"):
        load_judge(PLANTED, arrays, tmp_path / "judge")
