"""Numbers as words of a sentence."""

import html
import math
import re


def number(value: float, digits: int = 3) -> str:
    """A number with so many digits, and no exponent from a thousandth to a million: 2,120, 0.0421, 1e-05."""
    if not math.isfinite(value) or value == 0 or not 1e-3 <= abs(value) < 1e6:
        return f"{value:.{digits}g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def counted(n: int, noun: str) -> str:
    """'1 trial', '2,000 trials'."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def duration(seconds: float) -> str:
    """'40 s', '12 minutes', '1.5 hours'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def sentences(*parts: str) -> str:
    """Those that say something, as one text."""
    return " ".join(part for part in parts if part)


def as_html(text: str) -> str:
    """A text as HTML: what stands between backticks is code."""
    return re.sub("`(.*?)`", r"<code>\1</code>", html.escape(text))


def interval(low: float | None, high: float | None, level: str = "95%") -> str:
    """'95% interval 1.2 to 3.4', or that there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return "no interval"
    return f"{level} interval {number(low)} to {number(high)}"
