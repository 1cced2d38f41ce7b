"""Call tracking: a number of its own for each advertisement, and what it brought."""

from __future__ import annotations

import asyncio
import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from bot.ports import Figures, NumberShown, OperatorError, Person, Role
from bot.replies import Attachment, Reply
from encryptotel.charts import drawn
from encryptotel.directory import Directory
from encryptotel.followers import Followers
from encryptotel.parties import Parties
from encryptotel.worker import new_worker
from nlp.commands import Party, Statistics, TrackingNumber
from nlp.periods import stretch
from pbx.calls.numbers import region_of_zone, spoken
from store.database import Database
from store.statistics import calls_to, first_calls
from store.tables import CallRow, RouteRow

MAX_LABEL = 60
DRAWN_WITHIN = 30.0
"Seconds for a picture."
USUAL = timedelta(days=30)
"Looked at when no period was said."
HIDDEN = "hidden"


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """One call that a number brought."""

    at: datetime
    label: str
    number: str
    caller: str
    answered: bool
    seconds: int
    new: bool


_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Tracking:
    """Implements `bot.ports.Tracking` on the routes and the journal. `require` raises where a plan
    does not include a feature, given how much of it is used."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        parties: Parties,
        followers: Followers,
        require: Callable[[Person, str, int], None],
    ) -> None:
        self._database = database
        self._directory = directory
        self._parties = parties
        self._followers = followers
        self._require = require
        self._pool = new_worker()

    async def close(self) -> None:
        """End the process that draws."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    # ── numbers ─────────────────────────────────────────────────────────────────────────
    async def take(self, person: Person, command: TrackingNumber) -> str:
        """A number from the pool for something; what to tell the person. Raises
        `OperatorError`."""
        if person.role is Role.GUEST:
            raise OperatorError("role.guest", "guests cannot have numbers")
        mine = sum(row.extension == person.extension for row in self._directory.tracked())
        self._require(person, "numbers", mine)
        label = " ".join((command.label or "").split())[:MAX_LABEL]
        if any(row.label.casefold() == label.casefold() for row in self._of(person)):
            raise OperatorError("tracking.label_taken", f"“{label}” has a number already")
        region = region_of_zone(command.line) if command.line else None
        number = next(iter(self._directory.free_numbers(region)), None)
        if number is None:
            where = f" on the {command.line} line" if command.line else ""
            raise OperatorError(
                "tracking.none_free",
                f"no number{where} is free: add one to `numbers` of a [[trunk]], without a route",
            )
        await self._directory.give_number(
            RouteRow(
                number=number,
                to=person.extension,
                label=label,
                extension=person.extension,
                since=datetime.now(UTC),
            )
        )
        return (
            f"{spoken(number)} is the number for “{label}”. Its calls ring at your phones; to send "
            f"them elsewhere say: send the {label} number to 102."
        )

    async def send(self, person: Person, label: str, party: Party) -> str:
        """Let a number ring somebody else of ours. Raises `OperatorError`."""
        row = self._labelled(person, label)
        to = party.extension or ""
        if self._directory.service(to) is not None:
            self._require(person, "menus", 0)
        else:
            to = self._parties.resolve(party, person)
            if self._directory.extension(to) is None:
                raise OperatorError(
                    "tracking.inside",
                    "a number leads to one of our extensions or menus; redirect that further on",
                )
        await self._directory.give_number(RouteRow(**{**row.model_dump(), "to": to}))
        return f"Calls for “{row.label}” go to {self._followers.who(to, person)}."

    def knows(self, person: Person, label: str) -> bool:
        """Whether some words are about one of the person's numbers."""
        said = " ".join(label.casefold().split())
        return any(
            said in row.label.casefold() or row.label.casefold() in said for row in self._of(person)
        )

    async def forget(self, extension: str) -> None:
        """Give all numbers of an extension back."""
        await self.keep(extension, 0)

    async def keep(self, extension: str, most: int) -> None:
        """Give all numbers of an extension back but the oldest."""
        mine = [row for row in self._directory.tracked() if row.extension == extension]
        for row in sorted(mine, key=lambda row: row.since or _LONG_AGO)[most:]:
            await self._directory.take_number(row.number)

    async def give_back(self, person: Person, label: str) -> str:
        """Give a number back to the pool; what it brought stays in the journal. Raises
        `OperatorError`."""
        row = self._labelled(person, label)
        await self._directory.take_number(row.number)
        return f"{spoken(row.number)} is free again."

    def listed(self, person: Person) -> str:
        """All numbers of a person, for people."""
        rows = self._of(person)
        if not rows:
            return "You have no tracking numbers. Say, for example: a number for the Facebook ad."
        lines = [
            f"  {row.label}: {spoken(row.number)} → {self._followers.who(row.to, person)}"
            for row in rows
        ]
        return "\n".join(["Your tracking numbers:", *lines])

    def _of(self, person: Person) -> Sequence[RouteRow]:
        """A person's numbers; the owner's are all."""
        rows = self._directory.tracked()
        return [
            row for row in rows if person.role is Role.OWNER or row.extension == person.extension
        ]

    def _labelled(self, person: Person, label: str) -> RouteRow:
        """The number that words mean: that has them in its label, or its label in them."""
        said = " ".join(label.casefold().split())
        rows = [
            row
            for row in self._of(person)
            if said in row.label.casefold() or row.label.casefold() in said
        ]
        exact = [row for row in rows if row.label.casefold() == said]
        if len(exact or rows) != 1:
            known = ", ".join(row.label for row in self._of(person)) or "none"
            raise OperatorError("tracking.unknown", f"which number do you mean? There are: {known}")
        return (exact or rows)[0]

    # ── what they brought ───────────────────────────────────────────────────────────────
    async def statistics(self, person: Person, command: Statistics) -> Reply:
        """What one number, or all of them, brought: as a picture or as a table. Raises
        `OperatorError`."""
        title, calls, since, until = await self._found(person, command)
        if command.format == "csv":
            content = await asyncio.to_thread(_table, calls, since.tzinfo)
            return Reply(
                text=_summary(title, calls), file=Attachment("calls.csv", "text/csv", content)
            )
        picture = await self._drawn(await asyncio.to_thread(_chart, title, calls, since, until))
        return Reply(
            text=_summary(title, calls),
            file=Attachment("calls.png", "image/png", picture) if picture else None,
        )

    def numbers(self, person: Person) -> Sequence[NumberShown]:
        """All numbers of a person, one by one."""
        return [
            NumberShown(label=row.label, number=row.number, to=self._followers.who(row.to, person))
            for row in self._of(person)
        ]

    async def figures(self, person: Person, command: Statistics) -> Figures:
        """What one number, or all of them, brought. Raises `OperatorError`."""
        return await asyncio.to_thread(_chart, *await self._found(person, command))

    async def _found(
        self, person: Person, command: Statistics
    ) -> tuple[str, Sequence[Tracked], datetime, datetime]:
        """What is to be told of, its calls, and from when to when by the person's clock."""
        rows = self._of(person)
        if command.label:
            rows = [self._labelled(person, command.label)]
        if not rows:
            raise OperatorError("tracking.none", self.listed(person))
        zone = ZoneInfo(person.timezone)
        now = datetime.now(zone)
        said = command.period and stretch(command.period, now)
        since, until = said or (now - USUAL, now)
        calls = await self._calls(rows, since, until)
        what = rows[0].label if command.label else "all numbers"
        when = f" {command.period}" if said else ", the last 30 days"
        title = f"{what}{when}"
        return title, calls, since.astimezone(zone), until.astimezone(zone)

    async def _calls(
        self, rows: Sequence[RouteRow], since: datetime, until: datetime
    ) -> Sequence[Tracked]:
        labels = {row.number: row.label for row in rows}
        began = {row.number: row.since for row in rows}
        found = [
            call
            for call in await calls_to(self._database, labels, since, until)
            if (first := began[call.dialled]) is None or call.started_at >= first
        ]
        firsts = await first_calls(self._database, {call.caller for call in found})

        def tracked() -> list[Tracked]:  # of some ten thousand calls that takes its time
            return [_tracked(call, labels[call.dialled], firsts.get(call.caller)) for call in found]

        return await asyncio.to_thread(tracked)

    async def _drawn(self, chart: Figures) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DRAWN_WITHIN):
                return await loop.run_in_executor(self._pool, drawn, chart)
        except (BrokenProcessPool, TimeoutError):
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = new_worker()
            return b""


def _tracked(row: CallRow, label: str, first: datetime | None) -> Tracked:
    """A call as it counts: one that only the answerphone took was missed."""
    answered = row.answered_at is not None and not row.cause.startswith("left ")
    ended = row.ended_at or row.started_at
    return Tracked(
        at=row.started_at,
        label=label,
        number=row.dialled,
        caller=row.caller if row.caller.startswith("+") else HIDDEN,
        answered=answered,
        seconds=round((ended - row.answered_at).total_seconds()) if row.answered_at else 0,
        new=first is not None and first >= row.started_at,
    )


def _summary(title: str, calls: Sequence[Tracked]) -> str:
    """The figures in words."""
    if not calls:
        return f"{title[:1].upper()}{title[1:]}: no calls."
    answered = [call for call in calls if call.answered]
    talked = sum(call.seconds for call in answered)
    mean = talked // len(answered) if answered else 0
    new = sum(call.new for call in calls)
    missed, known, minutes = len(calls) - len(answered), len(calls) - new, talked // 60
    lines = [
        f"{title[:1].upper()}{title[1:]}:",
        f"  {_many(len(calls), 'call')}, {len(answered)} answered, {missed} missed",
        f"  {_many(new, 'new caller')}, {_many(known, 'call')} of known ones",
        f"  {_many(minutes, 'minute')} talked, {mean // 60}:{mean % 60:02d} on average",
    ]
    labels = Counter(call.label for call in calls)
    if len(labels) > 1:
        lines += [f"  {label}: {count}" for label, count in labels.most_common()]
    return "\n".join(lines)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _table(calls: Sequence[Tracked], zone: tzinfo | None) -> bytes:
    """A line a call, for a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["time", "source", "number", "caller", "answered", "seconds", "caller is"])
    for call in calls:
        writer.writerow(
            [
                call.at.astimezone(zone).isoformat(timespec="seconds"),
                _plain(call.label),
                call.number.replace("+", "00", 1),
                call.caller.replace("+", "00", 1),
                "yes" if call.answered else "no",
                call.seconds,
                "new" if call.new else "known",
            ]
        )
    return out.getvalue().encode()


def _plain(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text


def _chart(title: str, calls: Sequence[Tracked], since: datetime, until: datetime) -> Figures:
    zone = since.tzinfo
    local = [(call, call.at.astimezone(zone)) for call in calls]
    first = since.date()
    days = max(1, min(92, (until.date() - first).days + (until.time() != datetime.min.time())))
    names = [first + timedelta(days=day) for day in range(days)]
    per_day = Counter((at.date(), call.answered) for call, at in local)
    per_hour = Counter((at.hour, call.answered) for call, at in local)
    return Figures(
        title=title,
        days=[f"{day.day} {day:%b}" for day in names],
        answered_by_day=[per_day[day, True] for day in names],
        missed_by_day=[per_day[day, False] for day in names],
        answered_by_hour=[per_hour[hour, True] for hour in range(24)],
        missed_by_hour=[per_hour[hour, False] for hour in range(24)],
        sources=dict(Counter(call.label for call in calls).most_common(8)),
        new=sum(call.new for call in calls),
        known=sum(not call.new for call in calls),
    )
