"""The Jabber front end: one-to-one chats with the bot on any XMPP server.

RFC 6120/6121 through slixmpp; STARTTLS or direct TLS with the server's certificate checked.
Buttons are short typed replies, a call is one message that is corrected (XEP-0308), messages are
acknowledged (XEP-0184), and a broken stream is resumed (XEP-0198).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

from slixmpp import JID, ClientXMPP, Message
from slixmpp.exceptions import XMPPError

from bot.outbox import Later, Outbox
from bot.ports import Account
from bot.reception import Reception
from bot.replies import Button, Reply

log = logging.getLogger(__name__)

CHANNEL = "xmpp"
MAX_BODY = 16_384
"Characters of a message that are looked at; the conversation reads far fewer."
MAX_PEOPLE = 10_000
"People whose last buttons and cards are remembered."
PLUGINS = (
    "xep_0030",  # what we are
    "xep_0085",  # typing
    "xep_0184",  # received
    "xep_0198",  # resumed streams
    "xep_0199",  # ping
    "xep_0308",  # corrections
)
CORRECTED = "I cannot undo what you corrected; please write it anew."
PAUSE, MAX_PAUSE = 1.0, 60.0
"Seconds before a lost connection is made again, at first and at most."
KEEPALIVE = 60
"Seconds between pings that find a dead connection."


class Jabber:
    """One account on an XMPP server."""

    def __init__(
        self,
        jid: str,
        password: str,
        reception: Reception,
        *,
        host: str = "",
        port: int = 5222,
        direct_tls: bool = False,
        ca_file: str = "",
    ) -> None:
        self._reception = reception
        self._where = (host, port) if host else (None, None)
        self._client = ClientXMPP(jid, password)
        self._client.enable_plaintext = False
        if host:
            self._client.enable_direct_tls = direct_tls
            self._client.enable_starttls = not direct_tls
        if ca_file:
            self._client.ca_certs = Path(ca_file)
        for plugin in PLUGINS:
            self._client.register_plugin(plugin)
        self._client.plugin["xep_0199"].keepalive = True
        self._client.plugin["xep_0199"].interval = KEEPALIVE
        self._client.plugin["xep_0184"].auto_request = False
        self._client.auto_authorize = None  # decided by `_on_subscribe`
        self._client.auto_subscribe = False
        for event, handler in (
            ("session_start", self._on_session),
            ("session_resumed", self._on_resumed),
            ("disconnected", self._on_disconnected),
            ("failed_all_auth", self._on_refused),
            ("message", self._on_message),
            ("presence_subscribe", self._on_subscribe),
        ):
            self._client.add_event_handler(event, handler)
        self._outbox = Outbox(self._deliver)
        self._offered: OrderedDict[str, tuple[Button, ...]] = OrderedDict()
        "What the digits mean that somebody may type."
        self._cards: OrderedDict[tuple[str, str], str] = OrderedDict()
        "The message that shows a call, by person and call."
        self._hearing: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._pause = PAUSE
        self.ready = asyncio.Event()
        "Set while we are connected."
        reception.open_channel(CHANNEL, self._outbox.put)

    # ── life ────────────────────────────────────────────────────────────────────────────
    def start(self) -> None:
        """Begin to connect, for as long as that takes."""
        self._connect()

    async def stop(self) -> None:
        """Answer what was asked, then leave."""
        self._stopping = True
        await asyncio.gather(*self._hearing, return_exceptions=True)
        await self._outbox.close()
        self._client.cancel_connection_attempt()
        if self.ready.is_set():
            await self._client.disconnect()

    def link(self, code: str) -> str:
        """How somebody comes in with a code."""
        return f"Jabber: xmpp:{self._client.boundjid.bare}?message;body={code}"

    async def _on_session(self, _: Any) -> None:
        self._client.send_presence()
        try:
            await self._client.get_roster()
        except XMPPError as error:
            log.warning("the Jabber roster cannot be read: %s", error.condition)
        self.ready.set()
        self._pause = PAUSE
        log.info("Jabber: connected as %s", self._client.boundjid.bare)

    def _on_resumed(self, _: Any) -> None:
        self.ready.set()

    def _on_disconnected(self, _: Any) -> None:
        self.ready.clear()
        if not self._stopping:
            log.warning("the Jabber server is gone; connecting again in %.0f s", self._pause)
            asyncio.get_running_loop().call_later(self._pause, self._connect)
            self._pause = min(2 * self._pause, MAX_PAUSE)

    def _connect(self) -> None:
        if not self._stopping:
            self._client.connect(*self._where)

    def _on_refused(self, _: Any) -> None:
        log.error("the Jabber server refuses the password; see [xmpp] in the configuration")

    # ── what comes in ───────────────────────────────────────────────────────────────────
    def _on_message(self, message: Message) -> None:
        body = message["body"]
        if message["type"] not in ("chat", "normal") or not body:
            return
        if message["replace"]["id"]:  # what it corrects was done already
            self._outbox.put(message["from"].bare, Reply(text=CORRECTED))
            return
        task = asyncio.ensure_future(self._hear(message, body[:MAX_BODY]))
        self._hearing.add(task)
        task.add_done_callback(self._hearing.discard)

    async def _hear(self, message: Message, body: str) -> None:
        address = message["from"].bare
        offered = self._offered.get(address, ())
        if body.strip().isdigit() and 1 <= int(body.strip()[:4]) <= len(offered):
            body = offered[int(body.strip()[:4]) - 1].says
        message_id = f"{message['from']} {message['id']}" if message["id"] else ""
        name = (message["from"].user or "").capitalize()
        account = Account(CHANNEL, address)
        try:
            fresh = await self._reception.note(account, message_id)
        except Exception:  # the database is away: better answered than noted
            log.exception("a message on Jabber could not be noted")
            fresh, message_id = True, ""
        if fresh:
            await self._reception.hear(account, body, message_id=message_id, name=name)

    async def _on_subscribe(self, presence: Any) -> None:
        """People of ours may see that we are there, and we ask the same of them."""
        who: JID = presence["from"]
        if await self._reception.knows(Account(CHANNEL, who.bare)):
            self._client.send_presence_subscription(pto=who.bare, ptype="subscribed")
            self._client.send_presence_subscription(pto=who.bare, ptype="subscribe")
        else:
            self._client.send_presence_subscription(pto=who.bare, ptype="unsubscribed")

    # ── what goes out ───────────────────────────────────────────────────────────────────
    async def _deliver(self, address: str, reply: Reply) -> None:
        if not self.ready.is_set():
            raise Later
        text = reply.card or reply.text
        buttons = () if reply.keypad else reply.buttons
        if buttons:
            options = " · ".join(f"{n} {b.label}" for n, b in enumerate(buttons, 1))
            text = f"{text}\n[ {options} ]"
        _keep(self._offered, address, buttons)
        key = (address, reply.call_id)
        shown = self._cards.get(key) if reply.card else None
        if shown is None:
            message = self._client.make_message(mto=JID(address), mbody=text, mtype="chat")
        else:
            message = self._client.plugin["xep_0308"].build_correction(
                shown, JID(address), mbody=text
            )
        message["id"] = message["id"] or self._client.new_id()
        message.send()
        if reply.card and shown is None:
            _keep(self._cards, key, message["id"])


def _keep(table: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > MAX_PEOPLE:
        table.popitem(last=False)
