"""What is known about the person who writes: everything `nlp` may use besides the words."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nlp.commands import Command

MAX_CHARACTERS = 600
"Of a message: a longer one is no order, and would take longer than 50 ms to read."


@dataclass(frozen=True)
class Context:
    """The person's clock, region, contacts (name → number or extension) and lines.

    `extensions` is None where the list is unknown: then a bare number of two to five digits in the
    place of a party counts as an extension. When a list is given, only those are. `history` are the
    conversation's last commands, oldest first; `asked` is the slot just asked for ("call.to").
    """

    now: datetime
    timezone: str = "UTC"
    region: str = "US"
    contacts: Mapping[str, str] = field(default_factory=dict)
    lines: Sequence[str] = ("US", "UK", "DE", "FR")
    extensions: Collection[str] | None = None
    history: tuple[Command, ...] = ()
    asked: str = ""

    def zone(self) -> tzinfo:
        """The person's time zone; UTC for a name that is none, so that a message never fails."""
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return UTC

    def local_now(self) -> datetime:
        """The reference time on the person's own clock (a naive `now` is taken as theirs)."""
        zone = self.zone()
        naive = self.now.tzinfo is None
        return self.now.replace(tzinfo=zone) if naive else self.now.astimezone(zone)
