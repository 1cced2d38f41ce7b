"""The configuration file: every option, its default and its bounds.

`config.example.toml` explains them to people; a test keeps the two in step.
"""

from __future__ import annotations

import ipaddress
import secrets
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import phonenumbers
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from encryptotel.errors import ConfigError
from encryptotel.ivr.recognisers import Engine
from encryptotel.keys import BadKey, recipient_of
from encryptotel.secret_files import secrets_in_files
from pbx.calls.conference import MAX_PARTIES
from pbx.calls.router import ECHO
from pbx.candidates import Where
from pbx.media.srtp import SrtpPolicy
from pbx.nat import MAX_NETWORKS, STUN_PORT, split_host_port
from pbx.sip.locate import is_address, parse_nameserver
from pbx.sip.message import ParseError
from wallet.money import WAVES, Asset
from wallet.rates import MICRO
from wallet.tariff import Included, Plan

if TYPE_CHECKING:
    from sqlalchemy import URL

MAX_CONFIG = 1_048_576
UNMISTAKABLE = "abcdefghjkmnpqrstuvwxyz23456789"
"Letters and digits that nobody takes for another."

Port = Annotated[int, Field(ge=0, le=65_535)]
Number = Annotated[str, Field(pattern=r"^\d{2,6}$")]
E164 = Annotated[str, Field(pattern=r"^\+[1-9]\d{6,14}$")]


def _country(value: str) -> str:
    if value not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"{value!r} is not a country code; write it like US, GB or DE")
    return value


Countries = Annotated[tuple[Annotated[str, AfterValidator(_country)], ...], Field(max_length=250)]
Hour = Annotated[int, Field(ge=0, le=23)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class DatabaseSection(Section):
    """Where everything is kept: a file of ours, or a database on a PostgreSQL server."""

    url: str = Field("", max_length=1_000)
    password: str = Field("", repr=False, max_length=256)

    @model_validator(mode="after")
    def _is_one(self) -> DatabaseSection:
        if self.url:
            from store.database import postgresql

            postgresql(self.url)
        return self

    def where(self, data: Path) -> Path | URL:
        """For `Database`, with the folder that a file would be in."""
        if not self.url:
            return data / "encryptotel.db"
        from store.database import postgresql

        return postgresql(self.url, self.password)


def _host_and_port(value: str, example: str) -> str:
    host, port = split_host_port(value, 0)
    if not (is_address(host) and port):
        raise ValueError(f"write it like {example}")
    return value


class ClusterSection(Section):
    """This program as one of several that are one exchange; alone without an address."""

    address: str = ""
    proxies: tuple[str, ...] = Field((), max_length=20)

    @field_validator("address")
    @classmethod
    def _is_host_and_port(cls, value: str) -> str:
        return _host_and_port(value, "10.0.0.11:5060") if value else value

    @field_validator("proxies")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if not is_address(one):
                raise ValueError(f"{one!r} is not an IP address")
        return value


class ExchangeSection(Section):
    name: str = "EncryptoTel"
    domain: str = Field("encryptotel.local", pattern=r"^[A-Za-z0-9.\-]+$", max_length=200)
    host: str = "127.0.0.1"
    advertise: str = ""
    udp_port: Port = 5060
    tcp_port: Port = 5060
    tls_port: Port = 5061
    free_ports: bool = True
    certificate: str = ""
    certificate_key: str = ""

    @model_validator(mode="after")
    def _certificate_with_key(self) -> ExchangeSection:
        if bool(self.certificate) != bool(self.certificate_key):
            raise ValueError("certificate and certificate_key go together")
        return self


class NetworkSection(Section):
    nameserver: str = ""
    public_address: str = ""
    stun_server: str = ""
    local_networks: tuple[str, ...] = Field((), max_length=MAX_NETWORKS)
    failover_after: float = Field(4, ge=0.5, le=30)

    @field_validator("nameserver")
    @classmethod
    def _is_nameserver(cls, value: str) -> str:
        if value:
            parse_nameserver(value)
        return value

    @field_validator("public_address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and not is_address(value):
            raise ValueError(
                f"{value!r} is not an IP address; for a name that changes use a stun_server"
            )
        return value

    @field_validator("stun_server")
    @classmethod
    def _is_server(cls, value: str) -> str:
        if value:
            split_host_port(value, STUN_PORT)
        return value

    @field_validator("local_networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            ipaddress.ip_network(item)
        return value


class MediaSection(Section):
    rtp_ports: tuple[int, int] = (30_000, 39_998)
    silence_timeout: float = Field(60, gt=0)
    voice: str = "en-us"
    piper_voice: str = ""
    rtpengines: tuple[str, ...] = Field((), max_length=50)

    @field_validator("rtpengines")
    @classmethod
    def _are_hosts_and_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_host_and_port(one, "10.0.0.6:2223") for one in value)

    @field_validator("rtp_ports")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1024 <= value[0] < value[1] <= 65_534:
            raise ValueError("needs two ports between 1024 and 65534, the smaller first")
        return value


class MenusSection(Section):
    """Menus for callers; none without a file."""

    file: str = ""
    recogniser: Engine = Engine.POCKETSPHINX
    model: str = ""

    @model_validator(mode="after")
    def _with_model(self) -> MenusSection:
        own = self.recogniser in (Engine.POCKETSPHINX, Engine.MOONSHINE)
        if own and self.model and self.recogniser is Engine.MOONSHINE:
            return self  # another than the one in its wheel
        if own == bool(self.model):
            raise ValueError(f"recogniser {self.recogniser} and model do not go together")
        return self


class CallsSection(Section):
    ring_timeout: float = Field(30, gt=0, le=300)
    max_calls: int = Field(500, ge=1)
    max_duration: float = Field(14_400, gt=0)
    drain: float = Field(5, ge=0, le=3600)


class AnswerphoneSection(Section):
    """Messages of callers whom nobody answered, for people who chat with us."""

    on: bool = True
    seal: bool = False
    keep_days: float = Field(30, gt=0, le=36_500)


class RecordingSection(Section):
    """Recordings of calls, which only whoever has the key can open."""

    key: str = Field("", max_length=100)
    notice: bool = True
    keep_days: float = Field(365, gt=0, le=36_500)

    @field_validator("key")
    @classmethod
    def _is_key(cls, value: str) -> str:
        try:
            return recipient_of(value) if value else ""
        except BadKey as error:
            raise ValueError(str(error)) from error


class RemindersSection(Section):
    """How people are reminded by phone: so many tries, `every` so many minutes."""

    tries: int = Field(3, ge=1, le=10)
    every: int = Field(5, ge=1, le=120)
    snooze: int = Field(10, ge=1, le=240)
    calls_at_once: int = Field(10, ge=1, le=500)


class CalendarsSection(Section):
    """Calendars elsewhere, looked at `every` so many minutes; `private` allows those of a private
    network."""

    every: int = Field(15, ge=1, le=1440)
    private: bool = False
    ca_file: str = ""


class MoneySection(Section):
    """What outside calls cost the people of the exchange; nothing without a rate deck. `free` are
    extensions that nobody charges; a page of `text` to outside has one price."""

    rates: str = ""
    unit: str = Field("EUR", pattern=r"^[A-Za-z]{1,10}$")
    decimals: int = Field(2, ge=0, le=6)
    free: tuple[Number, ...] = ("101",)
    low: str = "1"
    text: str = "0"
    only_with_plan: tuple[Literal["answerphone", "menus", "numbers"], ...] = ()

    @model_validator(mode="after")
    def _are_sums(self) -> MoneySection:
        self.asset.parse(self.low)
        if self.asset.parse(self.text) < 0:
            raise ValueError("a text cannot cost less than nothing")
        return self

    @property
    def asset(self) -> Asset:
        """What accounts are kept in."""
        return Asset(id=self.unit, name=self.unit, decimals=self.decimals)


class IncludedSection(Section):
    """Minutes of a plan to numbers that begin so (without +); the name is for people."""

    name: str = Field(min_length=1, max_length=40)
    prefixes: tuple[Annotated[str, Field(pattern=r"^[1-9]\d{0,14}$")], ...] = Field(min_length=1)
    minutes: int = Field(ge=1, le=100_000)


class TariffSection(Section):
    """A monthly plan: so many `days` for a price, in the unit of account."""

    name: str = Field(pattern=r"^\w[\w -]{0,38}$")
    price: str
    days: int = Field(30, ge=1, le=366)
    minutes: tuple[IncludedSection, ...] = Field((), max_length=20)
    answerphone: bool = False
    menus: bool = False
    numbers: int = Field(0, ge=0, le=1_000)

    def plan(self, unit: Asset) -> Plan:
        """The same, for `Subscriptions`. Raises `MoneyError`."""
        included = tuple(
            Included(name=one.name, prefixes=one.prefixes, seconds=60 * one.minutes)
            for one in self.minutes
        )
        has = {"answerphone": self.answerphone, "menus": self.menus, "numbers": self.numbers > 0}
        return Plan(
            name=self.name,
            price=unit.parse(self.price),
            days=self.days,
            included=included,
            features=frozenset(name for name, on in has.items() if on),
            numbers=self.numbers,
        )


class WavesSection(Section):
    """Where people pay in, and with what: `prices` are those of a whole coin in the unit of
    account, by the coin's name. Nobody can without an address."""

    address: str = Field("", pattern=r"^(3[1-9A-HJ-NP-Za-km-z]{34})?$")
    chain: str = Field("W", pattern=r"^[A-Z]$")
    node: str = Field("https://nodes.wavesnodes.com", pattern=r"^https?://[^\s/]+$")
    link: str = Field("https://wx.network/#send", pattern=r"^https://[^\s?]+$")
    explorer: str = Field("https://wavesexplorer.com/transactions/", pattern=r"^https://[^\s]+$")
    every: float = Field(15, ge=0.1, le=600)
    ett: str = Field("8ofu3VpEaVCFjRqLLqzTMNs5URKUUQMrPp3k6oFmiCc6", max_length=64)
    prices: dict[Literal["WAVES", "ETT"], str] = {}
    prices_url: str = Field("", pattern=r"^(https?://[^\s]+)?$", repr=False)
    ett_percent: int = Field(20, ge=0, le=90)
    confirmations: tuple[tuple[str, Annotated[int, Field(ge=1, le=100)]], ...] = (
        ("0", 1), ("10", 3), ("100", 10),
    )  # fmt: skip

    @model_validator(mode="after")
    def _are_sums(self) -> WavesSection:
        for sum_, _ in self.confirmations:
            Asset(id="", name="the unit", decimals=6).parse(sum_)
        if any(price <= 0 for price in self.micro_prices.values()):
            raise ValueError("prices must be more than nothing")
        return self

    @property
    def coins(self) -> tuple[Asset, ...]:
        """What people can pay with."""
        known = {coin.name: coin for coin in self.all_coins}
        return tuple(known[name] for name in self.prices)

    @property
    def all_coins(self) -> tuple[Asset, ...]:
        """What we know at all."""
        ids = {"WAVES": WAVES, "ETT": self.ett}
        return tuple(Asset(id=id, name=name, decimals=8) for name, id in ids.items())

    @property
    def micro_prices(self) -> dict[str, int]:
        """In millionths of the unit of account, by the asset's id."""
        price = Asset(id="", name="a price", decimals=MICRO)
        return {coin.id: price.parse(self.prices[coin.name]) for coin in self.coins}  # type: ignore[index]


class WalletSection(Section):
    """The most that people may send from their wallets by phone: in one `payment`, and within a
    `day`."""

    payment: dict[str, str] = {"WAVES": "10", "ETT": "200"}
    day: dict[str, str] = {"WAVES": "20", "ETT": "400"}

    @field_validator("payment", "day")
    @classmethod
    def _are_sums(cls, sums: dict[str, str]) -> dict[str, str]:
        coins = WavesSection().all_coins
        if sums.keys() != {coin.name for coin in coins}:
            raise ValueError(f"name {' and '.join(coin.name for coin in coins)}, each once")
        for coin in coins:
            if coin.parse(sums[coin.name]) < 0:
                raise ValueError("a sum cannot be less than nothing")
        return sums


class SmsSection(Section):
    """A provider that sends SMS by HTTP; none without an address."""

    url: str = Field("", pattern=r"^(https?://[^\s]+)?$", repr=False)
    authorization: str = Field("", repr=False, max_length=2_000)
    format: Literal["form", "json"] = "form"
    fields: dict[str, str] = {"to": "{to}", "from": "{from}", "text": "{text}"}
    sender: str = ""


class OwnerSection(Section):
    name: str = "Owner"
    extension: Number = "101"
    region: str = Field("US", pattern=r"^[A-Z]{2}$")
    timezone: str = "UTC"

    @field_validator("region")
    @classmethod
    def _is_country(cls, value: str) -> str:
        return _country(value)

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value!r} is not a time zone; write it like Europe/Berlin")
        return value


class LanguageSection(Section):
    """What becomes of what people write; the model is loaded when we start, or by the first
    message."""

    learn: bool = False
    at_start: bool = True


class TelegramSection(Section):
    """The bot on Telegram; none without a token."""

    token: str = Field("", pattern=r"^(\d+:[\w-]{30,})?$", repr=False)
    api: str = Field("", pattern=r"^(https?://[^\s/]+(/[^\s]*)?)?$")
    webhook: str = Field("", pattern=r"^(https://[^\s/]+/[\w./-]+)?$")
    webhook_host: str = "127.0.0.1"
    webhook_port: Port = 8088
    webhook_certificate: str = ""
    webhook_key: str = ""


class XmppSection(Section):
    """The bot on Jabber; none without an address."""

    jid: str = Field("", pattern=r"^([^@\s/]+@[^@\s/]+)?$", max_length=320)
    password: str = Field("", repr=False, max_length=256)
    host: str = Field("", max_length=253)
    port: Port = 5222
    direct_tls: bool = False
    ca_file: str = ""
    component: str = Field("", pattern=r"^([A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)?$", max_length=253)
    component_secret: str = Field("", repr=False, max_length=256)
    component_host: str = "127.0.0.1"
    component_port: Port = 5347


class ChatSection(Section):
    """Conversations, on whatever network."""

    confirm: bool = True
    confirm_contacts: bool = True
    keep_days: float = Field(30, gt=0, le=36_500)


class LimitsSection(Section):
    trunk_calls_at_once: int = Field(4, ge=0)
    trunk_calls_per_hour: int = Field(60, ge=0)
    trunk_minutes_per_day: int = Field(600, ge=0)
    texts_per_hour: int = Field(30, ge=0)
    countries: Countries = ()
    denied_countries: Countries = ()
    premium_numbers: bool = False
    ask_owner: bool = True
    night: tuple[Hour, Hour] = (22, 6)
    night_calls_per_hour: int = Field(10, ge=0)
    hold_minutes: float = Field(60, gt=0)


class GuardSection(Section):
    requests_per_second: float = Field(50, gt=0)
    failures: int = Field(10, ge=1)
    ban_seconds: float = Field(300, ge=0)


class WebSection(Section):
    """The web server, for links that set phones up."""

    on: bool = True
    host: str = ""
    port: Port = 8443
    public_url: str = Field("", pattern=r"^(https://[^\s/?#]+(/[\w./-]*)?)?$", max_length=300)
    sip_host: str = Field("", pattern=r"^[A-Za-z0-9.\-:]*$", max_length=253)
    private_webhooks: bool = False

    @property
    def names(self) -> Sequence[str]:
        """What phones that are set up here call us by, so far as that is configured."""
        return [name for name in (urlsplit(self.public_url).hostname, self.sip_host) if name]


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    traces_days: float = Field(30, ge=0, le=36_500)


class ExtensionSection(Section):
    number: Number
    name: str = Field("", max_length=80)
    secret: str = Field("", max_length=128, repr=False)
    srtp: SrtpPolicy = SrtpPolicy.OFFER
    script: str = ""
    countries: Countries = ()
    denied_countries: Countries = ()


class GroupSection(Section):
    """Extensions, and numbers, that are rung together."""

    number: Number
    name: str = Field("", max_length=80)
    members: tuple[Annotated[str, Field(pattern=r"^(\d{2,6}|\+[1-9]\d{6,14})$")], ...] = Field(
        min_length=1, max_length=20
    )
    in_turn: bool = False


class TrunkSection(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9_\-]{1,40}$")
    zone: str = Field(pattern=r"^[A-Z]{2,3}$")
    host: str = Field(pattern=r"^[A-Za-z0-9.\-_:\[\]]+$", max_length=253)
    port: Port = 0
    transport: Literal["auto", "udp", "tcp", "tls"] = "auto"
    outbound_proxy: str = Field("", pattern=r"^[^\s<>\"]*$", max_length=512)
    numbers: tuple[E164, ...] = ()
    username: str = ""
    password: str = Field("", repr=False)
    register_there: bool = Field(False, alias="register")
    dial: str = Field("+{number}", pattern=r"^[^@<>\s]*\{number\}[^@<>\s]*$")
    srtp: SrtpPolicy = SrtpPolicy.OFF
    max_calls: int = Field(20, ge=1)
    countries: Countries = ()
    denied_countries: Countries = ()
    verify_tls: bool = True
    ca_file: str = ""
    texts: bool = False
    trusted: bool = False

    @field_validator("outbound_proxy")
    @classmethod
    def _is_proxy(cls, value: str) -> str:
        """A URI; what is not a loose router today is not a proxy at all (RFC 3261 §16.12)."""
        if not value:
            return value
        uri = value if value.lower().startswith(("sip:", "sips:")) else f"sip:{value}"
        try:
            Where.of(uri)
        except ParseError as error:
            raise ValueError(f"{value!r} is not a SIP URI like sip:proxy.example.com") from error
        return uri if ";lr" in uri.lower() else f"{uri};lr"


class RouteSection(Section):
    number: str = Field(pattern=r"^(\*|\+[1-9]\d{6,14})$")
    to: Number


class BroadcastSection(Section):
    """A number that one phone shows and speaks under, and all others watch."""

    number: Number
    name: str = Field("", max_length=80)
    sender: str = Field("", pattern=r"^(\d{2,6})?$")
    watchers: int = Field(50, ge=1, le=200)
    pause: float = Field(60, ge=0, le=3_600)


Pin = Annotated[str, Field(pattern=r"^(\d{4,12})?$", repr=False)]


class RoomSection(Section):
    """A conference that one dials into."""

    number: Number
    name: str = Field("", max_length=80)
    pin: Pin = ""
    moderator_pin: Pin = ""
    owner: str = Field("", pattern=r"^(\d{2,6})?$")
    max: int = Field(MAX_PARTIES, ge=2, le=MAX_PARTIES)
    locked: bool = False

    @model_validator(mode="after")
    def _pins_differ(self) -> RoomSection:
        if self.pin and self.pin == self.moderator_pin:
            raise ValueError("pin and moderator_pin must differ")
        return self


class DemoSection(Section):
    carrier: bool = False
    phones: tuple[Number, ...] = ()


class Config(BaseSettings):
    """The whole file. Environment variables win, `ENCRYPTOTEL_EXCHANGE__UDP_PORT=5070`, and then
    files with secrets."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="ENCRYPTOTEL_", env_nested_delimiter="__"
    )

    exchange: ExchangeSection = ExchangeSection()
    database: DatabaseSection = DatabaseSection()
    cluster: ClusterSection = ClusterSection()
    network: NetworkSection = NetworkSection()
    media: MediaSection = MediaSection()
    menus: MenusSection = MenusSection()
    calls: CallsSection = CallsSection()
    owner: OwnerSection = OwnerSection()
    language: LanguageSection = LanguageSection()
    answerphone: AnswerphoneSection = AnswerphoneSection()
    chat: ChatSection = ChatSection()
    telegram: TelegramSection = TelegramSection()
    xmpp: XmppSection = XmppSection()
    reminders: RemindersSection = RemindersSection()
    calendars: CalendarsSection = CalendarsSection()
    money: MoneySection = MoneySection()
    waves: WavesSection = WavesSection()
    wallet: WalletSection = WalletSection()
    sms: SmsSection = SmsSection()
    recording: RecordingSection = RecordingSection()
    limits: LimitsSection = LimitsSection()
    guard: GuardSection = GuardSection()
    web: WebSection = WebSection()
    log: LogSection = LogSection()
    demo: DemoSection = DemoSection()
    extension: tuple[ExtensionSection, ...] = ()
    group: tuple[GroupSection, ...] = ()
    tariff: tuple[TariffSection, ...] = ()
    trunk: tuple[TrunkSection, ...] = ()
    route: tuple[RouteSection, ...] = ()
    broadcast: tuple[BroadcastSection, ...] = ()
    room: tuple[RoomSection, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        assert isinstance(init_settings, InitSettingsSource)
        secrets = secrets_in_files(settings_cls, init_settings.init_kwargs)
        return env_settings, InitSettingsSource(settings_cls, secrets), init_settings

    @field_validator("extension")
    @classmethod
    def _complete(cls, value: tuple[ExtensionSection, ...]) -> tuple[ExtensionSection, ...]:
        numbers = [extension.number for extension in value]
        doubled = {number for number in numbers if numbers.count(number) > 1}
        if doubled:
            raise ValueError(f"extension {', '.join(sorted(doubled))} is there twice")
        for extension in value:
            if extension.number == ECHO:
                raise ValueError(f"{ECHO} is the echo test; choose another number")
            if not extension.secret and not extension.script:
                raise ValueError(f"extension {extension.number} needs a secret (or a script)")
        return value

    @model_validator(mode="after")
    def _share_a_database(self) -> Config:
        if self.cluster.address and not self.database.url:
            raise ValueError("cluster.address needs [database] url: several share one database")
        return self

    @model_validator(mode="after")
    def _plans_can_be_told_apart(self) -> Config:
        plans = [tariff.plan(self.money.asset) for tariff in self.tariff]
        if any(plan.price < 0 for plan in plans):
            raise ValueError("a tariff costs less than nothing")
        if len({plan.name.casefold() for plan in plans}) < len(plans):
            raise ValueError("two tariffs have the same name")
        zones: dict[str, str] = {}
        for plan in plans:
            for one in plan.included:
                for prefix in one.prefixes:
                    if zones.setdefault(prefix, one.name) != one.name:
                        raise ValueError(f"minutes to {prefix} go by two names")
        if plans and not self.money.rates:
            raise ValueError("tariffs need [money] rates")
        return self

    @model_validator(mode="after")
    def _what_is_paid_in_buys_something(self) -> Config:
        if self.waves.address and not (self.money.rates and self.waves.prices):
            raise ValueError("waves.address needs [money] rates and [waves] prices beside it")
        return self

    @model_validator(mode="after")
    def _numbers_once(self) -> Config:
        taken = {ECHO, *(extension.number for extension in self.extension)}
        for kind, sections in (
            ("group", self.group),
            ("broadcast", self.broadcast),
            ("room", self.room),
        ):
            for section in sections:
                if section.number in taken:
                    raise ValueError(f"the number {section.number} of a {kind} is taken")
                taken.add(section.number)
        return self

    @field_validator("trunk")
    @classmethod
    def _named_once(cls, value: tuple[TrunkSection, ...]) -> tuple[TrunkSection, ...]:
        names = [trunk.name for trunk in value]
        if len(set(names)) < len(names):
            raise ValueError("two trunks have the same name")
        return value


def load(path: Path, *, whole: bool = False) -> Config:
    """Read a file. Raises `ConfigError` with one clear line; with `whole` also when there is
    nothing in it, because somebody may be writing it just now."""
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise ConfigError(f"{path} is larger than a configuration can be")
        text = path.read_text("utf-8")
        if whole and not text.strip():
            raise ConfigError(f"{path} is empty")
        data = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        return Config(**data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = "there is no such option; see config.example.toml"
        raise ConfigError(f"{path}: {place}: {message}") from error


def new_secret() -> str:
    """A SIP password that can be typed into a phone: 80 bits in unmistakable letters."""
    return "".join(secrets.choice(UNMISTAKABLE) for _ in range(16))


def fresh(*, demo: bool) -> str:
    """The text of a new configuration with three extensions and fresh secrets."""
    people = (("101", "Alice"), ("102", "Bob"), ("103", "Carol"))
    extensions = "\n".join(
        f'[[extension]]\nnumber = "{number}"\nname = "{name}"\nsecret = "{new_secret()}"\n'
        for number, name in people
    )
    phones = '["101", "102"]' if demo else "[]"
    return f"""\
# EncryptoTel's configuration. Every option, explained: config.example.toml

[exchange]
host = "127.0.0.1"         # "0.0.0.0" serves your network: softphones on other machines
domain = "encryptotel.local"
udp_port = 5060
tcp_port = 5060
tls_port = 5061
free_ports = true          # when a port is taken use a free one and say which

[owner]                    # you, at the console
extension = "101"          # rung when a command does not say where to call you back
region = "US"              # country of numbers written without +
timezone = "UTC"

[limits]                   # for calls that leave through a trunk
trunk_calls_at_once = 4
trunk_calls_per_hour = 60
countries = []             # empty = the countries of your own lines

# The phones. `encryptotel extension add 104 --name Dan` adds one while the exchange runs.
{extensions}
# The way to the telephone network: uncomment and fill in what your carrier gave you.
#[[trunk]]
#name = "carrier-us"
#zone = "US"
#host = "sip.example.com"
#numbers = ["+12025550100"]
#username = "account"
#password = "password"
#register = true

#[[route]]                 # which extension an incoming number rings
#number = "+12025550100"
#to = "101"

[demo]                     # a toy telephone network and built-in phones, to try things out
carrier = {str(demo).lower()}
phones = {phones}
"""
