"""“Call back when free”: somebody is called as soon as neither they nor whoever waits for them is
talking."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from bot.ports import Availability, OperatorError, Person, Placed
from encryptotel.followers import Followers
from encryptotel.presence import Presence
from nlp.commands import Call, Party
from pbx.ports import Directory

log = logging.getLogger(__name__)

PATIENCE = timedelta(hours=2)
MAX_WAITING = 5
"People one person waits for."
SETTLES = 2.0
"Seconds after the end of a call until a phone is ready for another."


@dataclass
class _Waiting:
    person: Person
    number: str
    gives_up: asyncio.TimerHandle


class WhenFree:
    """Everybody who waits for somebody. `call` calls them."""

    def __init__(
        self,
        directory: Directory,
        presence: Presence,
        followers: Followers,
        call: Callable[[Person, Call], Awaitable[Placed]],
    ) -> None:
        self._directory = directory
        self._presence = presence
        self._followers = followers
        self._call = call
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._calling: set[asyncio.Task[None]] = set()
        presence.watch(self._look)

    def wait(self, person: Person, number: str) -> str:
        """Call somebody for a person once both are free; what to tell the person. Raises
        `OperatorError`."""
        if self._directory.extension(number) is None:
            raise OperatorError(
                "when_free.outside", "only of our own extensions I know when they are free"
            )
        if number == person.extension:
            raise OperatorError("when_free.self", "that would be yourself")
        mine = [key for key in self._waiting if key[0] == person.extension]
        if len(mine) >= MAX_WAITING:
            raise OperatorError(
                "when_free.too_many",
                f"you wait for {MAX_WAITING} people already, the most I take",
            )
        self._drop((person.extension, number))
        loop = asyncio.get_running_loop()
        gives_up = loop.call_later(
            PATIENCE.total_seconds(), self._give_up, (person.extension, number)
        )
        self._waiting[person.extension, number] = _Waiting(person, number, gives_up)
        self._look(number)
        who = self._followers.who(number, person)
        return f"I call {who} for you as soon as you are both free, within the next two hours."

    def forget(self, extension: str) -> None:
        """Somebody waits for nobody any more."""
        for key in [key for key in self._waiting if key[0] == extension]:
            self._drop(key)

    def close(self) -> None:
        """Wait no more."""
        for key in list(self._waiting):
            self._drop(key)
        for task in self._calling:
            task.cancel()

    def _look(self, number: str) -> None:
        """Somebody's availability changed: it may be time."""
        for key, one in list(self._waiting.items()):
            if number in key and all(map(self._is_free, key)):
                self._drop(key)
                task = asyncio.ensure_future(self._call_now(one))
                self._calling.add(task)
                task.add_done_callback(self._calling.discard)

    def _is_free(self, number: str) -> bool:
        return self._presence.of(number) is Availability.FREE

    async def _call_now(self, one: _Waiting) -> None:
        await asyncio.sleep(SETTLES)
        who = self._followers.who(one.number, one.person)
        try:
            placed = await self._call(one.person, Call(to=(Party(extension=one.number),)))
        except OperatorError as error:
            self._followers.announce(
                one.person.extension, f"{who} is free, but cannot be called: {error.message}."
            )
        else:
            self._followers.placed(one.person.extension, placed, f"as {who} is free now")

    def _give_up(self, key: tuple[str, str]) -> None:
        one = self._waiting.pop(key, None)
        if one is not None:
            who = self._followers.who(one.number, one.person)
            self._followers.announce(key[0], f"{who} has not been free; I wait no more.")

    def _drop(self, key: tuple[str, str]) -> None:
        one = self._waiting.pop(key, None)
        if one is not None:
            one.gives_up.cancel()
