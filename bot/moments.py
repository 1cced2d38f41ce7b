"""Times as people say them."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bot.ports import Person


def moment(at: datetime, person: Person) -> str:
    """A time on the person's clock: “today at 17:00”, “on Mon 30 Nov at 08:00”."""
    zone = ZoneInfo(person.timezone)
    local, now = at.astimezone(zone), datetime.now(zone)
    days = {now.date(): "today", now.date() + timedelta(days=1): "tomorrow"}
    year = "" if local.year == now.year else f" {local.year}"
    day = days.get(local.date()) or f"on {local:%a} {local.day} {local:%b}{year}"
    return f"{day} at {local:%H:%M}"
