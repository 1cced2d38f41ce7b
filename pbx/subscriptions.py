"""What phones may watch: whether messages wait for them (RFC 3842), who of their colleagues rings
or talks (the lamps of a desk phone, RFC 4235), and who is there (RFC 3856)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from xml.sax.saxutils import quoteattr

from pbx.calls.leg import Leg
from pbx.calls.parking import PLACES
from pbx.events import (
    DeviceRegistered,
    DeviceUnregistered,
    Event,
    LegAnswered,
    LegEnded,
    LegRinging,
    LegStarted,
)
from pbx.exchange import Exchange
from pbx.sip.message import ParseError
from pbx.sip.stack import USER_AGENT, Incoming
from pbx.sip.subscription import SHORTEST, Describe, Package, Subscription, expires_of
from pbx.sip.uri import dialled_user
from pbx.text import printable

log = logging.getLogger(__name__)

MAX_SUBSCRIPTIONS = 2_000
MAX_OF_ONE = 100
"Subscriptions of one extension."
MAX_LISTED = 20
"Calls of one extension that are told of."
WAITING = Package("message-summary", "application/simple-message-summary")
LAMPS = Package("dialog", "application/dialog-info+xml")
PRESENCE = Package("presence", "application/pidf+xml")
PACKAGES: Mapping[str, Package] = {one.event: one for one in (WAITING, LAMPS, PRESENCE)}

Waiting = Callable[[str], tuple[int, int]]
"How many messages wait for an extension that nobody has listened to, and how many else."


class Subscriptions:
    """The subscriptions of an exchange. `waiting` counts voice messages; `listen_at` is the number
    to dial to hear them."""

    def __init__(self, exchange: Exchange, waiting: Waiting, listen_at: str) -> None:
        self._exchange = exchange
        self._waiting = waiting
        self._listen_at = listen_at
        self._watchers: dict[tuple[str, str], set[Subscription]] = {}
        "By what is watched: the event and the number."
        self._of: dict[str, set[Subscription]] = {}
        "By whose they are."
        exchange.on_subscribe = self.take

    def take(self, incoming: Incoming) -> None:
        """A SUBSCRIBE outside any dialog."""
        request = incoming.request
        watcher = self._exchange.authenticate(incoming)
        if watcher is None:
            return
        package = PACKAGES.get(request.get("event").partition(";")[0].strip().lower())
        if package is None:
            incoming.refuse_with(489, allow_events=", ".join(PACKAGES))
            return
        watched = printable(dialled_user(request.target), 40)
        if package is WAITING:
            watched = watched if watched != self._listen_at else watcher.number
        if package is WAITING and watched != watcher.number:
            incoming.refuse_with(403)  # whether somebody has messages is their own business
            return
        if not self._is_there(watched):
            incoming.refuse_with(404)
            return
        if expires_of(request) < 0:
            incoming.refuse_with(423, min_expires=str(SHORTEST))
            return
        mine = self._of.setdefault(watcher.number, set())
        if len(mine) >= MAX_OF_ONE or sum(map(len, self._of.values())) >= MAX_SUBSCRIPTIONS:
            incoming.refuse_with(503, retry_after="60")
            return
        transaction = incoming.accept()
        if transaction is None:
            return
        key = (package.event, watched)

        def over(gone: Subscription) -> None:
            mine.discard(gone)
            watchers = self._watchers.get(key, set())
            watchers.discard(gone)
            if not watchers:
                self._watchers.pop(key, None)

        try:
            subscription = Subscription(
                self._exchange.stack, transaction, package, self._described(package, watched), over
            )
        except ParseError as error:
            transaction.reply(400, f"Bad Request - {error}")
            return
        if expires_of(request) > 0:
            mine.add(subscription)
            self._watchers.setdefault(key, set()).add(subscription)

    def event(self, event: Event) -> None:
        """The event sink: what phones see changes."""
        match event:
            case LegStarted() | LegRinging() | LegAnswered() | LegEnded():
                self._changed(LAMPS, event.peer)
                self._changed(PRESENCE, event.peer)
            case DeviceRegistered(refreshed=False):
                self._changed(PRESENCE, event.extension)
                self._light(event.extension)
            case DeviceUnregistered():
                self._changed(PRESENCE, event.extension)
            case _:
                pass

    def drop(self, extension: str) -> None:
        """End all subscriptions of an extension; those of its phones that may, subscribe anew."""
        for subscription in list(self._of.get(extension, ())):
            subscription.close("deactivated")

    def number_changed(self, number: str) -> None:
        """A number that is nobody's phone, a parking place, is taken or free now."""
        self._changed(LAMPS, number)

    def messages_changed(self, extension: str) -> None:
        """Somebody's messages are more or fewer, or were listened to."""
        self._changed(WAITING, extension)
        self._light(extension, always=True)

    def _light(self, extension: str, *, always: bool = False) -> None:
        """Tell phones that did not ask, as many expect it (RFC 3842 does not forbid it)."""
        if self._watchers.get((WAITING.event, extension)):
            return
        if not always and not any(self._waiting(extension)):
            return
        found = self._exchange.directory.extension(extension)
        if found is None:
            return
        stack, domain = self._exchange.stack, self._exchange.settings.domain
        for flows in self._exchange.registrar.phones(extension):
            flow, uri = flows[0].flow, flows[0].contact
            if flow.closed:
                continue
            own = f"sip:{extension}@{domain}"
            request = stack.new_request("NOTIFY", uri, from_uri=own, to_uri=own)
            request.set("contact", f"<{stack.contact(extension, flow)}>")
            request.set("user-agent", USER_AGENT)
            request.set("event", WAITING.event)
            request.set("subscription-state", "active")
            request.set("content-type", WAITING.content_type)
            request.body = self._summary(extension, 0)
            stack.send(request, flow, lambda _: None)  # who does not know it says so

    def _is_there(self, number: str) -> bool:
        directory = self._exchange.directory
        return directory.extension(number) is not None or number in PLACES

    def _changed(self, package: Package, number: str) -> None:
        for subscription in list(self._watchers.get((package.event, number), ())):
            subscription.changed()

    # ── how a state is written ──────────────────────────────────────────────────────────
    def _described(self, package: Package, number: str) -> Describe:
        write = {WAITING: self._summary, LAMPS: self._dialogs, PRESENCE: self._presence}[package]
        return partial(write, number)

    def _summary(self, extension: str, told: int) -> bytes:
        """RFC 3842 §5.2."""
        new, old = self._waiting(extension)
        account = f"sip:{self._listen_at}@{self._exchange.settings.domain}"
        return (
            f"Messages-Waiting: {'yes' if new else 'no'}\r\n"
            f"Message-Account: {account}\r\n"
            f"Voice-Message: {new}/{old} (0/0)\r\n"
        ).encode()

    def _dialogs(self, number: str, told: int) -> bytes:
        """RFC 4235 §4.1. Who somebody talks to is not told."""
        entity = quoteattr(f"sip:{number}@{self._exchange.settings.domain}")
        legs = self._legs(number)[:MAX_LISTED]
        dialogs = [_dialog(leg) for leg in legs]
        if self._exchange.parking.parked(number):
            dialogs.append('<dialog id="parked"><state>confirmed</state></dialog>')
        return (
            '<?xml version="1.0"?>\n'
            f'<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="{told}" '
            f'state="full" entity={entity}>{"".join(dialogs)}</dialog-info>'
        ).encode()

    def _presence(self, number: str, told: int) -> bytes:
        """RFC 3863 §4.1, with what the person does as RFC 4480 has it."""
        entity = quoteattr(f"sip:{number}@{self._exchange.settings.domain}")
        basic = "open" if self._exchange.registrar.bindings(number) else "closed"
        busy = "<rpid:on-the-phone/>" if self._exchange.is_engaged(number) else ""
        return (
            '<?xml version="1.0"?>\n'
            '<presence xmlns="urn:ietf:params:xml:ns:pidf" '
            'xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" '
            f'xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity={entity}>'
            f'<tuple id="phone"><status><basic>{basic}</basic></status></tuple>'
            f'<dm:person id="person"><rpid:activities>{busy}</rpid:activities></dm:person>'
            "</presence>"
        ).encode()

    def _legs(self, number: str) -> list[Leg]:
        calls = self._exchange.calls.values()
        legs = (leg for call in calls for leg in call.legs if leg.peer == number)
        return [leg for leg in legs if leg.ending is None]


def _dialog(leg: Leg) -> str:
    rings = leg.direction == "out"
    state = "confirmed" if leg.answered else "early" if rings else "proceeding"
    direction = "recipient" if rings else "initiator"
    return f'<dialog id="{leg.id}" direction="{direction}"><state>{state}</state></dialog>'
