"""Numbers for advertisements, with what they brought, and numbers in the place of people."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.ports import OperatorError, Step
from encryptotel.demo.phone import Phone, plays
from nlp.commands import Call, Party, Statistics, TrackingNumber
from pbx.calls.leg import Target, only
from pbx.events import CallStarted, LegStarted
from pbx.media.tones import tone
from pbx.ports import CallRefused
from pbx.sip.transport import Address
from store.tables import CallRow, RouteRow
from tests.calls.test_answerphone import follow
from tests.calls.test_callback import steady, telephone_network
from tests.calls.test_redirection import connected
from tests.office import Office, open_office, quiet

US = ("+12025550100", "+12025550101", "+12025550102")
CALLER, ALICE, BOB = 440.0, 620.0, 850.0
SOMEBODY = "+442079460321"


async def line(office: Office, network: Phone) -> Phone:
    """A US line with two numbers to spare."""
    return await telephone_network(office, network, numbers=US)


class Carrier(Phone):
    """The telephone network, which also calls us."""

    async def calls(self, office: Office, number: str, caller: str) -> Any:
        host, port = office.app.addresses["udp"].rsplit(":", 1)
        return await self.calls_by((host, int(port)), number, caller)

    async def calls_by(self, server: Address, number: str, caller: str) -> Any:
        """The same at whatever is in front."""
        host, port = self._server = server
        self._transport = "udp"
        leg = self._leg(number, "out")
        await leg.dial(
            Target(
                peer=number,
                uri=f"sip:{number}@{host}:{port}",
                from_uri=f"sip:{caller}@carrier.example",
                ways=only(self._flow),
                srtp=self._srtp,
            )
        )
        self._spawn(self._attend(leg))
        return leg


async def test_a_number_for_an_advertisement(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        tracking, person = office.app.operator.tracking, office.app.person
        with pytest.raises(OperatorError, match="add one to `numbers`"):
            await tracking.take(person, TrackingNumber(label="Facebook ad"))
        carrier = Carrier(plays(tone(1, CALLER)))
        await line(office, carrier)
        said = await tracking.take(person, TrackingNumber(label="Facebook ad"))
        assert said.startswith("+1 202-555-0101 is the number for “Facebook ad”.")
        with pytest.raises(OperatorError, match="has a number already"):
            await tracking.take(person, TrackingNumber(label="facebook  AD"))
        await tracking.take(person, TrackingNumber(label="flyer", line="US"))
        with pytest.raises(OperatorError, match="on the UK line is free"):
            await tracking.take(person, TrackingNumber(label="poster", line="UK"))
        alice = await office.phone("101", Phone(plays(tone(1, ALICE)), ring_seconds=0.1))
        bob = await office.phone("102", Phone(plays(tone(1, BOB)), ring_seconds=0.1))
        leg = await carrier.calls(office, US[1], SOMEBODY)
        await connected(alice, CALLER)
        leg.hang_up()
        await office.ended()
        assert await tracking.send(person, "facebook", Party(extension="102")) == (
            "Calls for “Facebook ad” go to Bob (102)."
        )
        leg = await carrier.calls(office, US[1], SOMEBODY)
        await connected(bob, CALLER)
        leg.hang_up()
        await office.ended(2)
        reply = await tracking.statistics(person, Statistics(label="facebook"))
        assert "2 calls, 2 answered, 0 missed" in reply.text
        assert "1 new caller, 1 call of known ones" in reply.text
        assert reply.file is not None
        with Image.open(io.BytesIO(reply.file.content)) as picture:
            assert picture.size == (1000, 650)
            assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20
        assert (await tracking.give_back(person, "flyer")) == "+1 202-555-0102 is free again."
        assert "Facebook ad: +1 202-555-0101 → Bob (102)" in tracking.listed(person)
        await carrier.stop()


async def test_what_numbers_brought(tmp_path: Path) -> None:
    """By source, by day and hour of the person's zone, answered and missed, new and known."""
    async with open_office(tmp_path, owner={"timezone": "America/New_York"}) as office:
        await line(office, Phone(quiet))
        tracking, person = office.app.operator.tracking, office.app.person
        began = datetime.now(UTC) - timedelta(days=20)
        day = began.replace(hour=3, minute=30, second=0, microsecond=0) + timedelta(days=10)
        async with office.app.database.writing() as session:
            for number, label in ((US[1], "=ad"), (US[2], "flyer")):
                row = RouteRow(number=number, to="101", label=label, extension="101", since=began)
                await session.merge(row)
            for index, (number, caller, seconds, cause) in enumerate(
                [
                    (US[1], "+12025550177", 65, "hung up"),
                    (US[1], "+12025550177", 0, "no answer"),
                    (US[1], "anonymous", 30, "left a message"),
                    (US[2], "+12025550188", 5, "hung up"),
                    (US[0], "+12025550188", 5, "hung up"),  # not one of them
                ]
            ):
                at = day + timedelta(minutes=index)
                session.add(
                    CallRow(
                        id=f"c{index}",
                        started_at=at,
                        answered_at=at if seconds else None,
                        ended_at=at + timedelta(seconds=seconds),
                        caller=caller,
                        callee="101",
                        dialled=number,
                        user="101",
                        kind="inbound",
                        cause=cause,
                    )
                )
        await office.app.directory.load()
        reply = await tracking.statistics(person, Statistics(format="csv"))
        assert reply.file is not None
        rows = list(csv.DictReader(io.StringIO(reply.file.content.decode())))
        assert [row["source"] for row in rows] == ["'=ad", "'=ad", "'=ad", "flyer"]
        assert [row["answered"] for row in rows] == ["yes", "no", "no", "yes"]
        assert [row["caller is"] for row in rows] == ["new", "known", "new", "new"]
        assert rows[2]["caller"] == "hidden"
        assert rows[0]["time"].endswith(("T22:30:00-05:00", "T23:30:00-04:00"))
        assert "4 calls, 2 answered, 2 missed" in reply.text
        reply = await tracking.statistics(person, Statistics(label="flyer", period="yesterday"))
        assert reply.text == "Flyer yesterday: no calls."
        with pytest.raises(OperatorError, match="which number do you mean"):
            await tracking.statistics(person, Statistics(label="nothing"))


# ── relay numbers ───────────────────────────────────────────────────────────────────────────
async def test_two_of_ours_talk_without_seeing_each_other(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        told = follow(office)
        relays, person = office.app.operator.relays, office.app.person
        said = await relays.connect(person, Party(extension="101"), Party(extension="102"))
        number = said.partition(":")[0]
        assert await relays.connect(person, Party(extension="102"), Party(extension="101")) == said
        alice = await office.phone("101", Phone(plays(tone(1, ALICE)), ring_seconds=0.1))
        bob = await office.phone("102", Phone(plays(tone(1, BOB)), ring_seconds=0.1))
        carol = await office.phone("103", Phone(quiet))
        leg = await bob.call(number)
        await connected(bob, ALICE)
        (call_id,) = office.app.exchange.calls
        sent = [line.text for line in office.app.exchange.trace(call_id) if line.sent]
        invite = next(text for text in sent if text.startswith("INVITE sip:101"))
        assert f"sip:{number}@" in next(ln for ln in invite.splitlines() if ln[:5] == "From:")
        head = invite.partition("\r\n\r\n")[0]
        assert "102" not in head.replace("@", " ").replace(":", " ").split()
        assert "Bob" not in head
        (incoming,) = [one for one in told if one.step is Step.INCOMING]
        assert (incoming.peer, incoming.back) == (number, number)
        leg.hang_up()
        await office.ended()
        (past,) = await office.app.operator.past.calls(person)
        assert (past.peer, past.back) == (number, number)
        await alice.call(number)
        await connected(alice, BOB)
        with pytest.raises(CallRefused) as refused:
            await carol.call(number)
        assert refused.value.status == 404
        assert await relays.end(person, number) == f"{number} leads nowhere any more."
        with pytest.raises(CallRefused):
            await bob.call(number)


async def test_somebody_outside_and_one_of_ours(tmp_path: Path) -> None:
    """The number outside sees one that is for this only, and reaches us by it."""
    async with open_office(tmp_path) as office:
        follow(office)
        carrier = Carrier(plays(tone(1, CALLER)), ring_seconds=0.1)
        await line(office, carrier)
        relays, person = office.app.operator.relays, office.app.person
        somebody = Party(number="+12025550143")
        said = await relays.connect(person, Party(extension="101"), somebody)
        number = said.partition(":")[0]
        assert "dials +12025550101" in said
        alice = await office.phone("101", Phone(plays(tone(1, ALICE)), ring_seconds=0.1))
        (await alice.call(number)).hang_up()
        assert carrier.called == ["+12025550143"]
        await office.ended()
        past = await office.app.operator.past.calls(person)
        assert [(one.peer, one.back) for one in past] == [(number, number)]
        leg = await carrier.calls(office, US[1], "+12025550143")
        await connected(alice, CALLER)
        started = office.of(CallStarted)[-1]
        assert started.caller == "+12025550143"
        assert [one.peer for one in office.of(LegStarted, started.call_id)][-1] == "101"
        invite = [line.text for line in office.app.exchange.trace(started.call_id) if line.sent]
        assert "2025550143" not in next(text for text in invite if text.startswith("INVITE"))
        leg.hang_up()
        with pytest.raises(CallRefused):
            await carrier.calls(office, US[1], "+12025550199")
        await office.app.operator.call(person, Call(to=(Party(extension=number),)))
        async with asyncio.timeout(20):
            await alice.until_heard(lambda _: steady(alice, CALLER))
        assert all("2025550143" not in text.replace("-", "") for text in office.told)
        await carrier.stop()


async def test_relay_numbers_outlast_a_restart(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        relays, person = office.app.operator.relays, office.app.person
        with pytest.raises(OperatorError, match="same person"):
            await relays.connect(person, Party(extension="102"), Party(extension="102"))
        outside = Party(number="+12025550143"), Party(number="+12025550144")
        with pytest.raises(OperatorError, match="free number"):
            await relays.connect(person, *outside)
        said = await relays.connect(person, Party(extension="102"), Party(extension="103"))
    async with open_office(tmp_path) as office:
        assert office.app.operator.relays.listed(office.app.person) == said
