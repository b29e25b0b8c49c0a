"""A running study in the terminal, from its folder alone.

python -m analysis.watch results/<study>
"""

if __name__ == "__main__":  # before all that takes its time to be imported
    from study.signals import end_at_once

    end_at_once()

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.command import OK, Parser, run_command
from study.records.study_folder import StudyFolder
from study.signals import raise_interrupt

if TYPE_CHECKING:
    from rich.text import Text

    from analysis.progress import Curve, Progress, SpaceProgress

SECONDS = 2.0  # between two looks
BLOCKS = "▁▂▃▄▅▆▇█"
WIDEST = 40  # letters of a curve


def parser() -> argparse.ArgumentParser:
    """The command line of analysis.watch."""
    p = Parser(
        prog="python -m analysis.watch",
        description="Show how a study goes, from its folder: in a second terminal, or on another machine "
        "that has the folder. It ends with the study, or with Ctrl-C, and disturbs nothing. Outside a "
        "terminal it prints once.",
        examples=("python -m analysis.watch results/<study>",),
    )
    p.add_argument("study", type=Path, help="the study's folder, results/<study>")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the study until it ends."""
    options: Any = parser().parse_args(arguments)
    from rich.console import Console  # after --help, and where Ctrl-C is no traceback
    from rich.live import Live

    from analysis.progress import Watched

    watched = Watched(StudyFolder(options.study))
    seen = watched.read()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.print(_text(seen), soft_wrap=True)
        return OK
    raise_interrupt()
    with suppress(KeyboardInterrupt), Live(_text(seen), console=console, auto_refresh=False) as live:
        while seen.running:
            time.sleep(SECONDS)
            seen = watched.read()
            live.update(_text(seen), refresh=True)
    return OK


def _text(seen: "Progress") -> "Text":
    from rich.text import Text

    return Text("\n".join(lines(seen)), overflow="fold")


def lines(seen: "Progress") -> Iterator[str]:
    """What is shown of a study."""
    from study.reporting.console import clock

    plan = seen.plan
    yield f"study {plan.name} on {plan.dataset}: {plan.aggregate} {plan.metric} of {plan.seeds} seeds"
    for space in seen.spaces:
        yield from _lines_of(space)
    status = f"{seen.ended} of {plan.total_trials} trials ended | {clock(seen.seconds)} elapsed"
    if seen.running:
        left = "time left unknown yet" if seen.left is None else f"about {clock(seen.left)} left"
        yield f"{status}, {left}"
    elif seen.ended >= plan.total_trials:
        yield f"{status}; it has ended"
    else:
        from analysis.commands import resume  # not above: it would be slow to say --help

        yield f"{status}; it is not running; continue with: {resume(seen.folder, plan)}"


def _lines_of(space: "SpaceProgress") -> Iterator[str]:
    states = ", ".join(f"{n} {state}" for state, n in space.states.items())
    begun = sum(space.states.values())
    yield f"{space.name}: {begun} of {space.trials} trials begun" + (f": {states}" if states else "")
    if space.best is not None:
        yield f"  best {space.best}"
    if len(space.curve) > 1:
        ends = [f"{value:.4g} at kimg {kimg:.4g}" for kimg, value in (space.curve[0], space.curve[-1])]
        yield f"  {sparkline(space.curve)}  from {' to '.join(ends)}"
    if space.failure:
        yield f"  {space.failure}"


def sparkline(curve: "Curve") -> str:
    """A curve's values as blocks, the largest the tallest; logarithmic over more than a decade."""
    values = [value for _, value in curve]
    if len(values) > WIDEST:
        step = (len(values) - 1) / (WIDEST - 1)
        values = [values[round(place * step)] for place in range(WIDEST)]
    if min(values) > 0 and max(values) > 10 * min(values):
        values = [math.log(value) for value in values]
    low, high = min(values), max(values)
    tallest = len(BLOCKS) - 1
    return "".join(BLOCKS[round(tallest * (value - low) / ((high - low) or 1.0))] for value in values)


if __name__ == "__main__":
    sys.exit(run_command(main))
