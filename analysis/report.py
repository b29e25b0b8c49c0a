"""A study's report: one page that opens offline, its figures, and the numbers behind each.

python -m analysis.report results/<study>
"""

if __name__ == "__main__":  # before all that takes its time to be imported
    from study.signals import end_at_once

    end_at_once()

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.sections import NAMES
from study.command import OK, Parser, run_command
from study.signals import raise_interrupt

PROGRAM = "python -m analysis.report"
NOT_WHOLE = 1


def parser() -> argparse.ArgumentParser:
    """The command line of analysis.report."""
    p = Parser(
        prog=PROGRAM,
        description=__doc__.split("\n\n")[0],
        examples=(
            "python -m analysis.report results/<study>",
            "python -m analysis.report results/<study> results/<another> --only budget comparison",
        ),
    )
    p.add_argument("study", nargs="+", type=Path, help="folders of studies, finished or running")
    p.add_argument("--only", nargs="+", choices=NAMES, help="sections with figures (default: all)")
    p.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write (default: report/ in the first study's)"
    )
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report; status NOT_WHOLE where a part of it could not be made."""
    options: Any = parser().parse_args(arguments)
    from analysis.writer import write_report  # after --help: figures take a second

    raise_interrupt()
    path, problems = write_report(options.study, options.out, options.only)
    print(f"report: {path}")
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    return NOT_WHOLE if problems else OK


if __name__ == "__main__":
    sys.exit(run_command(main))
