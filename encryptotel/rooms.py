"""Rooms, and what moderators do in them and in other conferences: lock, mute, send away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from bot.ports import OperatorError, Person, Role
from encryptotel.config import Config
from encryptotel.followers import Followers
from pbx.calls.apps.room import Room, RoomPlan
from pbx.calls.call import Call
from pbx.calls.conference import Conference
from pbx.calls.leg import Leg
from pbx.calls.services import Service, Services
from pbx.media.speech import Speaker
from pbx.orders import Orders
from pbx.ports import CallRefused


class Rooms:
    """The rooms of the configuration, each a service under its number."""

    def __init__(self, services: Services, speaker: Callable[[], Speaker]) -> None:
        self._services = services
        self._speaker = speaker
        self._rooms: dict[str, Room] = {}

    def load(self, config: Config) -> None:
        """Take up the configuration; who is in a room stays in it."""
        plans = {
            section.number: RoomPlan(
                number=section.number,
                name=section.name,
                pin=section.pin,
                moderator_pin=section.moderator_pin,
                owner=section.owner or config.owner.extension,
                most=section.max,
                locked=section.locked,
            )
            for section in config.room
        }
        for number in self._rooms.keys() - plans.keys():
            self._services.remove(number, self._rooms.pop(number).visit)
        for number, plan in plans.items():
            room = self._rooms.setdefault(
                number, Room(plan, self._speaker, partial(datetime.now, UTC))
            )
            room.plan = plan
            says = f"is the room {plan.name}" if plan.name else "is a room for conferences"
            self._services.add(Service(number=number, says=says, app=room.visit))

    def of(self, call: Call) -> Room | None:
        """The room that a call is in."""
        mixed = call.conference
        rooms = self._rooms.values()
        return next((room for room in rooms if mixed and room.conference is mixed), None)

    def named(self, name: str) -> Room:
        """A room by its number or name. Raises `OperatorError`."""
        for room in self._rooms.values():
            if name.casefold() in (room.plan.number, room.plan.name.casefold()):
                return room
        known = ", ".join(room.plan.name or room.plan.number for room in self._rooms.values())
        there = f"there is {known}" if known else "add a [[room]] to the configuration"
        raise OperatorError("room.unknown", f"I know no room {name}; {there}")


class Moderation:
    """What people do by chat with the conferences and rooms that they are in."""

    def __init__(self, rooms: Rooms, orders: Orders, followers: Followers) -> None:
        self._rooms = rooms
        self._orders = orders
        self._followers = followers

    def enter(self, person: Person, name: str) -> str:
        """Ring the person's phones and let them into a room; its name. Raises `OperatorError`."""
        room = self._rooms.named(name)
        plan = room.plan
        if (plan.pin or plan.moderator_pin) and person.extension != plan.owner:
            raise OperatorError(
                "room.pin", f"that room asks for a PIN: dial {plan.number} on your phone"
            )
        if person.role is Role.GUEST and plan.locked:
            raise OperatorError("room.locked", "that room is locked")
        self._fetch(room, person.extension, None, person, None)
        return plan.name or plan.number

    def bring(self, person: Person, call: Call, number: str, line: str | None) -> bool:
        """Call somebody into the room that a call is in; False if that is none. Raises
        `OperatorError`."""
        room = self._rooms.of(call)
        if room is not None:
            self._fetch(room, number, line, person, call)
        return room is not None

    def _fetch(
        self, room: Room, number: str, line: str | None, person: Person, asker: Call | None
    ) -> None:
        try:
            self._orders.call_into(room, number, line=line, user=person.extension, asker=asker)
        except CallRefused as refused:
            raise OperatorError("room.refused", refused.reason) from refused

    def lock(self, person: Person, call: Call, *, on: bool) -> None:
        """Let nobody else in, or anybody again. Raises `OperatorError`."""
        self._moderated(person, call).lock(on=on)

    def kick(self, person: Person, call: Call, who: str) -> str:
        """Send somebody away; who that was, for people. Raises `OperatorError`."""
        conference = self._moderated(person, call)
        leg = self._member(person, conference, who)
        if leg.peer == person.extension:
            raise OperatorError("conference.yourself", "that is you: say “hang up” to leave")
        conference.kick(leg)
        return self._followers.who(leg.peer, person)

    def mute(self, person: Person, call: Call, who: str, *, on: bool) -> str:
        """Let nobody hear somebody, or let everybody again; who that is, for people. Raises
        `OperatorError`."""
        conference = self._moderated(person, call)
        leg = self._member(person, conference, who)
        conference.mute(leg, on=on)
        return self._followers.who(leg.peer, person)

    def there(self, person: Person, call: Call) -> Sequence[tuple[str, str]]:
        """The others in a conference: what to call each, and who it is for people."""
        legs = call.conference.legs if call.conference else ()
        return [
            (leg.peer, self._followers.who(leg.peer, person))
            for leg in legs
            if leg.peer != person.extension
        ]

    def _moderated(self, person: Person, call: Call) -> Conference:
        """The conference of a call, if the person may moderate it. Raises `OperatorError`."""
        if call.conference is None:
            raise OperatorError("call.no_conference", "that call is no conference")
        if person.extension not in call.conference.moderators:
            raise OperatorError("conference.not_moderator", "only a moderator of it can do that")
        return call.conference

    def _member(self, person: Person, conference: Conference, who: str) -> Leg:
        """Somebody in a conference by name, number or extension, the latest of several. Raises
        `OperatorError`."""
        wanted = who.strip().casefold()
        digits = "".join(filter(str.isdecimal, who))
        for leg in reversed(conference.legs):
            shown = self._followers.who(leg.peer, person).casefold()
            name = shown.rpartition(" (")[0]
            if wanted in (leg.peer.casefold(), name, name.partition(" ")[0]) and wanted:
                return leg
            if digits and digits == leg.peer.lstrip("+"):
                return leg
        raise OperatorError("conference.nobody", f"there is no {who} in that conference")
