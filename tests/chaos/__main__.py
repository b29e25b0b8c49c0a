"""Kill processes of a study at random moments, and compare what it comes to with an undisturbed one.

python -m tests.chaos [--kills 50] [--seed 0]
"""

import argparse
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
        for number in range(0, options.kills, len(KINDS) * 2):
            for pack in ("trial", "4"):
                kills = min(len(KINDS), options.kills - number - len(KINDS) * (pack == "4"))
                if kills > 0:
                    print(chaos.study(pack, kills), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
