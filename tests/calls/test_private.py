"""Calls encrypted from phone to phone: carried as they are, told, and never touched."""

from __future__ import annotations

import asyncio
import secrets
import socket
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from bot.ports import Control, OperatorError
from encryptotel.demo.phone import plays
from encryptotel.reports import calls_json, trace_of_call, trace_text
from nlp.commands import Conference, Party
from pbx.calls.privacy import SEALED
from pbx.events import CallEnded, CallPrivate
from pbx.media.codecs import G722, PCMU
from pbx.media.srtp import SrtpPolicy
from pbx.media.tones import tone
from pbx.media.zrtp import ATTRIBUTE
from tests.calls.sealed_phone import SealedPhone, zrtp
from tests.calls.test_recording import recorded, settings
from tests.calls.test_transfer import TONES, hears
from tests.office import Office, open_office, own_ports

T = TypeVar("T")


def telling(number: str, **options: Any) -> SealedPhone:
    """A phone that plays the tone of its number."""
    sound = plays(tone(1, TONES[number]))
    return SealedPhone(sound, ring_seconds=0.1, **{"srtp": SrtpPolicy.OFF, **options})


async def call_in(
    office: Office, *, mine: SealedPhone | None = None, theirs: SealedPhone | None = None
) -> tuple[SealedPhone, SealedPhone, Any]:
    """102 calls the owner, who chats; the phones and the call."""
    office.dialogue()
    mine = mine or telling("101")
    theirs = theirs or telling("102")
    await office.phone("101", mine)
    await office.phone("102", theirs)
    await theirs.call("101")
    (call,) = office.app.exchange.calls.values()
    await office.until(lambda: call.answered_at is not None)
    return mine, theirs, call


async def sealed(office: Office, **phones: Any) -> tuple[SealedPhone, SealedPhone, Any]:
    found = await call_in(office, **phones)
    await office.until(lambda: bool(office.of(CallPrivate)))
    return found


class Inbox(Generic[T]):
    """What came in, and a way to wait for it."""

    def __init__(self) -> None:
        self.got: list[T] = []
        self._news = asyncio.Event()

    def take(self, one: T) -> None:
        self.got.append(one)
        self._news.set()

    async def holds(self, *wanted: T) -> None:
        async with asyncio.timeout(5):
            while not set(wanted) <= set(self.got):
                self._news.clear()
                await self._news.wait()


async def test_every_packet_arrives_as_it_was_sent(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        mine, theirs, call = await sealed(office)
        await office.until(lambda: any("Private: end to end" in text for text in office.told))
        assert set(mine.got) <= set(theirs.sent)
        assert set(theirs.got) <= set(mine.sent)
        for here, there in ((mine, theirs), (theirs, mine)):
            assert here.port is not None
            assert there.port is not None
            got, reports = Inbox[bytes](), Inbox[bytes]()
            # another source, numbers that jump, kinds nobody agreed on: none of our business
            sent = [b"\x80" + secrets.token_bytes(40) for _ in range(20)]
            there.port.tap(got.take)
            for packet in sent:
                here.port.send(packet)
            await got.holds(*sent)
            there.port.unread, there.port.rtcp_sink = True, reports.take
            here.port.send_rtcp(report := b"\x80\xc8\0\6" + secrets.token_bytes(38))
            await reports.holds(report)
        call.hang_up()
        await office.ended()
        await office.traced()
        await office.app.journal.caught_up()
        (found,) = await calls_json(office.app.database, 10)
        assert found["private"]
        trace = await trace_of_call(office.app.database, tmp_path, call.id)
        assert trace is not None
        assert "private: end to end" in trace_text(trace, full=False)


async def test_what_would_have_to_hear_it_is_refused_in_words(tmp_path: Path) -> None:
    async with open_office(tmp_path, **settings()) as office:
        mine, theirs, call = await sealed(office)
        await office.phone("103", telling("103"))
        operator, person = office.app.operator, office.app.person
        for what in (Control.RECORD, Control.MUTE, Control.HOLD):
            with pytest.raises(OperatorError) as refused:
                await operator.control(person, call.id, what)
            assert refused.value.message == SEALED
        await operator.transfer(person, call.id, Party(extension="103"))
        await office.until(lambda: f"Not transferred: {SEALED}." in office.told)
        await operator.conference(person, Conference(participants=(Party(extension="103"),)))
        await office.until(lambda: any(SEALED in text and "103" in text for text in office.told))
        mine.heard.clear()
        theirs.heard.clear()
        await asyncio.gather(hears(mine, "102"), hears(theirs, "101"))
        assert not office.of(CallEnded)


async def test_keys_are_told_in_signalling(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        mine, theirs, call = await sealed(office)
        pressed = Inbox[str]()
        theirs.legs[0].audio.on_digit = pressed.take
        assert mine.port is not None
        for key in "4#":
            mine.legs[0].tell_key(key)
        office.app.operator.press(office.app.person, call.id, "7")
        await pressed.holds("#", "4", "7")


async def test_what_is_only_announced_is_not_called_private(tmp_path: Path) -> None:
    """Nor is it touched: the phones may begin at any time."""
    async with open_office(tmp_path, **settings()) as office:
        theirs = telling("102")
        theirs.begins = False
        mine, theirs, call = await call_in(office, theirs=theirs)
        with pytest.raises(OperatorError, match="from phone to phone"):
            await office.app.operator.control(office.app.person, call.id, Control.MUTE)
        await hears(mine, "102")
        assert not office.of(CallPrivate)
        theirs.say("Hello")
        await office.until(lambda: bool(office.of(CallPrivate)))


async def test_phones_that_announce_nothing_may_agree_as_well(tmp_path: Path) -> None:
    """A recording that runs by then ends, and says why."""
    async with open_office(tmp_path, **settings()) as office:
        phones = [telling(number, announces=False) for number in ("101", "102")]
        phones[1].begins = False
        mine, theirs, call = await call_in(office, mine=phones[0], theirs=phones[1])
        await office.app.operator.control(office.app.person, call.id, Control.RECORD)
        await hears(mine, "102")
        await asyncio.sleep(1)  # a recording of less than a second is none
        theirs.say("Hello")
        await office.until(lambda: bool(office.of(CallPrivate)))
        await office.until(lambda: f"The recording ends: {SEALED}." in office.told)
        assert (await recorded(office)).seconds >= 1
        with pytest.raises(OperatorError, match="from phone to phone"):
            await office.app.operator.control(office.app.person, call.id, Control.RECORD)


async def test_going_clear_is_told(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        phones = [telling(number, announces=False) for number in ("101", "102")]
        mine, _, call = await sealed(office, mine=phones[0], theirs=phones[1])
        mine.say("GoClear")
        await office.until(lambda: len(office.of(CallPrivate)) == 2)
        assert not office.of(CallPrivate)[-1].private
        await office.until(lambda: any("Not private any more" in text for text in office.told))
        await office.app.operator.control(office.app.person, call.id, Control.MUTE)
        call.hang_up()
        await office.ended()
        await office.app.journal.caught_up()
        (found,) = await calls_json(office.app.database, 10)
        assert not found["private"]


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"codecs": (PCMU,)}, {"codecs": (G722,)}),  # which we must transcode
        ({"srtp": SrtpPolicy.REQUIRE}, {}),  # encrypted as far as us
    ],
)
async def test_what_we_end_is_not_announced_as_theirs(
    tmp_path: Path, mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    async with open_office(tmp_path) as office:
        one, other, call = await call_in(
            office, mine=telling("101", **mine), theirs=telling("102", **theirs)
        )
        await asyncio.gather(hears(one, "102"), hears(other, "101"))
        remote = other.legs[0].media.remote
        assert remote is not None
        assert remote.audio is not None
        assert not remote.audio.values(ATTRIBUTE)
        await office.app.operator.control(office.app.person, call.id, Control.MUTE)
        assert not office.of(CallPrivate)


@own_ports
async def test_nobody_else_can_speak_for_a_phone(tmp_path: Path) -> None:
    """Neither a stranger's ZRTP nor malformed packets get through or change anything."""
    async with open_office(tmp_path) as office:
        theirs = telling("102", announces=False)
        theirs.begins = False
        mine, theirs, call = await call_in(office, theirs=theirs)
        await hears(mine, "102")
        ours = [leg.media.audio_port for leg in call.legs]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for port in ours:
                for message in ("Hello", "Confirm1", "Confirm2", "Conf2ACK", "GoClear"):
                    stranger.sendto(zrtp(message), ("127.0.0.1", port.port))
        assert theirs.port is not None
        bad = [zrtp("Hello")[:-1], b"\x10" * 40, b"\x10\0\0\1ZRTP" + bytes(1400), b"\x10" * 4]
        for data in bad:
            theirs.port.send_zrtp(data)
        before = len(mine.heard)
        await mine.until_heard(lambda heard: len(heard) > before + 16_000)
        assert mine.got == []
        assert not office.of(CallPrivate)
        assert sum(port.stats.rejected for port in ours) >= len(bad)
