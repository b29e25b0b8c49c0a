"""The time of day, as records have it."""

from datetime import UTC, datetime


def now() -> str:
    """UTC in ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
