"""A town for campaigns: three programs, PostgreSQL, Kamailio and two rtpengines, each a host of its
own on one network; phones that register once, a carrier, and somebody who writes on Telegram.

What people do and hear is noted down outside of the programs, and at the end what these know is
compared with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any

from sqlalchemy.exc import DBAPIError

from bot.reception import INTERRUPTED, TROUBLE
from encryptotel.accounts import give
from encryptotel.demo.phone import plays
from encryptotel.unread import PERHAPS
from pbx.calls.leg import Leg
from pbx.media.tones import share_of, tone
from pbx.ports import CallRefused
from pbx.sip.digest import Credentials
from store.database import Database
from tests.cluster.programs import Cluster, cluster
from tests.endurance.disks import Disk
from tests.endurance.program import DOMAIN, ROOT, OncePhone, Program
from tests.office import quiet
from tests.peers import telegram
from tests.peers.edge import Edge
from tests.peers.exchange import Trunk
from tests.peers.network import Host, Network, network
from tests.peers.postgres import Postgres, programs
from tests.peers.rtpengine import Rtpengine
from tests.peers.several import certificate_of, may_look
from wallet.ledger import CALLS, balances, verify
from wallet.money import Asset

log = logging.getLogger(__name__)

NODES = "six", "one", "three"
"Names by which PAYER is at home at the second, and the others at all three."
PAYER, WRITER = "111", "101"
CALLING, CALLED = ("102", "103", "104", "105"), ("106", "107", "108", "109")
IDLE = "110", "112"
"Two who call nobody else."
HIGH, LOW = 620.0, 440.0
"What those who are called let hear, and those who call."
NUMBER = "+12025550143"
EUR = Asset(id="EUR", name="EUR", decimals=2)
GIVEN = 10_000_000
MANY_PORTS = 600
"Of each rtpengine, which keeps those of a call for half a minute after it."
TRY = 4.0
"Seconds after which a person who hears nothing dials again."
OVER, IN_TROUBLE = "That is over.", TROUBLE.partition("{")[0]
WITHIN = 45.0
NEAR = 2.5
"Seconds that two notes of one moment may be apart."
REPORTS = ROOT / "build" / "chaos"


class Carrier(OncePhone):
    """The telephone network: answers all, and notes from when to when each call lasted."""

    def __init__(self, host: str) -> None:
        super().__init__(quiet, host=host)
        self.lasted: dict[Leg, list[datetime]] = {}

    async def accept(self, leg: Leg) -> None:
        self.lasted[leg] = [datetime.now(UTC)]
        try:
            await super().accept(leg)
        except CallRefused:
            del self.lasted[leg]
            raise

    def leg_ended(self, leg: Leg) -> None:
        super().leg_ended(leg)
        if leg in self.lasted:
            self.lasted[leg].append(datetime.now(UTC))


@dataclass
class Note:
    """What somebody wrote: to be reminded of a thing that nobody else is."""

    thing: str
    after: int
    "How many texts they had seen before."


@dataclass
class Harm:
    """What a fault may do to those who are in a call, or call meanwhile."""

    calls: bool = True
    "Whether new calls must come about."
    silent: bool = False
    "Whether the sound of calls that went on before may be gone for good."
    may_die: frozenset[str] = frozenset()
    "Programs that the others may take for dead; the calls of those they do may end."


@dataclass
class Town:
    network: Network
    postgres: Postgres
    nodes: Cluster
    hosts: dict[str, Host]
    "Of the programs by name, and `database` and `edge`."
    edge: Edge
    engines: list[Rtpengine]
    phones: dict[str, OncePhone]
    carrier: Carrier
    writer: telegram.User
    disks: Mapping[str, Disk]
    random: Random
    notes: list[Note] = field(default_factory=list)
    hurt: set[Leg] = field(default_factory=set)
    "Legs at the carrier of calls that a program had which was taken for dead."
    recovered: list[float] = field(default_factory=list)

    # ── what people do ──────────────────────────────────────────────────────────────────
    def write(self) -> None:
        """Ask by chat to be reminded in a moment."""
        thing = f"plant{len(self.notes)}x"
        self.notes.append(Note(thing, len(self.writer.feed.items)))
        self.writer.says(f"remind me in {self.random.randint(2, 5)} seconds to water {thing}")

    async def calls(self, caller: str, number: str) -> Leg | None:
        """One attempt; None when nothing comes of it in time."""
        phone = self.phones[caller]
        before = set(phone.legs)
        dialling = asyncio.ensure_future(phone.call(number))
        done, _ = await asyncio.wait((dialling,), timeout=TRY)
        if done:
            try:
                return dialling.result()
            except (CallRefused, OSError) as refused:
                log.warning("%s cannot call %s: %s", caller, number, refused)
                return None
        log.warning("%s hears nothing of %s", caller, number)
        for leg in set(phone.legs) - before:
            leg.hang_up()
        with suppress(CallRefused, OSError):
            (await dialling).hang_up()
        return None

    async def reaches(self, caller: str, number: str) -> Leg:
        """Dial until somebody answers."""
        async with asyncio.timeout(WITHIN):
            while (leg := await self.calls(caller, number)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.2)  # nobody dials faster
        return leg

    async def hears(self, number: str, hertz: float) -> None:
        """Wait until somebody hears a tone now."""
        phone = self.phones[number]
        phone.heard.clear()
        async with asyncio.timeout(WITHIN):
            await phone.until_heard(
                lambda heard: len(heard) >= 4000 and share_of(bytes(heard[-4000:]), hertz) > 0.5
            )

    async def both_hear(self, caller: str, called: str) -> None:
        await asyncio.gather(self.hears(caller, HIGH), self.hears(called, LOW))

    async def talks(self, caller: str, called: str) -> Leg:
        """Dial until both hear each other; whoever hears nothing hangs up and dials again."""
        async with asyncio.timeout(WITHIN):
            while True:
                leg = await self.reaches(caller, called)
                with suppress(TimeoutError):
                    async with asyncio.timeout(TRY):
                        await self.both_hear(caller, called)
                        return leg
                leg.hang_up()

    async def everything_works(self, caller: str, called: str) -> None:
        """Somebody calls somebody and both hear, and that can be read in the journal."""
        leg = await self.talks(caller, called)
        await self.rows(
            "SELECT id FROM call WHERE answered_at IS NOT NULL AND ended_at IS NULL AND "
            f"caller = '{caller}' AND callee = '{called}'"
        )
        leg.hang_up()

    async def rows(self, query: str, *, none: bool = False) -> None:
        """Wait until there are such rows, or none, however long the database is away before."""
        found: list[tuple[Any, ...]] = []
        try:
            async with asyncio.timeout(WITHIN):
                while True:
                    with suppress(DBAPIError, OSError):
                        found = await self.nodes.ask(query)
                        if bool(found) is not none:
                            return
                    await asyncio.sleep(0.05)  # the programs cannot tell us
        except TimeoutError:
            raise AssertionError(f"{query}: {found}") from None

    async def answered(self) -> None:
        """Wait until all that was written is answered, or said to be in doubt."""
        async with asyncio.timeout(WITHIN):
            for note in self.notes[-8:]:
                await self.writer.feed.wait(
                    lambda text, note=note: is_answer(text, note), WITHIN, note.after
                )

    def now(self) -> dict[str, int]:
        """How much each program has said so far."""
        return {name: len(one.process.lines.items) for name, one in self.nodes.programs.items()}

    async def told(self, words: str, since: Mapping[str, int]) -> None:
        """Wait until one of the programs says something."""
        waiting = [
            asyncio.ensure_future(one.process.wait_line(words, WITHIN, since[name]))
            for name, one in self.nodes.programs.items()
        ]
        try:
            await next(asyncio.as_completed(waiting))
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    # ── a round ─────────────────────────────────────────────────────────────────────────
    async def round(self, fault: Fault) -> None:
        """Two talk and one pays for a call while something happens; then all is as before."""
        random = self.random
        caller, again = random.sample(CALLING, 2)
        called, other = random.sample(CALLED, 2)
        homes, born = await self.nodes.spread(), await self._born()
        at = {caller: homes[caller], called: homes[called]}
        talk = await self.talks(caller, called)
        before = set(self.carrier.lasted)
        paid = await self.reaches(PAYER, NUMBER)
        outside = set(self.carrier.lasted) - before
        self.write()
        loop = asyncio.get_running_loop()
        async with fault(self) as harm:
            self.write()
            leg = await self.calls(again, other)
            if leg is None and harm.calls:
                leg = await self.reaches(again, other)
            if leg is not None:
                leg.hang_up()
            if random.random() < 0.3:
                paid.hang_up()
            await asyncio.sleep(random.uniform(0, 0.5))  # a fault lasts as long as it likes
        began = loop.time()
        await self.everything_works(again, other)
        self.recovered.append(loop.time() - began)
        log.warning(
            "round %d, %s: well after %.2f s",
            len(self.recovered), fault.__name__, self.recovered[-1],
        )  # fmt: skip
        after = await self._born()
        dead = {name for name in born if after.get(name) != born[name]}
        assert dead <= harm.may_die
        if not dead & set(at.values()):
            assert talk.ending is None, f"the call of {caller} and {called} ended: {talk.ending}"
            if not harm.silent:
                await self.both_hear(caller, called)
        if homes[PAYER] in dead:
            self.hurt |= outside
        talk.hang_up()
        paid.hang_up()
        await self.answered()
        await self.rows("SELECT id FROM call WHERE ended_at IS NULL", none=True)

    async def _born(self) -> dict[str, datetime]:
        """Since when each program is one of them."""
        return dict(await self.nodes.ask("SELECT name, since FROM node"))  # type: ignore[arg-type]

    # ── the oracle ──────────────────────────────────────────────────────────────────────
    async def check(self) -> None:
        """What the programs know is what happened."""
        await self._check_journal()
        await self._check_money()
        await self._check_chat()

    async def _check_journal(self) -> None:
        for table in ("call", "leg"):
            await self.rows(f"SELECT id FROM {table} WHERE ended_at IS NULL", none=True)
        await self.rows("SELECT leg FROM charge WHERE seconds IS NULL", none=True)

    async def _check_money(self) -> None:
        """Every charge once, and equal to what the call lasted; of one that a dead program had,
        to what it lasted while that was known to live."""
        assert (await verify(self.nodes.database)).faults == []
        rows = await self.nodes.ask(
            "SELECT c.answered_at, c.seconds, c.cost, (SELECT sum(p.amount) FROM entry e "
            f"JOIN posting p ON p.entry = e.id AND p.account = '{CALLS}' "
            "WHERE e.key = 'call:' || c.leg) FROM charge c ORDER BY c.answered_at"
        )
        lasted = sorted(self.carrier.lasted.items(), key=lambda one: one[1][0])
        charges = deque(rows)
        for leg, (begin, *over) in lasted:
            assert over or leg in self.hurt  # nobody hangs up for one that was killed
            end = over[0] if over else datetime.now(UTC)
            after = abs(charges[0][0].replace(tzinfo=UTC) - begin) if charges else timedelta.max
            if after.total_seconds() > NEAR:  # whoever called had hung up as it was answered
                assert (end - begin).total_seconds() < 1, f"no charge for a call from {begin}"
                continue
            _, seconds, cost, posted = charges.popleft()
            assert cost == (posted or 0)
            less = (end - begin).total_seconds() - seconds
            most = float("inf") if leg in self.hurt else NEAR
            assert -NEAR <= less <= most, f"{seconds} s of a call from {begin} to {end}"
        assert not charges
        found = await balances(self.nodes.database)
        paid = sum(cost for _, _, cost, _ in rows)
        assert found[f"credit/{PAYER}", "EUR"] == GIVEN - paid
        assert found.get((CALLS, "EUR"), 0) == paid

    async def _check_chat(self) -> None:
        """Each message was obeyed once, or said not to have been; who was told that they will be
        reminded was reminded once, or told that it was missed."""
        texts = self.writer.feed.items
        await self.rows("SELECT id FROM reminder", none=True)
        await self.rows("SELECT * FROM ring WHERE due IS NOT NULL", none=True)
        for note in self.notes:
            if any(promises(text, note) for text in texts):
                await self.writer.feed.wait(
                    lambda text, note=note: note.thing in text and not promises(text, note), WITHIN
                )
            about = [text for text in texts[note.after :] if f"{note.thing}" in text]
            promised = [text for text in about if promises(text, note)]
            reminded = [
                at for at, text in enumerate(texts) if at >= note.after and note.thing in text
            ]
            reminded = [at for at in reminded if texts[at] not in promised]
            assert len(promised) <= 1, about
            assert all(PERHAPS in texts[one:two] for one, two in pairwise(reminded)), about
            assert any(is_answer(text, note) for text in texts[note.after :])

    def report(self, name: str) -> None:
        """Say how long it took until all was well again, and leave that for a document."""
        if len(self.recovered) < 2:
            return
        times = sorted(self.recovered)
        low, middle, high = quantiles(times, method="inclusive")
        found = {
            "rounds": len(times),
            "seconds": {
                "min": times[0],
                "quartiles": [low, middle, high],
                "p99": quantiles(times, n=100, method="inclusive")[-1],
                "max": times[-1],
            },
        }
        REPORTS.mkdir(parents=True, exist_ok=True)
        text = json.dumps(found, indent=2, default=lambda value: round(value, 3))
        (REPORTS / f"{name}.json").write_text(re.sub(r"(\d+\.\d{3})\d+", r"\1", text) + "\n")
        log.warning("%s: %s", name, found)


Fault = Callable[[Town], AbstractAsyncContextManager[Harm]]


def promises(text: str, note: Note) -> bool:
    return note.thing in text and text.startswith("I shall remind")


def is_answer(text: str, note: Note) -> bool:
    """Whether a text says what became of a message, or that it is in doubt, or was too late."""
    return note.thing in text or text in (INTERRUPTED, OVER) or text.startswith(IN_TROUBLE)


@asynccontextmanager
async def town(
    folder: Path,
    *,
    seed: int,
    disks: Mapping[str, Disk] | None = None,
    ahead: Mapping[int, tuple[str, ...]] | None = None,
) -> AsyncIterator[Town]:
    """`disks` are where the `database` or the program `node1` has its data, `ahead` what some
    programs are started with."""
    disks = disks or {}
    where = programs()
    assert where is not None
    (folder / "rates.csv").write_text("prefix,name,price,fee,increments\n1,USA,0.6,0,1/1\n")
    async with AsyncExitStack() as stack:
        found = stack.enter_context(network())
        hosts = {name: found.add(name) for name in ("database", "edge", "sound0", "sound1")}
        nodes = [found.add(f"node{number}") for number in range(len(NODES))]
        nodes = [
            Host(one.address, one.before + (ahead or {}).get(number, ()))
            for number, one in enumerate(nodes)
        ]
        place = disks["database"].data.parent if "database" in disks else None
        postgres = await asyncio.to_thread(Postgres, where, hosts["database"], place)
        stack.callback(postgres.stop)
        server = await stack.enter_async_context(telegram.TelegramServer(found.here))
        carrier = Carrier(found.here)
        host, port = await carrier.listen()
        engines = [
            await stack.enter_async_context(Rtpengine(hosts[f"sound{number}"], MANY_PORTS))
            for number in range(2)
        ]
        extra = {
            "media": {"rtpengines": [one.asked for one in engines]},
            "cluster": {"proxies": [hosts["edge"].address]},
            "telegram": {"token": telegram.TOKEN, "api": server.url},
            "money": {"rates": str(folder / "rates.csv"), "free": []},
            "limits": {
                "trunk_calls_at_once": 10, "trunk_calls_per_hour": 10_000,
                "trunk_minutes_per_day": 10_000, "night_calls_per_hour": 10_000,
                "ask_owner": False,
            },
        }  # fmt: skip
        both = await stack.enter_async_context(
            cluster(
                folder, postgres, len(NODES), names=NODES, hosts=nodes, extra=extra, before=_rich,
                trunks=(Trunk("us", host, port, ["+12025550100"]),),
                data={1: disks["node1"].data} if "node1" in disks else {},
            )
        )  # fmt: skip
        hosts |= dict(zip(both.programs, nodes, strict=True))
        may_look(both.database.url)
        first = next(iter(both.programs.values()))
        edge = Edge(
            [f"{one.sections['cluster']['address']}" for one in both.programs.values()],
            both.database.url, certificate_of(first.data), hosts["edge"].address,
            inside=hosts["edge"],
        )  # fmt: skip
        await stack.enter_async_context(edge)
        phones = {}
        for numbers, hertz in ((CALLING, LOW), (CALLED, HIGH), ((PAYER, *IDLE), 0.0)):
            for number in numbers:
                behave = plays(tone(1, hertz)) if hertz else quiet
                phones[number] = OncePhone(behave, host=found.here)
                await phones[number].listen()
                account = Credentials(username=number, secret=f"secret-{number}")
                assert await phones[number].register(edge.address, account, DOMAIN) == 200
                stack.push_async_callback(phones[number].stop)
        await both.until("SELECT extension FROM binding", lambda rows: len(rows) == len(phones))
        made = Town(
            found, postgres, both, hosts, edge, engines, phones, carrier,
            await _introduced(server, first), disks, Random(seed),
        )  # fmt: skip
        try:
            yield made
            assert server.invalid == []
            assert [one.registrations for one in phones.values()] == [1] * len(phones)
        except BaseException as error:
            for name, one in both.programs.items():
                error.add_note(f"--- {name}\n{one.process.lines.tail(80)}")
            error.add_note(f"--- edge\n{edge.process.lines.tail(30)}")
            for engine in engines:
                error.add_note(f"--- {engine.asked}\n{engine.process.lines.tail(40)}")
            error.add_note(f"--- chat\n{made.writer.feed.tail(30)}")
            raise


async def _rich(database: Database) -> None:
    await give(database, EUR, PAYER, GIVEN, "a present")


async def _introduced(server: telegram.TelegramServer, leader: Program) -> telegram.User:
    """The owner, who has come in by chat."""
    writer = server.user(500, "Alice")
    line = await leader.process.wait_line(r"(?:start=|write )([\w-]{16})", 20)
    writer.says(line[1])
    await writer.sees(lambda text: "Welcome" in text)
    writer.says("status")  # from now on it understands at once
    await writer.sees(lambda text: "call" in text.lower())
    return writer
