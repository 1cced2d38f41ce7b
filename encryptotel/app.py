"""The program as a whole: the only place where its parts are wired together."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from bot.dialogue import Dialogue, describe
from bot.ports import FrontEnd, Person, Role, Talk
from bot.reception import Reception
from bot.replies import Reply
from encryptotel import certificates
from encryptotel.alerts import Alerts, failed_handshake, wrong_password
from encryptotel.blocked import Blocked
from encryptotel.certificates import Certificates
from encryptotel.config import Config, load
from encryptotel.contacts import Contacts
from encryptotel.control import Control
from encryptotel.demo import carrier
from encryptotel.demo.phone import DEMO_AGENT, Behaviour, Phone, plays
from encryptotel.directory import Directory
from encryptotel.errors import UserError
from encryptotel.followers import Followers
from encryptotel.gatekeeper import Gatekeeper, PastCall
from encryptotel.health import Health
from encryptotel.heartbeat import Heartbeat
from encryptotel.journal import Journal
from encryptotel.language import Language
from encryptotel.lessons import Lessons
from encryptotel.listening import Listener
from encryptotel.mailbox import Mailbox
from encryptotel.operator import Operator
from encryptotel.people import OWNER, PeopleOfExchange
from encryptotel.postman import Postman
from encryptotel.presence import Presence
from encryptotel.recordings import Recordings
from encryptotel.reload import blended, locked_out
from encryptotel.sms import SmsGateway
from encryptotel.texts import Texts
from nlp.commands import Understanding
from nlp.context import Context
from pbx.events import (
    AddressBanned,
    CallAnswered,
    DeviceRegistered,
    DeviceUnregistered,
    Event,
    HandshakeFailed,
    LoginFailed,
    MessageLeft,
    TrunkChanged,
)
from pbx.exchange import Exchange, Settings
from pbx.media.audio import resampled
from pbx.media.codecs import WIDE_RATE
from pbx.media.music import hold_music
from pbx.media.speech import Speaker
from pbx.media.tones import tone
from pbx.orders import Orders
from pbx.ports import SavedBinding
from pbx.post import Post
from pbx.referrals import Referrals
from pbx.sip.digest import Credentials
from pbx.sip.message import split_commas
from pbx.sip.transport import Address, Transport, bracketed
from store.database import Database
from store.journal import calls_of, forget_calls, live_bindings, trunk_calls
from store.shelf import Shelf
from store.tables import CallRow

log = logging.getLogger(__name__)

DATABASE, SOCKET, CERTIFICATES, PORTS = "encryptotel.db", "control.sock", "tls", "ports.json"
ALIVE, RECORDINGS = "alive", "recordings"
RENEW_EVERY = 43_200.0
"Seconds between looks whether our certificate needs to be renewed."
CONNECT_WITHIN = 5.0
"Seconds a chat network has before the way in is shown without its link."
FORGET_EVERY = 43_200.0
"Seconds between looks for conversations to be forgotten."
REMEMBERED = timedelta(days=90)
"How long a country called or a network called from is usual for an extension."
MAX_NEWS = 50
"Sentences kept for an owner who is not listening just now."
MAX_HISTORY = 500
"Calls of one person that are looked through for “who called yesterday”."
DEMO_TONE = tone(1.0, 440.0)


class StartError(UserError):
    """The program cannot start; the text says what to do."""


class App:
    """One running EncryptoTel. `start`, then `stop`; `addresses` says where it serves."""

    def __init__(self, config: Config, data: Path, config_file: Path | None = None) -> None:
        self.config = config
        self.config_file = config_file
        if config_file is not None and str(config_file.parent) not in sys.path:
            sys.path.insert(0, str(config_file.parent))  # scripts lie beside the configuration
        self.data = data
        self.addresses: dict[str, str] = {}
        self.notes: list[str] = []
        "What the person who started it should know, such as ports that were taken."
        self.demo_behaviour: Behaviour = plays(DEMO_TONE)
        self.carrier_then: Behaviour = carrier.echoes
        self.demo_phones: dict[str, Phone] = {}
        self.carrier: Phone | None = None
        self._lines_down: set[str] = set()
        self.database = Database(data / DATABASE)
        self.directory = Directory(config, self.database)
        self.journal: Journal
        self.gatekeeper: Gatekeeper
        self.health = Health()
        self.news: deque[str] = deque(maxlen=MAX_NEWS)
        "What the owner was told lately that is about no call."
        self.alerts = Alerts(self.tell_owner)
        self.chats: list[FrontEnd] = []
        self.language = Language()
        self.listener = Listener()
        self.lessons = Lessons(data, self.anonymous)
        self.exchange: Exchange
        self.operator: Operator
        self.referrals: Referrals
        self.certificates: Certificates
        self.person = Person(
            name=config.owner.name,
            extension=config.owner.extension,
            region=config.owner.region,
            timezone=config.owner.timezone,
            key=config.recording.key,
        )
        self.people = PeopleOfExchange(
            self.database, self.directory, self.person, timedelta(days=config.chat.keep_days)
        )
        self.contacts = Contacts(self.database)
        self.blocked = Blocked(self.database)
        self.mailbox = Mailbox(self.database, timedelta(days=config.answerphone.keep_days))
        self.followers = Followers(self.directory, self.contacts, self.blocked, self.mailbox)
        self.recordings = Recordings(
            self.database,
            data / RECORDINGS,
            timedelta(days=config.recording.keep_days),
            lambda row: self._hold_on(self.operator.take_recording(row)),
        )
        self.texts: Texts
        self.presence: Presence
        self.reception = Reception(self.people, self._converse, confirm=config.chat.confirm)
        self._control = Control(
            data / SOCKET,
            {
                "status": self._do_status,
                "say": self._do_say,
                "reload": self._do_reload,
                "trace": self._do_trace,
            },
        )
        self._heartbeat = Heartbeat(data / ALIVE)
        self._tls: ssl.SSLContext
        self._reloading = asyncio.Lock()
        self._said: Dialogue | None = None
        self._said_later: deque[Reply] = deque(maxlen=MAX_NEWS)
        self._stopping = False
        self._background: set[asyncio.Task[None]] = set()
        self._messages: set[asyncio.Task[None]] = set()
        "Voice messages and recordings on their way to people."

    # ── life ────────────────────────────────────────────────────────────────────────────
    async def start(self) -> None:
        """Bring everything up. Raises `StartError`, `StoreError`, OSError."""
        warming = asyncio.ensure_future(self.language.warm_up())  # a second of its own process
        config = self.config
        advertise = config.exchange.advertise or _own_address(config.exchange.host)
        names = certificates.names_for(
            config.exchange.host, advertise, config.exchange.domain, config.network.public_address
        )
        self.certificates, _ = await asyncio.gather(
            asyncio.to_thread(certificates.ensure, self.data / CERTIFICATES, names),
            self.database.open(),
        )
        self.certificates = self._chosen(self.certificates, config)
        self._tls = await asyncio.to_thread(self.certificates.server_context)
        await self._control.start()  # nobody else serves here: what was left is ours to settle
        self.journal = Journal(
            self.database,
            alive=self._heartbeat.last(),
            tell=self.tell_owner,
            keep_traces=timedelta(days=config.log.traces_days),
        )
        self._heartbeat.start()
        await self.directory.load()
        await self.contacts.load()
        await self.blocked.load()
        self.gatekeeper = Gatekeeper(
            config.limits,
            config.calls.max_duration,
            self.directory.trunks,
            extension=self.directory.extension,
            ask=partial(self.tell_owner, question=True),
            timezone=config.owner.timezone,
        )
        self.gatekeeper.remember(await self._past_calls())
        self.exchange = Exchange(
            _settings(config, advertise),
            self.directory,
            self.gatekeeper,
            self._take,
        )
        self.presence = Presence(self.directory, self._has_phone)
        orders, post = Orders(self.exchange), Post(self.exchange)
        self.referrals = Referrals(self.exchange, orders)
        postman = Postman(
            post,
            self.directory,
            self.gatekeeper,
            self.blocked.has,
            show=self.followers.take_text,
            excuse=self.followers.announce,
        )
        if config.sms.url:
            postman.sms = SmsGateway(config.sms)
        self.texts = Texts(self.database, postman)
        post.take = self.texts.take
        self.operator = Operator(
            self.exchange,
            orders,
            self.database,
            self.addresses,
            self.gatekeeper.answer,
            self.people,
            self.contacts,
            self.blocked,
            self.mailbox,
            self.followers,
            self.presence,
            self.texts,
            self.recordings,
            past=self._past_of,
            forget_calls=self._forget_calls_of,
            notice=config.recording.notice,
        )
        await asyncio.to_thread(resampled, hold_music(), WIDE_RATE)  # 30 ms, once
        self.exchange.has_answerphone = self._has_answerphone
        self.exchange.is_blocked = self.blocked.has
        self.journal.start()
        await self._listen()
        if config.demo.carrier:
            await self._start_carrier()
        self.exchange.start([_saved(row) for row in await self._saved_bindings()])
        for number in config.demo.phones:
            await self._start_demo_phone(number)
        self._spawn(self._keep_certificate())
        self._spawn(self._forget())
        await warming
        await self._open_chats()
        await self.texts.start()
        await self.operator.agenda.start()
        self.health.start()

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """Let calls end by themselves for a while, or until `hurry`; then close everything."""
        self._stopping = True
        draining = asyncio.ensure_future(self.exchange.drain(self.config.calls.drain))
        if hurry is not None:
            hurried = asyncio.ensure_future(hurry.wait())
            await asyncio.wait((draining, hurried), return_when=asyncio.FIRST_COMPLETED)
            if hurried.done():
                self.exchange.hang_up_all("the exchange is stopping")
            hurried.cancel()
        await draining
        await asyncio.gather(*self._messages, return_exceptions=True)
        for chat in self.chats:
            await chat.stop()
        await self.reception.close()
        for phone in self.demo_phones.values():
            await phone.stop()
        await self.operator.agenda.stop()
        await self.texts.close()
        await self.exchange.stop()
        await self.recordings.close()
        await asyncio.gather(*self._messages, return_exceptions=True)
        if self.carrier is not None:
            await self.carrier.stop()
        await self._control.stop()
        await self.journal.close()
        await self.database.close()
        await self.lessons.close()
        await self.language.close()
        await self.listener.close()
        for task in self._background:
            task.cancel()
        self.health.stop()
        self._heartbeat.stop()

    async def reload(self) -> list[str]:
        """Take up the configuration file and what was added at run time, while calls go on;
        the options that need a restart. Raises `UserError`: then everything stays as it was."""
        async with self._reloading:
            wanted = self.config
            if self.config_file is not None:
                wanted = await asyncio.to_thread(load, self.config_file, whole=True)
            config, later = blended(self.config, wanted)
            shown = await asyncio.to_thread(self._certificates_for, config)
            before = {known.number: known for known in self.directory.extensions()}
            await self.directory.load(config)
            shown.load_into(self._tls)  # tried a moment ago; the last thing that can fail
            self.config, self.certificates = config, shown
            self.gatekeeper.reconfigure(config.limits, config.calls.max_duration)
            self.exchange.reconfigure(_settings(config, self.exchange.settings.advertise))
            after = {known.number: known for known in self.directory.extensions()}
            for number, reason in locked_out(before, after):
                self.exchange.registrar.drop(number, reason)
            self.exchange.refresh()
            logging.getLogger().setLevel(config.log.level.upper())
            self.journal.keep_traces = timedelta(days=config.log.traces_days)
            log.info("the configuration was read again")
            for option in later:
                log.warning("%s has changed; it is taken up at the next start", option)
            return later

    def tell_owner(self, text: str, *, question: bool = False) -> None:
        """One sentence to the owner, wherever they listen, that is about no call; a question is
        answered with yes or no."""
        log.warning("%s", text)
        self.news.append(text)
        self.followers.announce(self.person.extension, text, question=question)

    def dialogue(self, push: Callable[[Reply], None]) -> Dialogue:
        """A conversation of the owner; `push` gets what happens later."""
        return self._converse(self.person, push)

    def _converse(self, person: Person, push: Callable[[Reply], None]) -> Dialogue:
        learn = self.lessons.keep if self.config.language.learn else None
        trust = not self.config.chat.confirm_contacts
        return Dialogue(
            person,
            self.operator,
            self.understand,
            push,
            learn,
            trust_contacts=trust,
            listen=self._listen_to,
        )

    async def _listen_to(self, sound: bytes, person: Person) -> str:
        return await self.listener.hear(sound, self._context(person).contacts)

    async def ways_in(self) -> list[str]:
        """How the owner takes possession by chat; none when that was done, or there is no chat."""
        owned = any(person.id == OWNER for person, _ in await self.people.everybody())
        if owned or not self.chats:
            return []
        connecting = [asyncio.ensure_future(chat.ready.wait()) for chat in self.chats]
        _, late = await asyncio.wait(connecting, timeout=CONNECT_WITHIN)
        for one in late:
            one.cancel()
        code = await self.people.invite(self.person.name, role=Role.OWNER, person_id=OWNER)
        return [chat.link(code) for chat in self.chats]

    async def understand(self, text: str, person: Person, talk: Talk) -> Understanding:
        """Text to commands, with what the exchange knows and the conversation was about."""
        context = replace(self._context(person), history=talk.history, asked=talk.asked)
        return await self.language.understand(text, context)

    async def anonymous(self, text: str) -> str:
        """A message of the owner without names, numbers, times and sums."""
        return await self.language.anonymous(text, self._context(self.person))

    def _context(self, person: Person) -> Context:
        return Context(
            now=datetime.now(UTC),
            timezone=person.timezone,
            region=person.region,
            lines=[trunk.zone for trunk in self.directory.trunks()],
            contacts={
                **{e.name: e.number for e in self.directory.extensions() if e.name},
                **self.contacts.of(person),
            },
        )

    async def _past_of(self, extension: str) -> Sequence[CallRow]:
        await self.journal.caught_up()
        return await calls_of(self.database, extension, limit=MAX_HISTORY)

    async def _forget_calls_of(self, extension: str) -> None:
        await self.journal.caught_up()
        async with self.database.writing() as session:
            await forget_calls(session, extension)

    def _hold_on(self, work: Coroutine[object, object, None]) -> None:
        """Do something that must be finished before we stop."""
        self._messages.add(task := self._spawn(work))
        task.add_done_callback(self._messages.discard)

    def _has_phone(self, extension: str) -> bool:
        return bool(self.exchange.registrar.bindings(extension))

    def _has_answerphone(self, extension: str) -> bool:
        return self.config.answerphone.on and self.followers.has(extension)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    async def _open_chats(self) -> None:
        """Begin to talk on the networks that are configured; none of them holds up the start."""
        telegram, xmpp = self.config.telegram, self.config.xmpp
        # A network costs memory and time only where it is used.
        if telegram.token:
            from bot.telegram import Telegram, Webhook

            webhook = telegram.webhook and Webhook(
                url=telegram.webhook,
                host=telegram.webhook_host,
                port=telegram.webhook_port,
                certificate=telegram.webhook_certificate,
                key=telegram.webhook_key,
            )
            self.chats.append(
                Telegram(telegram.token, self.reception, api=telegram.api, webhook=webhook or None)
            )
        if xmpp.jid:
            from bot.jabber import Component, Jabber

            numbers = xmpp.component and Component(
                domain=xmpp.component,
                secret=xmpp.component_secret,
                host=xmpp.component_host,
                port=xmpp.component_port,
            )
            self.chats.append(
                Jabber(
                    xmpp.jid,
                    xmpp.password,
                    self.reception,
                    self.operator,
                    partial(Shelf, self.database),
                    host=xmpp.host,
                    port=xmpp.port,
                    direct_tls=xmpp.direct_tls,
                    ca_file=xmpp.ca_file,
                    numbers=numbers or None,
                )
            )
        await self.reception.start()
        for chat in self.chats:
            chat.start()
            self.operator.offer_way(chat.link)

    async def _listen(self) -> None:
        """Open the SIP ports; where one is taken take a free one and say so."""
        section = self.config.exchange
        wanted: tuple[tuple[Transport, int], ...] = (
            ("udp", section.udp_port),
            ("tcp", section.tcp_port),
            ("tls", section.tls_port),
        )
        for transport, port in wanted:
            context = self._tls if transport == "tls" else None
            listen = partial(self.exchange.listen, transport, tls=context)
            try:
                address = await listen((section.host, port))
            except OSError as error:
                if not section.free_ports:
                    raise StartError(
                        f"{transport.upper()} port {port} on {section.host} is not free "
                        f"({error.strerror or error}); choose another in [exchange], or set "
                        f"free_ports = true"
                    ) from error
                address = await self._listen_elsewhere(transport, listen)
                self.notes.append(
                    f"{transport.upper()} port {port} was taken; using {address[1]} instead"
                )
            self.addresses[transport] = f"{bracketed(address[0])}:{address[1]}"

    async def _listen_elsewhere(self, transport: Transport, listen: Any) -> Address:
        """A free port, if possible the one of the last start: phones remember it."""
        host = self.config.exchange.host
        file = self.data / PORTS
        last = json.loads(file.read_text()) if file.exists() else {}
        for port in (last.get(transport, 0), 0):
            try:
                address: Address = await listen((host, port))
            except OSError as error:
                if port == 0:
                    raise StartError(
                        f"cannot listen on {host}: {error.strerror or error}; "
                        f"choose an address of this machine as [exchange] host"
                    ) from error
            else:
                file.write_text(json.dumps({**last, transport: address[1]}))
                return address
        raise AssertionError("unreachable")

    async def _start_carrier(self) -> None:
        speaker = Speaker(self.config.media.voice)
        self.carrier = Phone(
            carrier.answers(speaker, self.carrier_then), rtp_ports=(45_000, 48_998)
        )
        self.directory.demo_trunks = carrier.trunks(await self.carrier.listen())
        await self.directory.load()

    async def _start_demo_phone(self, number: str) -> None:
        """A built-in phone for an extension that has no device of its own."""
        extension = self.directory.extension(number)
        if extension is None or self.exchange.registrar.bindings(number):
            return
        host, port = self.addresses["udp"].rsplit(":", 1)
        host = _reachable(host.strip("[]"))
        own = "::1" if ":" in host else "127.0.0.1"
        phone = Phone(self.demo_behaviour, host=own, ring_seconds=1.0, agent=DEMO_AGENT)
        await phone.listen()
        status = await phone.register(
            (host, int(port)),
            Credentials(username=number, secret=extension.secret),
            self.config.exchange.domain,
        )
        if status == 200:
            self.demo_phones[number] = phone

    def _take(self, event: Event) -> None:
        """Every event of the exchange: to the journal, to people, and to the log."""
        self.journal.take(event)
        self.followers.take(event)
        self.presence.take(event)
        match event:
            case MessageLeft():
                self._hold_on(self.followers.take_message(event))
            case CallAnswered():
                self.operator.joined(event.call_id)
            case TrunkChanged():
                self._on_trunk(event)
            case LoginFailed() if event.extension:
                self.alerts.once(f"password {event.host}", wrong_password(event))
            case HandshakeFailed():
                text = failed_handshake(event, self.certificates.ca)
                log.info("TLS with %s failed: %s", event.host, event.reason)
                if text:
                    self.alerts.once(f"tls {event.host}", text)
            case AddressBanned():
                log.warning("%s is banned for %.0f s: %s", event.host, event.seconds, event.reason)
            case DeviceRegistered(refreshed=False):
                log.info(
                    "%s registered from %s:%s:%d",
                    event.extension,
                    event.transport,
                    event.remote_host,
                    event.remote_port,
                )
                self._yield_to_real_phone(event)
                self.texts.phone_is_there(event.extension)
            case DeviceRegistered():
                self.texts.phone_is_there(event.extension)
            case DeviceUnregistered():
                log.info("%s: a phone is gone (%s)", event.extension, event.reason)
                self._stand_in(event.extension)
            case _:
                pass

    def _on_trunk(self, event: TrunkChanged) -> None:
        """The owner hears once that a line is gone, and once that it is back."""
        if not event.up:
            self._lines_down.add(event.trunk)
            self.tell_owner(f"The line {event.trunk} is down: {event.detail}. I keep trying.")
        elif event.trunk in self._lines_down:
            self._lines_down.remove(event.trunk)
            self.tell_owner(f"The line {event.trunk} is back.")
        else:
            log.info("trunk %s is up: %s", event.trunk, event.detail)

    def _yield_to_real_phone(self, event: DeviceRegistered) -> None:
        """The built-in phone of an extension steps aside once the person has their own."""
        phone = self.demo_phones.get(event.extension)
        if phone is not None:
            del self.demo_phones[event.extension]
            self._spawn(phone.stop())

    def _stand_in(self, number: str) -> None:
        """The built-in phone comes back once an extension has none of its own."""
        wanted = number in self.config.demo.phones and number not in self.demo_phones
        if wanted and not self._stopping and not self.exchange.registrar.bindings(number):
            self._spawn(self._start_demo_phone(number))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    # ── certificates ────────────────────────────────────────────────────────────────────
    def _certificates_for(self, config: Config) -> Certificates:
        """The certificate to show, made or renewed if need be, and tried. Raises OSError and
        `CertificateError`."""
        section = config.exchange
        advertise = self.exchange.settings.advertise
        names = certificates.names_for(
            section.host, advertise, section.domain, config.network.public_address
        )
        found = self._chosen(certificates.ensure(self.data / CERTIFICATES, names), config)
        found.server_context()
        return found

    def _chosen(self, found: Certificates, config: Config) -> Certificates:
        folder = self.config_file.parent if self.config_file else Path()
        section = config.exchange
        return found.replaced_by(section.certificate, section.certificate_key, folder)

    async def _keep_certificate(self) -> None:
        """Show the new certificate when the old one was renewed, by us or by the person."""
        while True:
            await asyncio.sleep(RENEW_EVERY)
            try:
                shown = await asyncio.to_thread(self._certificates_for, self.config)
                shown.load_into(self._tls)
                self.certificates = shown
            except (OSError, UserError) as error:
                self.tell_owner(f"The TLS certificate cannot be renewed: {error}.")

    async def _forget(self) -> None:
        """Forget what was talked about too long ago, twice a day."""
        while True:
            try:
                await self.people.forget_old()
                await self.mailbox.forget_old()
                await self.recordings.forget_old()
                await self.texts.forget_old()
            except (DBAPIError, OSError) as error:
                log.warning("old conversations could not be forgotten: %s", type(error).__name__)
            await asyncio.sleep(FORGET_EVERY)

    async def _past_calls(self) -> list[PastCall]:
        """The trunk calls of the journal, for the limits and for what is usual."""
        now = datetime.now(UTC)
        return [
            PastCall(
                user=leg.user,
                at=leg.at.timestamp(),
                seconds=leg.seconds,
                number=leg.number,
                source=leg.device.partition(":")[2].rpartition(":")[0],
            )
            for leg in await trunk_calls(self.database, now - REMEMBERED, now)
        ]

    async def _saved_bindings(self) -> Sequence[Any]:
        """Registrations of the last run; our own demo phones' died with it."""
        rows = await live_bindings(self.database, datetime.now(UTC))
        return [row for row in rows if row.user_agent != DEMO_AGENT]

    # ── for the command line ────────────────────────────────────────────────────────────
    async def _do_status(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        state = self.operator.state(self.person)
        return {
            "running": True,
            "config": str(self.config_file) if self.config_file else "",
            "addresses": dict(self.addresses),
            "lines": [
                {
                    "name": line.name,
                    "zone": line.zone,
                    "numbers": list(line.numbers),
                    "up": line.up,
                    "detail": line.detail,
                }
                for line in state.lines
            ],
            "phones": [
                {"extension": phone.extension, "name": phone.name, "devices": phone.devices}
                for phone in state.phones
            ],
            "calls": [
                {
                    "id": call.call_id,
                    "from": call.caller,
                    "to": call.callee,
                    "seconds": call.seconds,
                    "joined": call.joined,
                }
                for call in state.calls
            ],
            "dropped": {
                "strangers": self.exchange.guard.dropped + self.exchange.overload.dropped,
                "refused": self.exchange.overload.refused,
                "malformed": self.exchange.stack.malformed,
                "journal": self.journal.dropped,
            },
            "journal": {"waiting": self.journal.waiting, "trouble": self.journal.trouble},
            "news": list(self.news),
            "health": self.health.to_json(),
            "text": describe(state),
        }

    async def _do_say(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """One message of the owner; every caller shares one conversation. `news` is what it
        said unasked since the last message."""
        if self._said is None:
            self._said = self.dialogue(self._said_later.append)
        news = list(self._said_later)
        self._said_later.clear()
        replies = await self._said.hear(str(request.get("text", "")))
        return {"replies": _texts(replies), "news": _texts(news)}

    async def _do_reload(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"reloaded": True, "at_next_start": await self.reload()}

    async def _do_trace(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        lines = self.exchange.trace(str(request.get("call", "")))
        return {"lines": [line.to_json() for line in lines]}


def _texts(replies: Sequence[Reply]) -> list[dict[str, str]]:
    return [
        {"text": reply.text, **({"call": reply.call_id} if reply.call_id else {})}
        for reply in replies
        if reply.text
    ]


def _settings(config: Config, advertise: str) -> Settings:
    first, last = config.media.rtp_ports
    return Settings(
        domain=config.exchange.domain,
        advertise=advertise,
        media_host=config.exchange.host,
        rtp_first=first,
        rtp_last=last,
        region=config.owner.region,
        voice=config.media.voice,
        ring_timeout=config.calls.ring_timeout,
        silence_timeout=config.media.silence_timeout,
        max_duration=config.calls.max_duration,
        max_calls=config.calls.max_calls,
        requests_per_second=config.guard.requests_per_second,
        failures=config.guard.failures,
        ban_seconds=config.guard.ban_seconds,
        nameserver=config.network.nameserver,
        failover_after=config.network.failover_after,
        public_address=config.network.public_address,
        stun_server=config.network.stun_server,
        local_networks=config.network.local_networks,
    )


def _saved(row: Any) -> SavedBinding:
    return SavedBinding(
        extension=row.extension,
        contact=row.contact,
        transport=row.transport,
        remote_host=row.remote_host,
        remote_port=row.remote_port,
        expires=row.expires,
        user_agent=row.user_agent,
        call_id=row.call_id,
        cseq=row.cseq,
        path=tuple(split_commas(row.path)),
        instance=row.instance,
        reg_id=row.reg_id,
    )


def _own_address(host: str) -> str:
    """The address peers should use: `host`, or when that is "any" the one that the machine
    would leave by. Nothing is sent."""
    if host not in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
