"""Broadcasts: those of the configuration, and what people are told of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bot.ports import Person, Progress, Role, Shown, Step
from encryptotel.config import BroadcastSection
from encryptotel.directory import Directory
from encryptotel.followers import Followers
from pbx.calls.apps.broadcast import Broadcast
from pbx.events import BroadcastChanged


class Broadcasts:
    """`owner` is the extension of whoever hears of all of them; `say` makes speech."""

    def __init__(
        self,
        directory: Directory,
        followers: Followers,
        owner: str,
        say: Callable[[str], Awaitable[bytes]],
    ) -> None:
        self._directory = directory
        self._followers = followers
        self._owner = owner
        self._say = say
        self._broadcasts: dict[str, Broadcast] = {}

    def configure(self, sections: Sequence[BroadcastSection]) -> None:
        """Have these and no others; what goes on stays, unless its number is gone."""
        wanted = {section.number: section for section in sections}
        for number in set(self._broadcasts) - set(wanted):
            broadcast = self._broadcasts.pop(number)
            self._directory.services.remove(number, broadcast.service.app)
            broadcast.close()
        for number, section in wanted.items():
            if number not in self._broadcasts:
                self._broadcasts[number] = Broadcast(number=number, say=self._say)
            broadcast = self._broadcasts[number]
            broadcast.name, broadcast.sender = section.name or number, section.sender
            broadcast.most, broadcast.pause = section.watchers, section.pause
            self._directory.services.add(broadcast.service)

    def of(self, person: Person) -> Sequence[Shown]:
        """The broadcasts that somebody may know of: all for the owner, else their own."""
        return [
            Shown(
                number=broadcast.number,
                name=broadcast.name,
                sender=self._followers.who(broadcast.shown_by or broadcast.sender, person),
                live=broadcast.live,
                watching=[self._followers.who(one, person) for one in broadcast.watched_by],
            )
            for broadcast in self._broadcasts.values()
            if person.role is Role.OWNER
            or person.extension in (broadcast.sender, broadcast.shown_by)
        ]

    def take(self, event: BroadcastChanged) -> None:
        """Tell the sender and the owner who watches."""
        step = Step.BROADCAST_OVER if event.over else Step.BROADCAST
        for extension in {event.sender, self._owner}:
            person = self._followers.person(extension)
            there = [self._followers.who(one, person) for one in event.watching]
            text = described(event.name, there, live=event.live, over=event.over)
            self._followers.spread(extension, Progress(call_id=event.call_id, step=step, text=text))


def described(name: str, watching: Sequence[str], *, live: bool, over: bool = False) -> str:
    """A broadcast in one sentence or two."""
    if over:
        return f"{name} is over."
    state = "is on the air" if live else "is paused"
    return f"{name} {state}. Watching: {', '.join(watching) or 'nobody'}."
