"""The program as a whole: the only place where its parts are wired together."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import socket
import ssl
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy.exc import DBAPIError

from bot.dialogue import Dialogue, describe
from bot.ports import FrontEnd, OperatorError, Person, Role, Sent, Talk, asking_program
from bot.reception import Reception
from bot.replies import Reply
from encryptotel import certificates
from encryptotel.alerts import Alerts, failed_handshake, guessed_pins
from encryptotel.answerphone import LISTEN, AnswerphoneByPhone
from encryptotel.api_keys import ApiKeys
from encryptotel.approvals import Approvals
from encryptotel.bindings import saved
from encryptotel.broadcasts import Broadcasts
from encryptotel.certificates import Certificates
from encryptotel.cluster.part import Part
from encryptotel.config import Config, MoneySection, load
from encryptotel.contacts import Contacts
from encryptotel.control import Control
from encryptotel.demo import carrier
from encryptotel.demo.phone import DEMO_AGENT, Behaviour, Phone, plays
from encryptotel.directory import Directory
from encryptotel.errors import UserError
from encryptotel.feeds import Feeds
from encryptotel.followers import Followers
from encryptotel.gatekeeper import Gatekeeper, PastCall
from encryptotel.health import Health
from encryptotel.heartbeat import Heartbeat
from encryptotel.introductions import Introductions
from encryptotel.ivr.desk import MenuDesk
from encryptotel.ivr.ear import ProcessEar
from encryptotel.ivr.recognisers import Engine
from encryptotel.journal import Journal
from encryptotel.keypad import Keypad
from encryptotel.language import Language
from encryptotel.lessons import Lessons
from encryptotel.listening import heard
from encryptotel.logs import mask
from encryptotel.mailbox import Mailbox
from encryptotel.metering import Metering
from encryptotel.operator import Operator
from encryptotel.parties import Parties
from encryptotel.past import Past
from encryptotel.people import OWNER, PeopleOfExchange
from encryptotel.phones import Phones, Site
from encryptotel.postman import Postman
from encryptotel.presence import Presence
from encryptotel.recordings import Recordings
from encryptotel.reload import blended, locked_out
from encryptotel.rooms import Moderation, Rooms
from encryptotel.scenarios import Scenarios
from encryptotel.sessions import Sessions
from encryptotel.sms import SmsGateway
from encryptotel.tariffs import Tariffs
from encryptotel.texts import Texts
from encryptotel.unread import Unread
from encryptotel.verifications import Verifications
from encryptotel.wallets import Wallets, most_of
from encryptotel.webhooks import Webhooks
from encryptotel.wishes import Kind, WishBook
from nlp.commands import Command, Understanding
from nlp.context import Context
from pbx.calls.call import Call
from pbx.course import Introduce
from pbx.events import (
    AddressBanned,
    BroadcastChanged,
    CallAnswered,
    CallerNamed,
    DeviceRegistered,
    DeviceUnregistered,
    Event,
    HandshakeFailed,
    LoginFailed,
    MessageLeft,
    PinsGuessed,
    TrunkChanged,
)
from pbx.exchange import Exchange, Settings
from pbx.media.audio import resampled
from pbx.media.codecs import WIDE_RATE
from pbx.media.music import hold_music
from pbx.media.speech import Speaker
from pbx.media.tones import tone
from pbx.nat import numbered, split_host_port
from pbx.orders import Orders
from pbx.ports import Account
from pbx.post import Post
from pbx.referrals import Referrals
from pbx.sip.digest import Credentials
from pbx.sip.transport import Address, Transport, bracketed
from pbx.subscriptions import Subscriptions
from scheduler.alarm import Alarm
from store.database import Database
from store.journal import live_bindings, trunk_calls
from store.shelf import Shelf
from wallet.chain import Node
from wallet.charging import Charging
from wallet.rates import DeckError, RateDeck
from wallet.rates import load as load_rates
from wallet.sending import Sendings
from wallet.vault import Vaults
from web.ports import Leader

if TYPE_CHECKING:
    from encryptotel.metrics import Metrics
    from encryptotel.payments import Payments
    from web.leader import Passing
    from web.server import Server

log = logging.getLogger(__name__)

Listen = Callable[[Address], Awaitable[Address]]
"Takes an address, and gives it with its port; raises OSError."
SOCKET, CERTIFICATES, PORTS = "control.sock", "tls", "ports.json"
ALIVE, RECORDINGS, VAULT, CODES = "alive", "recordings", "vault.key", "codes.key"
RENEW_EVERY = 43_200.0
"Seconds between looks whether our certificate needs to be renewed."
CONNECT_WITHIN = 5.0
"Seconds a chat network has before the way in is shown without its link."
FORGET_EVERY = 43_200.0
"Seconds between looks for conversations to be forgotten."
REMEMBERED = timedelta(days=90)
"How long a country called or a network called from is usual for an extension."
MAX_SPOKEN = 1_000
"Conversations of programs that are remembered."
ON_THE_WAY = 0.5
"Seconds in which what was sent here, because somebody was at home here, has come."
MAX_NEWS = 50
"Sentences kept for an owner who is not listening just now."
DEMO_TONE = tone(1.0, 440.0)


def node_of(data: Path) -> str:
    """What tells the exchange of a data folder from others on the same database."""
    file = data / "node"
    if not file.exists() or not file.read_text():
        data.mkdir(0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(4))
    return file.read_text().strip()


class StartError(UserError):
    """The program cannot start; the text says what to do."""


class App:
    """One running EncryptoTel. `start`, then `stop`; `addresses` says where it serves."""

    menus: MenuDesk | None = None
    "What answers callers with menus, where there are any."
    exchange: Exchange
    operator: Operator
    referrals: Referrals
    certificates: Certificates
    phones: Phones
    web: Server | None = None
    feeds: Feeds | None = None
    webhooks: Webhooks | None = None
    "What programs hear of and are told, where the web is served."
    _passing: Passing | None = None
    _trust: ssl.SSLContext | None = None
    "For what is passed on to another program of this exchange."
    metrics: Metrics | None = None
    "How the program does, where the web is served."
    tariffs: Tariffs | None = None
    "Monthly plans."
    payments: Payments | None = None
    "Where people pay in."
    metering: Metering | None = None
    "Where outside calls are paid for."
    carrier: Phone | None = None
    _said: Dialogue | None = None
    _stopping = False
    part: Part | None = None
    "What this program is among others, where they are one exchange."

    def __init__(self, config: Config, data: Path, config_file: Path | None = None) -> None:
        self.config, self.config_file, self.data = config, config_file, data
        if config_file is not None and str(config_file.parent) not in sys.path:
            sys.path.insert(0, str(config_file.parent))  # scripts lie beside the configuration
        self.addresses: dict[str, str] = {}
        self.notes: list[str] = []
        "What the person who started it should know, such as ports that were taken."
        self.demo_behaviour: Behaviour = plays(DEMO_TONE)
        self.carrier_then: Behaviour = carrier.echoes
        self.demo_phones: dict[str, Phone] = {}
        self._lines_down: set[str] = set()
        node = node_of(data)
        self.database = Database(config.database.where(data), node)
        self.alarm = Alarm(self.database, node, self.now)
        self.directory = Directory(config, self.database)
        self.journal: Journal
        self.gatekeeper: Gatekeeper
        self.health = Health()
        self.news: deque[str] = deque(maxlen=MAX_NEWS)
        "What the owner was told lately that is about no call."
        self.alerts = Alerts(self.tell_owner)
        self.chats: list[FrontEnd] = []
        self.language = Language()
        self.ear = ProcessEar(config.menus, config_file.parent if config_file else data)
        self.lessons = Lessons(data, self.anonymous)
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
        self.api_keys = ApiKeys(self.database, self.people.with_extension)
        self.contacts = Contacts(self.database)
        self.mailbox = Mailbox(
            self.database,
            timedelta(days=config.answerphone.keep_days),
            self._key_of,
            None if self.ear.engine is Engine.POCKETSPHINX else self.ear.write,
        )
        self.followers = Followers(self.directory, self.contacts, self.mailbox)
        self.unread = Unread(self.database, self.followers)
        self.wishes = WishBook(self.database, self.contacts, self._has_answerphone)
        self.recordings = Recordings(
            self.database,
            data / RECORDINGS,
            timedelta(days=config.recording.keep_days),
            lambda row: self._hold_on(self.operator.take_recording(row)),
        )
        self.texts: Texts
        self.presence: Presence
        self.subscriptions: Subscriptions
        if config.cluster.address:
            self.part = Part(self, node)
        self.reception = Reception(self.people, self._converse, confirm=config.chat.confirm)
        self._control = Control(
            data / SOCKET,
            {
                "status": self._do_status,
                "say": self._do_say,
                "reload": self._do_reload,
                "trace": self._do_trace,
                "set_up_phone": self._do_set_up_phone,
            },
        )
        self.heartbeat = Heartbeat(data / ALIVE)
        self._tls: ssl.SSLContext
        self._reloading = asyncio.Lock()
        self._spoken: dict[str, tuple[Dialogue, asyncio.Lock]] = {}
        "Conversations of people with their programs, the oldest first."
        self._said_later: deque[Reply] = deque(maxlen=MAX_NEWS)
        self._background: set[asyncio.Task[None]] = set()
        self._messages: set[asyncio.Task[None]] = set()
        "Voice messages and recordings on their way to people."

    # ── life ────────────────────────────────────────────────────────────────────────────
    async def start(self) -> None:
        """Bring everything up. Raises `StartError`, `StoreError`, OSError."""
        config = self.config
        warming = asyncio.ensure_future(self._warm_up())  # seconds, in a process of its own
        await asyncio.to_thread(_load_networks, config)  # now, when no call can be held up by it
        advertise = config.exchange.advertise or _own_address(config.exchange.host)
        await self._open_store(advertise)
        alive = self.heartbeat.last()
        if alive is not None:
            alive += self._ahead
        self.journal = Journal(
            self.database,
            now=self.now,
            node=self.node,
            alive=alive,
            tell=self.tell_owner,
            keep_traces=timedelta(days=config.log.traces_days),
        )
        self.heartbeat.start()
        await self.directory.load()
        await self.contacts.load()
        await self.load_wishes()
        if config.money.rates:
            await self._open_money(alive)
        self.gatekeeper = Gatekeeper(
            config.limits,
            config.calls.max_duration,
            self.directory.trunks,
            extension=self.directory.extension,
            ask=partial(self.tell_owner, question=True),
            timezone=config.owner.timezone,
            inside_only=self.wishes.is_guest,
            metering=self.metering,
        )
        self.gatekeeper.remember(await self._past_calls())
        self.exchange = Exchange(
            _settings(config, advertise),
            self.directory,
            self.gatekeeper,
            self._take,
            now=self.now,
        )
        self.presence = Presence(self.directory, self._has_phone)
        self.rooms = Rooms(self.directory.services, lambda: self.exchange.speaker)
        orders = Orders(self.exchange)
        self.referrals = Referrals(self.exchange, orders)
        self.texts = self._wire_texts()
        self.phones = Phones(
            self.database, self.directory, self.exchange.registrar, self.followers.announce
        )
        self.broadcasts = Broadcasts(
            self.directory, self.followers, config.owner.extension, self._speech
        )
        self._wire_second_factors(orders)
        self.operator = Operator(
            self.exchange,
            self.directory,
            orders,
            self.database,
            self.addresses,
            self.gatekeeper.answer,
            self.people,
            self.contacts,
            self.wishes,
            self.mailbox,
            self.followers,
            self.presence,
            self.texts,
            self.unread,
            self.recordings,
            self.broadcasts,
            self.phones,
            Moderation(self.rooms, orders, self.followers),
            past=Past(self.database, self.journal, self.exchange, self.contacts, self.followers),
            config=config,
            folder=self.config_file.parent if self.config_file else self.data,
            metering=self.metering,
            payments=self.payments,
            tariffs=self.tariffs,
            alarm=self.alarm,
            wallets=self.wallets,
            scenarios=self.scenarios,
            keys=self.api_keys,
            console=self.sessions,
            approvals=self.approvals,
        )
        await asyncio.to_thread(resampled, hold_music(), WIDE_RATE)  # 30 ms, once
        await self.mailbox.load()
        await self.operator.relays.load()
        await self._answer_ourselves()
        self.journal.start()
        await self._start_menus()
        await self._listen()
        await self._open_web()
        if config.demo.carrier:
            await self._start_carrier()
        self.exchange.start([saved(row) for row in await self._saved_bindings()])
        for number in config.demo.phones:
            await self._start_demo_phone(number)
        self._spawn(self._keep_certificate())
        self._spawn(self._forget())
        await self.exchange.engines.ready()
        await warming
        if self.part is None:
            await self.begin_duties()
        else:
            await self.part.begin()
        await self.texts.start()
        self.health.start()

    async def begin_duties(self) -> None:
        """Begin what is done once for the whole exchange: chats, texts and what is planned."""
        await self._open_chats()
        await self.unread.start()
        await self.operator.start()
        if self.payments is not None:
            self.payments.start()
        if self.webhooks is not None:
            await self.webhooks.start()

    @property
    def node(self) -> str:
        """The name of this program among others; empty where it is alone."""
        return self.part.name if self.part is not None else ""

    def now(self) -> datetime:
        """The time of all programs of this exchange, whatever the clock of the host says."""
        return datetime.now(UTC) + self._ahead

    @property
    def _ahead(self) -> timedelta:
        return self.part.members.ahead if self.part is not None else timedelta()

    @property
    def lost(self) -> asyncio.Event:
        """Set when others took this program for dead, and have what went on here."""
        return self.part.lost if self.part is not None else asyncio.Event()

    async def read_again(self) -> None:
        """Know anew all that is known by heart: others may have changed it."""
        await self.read_directory()
        await self.contacts.load()
        await self.load_wishes()
        await self.mailbox.load()
        await self.operator.relays.load()
        await self.scenarios.load()
        await self.api_keys.load()
        if self.metering is not None:
            await self.metering.charging.reload()
        if self.tariffs is not None:
            await self.tariffs.subscriptions.open()

    async def read_directory(self) -> None:
        """Take up who and what there is; whoever was shut out has no phone any more."""
        before = self.directory.accounts()
        await self.directory.load()
        self._shut_out(before)
        self.exchange.refresh()

    def _shut_out(self, before: Mapping[str, Account]) -> None:
        """Forget phones whose account is gone, or has another password now."""
        for account, reason in locked_out(before, self.directory.accounts()):
            number = account.extension.number
            self.exchange.registrar.drop(number, reason, username=account.username)
            self.subscriptions.drop(number)

    async def _open_store(self, advertise: str) -> None:
        """Our certificate, the database, and our place among the others on it. Raises
        `StoreError`, OSError."""
        self.certificates, _ = await asyncio.gather(
            asyncio.to_thread(
                certificates.ensure, self.data / CERTIFICATES, _names(self.config, advertise)
            ),
            self.database.open(),
        )
        self.certificates = self._chosen(self.certificates, self.config)
        self._tls = await asyncio.to_thread(self.certificates.server_context)
        await self._control.start()  # nobody else serves here: what was left is ours to settle
        if self.part is not None:
            await self.part.join()

    async def _warm_up(self) -> None:
        if self.config.language.at_start:
            await self.language.warm_up()

    def _wire_texts(self) -> Texts:
        """Words between phones, chats and the telephone network."""
        post = Post(self.exchange)
        postman = Postman(
            post,
            self.directory,
            self.gatekeeper,
            self.wishes.is_blocked,
            unread=self.unread,
            excuse=self.followers.announce,
        )
        if self.config.sms.url:
            postman.sms = SmsGateway(self.config.sms)
        postman.metering = self.metering
        texts = Texts(self.database, postman, self.node)
        post.take = texts.take
        return texts

    def _wire_second_factors(self, orders: Orders) -> None:
        """What is opened by a PIN, a code, a link or a second yes: wallets and what is sent from
        them, scenarios, codes that programs have sent, and the console page."""
        self.approvals = Approvals(
            self.wishes,
            self.followers,
            self.presence,
            orders,
            self.exchange.speaker,
            self._hold_on,
        )
        self.sessions = Sessions(
            self.database, self.api_keys, self.phones.url, self.followers.announce
        )
        waves = self.config.waves
        sendings = Sendings(
            self.database,
            Node(waves.node),
            {coin.id: coin for coin in waves.all_coins},
            most_of(self.config),
            waves.every,
        )
        vaults = Vaults(self.database, self.data / VAULT, waves.chain)
        speaker = self.exchange.speaker
        self.wallets = Wallets(vaults, sendings, self.config, orders, speaker, self.followers)
        self.verifications = Verifications(
            self.database,
            self.data / CODES,
            Parties(self.directory, self.contacts),
            orders,
            speaker,
            self.texts,
            self.followers,
            self.approvals,
            self._hold_on,
        )
        self.scenarios = Scenarios(
            self.database,
            self.directory,
            lambda: self.exchange.settings.region,
            self.wallets,
            self.followers,
            self._person_of,
            self._act,
            self._hold_on,
        )

    async def _talk(self, person: Person, text: str) -> Sequence[Reply]:
        """What somebody says at the console page, or a program for them: a conversation each."""
        place = f"{person.extension} {asking_program.get()}"
        known = self._spoken.get(place)
        if known is None or (known[0].person.id, known[0].person.role) != (person.id, person.role):
            while len(self._spoken) >= MAX_SPOKEN:
                self._spoken.pop(next(iter(self._spoken)))
            dialogue = self._converse(person, lambda _: None, follow=False)
            known = self._spoken[place] = dialogue, asyncio.Lock()
        async with known[1]:
            return await known[0].hear(text)

    async def _act(self, person: Person, command: Command) -> str:
        """Do a command for somebody who says it by a scenario; what came of it."""
        return await self._converse(person, lambda _: None, follow=False).act(command)

    async def load_wishes(self) -> None:
        """What people want done with their calls, and by whose clocks."""
        await self.wishes.load()
        self.person = await self.people.with_extension(self.person.extension) or self.person
        self.wishes.note(self.person)
        for person, _ in await self.people.everybody():
            self.wishes.note(person)
        self.directory.wishes_of = self.wishes.of

    async def _answer_ourselves(self) -> None:
        """What phones can watch, and all numbers and codes that the exchange answers itself."""
        self.subscriptions = Subscriptions(self.exchange, self.mailbox.count, LISTEN)
        self.mailbox.on_change = self.subscriptions.messages_changed
        self.phones.on_revoked = self.subscriptions.drop
        self.exchange.parking.on_change = self.subscriptions.number_changed
        keypad = Keypad(
            self.exchange,
            self.operator,
            self.operator.when_free,
            self._person_of,
            self.gatekeeper.vet,
        )
        keypad.add_to(self.directory.services)
        by_phone = AnswerphoneByPhone(self.exchange, self.mailbox, self.wishes, self._zone_of)
        for service in (*by_phone.services(), self.wallets.service()):
            self.directory.services.add(service)
        await self.scenarios.load()
        await self.api_keys.load()
        self.operator.read_codes = partial(keypad.codes, self.directory.services)
        self.exchange.hides = self.wishes.hides
        self.exchange.courses.on_block = self._block
        self.rooms.load(self.config)
        self.broadcasts.configure(self.config.broadcast)

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """Let calls end by themselves for a while, or until `hurry`; then close everything."""
        self._stopping = True
        if self.part is not None:
            await self.part.leave()
        draining = asyncio.ensure_future(self._let_calls_end())
        if hurry is not None:
            hurried = asyncio.ensure_future(hurry.wait())
            await asyncio.wait((draining, hurried), return_when=asyncio.FIRST_COMPLETED)
            if hurried.done():
                self.exchange.hang_up_all("the exchange is stopping")
            hurried.cancel()
        await draining
        self.exchange.shut()
        await asyncio.gather(*self._messages, return_exceptions=True)
        for chat in self.chats:
            await chat.stop()
        await self._close_web()
        await self.reception.close()
        await self.unread.close()
        for phone in self.demo_phones.values():
            await phone.stop()
        await self.alarm.stop()
        await self.operator.stop()
        await self.texts.close()
        await self.exchange.stop()
        if self.menus is not None:
            await self.menus.stop()
        await self.recordings.close()
        await asyncio.gather(*self._messages, return_exceptions=True)
        if self.carrier is not None:
            await self.carrier.stop()
        await self._control.stop()
        if self.payments is not None:
            await self.payments.stop()
        if self.tariffs is not None:
            await self.tariffs.subscriptions.stop()
        if self.metering is not None:
            await self.metering.charging.close()
        await self.journal.close()
        if self.part is not None:
            await self.part.close()
        await self.database.close()
        await self.lessons.close()
        await self.language.close()
        await self.ear.close()
        for task in self._background:
            task.cancel()
        self.health.stop()
        self.heartbeat.stop()

    async def _close_web(self) -> None:
        """Tell programs nothing more, and answer nobody any more."""
        if self.feeds is not None:
            self.feeds.close()
        if self.webhooks is not None:
            await self.webhooks.stop()
        if self.web is not None:
            await self.web.stop()
        if self._passing is not None:
            await self._passing.close()

    async def _let_calls_end(self) -> None:
        """Wait for calls as long as they may take; whoever has talked until now goes home elsewhere
        before nobody is served here any more."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.config.calls.drain
        while True:
            await self.exchange.drain(until - loop.time())
            if self.part is None:
                return
            await self.part.leave()
            await asyncio.sleep(ON_THE_WAY)
            if not self.exchange.calls or loop.time() > until:
                return

    async def reload(self) -> list[str]:
        """Take up the configuration file and what was added at run time, while calls go on;
        the options that need a restart. Raises `UserError`: then everything stays as it was."""
        async with self._reloading:
            await self.api_keys.load()  # before all that may fail: a key may have been revoked
            await self.scenarios.load()
            if self.webhooks is not None:
                await self.webhooks.load()
            wanted = self.config
            if self.config_file is not None:
                wanted = await asyncio.to_thread(load, self.config_file, whole=True)
            mask(wanted)  # before anything can be said of it
            config, later = blended(self.config, wanted)
            shown = await asyncio.to_thread(self._certificates_for, config)
            deck = await asyncio.to_thread(self._deck, config.money) if self.metering else None
            before = self.directory.accounts()
            await self.directory.load(config)
            self._show(shown)  # tried a moment ago; the last thing that can fail
            self.config = config
            self.rooms.load(config)
            self.phones.site = await self._site()
            self.gatekeeper.reconfigure(config.limits, config.calls.max_duration)
            if self.metering is not None and deck is not None:
                self.metering.reconfigure(config.money, deck)
                await self.metering.charging.reload()
            self.exchange.reconfigure(_settings(config, self.exchange.settings.advertise))
            self._shut_out(before)
            self.exchange.refresh()
            self.broadcasts.configure(config.broadcast)
            logging.getLogger().setLevel(config.log.level.upper())
            self.journal.keep_traces = timedelta(days=config.log.traces_days)
            log.info("the configuration was read again")
            for option in later:
                log.warning("%s has changed; it is taken up at the next start", option)
            return later

    async def _open_money(self, alive: datetime | None) -> None:
        """What runs with calls that cost money, and what looks for payments. Raises `StartError`
        for a rate deck that is wrong."""
        money, waves = self.config.money, self.config.waves
        deck = await asyncio.to_thread(self._deck, money)
        charging = Charging(
            self.database, deck, money.asset, waves.ett_percent, self.now, self.node
        )
        self.metering = Metering(
            charging, money, lambda: self.exchange.calls, self.followers.announce
        )
        plans = [tariff.plan(money.asset) for tariff in self.config.tariff]
        if plans:
            self.tariffs = Tariffs(
                self.database, self.metering, plans, self.followers.announce, self._day_of
            )
            await self.tariffs.subscriptions.open()
        await charging.open(alive)
        if waves.address:
            from encryptotel.payments import Payments

            self.payments = Payments(
                self.database, waves, self.metering, self.followers, self.tell_owner
            )

    def _day_of(self, extension: str, at: datetime) -> str:
        """A day as people of the exchange write it, by the owner's clock."""
        return f"{at.astimezone(ZoneInfo(self.config.owner.timezone)):%-d %B}"

    def _deck(self, money: MoneySection) -> RateDeck:
        folder = self.config_file.parent if self.config_file is not None else self.data
        try:
            return load_rates(folder / money.rates)
        except DeckError as error:
            raise StartError(f"[money] rates: {error}; see `encryptotel rates check`") from error

    def tell_owner(self, text: str, *, question: bool = False) -> None:
        """One sentence to the owner, wherever they listen, that is about no call; a question is
        answered with yes or no."""
        log.warning("%s", text)
        self.news.append(text)
        self.followers.announce(self.person.extension, text, question=question)

    def dialogue(self, push: Callable[[Reply], Sent]) -> Dialogue:
        """A conversation of the owner; `push` gets what happens later."""
        return self._converse(self.person, push)

    def _converse(
        self, person: Person, push: Callable[[Reply], Sent], *, follow: bool = True
    ) -> Dialogue:
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
            follow=follow,
        )

    async def _listen_to(self, sound: bytes, person: Person) -> str:
        return await heard(self.ear, sound, self._context(person).contacts)

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
            now=self.now(),
            timezone=person.timezone,
            region=person.region,
            lines=[trunk.zone for trunk in self.directory.trunks()],
            contacts={
                **{e.name: e.number for e in self.directory.extensions() if e.name},
                **self.contacts.of(person),
            },
        )

    async def _speech(self, text: str) -> bytes:
        return await self.exchange.speaker.say(text)

    def _hold_on(self, work: Coroutine[object, object, None]) -> None:
        """Do something that must be finished before we stop."""
        self._messages.add(task := self._spawn(work))
        task.add_done_callback(self._messages.discard)

    def _block(self, extension: str, call: Call) -> None:
        """Somebody chose on the phone not to be rung by a caller any more; one who hid their
        number stays hidden on the list."""
        kind = Kind.UNSEEN if call.hidden else Kind.BLOCKED
        self._hold_on(self.wishes.put(extension, call.caller, kind))

    async def _person_of(self, extension: str) -> Person:
        """Whose an extension is; for one that is nobody's in particular, its phone is somebody."""
        person = await self.people.with_extension(extension)
        if person is None:
            known = self.directory.extension(extension)
            person = replace(
                self.person,
                id=f"extension {extension}"[:16],
                name=known.name if known else "",
                extension=extension,
                role=Role.MEMBER,
                key="",
            )
        self.wishes.note(person)
        return person

    def _zone_of(self, extension: str) -> ZoneInfo:
        person = self.followers.person(extension) or self.person
        return ZoneInfo(person.timezone)

    def _key_of(self, extension: str) -> str:
        """For which key voice messages of an extension are sealed; empty: for none."""
        person = self.followers.person(extension)
        return person.key if person and self.config.answerphone.seal else ""

    def _has_phone(self, extension: str) -> bool:
        return bool(self.exchange.registrar.bindings(extension))

    def _has_answerphone(self, extension: str) -> bool:
        has = self.tariffs is None or self.tariffs.allows(extension, "answerphone")
        return has and self.config.answerphone.on and self.followers.has(extension)

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
            await self._listen_on(transport, (section.host, port), listen, "[exchange]")

    async def _listen_on(self, name: str, wanted: Address, listen: Listen, section: str) -> None:
        """Open a port, or a free one in its place."""
        host, port = wanted
        try:
            address = await listen(wanted)
        except OSError as error:
            if not self.config.exchange.free_ports:
                raise StartError(
                    f"{name.upper()} port {port} on {host} is not free "
                    f"({error.strerror or error}); choose another in {section}, or set "
                    f"free_ports = true in [exchange]"
                ) from error
            address = await self._listen_elsewhere(name, host, listen, section)
            self.notes.append(f"{name.upper()} port {port} was taken; using {address[1]} instead")
        self.addresses[name] = f"{bracketed(address[0])}:{address[1]}"

    async def _listen_elsewhere(
        self, name: str, host: str, listen: Listen, section: str
    ) -> Address:
        """A free port, if possible the one of the last start: phones remember it."""
        file = self.data / PORTS
        last = json.loads(file.read_text()) if file.exists() else {}
        for port in (last.get(name, 0), 0):
            try:
                address = await listen((host, port))
            except OSError as error:
                if port == 0:
                    raise StartError(
                        f"cannot listen on {host}: {error.strerror or error}; "
                        f"choose an address of this machine as {section} host"
                    ) from error
            else:
                file.write_text(json.dumps({**last, name: address[1]}))
                return address
        raise AssertionError("unreachable")

    async def _start_menus(self) -> None:
        if self.config.menus.file:
            folder = self.config_file.parent if self.config_file else self.data
            self.menus = MenuDesk(
                self.config, folder, self.exchange, self.directory, self.tell_owner
            )
            await self.menus.start()
            self.operator.draw_menus = self.menus.drawn

    async def _open_web(self) -> None:
        """Serve the web, where that is wanted; it costs memory and time only there."""
        section = self.config.web
        if section.on:
            from encryptotel.metrics import Metrics
            from web.app import create_app, of_each
            from web.leader import Passing
            from web.ports import Desk
            from web.server import Server

            self.web = Server(self._tls, self._is_node)
            wanted = (section.host or self.config.exchange.host, section.port)
            await self._listen_on("web", wanted, self.web.listen, "[web]")
            self.phones.site = await self._site()
            self.feeds = Feeds(self.followers.follow_for_program)
            self.webhooks = self.operator.webhooks = Webhooks(
                self.database,
                self.followers,
                self._person_of,
                self.api_keys.is_known,
                private=section.private_webhooks,
            )
            self.api_keys.on_revoked = self.webhooks.load
            self.exchange.courses.introduce = self._introducing(self.webhooks)
            self.metrics = Metrics(self)
            desk = Desk(
                operator=self.operator,
                keys=self.api_keys,
                sessions=self.sessions,
                verifications=self.verifications,
                events=self.feeds,
                webhooks=self.webhooks,
                talk=self._talk,
                ready=lambda: self.part.serves if self.part is not None else not self._stopping,
                metrics=self.metrics.text,
                answered=self.metrics.answered,
            )
            url = self.phones.site.url
            app = create_app(self.phones, url, desk)
            if self.part is not None:
                self._passing = Passing(app, self._leader(self.part), of_each(url))
            self.web.serve(self._passing or app)
        else:
            self.phones.site = await self._site()

    def _introducing(self, webhooks: Webhooks) -> Introduce:
        """Asks people's programs who calls."""
        introductions = Introductions(webhooks.receivers, self.followers)
        return lambda call, extension: introductions.of(call, extension, webhooks.rows())

    def _leader(self, part: Part) -> Leader:
        """Whom requests of the web are for."""
        trust = self._trust = ssl.create_default_context()
        trust.check_hostname = False  # nodes are reached by addresses
        # All show the same certificate, or one of our authority, or of a public one.
        trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if not self.config.exchange.certificate:
            trust.load_verify_locations(self.certificates.ca)
        trust.load_verify_locations(self.certificates.certificate)
        return Leader(where=part.leader_web, proof=part.proof(), trust=trust)

    def _is_node(self, host: str) -> bool:
        """Whether another program of this exchange is at an address."""
        nodes = self.part.members.nodes.values() if self.part is not None else ()
        there = numbered(host)
        return any(numbered(split_host_port(node.address, 0)[0]) == there for node in nodes)

    async def _site(self) -> Site:
        """How phones reach us, and what they must trust to do so."""
        section, ours = self.config.web, self.exchange.settings.advertise
        url = section.public_url.rstrip("/")
        if section.on and not url:
            host, port = _split(self.addresses["web"])
            url = f"https://{bracketed(ours if _is_any(host) else host)}:{port}"
        host, port = _split(self.addresses["tls"])
        host = ours if _is_any(host) else host
        own = not self.config.exchange.certificate
        return Site(
            url=url if section.on else "",
            sip_host=bracketed(section.sip_host or next(iter(section.names), host)),
            tls_port=port,
            domain=self.config.exchange.domain,
            authority=await asyncio.to_thread(self.certificates.ca.read_bytes) if own else None,
        )

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
        host, port = _split(self.addresses["udp"])
        host = "127.0.0.1" if _is_any(host) else host
        own = "::1" if ":" in host else "127.0.0.1"
        phone = Phone(self.demo_behaviour, host=own, ring_seconds=1.0, agent=DEMO_AGENT)
        await phone.listen()
        status = await phone.register(
            (host, port),
            Credentials(username=number, secret=extension.secret),
            self.config.exchange.domain,
        )
        if status == 200:
            self.demo_phones[number] = phone

    def _take(self, event: Event) -> None:
        """Every event of the exchange: to the journal, to people, and to the log."""
        self.journal.take(event)
        if self.metering is not None:
            self.metering.take(event)
        if self.metrics is not None:
            self.metrics.take(event)
        self.followers.take(event)
        self.presence.take(event)
        self.subscriptions.event(event)
        if self.part is not None:
            self.part.take(event)
        match event:
            case MessageLeft():
                self._hold_on(self.followers.take_message(event))
            case CallerNamed():
                self._hold_on(self.followers.take_name(event))
            case CallAnswered():
                self.operator.joined(event.call_id)
            case BroadcastChanged():
                self.broadcasts.take(event)
            case TrunkChanged():
                self._on_trunk(event)
            case LoginFailed():
                self.alerts.failed_login(event)
            case HandshakeFailed():
                text = failed_handshake(event, self.certificates.ca)
                log.info("TLS with %s failed: %s", event.host, event.reason)
                if text:
                    self.alerts.once(f"tls {event.host}", text)
            case PinsGuessed():
                self.alerts.once(f"pins {event.room} {event.source}", guessed_pins(event))
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
        names = _names(config, self.exchange.settings.advertise)
        found = self._chosen(certificates.ensure(self.data / CERTIFICATES, names), config)
        found.server_context()
        return found

    def _show(self, certificates: Certificates) -> None:
        """From now on; other programs of this exchange do the same. Raises OSError."""
        certificates.load_into(self._tls)
        if self._trust is not None:
            self._trust.load_verify_locations(certificates.certificate)
        self.certificates = certificates

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
                self._show(shown)
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
                await self.api_keys.forget_old()
                await self.verifications.forget_old()
                if self.webhooks is not None:
                    await self.webhooks.forget_old()
            except (DBAPIError, OSError) as error:
                log.warning("old conversations could not be forgotten: %s", type(error).__name__)
            await asyncio.sleep(FORGET_EVERY)

    async def recall_calls_of(self, extensions: Collection[str]) -> None:
        """Count for the limits what extensions called from elsewhere."""
        past = await self._past_calls()
        self.gatekeeper.forget(extensions)
        self.gatekeeper.remember(one for one in past if one.user in extensions)

    async def _past_calls(self) -> list[PastCall]:
        """The trunk calls of the journal, for the limits and for what is usual."""
        now = self.now()
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
        rows = await live_bindings(self.database, self.now())
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

    async def _do_set_up_phone(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """A link that sets up a phone of any extension."""
        try:
            link = await self.phones.offer(
                str(request.get("extension", "")), str(request.get("name", ""))
            )
        except OperatorError as error:
            raise UserError(error.message) from error
        return asdict(link)

    async def _do_trace(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        lines = self.exchange.trace(str(request.get("call", "")))
        return {"lines": [line.to_json() for line in lines]}


def _texts(replies: Sequence[Reply]) -> list[dict[str, str]]:
    return [
        {"text": reply.text, **({"call": reply.call_id} if reply.call_id else {})}
        for reply in replies
        if reply.text
    ]


def _names(config: Config, advertise: str) -> list[str]:
    """What our own certificate is for."""
    section = config.exchange
    return certificates.names_for(
        section.host, advertise, section.domain, config.network.public_address, config.web.names
    )


def _load_networks(config: Config) -> None:
    """Import what costs memory and time and is wanted here: each takes a second or so."""
    wanted = {
        "web.app": config.web.on,
        "encryptotel.metrics": config.web.on,
        "bot.telegram": config.telegram.token,
        "bot.jabber": config.xmpp.jid,
    }
    for module, on in wanted.items():
        if on:
            import_module(module)


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
        proxies=config.cluster.proxies,
        rtpengines=[_split(one) for one in config.media.rtpengines],
        inside=_split(config.cluster.address)[0] if config.cluster.address else "",
    )


def _own_address(host: str) -> str:
    """The address peers should use: `host`, or when that is "any" the one that the machine
    would leave by. Nothing is sent."""
    if not _is_any(host):
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _split(address: str) -> Address:
    """What `addresses` has as text."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _is_any(host: str) -> bool:
    return host in ("0.0.0.0", "::")  # noqa: S104  # compared, not bound
