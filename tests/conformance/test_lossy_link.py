"""Calls over a link that loses a tenth of all SIP messages, doubles and reorders others and
delays each: every one comes about, ends with BYE and stands in the journal as it was.

By default a few dozen calls, with `make soak` five hundred; the same code. First in virtual
time, where the seed decides everything, then the running program with SIPp on both sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from encryptotel.demo.phone import Behaviour, Phone
from encryptotel.journal import Journal
from pbx.calls.leg import Leg, LegOver
from pbx.calls.services import Service
from pbx.calls.wishes import Wishes
from pbx.events import CallEnded, CallTraced, Event
from pbx.exchange import Exchange, Settings
from pbx.media.srtp import SrtpPolicy
from pbx.ports import Account, CallRefused, Extension, Permit, Trunk
from pbx.sip.digest import Credentials
from store.database import Database
from store.journal import recent_calls
from store.tables import CallRow, LegRow
from tests.pbx import virtual_time
from tests.peers import ports
from tests.peers.exchange import Config
from tests.peers.exchange import Exchange as Program
from tests.peers.exchange import Extension as Phoned
from tests.peers.proc import missing

from .cases import takes_and_waits
from .field import SECRET, register
from .link import Address, Link
from .scenario import Callee, Caller, Side

SEED = int(os.environ.get("LINK_SEED", "1"))
SERVER = ("192.0.2.1", 5060)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
TALK = 3.0
"Seconds the caller talks; the callee of every second call hangs up after one less."
EVERY = 0.1
"Seconds between calls."
soak = pytest.mark.soak


class People:
    """A directory of two, and a gatekeeper nobody comes to."""

    def __init__(self, *numbers: str) -> None:
        self._people = {number: Extension(number=number, secret=number) for number in numbers}

    def extension(self, number: str) -> Extension | None:
        return self._people.get(number)

    def extensions(self) -> list[Extension]:
        return list(self._people.values())

    def account(self, username: str) -> Account | None:
        extension = self.extension(username)
        if extension is None:
            return None
        return Account(username=username, secret=extension.secret, extension=extension)

    def trunks(self) -> list[Trunk]:
        return []

    def wishes(self, number: str) -> Wishes:
        return Wishes()

    def service(self, dialled: str) -> tuple[Service, str] | None:
        return None

    def route(self, number: str) -> str | None:
        return None

    def admit(self, user: str, trunk: Trunk, number: str) -> Permit:
        raise CallRefused(403, "nobody calls out here")

    def release(self, permit: Permit) -> None:
        raise AssertionError("no permit was given")


class QuietPhone(Phone):
    """A phone that neither speaks nor listens, so that only SIP costs time."""

    async def _attend(self, leg: Leg) -> None:
        with contextlib.suppress(LegOver):
            await self._behave(self, leg)


@dataclass
class Town:
    """An exchange and two phones, each behind a bad link, in virtual time."""

    exchange: Exchange
    caller: Phone
    links: list[Link]
    events: list[Event]
    invited: set[str] = field(default_factory=set)
    over: set[str] = field(default_factory=set)
    "Call-IDs of the INVITEs and of the answered BYEs on both links."

    def note(self, data: bytes) -> None:
        text = data.decode()
        if text.startswith("INVITE "):
            self.invited.add(_call_id(text))
        elif text.startswith(("SIP/2.0 200 ", "SIP/2.0 481 ")) and " BYE\r\n" in text:
            self.over.add(_call_id(text))  # 481: both hung up, and the BYEs crossed


@contextlib.asynccontextmanager
async def town(callee: Behaviour, ring: float = 1.0) -> AsyncIterator[Town]:
    """In the end nothing may be left: no call, dialog, transaction or leg."""
    events: list[Event] = []
    people = People("101", "102")
    settings = Settings(
        domain="pbx.example", advertise=SERVER[0], media_host="127.0.0.1",
        rtp_first=20_000, rtp_last=29_998,
    )  # fmt: skip
    exchange = Exchange(
        settings, people, people, events.append,
        now=lambda: EPOCH + timedelta(seconds=virtual_time.now()),
    )  # fmt: skip
    await exchange.listen("udp", SERVER)
    exchange.start()
    phones, links = [], []
    for index, (number, behave) in enumerate((("101", nothing), ("102", callee))):
        host = f"192.0.2.{10 + index}"
        link = await Link.open(SERVER, SEED + index, front=(host, 5060), back=(host, 5070))
        phone = QuietPhone(behave, host="127.0.0.1", srtp=SrtpPolicy.OFF, ring_seconds=ring)
        await phone._stack.transports.listen_udp((f"192.0.2.{20 + index}", 5060))
        account = Credentials(username=number, secret=number)
        assert await phone.register(link.front, account, "pbx.example") == 200
        phones.append(phone)
        links.append(link)
    made = Town(exchange, phones[0], links, events)
    for link in links:
        link.on_datagram = made.note
    yield made
    await asyncio.sleep(64)  # the last answers, repeats and traces
    for link in links:
        for way in (link.up, link.down):
            assert way.passed < 200 or abs(way.lost / way.passed - 0.1) < 0.05, str(link)
    for phone in phones:
        assert not phone.legs, "a phone thinks a call goes on"
        await phone.stop()
    assert not exchange.calls
    assert exchange.stack.dialogs == 0, "dialogs were left"
    await asyncio.sleep(64)
    assert len(exchange.stack.transactions) == 0, "transactions were left"
    await exchange.stop()


async def nothing(phone: Phone, leg: Leg) -> None:
    """The caller is led by the campaign."""


@dataclass(frozen=True)
class Truth:
    """A call as the caller saw it."""

    answered: float
    ended: float
    hung_up: bool


async def campaign(calls: int) -> tuple[list[Event], dict[str, Truth]]:
    """`calls` calls, each answered; every second time the callee hangs up."""
    truths: dict[str, Truth] = {}
    taken = 0

    async def callee(_: Phone, leg: Leg) -> None:
        nonlocal taken
        taken += 1
        if taken % 2:
            await asyncio.sleep(TALK - 1)
            leg.hang_up()
        await leg.ended()

    async with town(callee) as made:

        async def one(after: float) -> None:
            await asyncio.sleep(after)
            leg = await made.caller.call("102")
            answered = virtual_time.now()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TALK):
                    await leg.ended()
            hung_up = leg.ending is None
            truths[leg.call_id] = Truth(answered, virtual_time.now(), hung_up)
            leg.hang_up()

        outcomes = await asyncio.gather(
            *(one(EVERY * index) for index in range(calls)), return_exceptions=True
        )
    failures = [outcome for outcome in outcomes if outcome is not None]
    assert not failures, (
        f"{len(failures)} of {calls} calls failed, first: {failures[0]}\n{ladders(made.events)}"
    )
    assert len(made.invited) == 2 * calls, "one dialog a side and call"
    assert made.invited == made.over, "each ended by a BYE that was answered"
    return made.events, truths


async def change_of_mind(calls: int) -> tuple[list[Event], Counter[bool]]:
    """The caller gives up at any moment of ringing, or just when the callee answers."""

    async def callee(_: Phone, leg: Leg) -> None:
        await leg.ended()

    answered: Counter[bool] = Counter()
    chance = random.Random(SEED)
    async with town(callee) as made:

        async def one(after: float, patience: float) -> None:
            await asyncio.sleep(after)
            calling = asyncio.ensure_future(made.caller.call("102"))
            await asyncio.sleep(0)
            leg = made.caller.legs[-1]
            await asyncio.wait([calling], timeout=patience)
            leg.hang_up()
            await asyncio.wait([calling])
            answered[calling.exception() is None] += 1

        await asyncio.gather(
            *(one(EVERY * index, chance.uniform(0.3, 3.0)) for index in range(calls))
        )
    return made.events, answered


def check(events: list[Event], truths: dict[str, Truth], calls: int) -> None:
    """The journal's tables, written from these events, tell the truth the caller saw."""
    rows = asyncio.run(written(events))
    assert len(rows) == calls, "a repeated INVITE counted as a call of its own"
    assert Counter(row.status for row, _ in rows) == {200: calls}
    seen: dict[str, Truth] = {}
    for event in events:
        if isinstance(event, CallTraced):
            call_ids = {_call_id(line.text) for line in event.lines}
            (seen[event.call_id],) = (truths[one] for one in call_ids if one in truths)
    assert len(seen) == calls
    for row, legs in rows:
        assert len(legs) == 2
        for leg in legs:
            assert leg.answered_at is not None
            assert leg.ended_at is not None
            assert leg.status == 200, leg
        assert row.answered_at is not None
        assert row.ended_at is not None
        truth, lasted = seen[row.id], (row.ended_at - row.answered_at).total_seconds()
        # The 200 may be lost five times (0.5 + 1 + 2 + 4 + 4 s), and the BYE too.
        assert abs(lasted - (truth.ended - truth.answered)) < 16, (row, truth)


def ladders(events: list[Event]) -> str:
    """The messages of the calls that did not end well, as the exchange saw them."""
    bad = {one.call_id for one in events if isinstance(one, CallEnded) and one.status != 200}
    traced = (one for one in events if isinstance(one, CallTraced))
    return "\n\n".join(ladder(one) for one in traced if one.call_id in bad)


def ladder(traced: CallTraced) -> str:
    return "\n".join(
        f"{line.at:%M:%S.%f} {'->' if line.sent else '<-'} {line.peer} {line.summary}"
        for line in traced.lines
    )


def _call_id(text: str) -> str:
    return text.partition("Call-ID: ")[2].partition("\r\n")[0]


async def written(events: list[Event]) -> list[tuple[CallRow, list[LegRow]]]:
    """What the journal makes of the events."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "journal.db")
        await database.open()
        journal = Journal(database)
        journal.start()
        for event in events:
            journal.take(event)
        await journal.close()
        found = await recent_calls(database, limit=10_000)
        await database.close()
    return found


@pytest.mark.parametrize("calls", [60, pytest.param(500, marks=soak)])
def test_every_call_comes_about_and_ends(calls: int) -> None:
    events, truths = virtual_time.run(campaign(calls))
    assert sum(isinstance(event, CallEnded) for event in events) == calls
    hung_up = Counter(truth.hung_up for truth in truths.values())
    assert min(hung_up[True], hung_up[False]) > calls / 4, "both sides hang up"
    check(events, truths, calls)


@pytest.mark.parametrize("calls", [60, pytest.param(500, marks=soak)])
def test_a_change_of_mind_leaves_nothing_behind(calls: int) -> None:
    """CANCEL, the answers to it and the ACK are lost like all else, and cross the 200."""
    events, answered = virtual_time.run(change_of_mind(calls))
    assert min(answered[True], answered[False]) > calls / 10, "some are in time, some are not"
    rows = asyncio.run(written(events))
    begun = {row.id for row, _ in rows}
    assert len(begun) <= calls, "given up before the exchange heard of it, or one call each"
    assert len(begun) > calls * 0.8
    for row, legs in rows:
        assert row.ended_at is not None
        assert row.status in (200, 487), row
        assert (row.status == 200) == (row.answered_at is not None), row
        assert all(leg.ended_at is not None for leg in legs), legs


# ── the running program, SIPp on both sides ─────────────────────────────────────────────────
RATE = 5
"Calls a second of each pair of phones."


@dataclass(frozen=True)
class Pair:
    """Two phones, and who of them hangs up."""

    caller: str
    callee: str
    sides: tuple[Side, Side]


def pairs() -> list[Pair]:
    """SIPp keeps to its script, so who hangs up is decided beforehand."""
    hangs_up, waits = Caller().invite().answered(), Caller().invite().answered()
    return [
        Pair("201", "301", (hangs_up.pause(500).hang_up().linger(4000), takes_and_waits(4000))),
        Pair("202", "302", (
            waits.hung_up().linger(4000),
            Callee().invited().takes().pause(500).hang_up().linger(4000),
        )),
    ]  # fmt: skip


async def sipp(folder: Path, side: Side, name: str, server: Address, port: int, number: str,
               calls: int, to: str = "") -> int:  # fmt: skip
    """One SIPp through a bad link: it repeats what is not answered, and may be told anything."""
    (folder / f"{name}.xml").write_text(side.xml())
    argv = [
        "sipp", "-sf", f"{name}.xml", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", str(port),
        "-m", str(calls), "-r", str(RATE), "-l", "500", "-nostdin", "-aa",
        "-default_behaviors", "all,-abortunexp", "-max_retrans", "12",
        "-max_invite_retrans", "8", "-trace_err", "-error_file", f"{name}.err",
        "-timeout", f"{60 + calls // RATE}s", "-timeout_error", "-cp", str(ports.free_port()),
        "-au", number, "-ap", SECRET, "-key", "from_user", number,
        "-key", "rtp_port", str(ports.free_port()),
    ]  # fmt: skip
    if to:
        argv += ["-s", to, f"{server[0]}:{server[1]}"]
    child = await asyncio.create_subprocess_exec(
        *argv, cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        return await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


def _tails(folder: Path) -> list[str]:
    return [path.read_text()[-2000:] for path in folder.glob("*.err")]


@pytest.mark.interop
@pytest.mark.skipif(bool(missing("sipp")), reason="not installed: sipp")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("calls", [10, pytest.param(250, marks=soak)])
async def test_sipp_calls_through_the_running_program(calls: int, tmp_path: Path) -> None:
    """`calls` of each pair."""
    played = pairs()
    numbers = [number for pair in played for number in (pair.caller, pair.callee)]
    room = 120 if calls < 50 else 600  # RTP ports: four a call that is up
    first = ports.free_range(room)
    config = Config(
        [Phoned(number, SECRET) for number in numbers],
        extra={"owner": {"extension": "201"}, "media": {"rtp_ports": [first, first + room - 2]}},
    )
    async with Program(config) as exchange:
        links, runs = [], []
        for index, pair in enumerate(played):
            caller = await Link.open(exchange.udp, SEED + 10 + index)
            callee = await Link.open(exchange.udp, SEED + 20 + index)
            links += [caller, callee]
            near, far = ports.free_port(), ports.free_port()
            await register(caller.front, pair.caller, SECRET, near)
            await register(callee.front, pair.callee, SECRET, far)
            runs.append(sipp(tmp_path, pair.sides[1], pair.callee, exchange.udp, far,
                             pair.callee, calls))  # fmt: skip
            runs.append(sipp(tmp_path, pair.sides[0], pair.caller, caller.front, near,
                             pair.caller, calls, pair.callee))  # fmt: skip
        codes = await asyncio.gather(*runs)
        errors = "\n".join(_tails(tmp_path))
        found = (await exchange.cli("calls", "--limit", "1000"))["calls"]
        for link in links:
            assert link.up.lost, str(link)
            link.close()
    journal = Counter((one["state"], one["status"], bool(one["answered"])) for one in found)
    assert journal == {("ended", 200, True): calls * len(played)}, f"{journal}\n{errors}"
    for one in found:
        assert len(one["legs"]) == 2, one
        assert all(leg["ended"] for leg in one["legs"]), one
    assert not any(codes), f"{codes}\n{errors}"
