"""Phone numbers as Jabber addresses (XEP-0114): ``102@pbx.example.org`` and
``+12025550143@pbx.example.org`` can be written to, write back, and show presence.

Only people of the exchange reach it; their server tells it who they are. The connection to that
server is not encrypted, as components' never is, so it belongs on the same machine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from slixmpp import JID, ComponentXMPP, Message, Presence

from bot.bounded import Bounded
from bot.jabber.privacy import IN_THE_CLEAR
from bot.ports import Account, Availability, Operator, OperatorError, Person, Shelf
from bot.reception import Reception
from bot.replies import Letter
from nlp import commands
from nlp.commands import Party

log = logging.getLogger(__name__)

MAX_FRIENDS = 10_000
"Pairs of a person and a number whose presence they see."
MAX_WORDS = 1_000
"Characters of one message to a number."
PAUSE, MAX_PAUSE = 1.0, 60.0
"Seconds before a lost connection is made again, at first and at most."
TOO_LONG = f"That is too long for a message: {MAX_WORDS} characters at most."
_CHANNEL = "xmpp"
_SHOWN = {
    Availability.FREE: ("available", ""),
    Availability.BUSY: ("dnd", "In a call"),
    Availability.OFF: ("unavailable", "No phone is registered"),
}


@dataclass(frozen=True, kw_only=True)
class Component:
    """Where the server takes us for a part of it."""

    domain: str
    secret: str = field(repr=False)
    host: str
    port: int


class Numbers:
    """The component. `refuses_clear` says whose words are not taken unencrypted."""

    def __init__(
        self,
        place: Component,
        reception: Reception,
        operator: Operator,
        shelf: Shelf,
        refuses_clear: Callable[[str], bool],
    ) -> None:
        self._reception = reception
        self._operator = operator
        self._shelf = shelf
        self._refuses_clear = refuses_clear
        self._domain = place.domain
        self._component: Any = ComponentXMPP(  # type: ignore[no-untyped-call]
            place.domain, place.secret, place.host, place.port
        )
        for plugin in ("xep_0030", "xep_0184", "xep_0199"):
            self._component.register_plugin(plugin)
        self._component.plugin["xep_0184"].auto_ack = False  # first it must be safe
        self._component.plugin["xep_0184"].auto_request = False
        # The library's own answer to a probe undoes the friendship that it does not know.
        self._component.del_event_handler("presence_probe", self._component._handle_probe)
        for event, handler in (
            ("session_start", self._on_session),
            ("disconnected", self._on_disconnected),
            ("message", self._on_message),
            ("presence_subscribe", self._on_subscribe),
            ("presence_unsubscribe", self._on_unsubscribe),
            ("presence_probe", self._on_probe),
        ):
            self._component.add_event_handler(event, handler)
        self._friends: Bounded[tuple[str, str], bool] = Bounded(MAX_FRIENDS)
        "Who sees whose presence: a person's address, and a number."
        self._jobs: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._pause = PAUSE
        self._stop_watching = operator.watch(self._on_changed)
        self.ready = asyncio.Event()

    # ── life ────────────────────────────────────────────────────────────────────────────
    async def start(self) -> None:
        """Begin to connect, for as long as that takes."""
        for key in await self._shelf.all():
            bare, _, number = key.partition(" ")
            if await self._reception.knows(Account(_CHANNEL, bare)):
                self._friends[bare, number] = True
            else:  # they left meanwhile
                await self._shelf.keep({key: None})
        self._connect()

    async def stop(self) -> None:
        """Finish what was begun and leave."""
        self._stopping = True
        self._stop_watching()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        self._component.cancel_connection_attempt()
        if self.ready.is_set():
            for bare, number in list(self._friends):
                self._component.send_presence(
                    pto=bare, pfrom=self._address(number), ptype="unavailable"
                )
            await self._component.disconnect()

    def _connect(self) -> None:
        if not self._stopping:
            self._component.connect()

    def _on_session(self, _: Any) -> None:
        disco = self._component.plugin["xep_0030"]
        disco.add_identity(category="gateway", itype="sip", name="EncryptoTel")
        self.ready.set()
        self._pause = PAUSE
        log.info("Jabber: numbers are addresses of %s", self._domain)
        for bare, number in list(self._friends):
            self._show(bare, number)

    def _on_disconnected(self, _: Any) -> None:
        self.ready.clear()
        if not self._stopping:
            log.warning("the Jabber server does not take our numbers; again in %.0f s", self._pause)
            asyncio.get_running_loop().call_later(self._pause, self._connect)
            self._pause = min(2 * self._pause, MAX_PAUSE)

    # ── what people write ───────────────────────────────────────────────────────────────
    def deliver(self, bare: str, letter: Letter) -> None:
        """Show words as written by whoever wrote them."""
        message = self._component.make_message(
            mto=JID(bare), mfrom=self._address(letter.sender), mbody=letter.words, mtype="chat"
        )
        message["id"] = self._component.new_id()
        message.send()

    def _on_message(self, message: Message) -> None:
        if message["type"] in ("chat", "normal") and message["body"]:
            self._spawn(self._take(message))

    async def _take(self, message: Message) -> None:
        """Send a message on, once; what is wrong comes back as an error."""
        sender: JID = message["from"]
        account = Account(_CHANNEL, sender.bare)
        person = await self._reception.person_of(account)
        if person is None:
            self._refuse(message, "forbidden", "This is somebody's private telephone exchange.")
            return
        if self._refuses_clear(sender.bare):
            self._refuse(message, "not-acceptable", IN_THE_CLEAR)
            return
        message_id = f"{sender} {message['id']}" if message["id"] else ""
        try:
            if not await self._reception.note(account, message_id):
                return
            await self._send_on(person, message)
        except OperatorError as error:
            self._refuse(message, "not-acceptable", error.message)
        except Exception:
            log.exception("a message to a number failed")
            self._refuse(message, "internal-server-error", "Something went wrong here.")
        else:
            if message["request_receipt"] and message["id"]:
                receipt = self._component.make_message(mto=sender, mfrom=message["to"])
                receipt["receipt"] = message["id"]
                receipt.send()
        self._reception.finish(account, message_id)

    async def _send_on(self, person: Person, message: Message) -> None:
        words = message["body"].strip()
        if len(words) > MAX_WORDS:
            raise OperatorError("message.too_long", TOO_LONG)
        to = _party(JID(message["to"]).user or "")
        await self._operator.message(person, commands.Message(to=to, text=words))

    def _refuse(self, message: Message, condition: str, text: str) -> None:
        error = self._component.make_message(
            mto=message["from"], mfrom=message["to"], mbody=message["body"], mtype="error"
        )
        error["id"] = message["id"]
        error["error"]["type"] = "cancel"
        error["error"]["condition"] = condition
        error["error"]["text"] = text
        error.send()

    # ── presence ────────────────────────────────────────────────────────────────────────
    def _on_changed(self, number: str) -> None:
        if self.ready.is_set():
            for bare, theirs in list(self._friends):
                if theirs == number:
                    self._show(bare, number)

    def _show(self, bare: str, number: str) -> None:
        show, status = _SHOWN[self._operator.availability(number)]
        off = show == "unavailable"
        self._component.send_presence(
            pto=bare,
            pfrom=self._address(number),
            ptype="unavailable" if off else None,
            pshow=show if show == "dnd" else None,
            pstatus=status or None,
        )

    def _on_subscribe(self, presence: Presence) -> None:
        self._spawn(self._befriend(presence["from"].bare, JID(presence["to"])))

    async def _befriend(self, bare: str, asked: JID) -> None:
        """People of ours may see how a number is."""
        person = await self._reception.person_of(Account(_CHANNEL, bare))
        number = asked.user or ""
        if person is None or not self._operator.is_reachable(person, _party(number)):
            self._component.send_presence(pto=bare, pfrom=asked.bare, ptype="unsubscribed")
            return
        self._friends[bare, number] = True
        await self._shelf.keep({f"{bare} {number}": {}})
        self._component.send_presence(pto=bare, pfrom=asked.bare, ptype="subscribed")
        self._show(bare, number)

    def _on_unsubscribe(self, presence: Presence) -> None:
        self._spawn(self._forget(presence["from"].bare, JID(presence["to"]).user or ""))

    async def _forget(self, bare: str, number: str) -> None:
        if (bare, number) in self._friends:
            del self._friends[bare, number]
            await self._shelf.keep({f"{bare} {number}": None})

    def _on_probe(self, presence: Presence) -> None:
        bare, number = presence["from"].bare, JID(presence["to"]).user or ""
        if (bare, number) in self._friends:
            self._show(bare, number)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _address(self, number: str) -> JID:
        return JID(f"{number}@{self._domain}")

    def _spawn(self, job: Any) -> None:
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)


def _party(number: str) -> Party:
    """Whom an address is of."""
    return Party(number=number) if number.startswith("+") else Party(extension=number)
