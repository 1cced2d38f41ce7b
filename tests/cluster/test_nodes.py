"""Several programs, one exchange: who is at home where, and calls between homes."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlmodel import col, select, update

from encryptotel.cluster.homes import differences, place
from encryptotel.cluster.membership import LEASE, Node
from encryptotel.demo.phone import Phone, plays
from pbx.calls.leg import Leg
from pbx.calls.wishes import ANONYMOUS
from pbx.events import CallEnded, CallStarted, MessageLeft
from pbx.media.codecs import RATE
from pbx.media.tones import tone
from pbx.nodes import USER
from pbx.ports import CallRefused
from pbx.sip.digest import Credentials
from store.journal import legs_of, recent_calls
from store.tables import BindingRow, CallRow, HomeRow, LegRow, NodeRow, TextRow
from tests.calls.test_extensions import hears
from tests.cluster.nodes import another, home_of, nodes, part_of, settled, until
from tests.hearing import beeped
from tests.office import BusyPhone, Office, quiet
from tests.peers.postgres import Postgres
from tests.web.test_metrics import Figures

NUMBERS = [str(number) for number in range(101, 121)]
MANY = tuple({"number": n, "name": f"Person {n}", "secret": f"secret-{n}"} for n in NUMBERS)
"So many that each program is home to some."


def apart(offices: list[Office]) -> tuple[str, str]:
    """Two extensions that are not at home at the same program."""
    first = NUMBERS[0]
    return first, next(n for n in NUMBERS if home_of(n, offices) is not home_of(first, offices))


def presence(pcm: bytes, hertz: float) -> float:
    """What part of a sound's energy is at a frequency; nothing of no sound."""
    if len(pcm) < RATE:
        return 0.0
    samples = np.frombuffer(pcm, "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size))) ** 2
    near = np.abs(np.fft.rfftfreq(samples.size, 1 / RATE) - hertz) < 10
    return float(spectrum[near].sum() / max(1.0, spectrum.sum()))


async def test_a_call_between_two_homes_is_heard_and_is_one_call(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with nodes(tmp_path, postgres, 2, extension=MANY) as offices:
        one, other = apart(offices)
        here, there = home_of(one, offices), home_of(other, offices)
        bob = await there.phone(other, Phone(plays(tone(1, 620.0))))
        alice = await here.phone(one, Phone(plays(tone(1, 440.0))))
        leg = await alice.call(other)
        await hears(alice, 620.0)
        await hears(bob, 440.0)
        leg.hang_up()
        await here.ended()
        await there.ended()
        assert here.of(CallEnded)[0].call_id == there.of(CallEnded)[0].call_id
        await here.app.journal.caught_up()
        await there.app.journal.caught_up()
        ((call, legs),) = await recent_calls(here.app.database)
        assert (call.caller, call.callee, call.kind) == (one, other, "internal")
        assert call.answered_at is not None
        assert call.ended_at is not None
        assert {leg.peer: leg.node for leg in legs} == {
            one: part_of(here).name,
            other: part_of(there).name,
        }
        assert all(leg.srtp for leg in legs)
        assert all(leg.ended_at for leg in await legs_of(there.app.database, call.id))


async def test_the_home_of_who_is_called_says_what_becomes_of_a_call(
    tmp_path: Path, postgres: Postgres
) -> None:
    """Nobody there, busy, and the answerphone that is only known where they are at home."""
    async with nodes(tmp_path, postgres, 2, extension=MANY, calls={"ring_timeout": 1}) as offices:
        there, here = offices  # whoever chats is at home where the leader is
        one = next(n for n in NUMBERS if home_of(n, offices) is here)
        other = next(n for n in NUMBERS[1:] if home_of(n, offices) is there)

        async def leaves(phone: Phone, leg: Leg) -> None:
            await phone.until_heard(beeped)
            await leg.play(bytes(RATE) + tone(3.0, 620.0) + bytes(RATE))
            leg.hang_up()

        caller = await here.phone(one, Phone(leaves))
        with pytest.raises(CallRefused) as nobody:
            await caller.call(other)
        assert nobody.value.status == 480
        await there.phone(other, BusyPhone(quiet))
        with pytest.raises(CallRefused) as busy:
            await caller.call(other)
        assert busy.value.status == 486
        there.app.operator.follow(there.app.person, lambda progress: None)
        await caller.call("101")
        await there.until(lambda: bool(there.of(MessageLeft)), 30)
        assert there.of(MessageLeft)[0].caller == one
        await there.until(lambda: there.app.mailbox.count("101") == (1, 0))
        await until(lambda: here.app.mailbox.count("101") == (1, 0))


async def test_a_phone_is_rung_by_its_home_wherever_it_registered(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with nodes(tmp_path, postgres, 3, extension=MANY) as offices:
        one, other = apart(offices)
        there = home_of(other, offices)
        elsewhere = next(office for office in offices if office is not there)
        bob = await elsewhere.phone(other, Phone(plays(tone(1, 620.0))))
        for office in offices:
            await until(lambda office=office: bool(office.app.exchange.registrar.bindings(other)))
            assert office.app.presence.of(other).value != "off"
        alice = await home_of(one, offices).phone(one, Phone(plays(tone(1, 440.0))))
        leg = await alice.call(other)
        await hears(alice, 620.0)
        await hears(bob, 440.0)
        leg.hang_up()
        await there.ended()
        await bob.unregister()
        for office in offices:
            await until(lambda office=office: not office.app.exchange.registrar.bindings(other))


async def test_a_phone_signs_off_wherever_it_registered(tmp_path: Path, postgres: Postgres) -> None:
    """Its home may have died meanwhile; who signed off must not be rung for an hour."""
    async with nodes(tmp_path, postgres, 2, extension=MANY) as (one, other):
        phone = await one.phone("105", Phone(quiet))
        registrar = other.app.exchange.registrar
        await until(lambda: bool(registrar.bindings("105")))
        phone._server = ("127.0.0.1", int(other.app.addresses["udp"].rpartition(":")[2]))
        await phone.unregister()
        await until(lambda: not one.app.exchange.registrar.bindings("105"))
        assert not registrar.bindings("105")
        async with one.app.database.reading() as session:
            assert (await session.execute(select(BindingRow))).first() is None


async def test_hidden_callers_stay_so_on_the_way(tmp_path: Path, postgres: Postgres) -> None:
    async with nodes(tmp_path, postgres, 2, extension=MANY) as offices:
        one, other = apart(offices)
        here, there = home_of(one, offices), home_of(other, offices)
        await there.phone(other, Phone(plays(tone(1, 620.0))))
        alice = await here.phone(one, Phone(plays(tone(1, 440.0))))
        leg = await alice.call("*67" + other)
        await hears(alice, 620.0)
        started = there.of(CallStarted)[0]
        assert (started.caller, started.shown) == (one, ANONYMOUS)
        leg.hang_up()
        trace = await there.traced()
        rung = [m for m in trace.lines if m.sent and m.summary.startswith("INVITE")]
        assert rung
        assert not any(one in line.text.partition("\r\n\r\n")[0] for line in rung)


async def test_a_room_is_one_place_for_all(tmp_path: Path, postgres: Postgres) -> None:
    room = ({"number": "800", "name": "Team", "owner": "101"},)
    async with nodes(tmp_path, postgres, 3, extension=MANY, room=room) as offices:
        tones = (440.0, 620.0, 820.0)
        phones = []
        for office, hertz in zip(offices, tones, strict=True):
            number = next(n for n in NUMBERS if home_of(n, offices) is office)
            phone = await office.phone(number, Phone(plays(tone(1, hertz))))
            await phone.call("800")
            phones.append(phone)
        for phone, own in zip(phones, tones, strict=True):
            for hertz in tones:
                if hertz != own:
                    await phone.until_heard(
                        lambda heard, hertz=hertz: presence(bytes(heard[-8000:]), hertz) > 0.02
                    )


async def test_people_move_when_programs_come_and_go_but_not_out_of_a_call(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with AsyncExitStack() as stack:
        (first,) = await stack.enter_async_context(nodes(tmp_path, postgres, 1, extension=MANY))
        assert set(part_of(first).homes.all.values()) == {part_of(first).name}
        await first.phone("120", Phone(plays(tone(1, 620.0))))
        alice = await first.phone("119", Phone(plays(tone(1, 440.0))))
        leg = await alice.call("120")
        await hears(alice, 620.0)
        second = await stack.enter_async_context(another(tmp_path, first, extension=MANY))
        await until(lambda: len(set(part_of(first).homes.all.values())) == 2)
        homes = part_of(first).homes
        assert homes.all["119"] == homes.all["120"] == part_of(first).name
        leg.hang_up()
        await settled(first, second)
        assert homes.all["101"] == part_of(first).name  # with the leader
        before = dict(homes.all)
        await part_of(second).leave()
        await until(lambda: set(part_of(first).homes.all.values()) == {part_of(first).name})
        assert len(set(before.values())) == 2


def test_each_program_gets_its_share_and_only_that_moves() -> None:
    def node(name: str) -> Node:
        return Node(name=name, address="", since=datetime.now(UTC))

    numbers = {str(number): str(number) for number in range(10_000, 20_000)}
    numbers["12025550199"] = "15000"
    two = {name: node(name) for name in ("a", "b")}
    three = {**two, "c": node("c")}
    before, after = place(numbers, two, {"10000"}), place(numbers, three, {"10000"})
    assert before["10000"] == after["10000"] == "a"
    assert after.pop("12025550199") == after["15000"]
    del before["12025550199"]
    counts = Counter(after.values())
    assert all(3_100 < count < 3_560 for count in counts.values()), counts
    moved = [number for number in after if before[number] != after[number]]
    assert {after[number] for number in moved} == {"c"}
    assert len(moved) == counts["c"]


async def test_what_a_dead_program_left_is_settled_once(tmp_path: Path, postgres: Postgres) -> None:
    """A call, a text, and people: the calls of others are not touched."""
    async with nodes(tmp_path, postgres, 2, extension=MANY) as offices:
        first, second = offices
        now = datetime.now(UTC)
        long_ago = now - timedelta(minutes=1)

        def call(id: str, node: str) -> list[Any]:
            about = {"started_at": long_ago, "node": node}
            return [
                CallRow(id=id, caller="101", callee="102", kind="internal", **about),
                LegRow(id=f"leg {id}", call_id=id, peer="101", direction="in", **about),
            ]

        text = TextRow(id="text", at=now, sender="101", recipient="102", words="hi", node="gone")
        async with first.app.database.writing() as session:
            session.add_all([*call("theirs", "gone"), *call("ours", part_of(second).name), text])
            homes = update(HomeRow).where(col(HomeRow.number).in_(["119", "120"]))
            await session.execute(homes.values(node="gone"))
            session.add(NodeRow(name="gone", address="127.0.0.9:9", since=now, until=long_ago))
        async with asyncio.timeout(20):
            while True:
                async with first.app.database.reading() as session:
                    found = await session.get_one(TextRow, "text")
                    theirs = await session.get_one(CallRow, "theirs")
                    leg = await session.get_one(LegRow, "leg theirs")
                    ours = await session.get_one(CallRow, "ours")
                if found.node == part_of(home_of("102", offices)).name:
                    break
                await asyncio.sleep(0.1)
        assert theirs.ended_at == leg.ended_at
        assert theirs.ended_at is not None
        assert long_ago - timedelta(seconds=LEASE + 1) <= theirs.ended_at <= long_ago
        assert ours.ended_at is None
        await until(lambda: "gone" not in part_of(first).homes.all.values())
        assert "gone" not in part_of(first).members.nodes


def test_who_moves_and_who_stays() -> None:
    wanted = {"101": "a", "102": "b", "103": "b", "104": "c", "105": "a", "106": "a"}
    known = {"101": "a", "102": "a", "103": "a", "104": "b", "105": "gone"}
    new, moving = differences(wanted, known, "a", {"103"}, {"a", "b", "c"})
    assert new == ["106"]
    assert moving == {
        "a": {"102": "b"},  # ours, and in no call as 103 is
        "gone": {"105": "a"},  # whose home is no more; 104 is sent by who has them
    }


async def test_a_stranger_passes_nothing_on(tmp_path: Path, postgres: Postgres) -> None:
    """Whoever names themselves a node without the secret is nobody; a node registers nothing."""
    async with nodes(tmp_path, postgres, 1, extension=MANY) as (office,):
        host, port = office.app.addresses["udp"].rsplit(":", 1)
        domain = office.app.config.exchange.domain
        known = office.app.exchange.nodes.secret
        for secret, status in (("wrong", 401), (known, 403)):
            stranger = Phone(quiet)
            await stranger.listen()
            account = Credentials(username=USER, secret=secret)
            answer = await stranger.register((host, int(port)), account, domain, number="101")
            assert answer == status
            with pytest.raises(CallRefused) as refused:  # as 101, with what a node would prove
                await stranger.call("+12025550143")
            assert refused.value.status == (401 if secret != known else 404)  # never outside
            await stranger.stop()
        assert not office.app.exchange.registrar.bindings("101")


async def test_figures_tell_who_leads_and_who_died(tmp_path: Path, postgres: Postgres) -> None:
    async def figures(office: Office) -> Figures:
        assert office.app.metrics is not None
        return Figures((await office.app.metrics.text()).decode())

    async with nodes(tmp_path, postgres, 2) as offices:
        first, second = [await figures(office) for office in offices]
        assert [one("cluster_leads") for one in (first, second)] == [1, 0]
        assert {one("cluster_nodes") for one in (first, second)} == {2}
        assert {one("cluster_seen") for one in (first, second)} == {1}
        await part_of(offices[1]).members.stop()  # it says no more that it is alive
        await until(lambda: part_of(offices[0]).members.buried == 1)
        await until(lambda: len(part_of(offices[0]).members.nodes) == 1)
        first = await figures(offices[0])
        assert (first("cluster_buried_total"), first("cluster_nodes")) == (1, 1)
