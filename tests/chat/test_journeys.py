"""The journeys of `tests/journeys`, plain text anybody can read, on each front end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import base58
import pytest
from aiohttp import ClientSession

from bot.ports import Role
from encryptotel.accounts import give
from encryptotel.config import BroadcastSection, Config, MoneySection, WavesSection
from encryptotel.demo.phone import Phone, plays
from encryptotel.keys import identity_of
from encryptotel.operator import EXCUSE
from encryptotel.people import OWNER
from encryptotel.sealed import opened
from pbx.calls.leg import Leg
from pbx.events import LegRinging, LegStarted
from pbx.media import ogg
from pbx.media.codecs import RATE
from pbx.media.srtp import SrtpPolicy
from pbx.media.tones import share_of, tone
from pbx.orders import Orders
from pbx.ports import CallRefused
from tests.calendars.test_sources import server
from tests.calls.cameras import VideoPhone, video
from tests.calls.sealed_phone import SealedPhone
from tests.calls.test_answerphone import SAID, leaves_a_message
from tests.calls.test_calendars import Feed, soon, tomorrow
from tests.calls.test_calendars import file as calendar_file
from tests.calls.test_callback import telephone_network
from tests.calls.test_recording import SEED, seed_key
from tests.calls.test_texts import carrier
from tests.calls.writers import Writer
from tests.chat.talkers import FRONT_ENDS, Stage, on_ejabberd, on_webhook
from tests.hearing import lately, match
from tests.office import NEVER, quiet
from tests.peers.proc import missing
from tests.peers.waves_js import READY, waves_js
from tests.peers.waves_node import Chain, waves_node
from tests.peers.zbar import scanned
from tests.web.site import entries
from wallet.chain import DEEP
from wallet.money import WAVES

OURS = "3PJaDyprvekvPXPuAtxrapacuDJopgJRaU3"
RATES = """prefix,name,price,fee,increments
1,USA,6,0,1/1
49,Germany,0.0123,0.05,30/6
"""
_FOLDER = Path(__file__).parent.parent / "journeys"
JOURNEYS = {file.stem: file.read_text("utf-8") for file in sorted(_FOLDER.glob("*.txt"))}
WITHIN = 30.0


class Journey:
    """One file being played. `seen` is how far each person has read."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage, self.folder = stage, folder
        self.seen: dict[str, int] = {}
        self.last: dict[str, str] = {}
        self.writers: dict[str, Writer] = {}
        self.on_line: dict[str, Phone] = {}
        self.servers = AsyncExitStack()
        self.chain = Chain()
        self.steps: list[tuple[re.Pattern[str], Callable[..., Awaitable[None]]]] = [
            (re.compile(r"Alice's phone is there"), self.phone),
            (re.compile(r"Alice's calendar has the Choir .*"), self.calendar),
            (re.compile(r"Alice gives the address of her calendar"), self.gives_address),
            (re.compile(r"Alice's calendar cannot be reached"), self.breaks_calendar),
            (re.compile(r"Alice's phone says “(.+)” and (\d) is pressed"), self.told),
            (re.compile(r"(\w+) says  my key is Alice's public key"), self.says_key),
            (re.compile(r"(\w+) can open the file with her seed"), self.opens),
            (re.compile(r"Alice's phone scans the picture"), self.scans),
            (re.compile(r"Alice's phone can register no more"), self.is_out),
            (re.compile(r"Carol's phone is there"), self.carols_phone),
            (re.compile(r"the room Team is there"), self.room),
            (re.compile(r"Bob's phone dials (\d+)"), self.dials),
            (re.compile(r"the telephone network is there"), self.network),
            (re.compile(r"people may pay in with WAVES or ETT"), self.pay_in),
            (re.compile(r"(\w+) pays that"), self.pays),
            (re.compile(r"a node of the test chain is there"), self.test_chain),
            (re.compile(r"somebody fills Alice's wallet with (\d+) WAVES"), self.fills),
            (re.compile(r"that transaction is on the chain"), self.on_chain),
            (re.compile(r"Alice's phone dials (\S+) and keys  (\S+)"), self.dials_and_keys),
            (re.compile(r"Alice's phone keys  (\S+)"), self.keys),
            (re.compile(r"Alice's phone hears the warning tone"), self.warned),
            (re.compile(r"the chain makes a block"), self.block),
            (re.compile(r"the chain makes four blocks"), self.blocks),
            (re.compile(r"the chain undoes it"), self.undo),
            (re.compile(r"calls cost ten cents a second, and Alice has (.+) EUR"), self.charges),
            (re.compile(r"Carol rings Alice and gives up"), self.rings),
            (re.compile(r"Carol rings Alice"), self.keeps_ringing),
            (re.compile(r"Carol rings Alice again"), self.rings_again),
            (re.compile(r"Carol rings Alice again and is declined"), self.rings_in_vain),
            (re.compile(r"Carol rings Alice, and their phones encrypt .*"), self.sealed),
            (re.compile(r"Alice's phone shows the door under (\d+)"), self.shows),
            (re.compile(r"Carol's phone watches (\d+)"), self.watches),
            (re.compile(r"(Alice|Carol)'s phone hangs up"), self.phone_hangs_up),
            (re.compile(r"Carol leaves Alice a message of three seconds"), self.leaves_a_message),
            (re.compile(r"(\w+) can listen to it"), self.listens),
            (re.compile(r"Carol's phone hears that it was declined"), self.declined),
            (re.compile(r"Carol's phone hears that she will be called back"), self.promised),
            (re.compile(r"Bob's phone reads and writes"), self.bob_writes),
            (re.compile(r"Bob's phone writes to (\S+)  (.+)"), self.writes),
            (re.compile(r"(Bob's phone) reads from (\S+)  (.+)"), self.reads),
            (re.compile(r"the telephone network takes messages"), self.takes_messages),
            (re.compile(r"(the telephone network) reads from (\S+)  (.+)"), self.reads),
            (re.compile(r"the telephone network was called (\d+) times"), self.called),
            (re.compile(r"(\w+) joins as the owner"), self.owns),
            (re.compile(r"(\w+) uses the invitation"), self.joins),
            (re.compile(r"(\w+) says  (.+)"), self.says),
            (re.compile(r"(\w+) taps  (.+)"), self.taps),
            (re.compile(r"(\w+) sees  (.+)"), self.sees),
            (re.compile(r"(\w+) hears nothing more"), self.nothing),
            (re.compile(r"(\w+) saw that call in one message"), self.one_message),
        ]

    async def play(self, text: str) -> None:
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            for pattern, step in self.steps:
                if match := pattern.fullmatch(line.strip()):
                    try:
                        await step(*match.groups())
                    except AssertionError as error:
                        raise AssertionError(f"line {number}: {line}\n{error}") from error
                    break
            else:
                raise AssertionError(f"line {number} is no step: {line}")

    async def phone(self) -> None:
        self.alice, self.bob = [
            await self.stage.office.phone(number, Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
            for number in ("101", "102")
        ]

    async def calendar(self) -> None:
        """On a web server of ours, which the owner allows."""
        calendars = self.stage.office.app.operator.calendars
        calendars._section = calendars._section.model_copy(update={"private": True})
        events = soon(15.25, "Choir", uid="1"), tomorrow("Dinner")
        self.feed = Feed(calendar_file(*events, name="Private"))
        self.address = await self.servers.enter_async_context(server(self.feed))

    async def gives_address(self) -> None:
        (await self.stage.person("Alice")).says(f"sync my calendar {self.address}")

    async def breaks_calendar(self) -> None:
        self.feed.status = 503

    async def told(self, words: str, key: str) -> None:
        """Her phone rings; she hears something and presses a key."""
        spoken = await self.stage.office.app.exchange.speaker.say(words)

        async def hears(phone: Phone, leg: Leg) -> None:
            await phone.until_heard(lately(spoken))
            leg.audio.send_digit(key)
            await leg.ended()

        await self.stage.office.phone("101", Phone(hears, ring_seconds=0.1))

    async def room(self) -> None:
        office = self.stage.office
        config = Config.model_validate({"room": ({"number": "800", "name": "Team"},)})
        for each in (*office.beside, office):
            each.app.config = each.app.config.model_copy(update={"room": config.room})
            each.app.rooms.load(each.app.config)
        await office.at_home("800")

    async def dials(self, number: str) -> None:
        await self.bob.call(number)

    async def scans(self) -> None:
        """The picture is read by a scanner, and the phone does what Linphone does."""
        address = await scanned(await self.newest_file("Alice"))
        app = self.stage.office.app
        trusting = app.certificates.client_context()
        async with ClientSession() as session, session.get(address, ssl=trusting) as got:
            assert got.status == 200
            found = entries(await got.read())
        self.account = {
            "username": found["auth_info_0.userid"],
            "secret": found["auth_info_0.passwd"],
        }
        await self.stage.office.phone("101", Phone(quiet), transport="tls", **self.account)

    async def is_out(self) -> None:
        assert self.stage.office.app.exchange.registrar.bindings("101") == []
        with pytest.raises(AssertionError, match="403"):
            await self.stage.office.phone("101", Phone(quiet), transport="tls", **self.account)

    async def carols_phone(self) -> None:
        await self.stage.office.phone("103", Phone(plays(tone(1, 850.0)), ring_seconds=0.1))

    async def network(self) -> None:
        self.carrier = await telephone_network(self.stage.office, Phone(plays(tone(1, 620.0))))

    async def charges(self, sum_: str) -> None:
        """The host begins to."""
        app, unit = self.stage.office.app, self.stage.office.app.config.money.asset
        (app.data / "rates.csv").write_text(RATES)
        await give(app.database, unit, "101", unit.parse(sum_), "a present")
        app.config = app.config.model_copy(
            update={"money": MoneySection(rates="rates.csv", free=(), low="0.02")}
        )
        await self.opens_money()

    async def pay_in(self) -> None:
        """A node of the chain is there."""
        node = await self.servers.enter_async_context(waves_node(self.chain))
        app = self.stage.office.app
        prices = {"WAVES": "1.5", "ETT": "0.05"}
        waves = WavesSection(address=OURS, node=node.url, every=0.1, prices=prices)
        app.config = app.config.model_copy(update={"waves": waves})
        await self.opens_money()

    async def test_chain(self) -> None:
        """A node that takes transactions, whose signatures the official library checks."""
        js = await self.servers.enter_async_context(waves_js())
        node = await self.servers.enter_async_context(waves_node(self.chain, js))
        app = self.stage.office.app
        waves = WavesSection(chain="T", node=node.url, every=0.1)
        app.config = app.config.model_copy(update={"waves": waves})
        await app.wallets.stop()
        app._wire_second_factors(Orders(app.exchange))
        app.operator.wallets, app.operator.scenarios = app.wallets, app.scenarios
        app.directory.services.add(app.wallets.service())
        app.wallets.start()

    async def fills(self, amount: str) -> None:
        state = await self.stage.office.app.wallets._vaults.state("101")
        assert state is not None
        self.chain.given[state.address, WAVES] = int(amount) * 10**8

    async def on_chain(self) -> None:
        told = next(
            text for text in (await self.stage.person("Alice")).feed.items if "transaction" in text
        )
        id = re.search(r"transaction (\w+)", told)
        assert id is not None
        found = self.chain.find(id[1])
        assert found is not None
        assert found[1] > 0

    async def dials_and_keys(self, number: str, pressed: str) -> None:
        """Each key is a press that the exchange's own prompts need not end for."""
        await self.alice.call(number)
        await self.keys(pressed)

    async def keys(self, pressed: str) -> None:
        office = self.stage.office
        await office.until(lambda: any(leg.answered for leg in self.alice.legs))
        (leg,) = self.alice.legs
        for key in pressed:
            leg.audio.send_digit(key)
        async with asyncio.timeout(40):
            await leg.ended()

    async def warned(self) -> None:
        """Two short tones, before the money ends."""
        async with asyncio.timeout(WITHIN):
            await self.alice.until_heard(lambda heard: share_of(bytes(heard[-3200:]), 1400.0) > 0.5)

    async def opens_money(self) -> None:
        """As a start with that configuration does."""
        app = self.stage.office.app
        await app._open_money(None)
        app.gatekeeper._metering = app.operator.accounts._metering = app.metering
        app.operator.payments = app.payments
        if app.payments is not None:
            app.payments.start()

    async def pays(self, name: str) -> None:
        """What her wallet makes of the newest link."""
        person = await self.stage.person(name)
        text = next(text for text in reversed(person.feed.items) if "?recipient=" in text)
        link = re.search(r"#send/(\w+)\?recipient=(\w+)&amount=([\d.]+)&attachment=(\w+)", text)
        assert link is not None
        self.chain.put(
            {
                "type": 4, "sender": "3PMH7nn3Bn6ybv8mE2rgz2ryPvdodtYmTwq", "recipient": link[2],
                "assetId": link[1], "amount": round(float(link[3]) * 1e8),
                "attachment": base58.b58encode(link[4].encode()).decode(),
            }
        )  # fmt: skip

    async def block(self) -> None:
        self.chain.forge()

    async def blocks(self) -> None:
        self.chain.forge(DEEP + 1)

    async def undo(self) -> None:
        self.chain.roll_back(2, keep=False)
        self.chain.forge(2)

    async def rings(self) -> None:
        office = self.stage.office
        alice = await office.phone("101", Phone(quiet, ring_seconds=NEVER))
        carol = await office.phone("103", Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        calling = asyncio.ensure_future(carol.call("101"))
        await office.until(lambda: bool(office.of(LegRinging)))
        for leg in list(carol.legs):
            leg.hang_up()
        await asyncio.gather(calling, return_exceptions=True)
        await office.ended()
        await alice.stop()

    async def keeps_ringing(self) -> None:
        await self.stage.office.phone("101", Phone(quiet, ring_seconds=NEVER))
        self.carol = await self.stage.office.phone("103", Phone(quiet))
        await self.rings_again()

    async def rings_again(self) -> None:
        self.carols_call = asyncio.ensure_future(self.carol.call("101"))

    async def sealed(self) -> None:
        phones = [SealedPhone(ring_seconds=0.1, srtp=SrtpPolicy.OFF) for _ in range(2)]
        await self.stage.office.phone("101", phones[0])
        await self.stage.office.phone("103", phones[1])
        await phones[1].call("101")

    async def shows(self, number: str) -> None:
        office = self.stage.office
        section = BroadcastSection(number=number, name="The door", sender="101")
        for each in (*office.beside, office):
            each.app.config = each.app.config.model_copy(update={"broadcast": (section,)})
            each.app.broadcasts.configure([section])
        await office.at_home(number)
        self.on_line["Alice"] = await office.phone("101", VideoPhone(quiet, "red", video("H264")))
        await self.on_line["Alice"].call(number)

    async def watches(self, number: str) -> None:
        phone = VideoPhone(quiet, "blue", video("H264"))
        self.on_line["Carol"] = await self.stage.office.phone("103", phone)
        await phone.call(number)
        await phone.until_seen("red")

    async def phone_hangs_up(self, name: str) -> None:
        for leg in list(self.on_line[name].legs):
            leg.hang_up()

    async def rings_in_vain(self) -> None:
        await self.rings_again()
        await self.declined()

    async def leaves_a_message(self) -> None:
        carol = await self.stage.office.phone("103", Phone(leaves_a_message))
        await carol.call("101")

    async def says_key(self, name: str) -> None:
        (await self.stage.person(name)).says(f"my key is {seed_key()}")

    async def opens(self, name: str) -> None:
        """The newest file the person got is sound once it is opened."""
        file = self.folder / "call.ogg.age"
        file.write_bytes(await self.newest_file(name))
        assert opened(file, identity_of(SEED)).startswith(b"OggS")

    async def newest_file(self, name: str) -> bytes:
        person: Any = await self.stage.person(name)
        if hasattr(person, "messages"):
            return next(seen.file for seen in reversed(person.messages) if seen.file)
        if hasattr(person, "shown"):
            await person.feed.wait(lambda text: text.startswith("https://"), WITHIN)
            return await person.fetched(person.files[-1])
        return person.files[-1]

    async def listens(self, name: str) -> None:
        """The newest file the person got is the sound that Carol made."""
        content = await self.newest_file(name)
        assert share_of(ogg.decoded(content)[RATE:-RATE], SAID) > 0.9

    async def declined(self) -> None:
        with pytest.raises(CallRefused) as refused:
            await self.carols_call
        assert refused.value.status == 603

    async def bob_writes(self) -> None:
        self.writers["Bob's phone"] = Writer()
        await self.stage.office.phone("102", self.writers["Bob's phone"])

    async def takes_messages(self) -> None:
        self.writers["the telephone network"] = network = Writer()
        await carrier(self.stage.office, network)

    async def writes(self, to: str, words: str) -> None:
        assert (await self.writers["Bob's phone"].write(to, words)).good

    async def reads(self, who: str, sender: str, words: str) -> None:
        await self.writers[who].reads(sender, words)

    async def promised(self) -> None:
        leg = await self.carols_call
        await leg.ended()
        app = self.stage.office.app
        excuse = await app.exchange.speaker.say(EXCUSE.format(name=app.person.name))
        heard = bytes(self.carol.heard)
        assert abs(len(heard) - len(excuse)) < RATE
        assert match(heard, excuse) > 0.8

    async def called(self, times: str) -> None:
        calls = {leg.leg_id for leg in self.stage.office.of(LegStarted) if leg.trunk}
        assert len(calls) == int(times)

    async def owns(self, name: str) -> None:
        person = await self.stage.person(name)
        code = await self.stage.office.app.people.invite(name, role=Role.OWNER, person_id=OWNER)
        person.says(f"/start {code}")

    async def joins(self, name: str) -> None:
        inviter = self.last["Alice"]
        code = re.search(r"(?:start=|body=|code )([\w-]{16})", inviter)
        assert code, inviter
        (await self.stage.person(name)).says(code[1])

    async def says(self, name: str, text: str) -> None:
        (await self.stage.person(name)).says(text)

    async def taps(self, name: str, label: str) -> None:
        (await self.stage.person(name)).taps(label)

    async def sees(self, name: str, pattern: str) -> None:
        person = await self.stage.person(name)
        wanted = _like(pattern)
        since = self.seen.get(name, 0)
        self.last[name] = await person.feed.wait(wanted, WITHIN, since, what=pattern)
        at = next(i for i, t in enumerate(person.feed.items[since:], since) if wanted(t))
        self.seen[name] = at + 1

    async def nothing(self, name: str) -> None:
        """What others say is answered, and still nothing came."""
        person = await self.stage.person(name)
        before = len(person.feed.items)
        other = await self.stage.person("Alice")
        other.says("help")
        await self.sees("Alice", "*I place calls for you*")
        assert person.feed.items[before:] == []

    async def one_message(self, name: str) -> None:
        person: Any = await self.stage.person(name)
        if hasattr(person, "messages"):
            (card,) = [seen for seen in person.messages if "The call ended" in seen.text]
            assert card.edits >= 2
            assert card.buttons == []
        if hasattr(person, "shown"):
            assert len([text for text in person.shown.values() if "The call ended" in text]) == 1
            assert person.corrections >= 2


def _like(pattern: str) -> Callable[[str], bool]:
    """Whether a text is as the pattern says; what a typed reply could be is no part of it."""
    safe = pattern.replace("[", "[[]").replace("?", "[?]")

    def wanted(text: str) -> bool:
        return fnmatchcase(re.sub(r"\n\[ \d .* \]$", "", text), safe)

    return wanted


LONG = {"scenarios", "paying", "calendars"}
"Half a minute each: on the console, the same but for its looks, only in the long campaign."


def _played() -> Iterator[Any]:
    for file in JOURNEYS:
        for front_end in FRONT_ENDS:
            later = file in LONG and front_end == "console"
            marks = [pytest.mark.soak] if later else []
            yield pytest.param(front_end, file, marks=marks, id=f"{file}-{front_end}")


@pytest.mark.parametrize(("front_end", "file"), _played())
async def test_journey(front_end: str, file: str, tmp_path: Path) -> None:
    if file == "phone" and missing("zbarimg"):
        pytest.skip("not installed: zbarimg")
    if file == "scenarios" and not READY:
        pytest.skip("not installed: npm packages")
    if front_end == "jabber" and (gone := missing("prosody", "prosodyctl")):
        pytest.skip(f"not installed: {', '.join(gone)}")
    async with FRONT_ENDS[front_end](tmp_path) as stage:
        journey = Journey(stage, tmp_path)
        async with journey.servers:
            await journey.play(JOURNEYS[file])


@pytest.mark.parametrize("file", ["first_call", "in_a_call", "voice_message", "recorded", "phone"])
async def test_a_journey_over_a_webhook(tmp_path: Path, file: str) -> None:
    async with on_webhook(tmp_path) as stage:
        await Journey(stage, tmp_path).play(JOURNEYS[file])


@pytest.mark.interop
@pytest.mark.skipif(bool(missing("erl", "ejabberdctl")), reason="ejabberd is not installed")
@pytest.mark.parametrize(
    "file", ["first_call", "rejected", "missed_call", "voice_message", "together", "texts", "phone"]
)
async def test_a_journey_on_another_jabber_server(tmp_path: Path, file: str) -> None:
    async with on_ejabberd(tmp_path) as stage:
        await Journey(stage, tmp_path).play(JOURNEYS[file])


def test_there_are_journeys() -> None:
    assert len(JOURNEYS) >= 3
