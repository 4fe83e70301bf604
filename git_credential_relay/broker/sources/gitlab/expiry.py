"""When a GitLab token dies: at 00:00 UTC of a date, never at an hour of ours. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta


def expiry_date(now: float, ends_at: float) -> date:
    """The earliest date for a token made now that has to live until `ends_at`.

    Tomorrow, or the day after: "tomorrow" at 23:59 UTC lives for one minute.
    """
    day = datetime.fromtimestamp(now, UTC).date() + timedelta(days=1)
    while midnight(day) < ends_at:
        day += timedelta(days=1)
    return day


def midnight(day: date) -> int:
    """Unix time of the day's first second, from which GitLab refuses the token."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def parse_date(text: object) -> date | None:
    """The date GitLab wrote, or None for anything else."""
    if not isinstance(text, str) or len(text) != len("2026-11-20"):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
