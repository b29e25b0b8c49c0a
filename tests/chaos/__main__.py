"""Kill processes of a study at random moments, and compare what it comes to with an undisturbed one.

python -m tests.chaos [--kills 50] [--seed 0]
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

from tests.chaos.kills import KINDS, Chaos


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        chaos = Chaos(Path(folder), options.seed)
        left, packs = options.kills, itertools.cycle(("trial", "4"))
        while left > 0:  # a study may end before all are killed that were to be
            killed, said = chaos.study(next(packs), min(len(KINDS), left))
            print(said, flush=True)
            left -= killed
    return 0


if __name__ == "__main__":
    sys.exit(main())
