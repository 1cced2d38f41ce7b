"""What happens to people, kept for their programs to hear of it, also of what they missed."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable

from bot.card import told
from bot.ports import Person, Progress, kind_of
from web.ports import HERE, Happened, TooMany

KEPT = 1_000
"Events of one person that a program may have missed."
FEEDS = 2_000
"People whose events are kept, the latest who listened."
LISTENERS = 8
"Programs of one person that listen at the same time."

Follow = Callable[[Person, Callable[[Progress], None]], Callable[[], None]]


class Feed:
    """The events of one person from the first time that a program listened."""

    def __init__(self, person: Person, follow: Follow) -> None:
        self.person_id = person.id
        self._name = secrets.token_hex(4)
        "Tells ids of this run from those of others."
        self._count = 0
        self._kept: deque[Happened] = deque(maxlen=KEPT)
        self._news = asyncio.Event()
        self._closed = False
        self.listeners = 0
        self._unfollow = follow(person, self._take)

    def close(self) -> None:
        """Tell of nothing more."""
        self._closed = True
        self._unfollow()
        self._news.set()

    async def listen(self, after: str) -> AsyncGenerator[Happened]:
        """All that happens from now on, or behind an event that was heard; first where that is, so
        that who is cut off before anything happens can go on there. When the event is not known any
        more, `gap` comes before all."""
        if self.listeners >= LISTENERS:  # of many at once
            return
        self.listeners += 1
        try:
            seen = self._count
            if after:
                known = self._number(after)
                seen = known if known is not None else self._oldest()
                if known is None:
                    yield self._gap(seen)
            yield Happened(id=f"{self._name}-{seen}", kind=HERE)
            while not self._closed:
                if seen < self._oldest():  # it was too slow
                    seen = self._oldest()
                    yield self._gap(seen)
                for one in list(self._kept)[seen - self._oldest() :]:
                    seen += 1
                    yield one
                self._news.clear()
                if seen == self._count:
                    await self._news.wait()
        finally:
            self.listeners -= 1

    def _take(self, progress: Progress) -> None:
        self._count += 1
        self._kept.append(
            Happened(
                id=f"{self._name}-{self._count}",
                kind=kind_of(progress.step),
                call=progress.call_id,
                peer=progress.peer,
                text=progress.text,
                seconds=progress.seconds,
                back=progress.back,
                about=progress.about,
                words=told(progress),
            )
        )
        self._news.set()

    def _oldest(self) -> int:
        """How many there were before the first that is kept."""
        return self._count - len(self._kept)

    def _number(self, id: str) -> int | None:
        """The number of an event that is kept, or the last that is not; None for no such one."""
        name, _, number = id.partition("-")
        if name != self._name or not number.isdecimal() or len(number) > 15:
            return None
        return int(number) if self._oldest() <= int(number) <= self._count else None

    def _gap(self, seen: int) -> Happened:
        return Happened(id=f"{self._name}-{seen}", kind="gap")


class Feeds:
    """Implements `web.ports.Events`."""

    def __init__(self, follow: Follow) -> None:
        self._follow = follow
        self._feeds: OrderedDict[str, Feed] = OrderedDict()

    @property
    def listeners(self) -> int:
        """Programs that listen."""
        return sum(feed.listeners for feed in self._feeds.values())

    def listen(self, person: Person, after: str) -> AsyncGenerator[Happened]:
        """What happens to somebody from now on, or behind an event. Raises `TooMany`."""
        feed = self._feeds.get(person.extension)
        if feed is not None and feed.person_id != person.id:
            self.forget(person.extension)  # somebody else's before
            feed = None
        if feed is None:
            if len(self._feeds) >= FEEDS:
                self._feeds.popitem(last=False)[1].close()
            feed = self._feeds[person.extension] = Feed(person, self._follow)
        self._feeds.move_to_end(person.extension)
        if feed.listeners >= LISTENERS:
            raise TooMany
        return feed.listen(after)

    def close(self) -> None:
        """Tell nobody of anything more."""
        for extension in list(self._feeds):
            self.forget(extension)

    def forget(self, extension: str) -> None:
        """Keep nothing of somebody any more."""
        feed = self._feeds.pop(extension, None)
        if feed is not None:
            feed.close()
