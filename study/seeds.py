"""Seeds from identity: every random stream derives from (study seed, member seed, purpose).

The derivation is a stable hash, so that seed k means the same weights and the same data order in
every trial (common random numbers), on every machine and in every Python process.
"""

import hashlib
from numbers import Integral


def derive_seed(*identity: int | str) -> int:
    """A 63-bit seed that depends on every part of `identity`, on their order, and on nothing else."""
    parts = (f"int:{int(p)}" if isinstance(p, Integral) else f"str:{p}" for p in identity)
    text = "\x1f".join(parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
