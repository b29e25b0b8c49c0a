"""Seeds derive from identity: stably, and from all of it."""

import hashlib
import os
import subprocess
import sys

import pytest

from study.seeds import derive_seed


def test_the_seed_is_the_written_hash() -> None:
    # SHA-256 of "int:7 US int:0 US str:data", its first 8 bytes as a little-endian number, halved.
    digest = hashlib.sha256(b"int:7\x1fint:0\x1fstr:data").digest()
    expected = sum(byte << (8 * place) for place, byte in enumerate(digest[:8])) // 2
    assert derive_seed(7, 0, "data") == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, 1, "data"), (1, 0, "data")),
        ((0, 1, "data"), (0, 1, "penalty")),
        ((0, 1, "data"), (0, 2, "data")),
        ((0, 1, "data"), (3, 1, "data")),
        ((1,), ("1",)),
        (("ab",), ("a", "b")),
        ((11, 1), (1, 11)),
        ((0,), (0, 0)),
    ],
)
def test_every_part_its_order_and_its_type_count(
    one: tuple[int | str, ...], other: tuple[int | str, ...]
) -> None:
    assert derive_seed(*one) != derive_seed(*other)


def test_seeds_fit_a_torch_generator() -> None:
    assert all(0 <= derive_seed(i) < 2**63 for i in range(1000))


def test_a_thousand_identities_have_a_thousand_seeds() -> None:
    assert len({derive_seed(s, m) for s in range(40) for m in range(25)}) == 1000


def test_another_process_with_another_hash_seed_agrees() -> None:
    program = "from study.seeds import derive_seed; print(derive_seed(7, 3, 'critic noise'))"
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert int(printed) == derive_seed(7, 3, "critic noise")
