"""Random rules, as people and calendars write them."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

ZONES = (
    "UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Los_Angeles",
    "America/Sao_Paulo", "Asia/Tokyo", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Auckland",
    "Africa/Casablanca", "America/St_Johns",
)  # fmt: skip
"Whole hours, halves, quarters; clocks that change by an hour, by half of one, in Ramadan, never."
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def random_rule(rng: random.Random, start: datetime) -> str:
    """A rule that `start` fits or not."""
    parts = [f"FREQ={(freq := rng.choice(('HOURLY', 'DAILY', 'WEEKLY', 'MONTHLY', 'YEARLY')))}"]
    if freq == "HOURLY":
        parts.append(f"INTERVAL={rng.randint(5, 50)}")
    elif rng.random() < 0.5:
        parts.append(f"INTERVAL={rng.randint(1, 5)}")
    if freq in ("WEEKLY", "DAILY") and rng.random() < 0.6:
        parts.append("BYDAY=" + ",".join(rng.sample(_DAYS, rng.randint(1, 5))))
    if freq == "MONTHLY" and rng.random() < 0.7:
        parts.append(
            rng.choice(
                (
                    f"BYMONTHDAY={rng.choice((1, 15, 28, 29, 30, 31, -1, -2))}",
                    f"BYDAY={rng.choice((1, 2, 3, 4, -1))}{rng.choice(_DAYS)}",
                )
            )
        )
    if freq == "YEARLY" and rng.random() < 0.5:
        parts.append(f"BYMONTH={rng.randint(1, 12)}")
    if rng.random() < 0.2:
        parts.append(f"COUNT={rng.randint(1, 40)}")
    elif rng.random() < 0.2:
        until = start + timedelta(days=rng.randint(1, 400))
        parts.append(f"UNTIL={until:%Y%m%dT%H%M%S}Z")
    return ";".join(parts)
