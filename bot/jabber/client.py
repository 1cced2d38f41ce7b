"""Chats with the bot on any XMPP server.

RFC 6120/6121 through slixmpp; STARTTLS or direct TLS with the server's certificate checked.
Buttons are short typed replies, a call is one message that is corrected (XEP-0308), messages are
acknowledged (XEP-0184), files are uploaded (XEP-0363), and a broken stream is resumed (XEP-0198).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from slixmpp import JID, ClientXMPP, Message
from slixmpp.exceptions import XMPPError

from bot.bounded import Bounded, Hourly
from bot.heard import MAX_CARDS_BYTES, CalendarLink, ContactFile, Heard
from bot.jabber.choices import Choices
from bot.jabber.files import Files, UploadError
from bot.jabber.menu import Menu
from bot.jabber.numbers import Component, Numbers
from bot.jabber.privacy import IN_THE_CLEAR, Privacy
from bot.jabber.rooms import Rooms
from bot.outbox import Later, Outbox
from bot.ports import Account, Operator, Shelf
from bot.reception import Reception
from bot.replies import Attachment, Reply

log = logging.getLogger(__name__)

CHANNEL = "xmpp"
MAX_BODY = 16_384
"Characters of a message that are looked at; the conversation reads far fewer."
STRANGERS_OPENED = 200
"Encrypted messages of strangers that are opened in an hour."
MAX_PEOPLE = 10_000
"People whose last buttons and cards are remembered."
PLUGINS = (
    "xep_0004",  # forms
    "xep_0030",  # what we are
    "xep_0045",  # rooms
    "xep_0050",  # ad-hoc commands
    "xep_0066",  # a file's address
    "xep_0085",  # typing
    "xep_0184",  # received
    "xep_0198",  # resumed streams
    "xep_0199",  # ping
    "xep_0203",  # what is late
    "xep_0249",  # invitations to rooms
    "xep_0308",  # corrections
    "xep_0363",  # uploads
    "xep_0454",  # encrypted ones
)
NICK = "pbx"
"What the bot is called in rooms."
NO_UPLOAD = "I could not upload a file for you: the Jabber server does not take it."
NOT_OPENED = (
    "I could not open an encrypted message of yours (OMEMO). Please send it again; if that does "
    "not help, have your client set up a new session with me."
)
CORRECTED = "I cannot undo what you corrected; please write it anew."
NOT_ENCRYPTED = (
    "I cannot open a file that was encrypted for the upload. Send it with OMEMO off, or tell me "
    "the address of the calendar: “sync my calendar https://…”."
)
PAUSE, MAX_PAUSE = 1.0, 60.0
"Seconds before a lost connection is made again, at first and at most."
KEEPALIVE = 60
"Seconds between pings that find a dead connection."


@dataclass(frozen=True)
class _Heard:
    """A message that was opened and noted."""

    account: Account
    content: Heard
    message_id: str
    name: str
    to: str


class Jabber:
    """One account on an XMPP server."""

    def __init__(
        self,
        jid: str,
        password: str,
        reception: Reception,
        operator: Operator,
        shelf: Callable[[str], Shelf],
        *,
        host: str = "",
        port: int = 5222,
        direct_tls: bool = False,
        ca_file: str = "",
        numbers: Component | None = None,
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
        self._outbox = Outbox(self._deliver)
        self._files = Files(self._client, ca_file)
        self._privacy = Privacy(self._client, shelf("xmpp"), self._tell)
        self._numbers: Numbers | None = None
        if numbers is not None:
            self._numbers = Numbers(
                numbers, reception, operator, shelf("numbers"), self._privacy.refuses_clear
            )
        self._rooms = Rooms(self._client, NICK, self._knows, self._on_said_in_room)
        self._menu = Menu(self._client, self._knows, self._ask)
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
        self._choices = Choices(MAX_PEOPLE)
        "What the digits mean that somebody may type."
        self._cards: Bounded[tuple[str, str], str] = Bounded(MAX_PEOPLE)
        "The message that shows a call, by person and call."
        self._forms: dict[str, list[Reply]] = {}
        "What is answered to forms being filled in."
        self._strangers = Hourly(STRANGERS_OPENED)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        "The order of what one sender wrote; kept while something of theirs is being opened."
        self._hearing: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._pause = PAUSE
        self.ready = asyncio.Event()
        "Set while we are connected."
        reception.open_channel(CHANNEL, self._put)

    @property
    def waiting(self) -> int:
        """Replies that are not sent yet."""
        return self._outbox.waiting

    # ── life ────────────────────────────────────────────────────────────────────────────
    def start(self) -> None:
        """Begin to connect, for as long as that takes."""
        self._spawn(self._start())

    async def _start(self) -> None:
        await self._privacy.load()
        self._connect()
        if self._numbers is not None:
            await self._numbers.start()

    async def stop(self) -> None:
        """Answer what was asked, then leave."""
        self._stopping = True
        await asyncio.gather(*self._hearing, return_exceptions=True)
        await self._outbox.close()
        if self._numbers is not None:
            await self._numbers.stop()
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
        self._menu.offer()
        self._rooms.again()
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
        if message["type"] not in ("chat", "normal"):
            return
        encrypted = self._privacy.is_encrypted(message)
        if not encrypted and not message["body"]:
            return
        if message["replace"]["id"]:  # what it corrects was done already
            self._put(message["from"].bare, Reply(text=CORRECTED))
            return
        self._spawn(self._receive(message, self._open if encrypted else self._take))

    def _on_said_in_room(self, message: Message, real: JID, words: str) -> None:
        account = Account(CHANNEL, real.bare)
        to = f"{message['from'].bare}/{message['from'].resource}"

        async def take(message: Message) -> _Heard | None:
            return await self._note(message, account, words[:MAX_BODY], to)

        self._spawn(self._receive(message, take))

    async def _receive(
        self, message: Message, take: Callable[[Message], Awaitable[_Heard | None]]
    ) -> None:
        """Open and note a message, in the order in which its sender's came, and have it heard."""
        turn = self._turns.setdefault(message["from"].bare, asyncio.Lock())
        async with turn:
            heard = await take(message)
        if heard is not None:
            await self._reception.hear(
                heard.account,
                heard.content,
                message_id=heard.message_id,
                name=heard.name,
                answer_to=heard.to,
            )

    async def _take(self, message: Message) -> _Heard | None:
        """A message in the clear."""
        sender = message["from"]
        if self._privacy.refuses_clear(sender.bare):
            self._client.send_message(sender, IN_THE_CLEAR, mtype="chat")
            return None
        return await self._read(message, message["body"])

    async def _open(self, message: Message) -> _Heard | None:
        """A message that only we can read."""
        sender = message["from"]
        if not await self._knows(sender) and not self._strangers.spend():
            return None
        try:
            body, refused = await self._privacy.opened(message)
        except Exception as error:  # the library raises what its parts raise
            log.warning("a message on Jabber cannot be opened: %s", type(error).__name__)
            body, refused = "", NOT_OPENED
        if refused:
            self._tell(sender.bare, refused)
            return None
        return await self._read(message, body)

    async def _read(self, message: Message, body: str) -> _Heard | None:
        account = Account(CHANNEL, message["from"].bare)
        if await self._reception.knows(account):
            answer = await self._privacy.about(account.address, body[:MAX_BODY])
            if answer:
                self._tell(account.address, answer)
                return None
        content: Heard = body[:MAX_BODY]
        if _is_calendar(body):
            if body.startswith("aesgcm:"):
                self._tell(account.address, NOT_ENCRYPTED)
                return None
            content = CalendarLink(url=body.strip())
        if body.lstrip()[:11].upper() == "BEGIN:VCARD":
            content = ContactFile(content=body.encode()[:MAX_CARDS_BYTES])
        return await self._note(message, account, content, account.address)

    async def _note(
        self, message: Message, account: Account, content: Heard, to: str
    ) -> _Heard | None:
        """What is to be heard of a message; nothing if that was before."""
        message_id = f"{message['from']} {message['id']}" if message["id"] else ""
        try:
            fresh = await self._reception.note(account, message_id)
        except Exception:  # the database is away: better answered than noted
            log.exception("a message on Jabber could not be noted")
            fresh, message_id = True, ""
        if not fresh:
            return None
        if isinstance(content, str):
            content = self._choices.meant(to, content)
        return _Heard(account, content, message_id, self._name_of(account.address), to)

    def _name_of(self, bare: str) -> str:
        """What somebody is called in our roster, or by their address."""
        roster = self._client.client_roster
        listed = str(roster[bare]["name"]) if roster.has_jid(bare) else ""
        return listed or (JID(bare).user or "").capitalize()

    async def _ask(self, who: JID, sentence: str) -> Sequence[Reply]:
        """What the conversation answers to a sentence from a form."""
        form = f"form:{self._client.new_id()}"
        replies = self._forms[form] = []
        await self._reception.hear(Account(CHANNEL, who.bare), sentence, answer_to=form)
        del self._forms[form]
        return replies

    async def _knows(self, who: JID) -> bool:
        return await self._reception.knows(Account(CHANNEL, who.bare))

    def _spawn(self, job: Any) -> None:
        task = asyncio.ensure_future(job)
        self._hearing.add(task)
        task.add_done_callback(self._hearing.discard)

    async def _on_subscribe(self, presence: Any) -> None:
        """People of ours may see that we are there, and we ask the same of them."""
        who: JID = presence["from"]
        if await self._reception.knows(Account(CHANNEL, who.bare)):
            self._client.send_presence_subscription(pto=who.bare, ptype="subscribed")
            self._client.send_presence_subscription(pto=who.bare, ptype="subscribe")
        else:
            self._client.send_presence_subscription(pto=who.bare, ptype="unsubscribed")

    # ── what goes out ───────────────────────────────────────────────────────────────────
    def _put(self, address: str, reply: Reply) -> asyncio.Future[None] | None:
        if address in self._forms:
            self._forms[address].append(reply)
            return None
        return self._outbox.put(address, reply)

    def _tell(self, bare: str, text: str) -> None:
        self._put(bare, Reply(text=text))

    async def _deliver(self, address: str, reply: Reply) -> None:
        if not self.ready.is_set():
            raise Later
        numbers = self._numbers if not self._privacy.encrypts_for(JID(address).bare) else None
        if reply.letter is not None and numbers is not None and numbers.ready.is_set():
            numbers.deliver(address, reply.letter)
            return
        text = reply.card or reply.text
        buttons = () if reply.keypad else reply.buttons
        if line := self._choices.offer(address, buttons, reply.call_id if reply.card else ""):
            text = f"{text}\n{line}"
        to = JID(address)
        if to.resource:  # somebody in a room
            text = f"{to.resource}: {text}"
            self._client.send_message(JID(to.bare), text, mtype="groupchat")
            return
        key = (address, reply.call_id)
        shown = self._cards.get(key) if reply.card else None
        if shown is None:
            message = self._client.make_message(mto=to, mbody=text, mtype="chat")
        else:
            message = self._client.plugin["xep_0308"].build_correction(shown, to, mbody=text)
        message["id"] = message["id"] or self._client.new_id()
        await self._send(message)
        if reply.card and shown is None:
            self._cards[key] = message["id"]
        if reply.file is not None:
            await self._send_file(to, reply.file)

    async def _send(self, message: Message) -> None:
        sealed: Message | None = message
        if self._privacy.encrypts_for(message["to"].bare):
            sealed = await self._privacy.sealed(message)
        if sealed is not None:
            sealed.send()

    async def _send_file(self, to: JID, file: Attachment) -> None:
        """Upload a file and tell its address."""
        secret = self._privacy.encrypts_for(to.bare)
        try:
            address = await self._files.upload(file, secret=secret)
        except UploadError as error:
            log.warning("a file could not be uploaded: %s", error)
            message = self._client.make_message(mto=to, mbody=NO_UPLOAD, mtype="chat")
        else:
            message = self._client.make_message(mto=to, mbody=address, mtype="chat")
            if not secret:
                message["oob"]["url"] = address  # clients show or play it then
        await self._send(message)


def _is_calendar(body: str) -> bool:
    """Whether a message is nothing but the address of an uploaded calendar (XEP-0363), which is
    how files come."""
    words = body.split()
    if len(words) != 1 or not body.startswith(("https://", "http://", "aesgcm://")):
        return False
    return urlsplit(words[0]).path.lower().endswith((".ics", ".ical"))
