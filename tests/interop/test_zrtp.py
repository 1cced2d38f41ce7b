"""Two real ZRTP phones: they agree on keys through us, and find nobody in between."""

from __future__ import annotations

import asyncio

import pytest

from tests.calls.test_recording import seed_key
from tests.peers.baresip import Baresip
from tests.peers.exchange import Config, Exchange, Extension, check_journal
from tests.peers.linphone import Linphone
from tests.peers.tone import assert_heard

from .common import HIGH, LOW, SECRET

pytestmark = pytest.mark.interop
NEEDS = ("linphonec", "baresip")
PRIVATE = "Private: end to end"
OPUS = 48_000
UNHEARD = "encrypted from phone to phone: I cannot hear it"


def office() -> Exchange:
    """The owner has 101 and wants every call recorded that can be."""
    both = [Extension(number, SECRET[number], srtp="offer") for number in ("101", "102")]
    return Exchange(Config(both, extra={"recording": {"key": seed_key()}}))


def zrtp_phone(exchange: Exchange, number: str, transport: str, tone: int) -> Linphone:
    ca = exchange.ca if transport == "tls" else None
    address = exchange.address(transport)
    return Linphone(
        number, SECRET[number], address, transport=transport, ca=ca, srtp=False, zrtp=True,
        tone=tone,
    )  # fmt: skip


async def told(exchange: Exchange, words: str) -> None:
    """Wait until the chat shows this; it tells what happened whenever something is said."""
    seen: list[str] = []
    async with asyncio.timeout(10):
        while not any(words in text for text in seen):
            answer = await exchange.cli("say", "status")
            seen += [reply["text"] for reply in answer["news"]]


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_nobody_in_between(transport: str) -> None:
    async with office() as exchange:
        await exchange.say("always record my calls")
        async with (
            zrtp_phone(exchange, "101", transport, LOW) as mine,
            zrtp_phone(exchange, "102", transport, HIGH) as other,
        ):
            await other.dial("101")
            secrets = await asyncio.gather(mine.secret(), other.secret())
            assert secrets[0] == secrets[1]
            await told(exchange, PRIVATE)
            await asyncio.gather(mine.hears(HIGH, rate=OPUS), other.hears(LOW, rate=OPUS))
            for words in ("record this call", "put him on hold", "mute me"):
                assert UNHEARD in await exchange.say(words), words
            # and nothing of that touched the sound
            await asyncio.gather(mine.hears(HIGH, rate=OPUS), other.hears(LOW, rate=OPUS))
            await other.hangup()
            assert_heard(await mine.heard(), HIGH, share=0.8)
            assert_heard(await other.heard(), LOW, share=0.8)
        call = await exchange.ended_call()
        check_journal(call, "102", "101")
        assert call["private"], call
        assert not any(leg["srtp"] for leg in call["legs"]), call
        assert "no recordings" in (await exchange.say("my recordings")).lower()


async def test_a_phone_without_zrtp_is_not_private() -> None:
    async with office() as exchange:
        async with (
            zrtp_phone(exchange, "101", "udp", LOW) as mine,
            Baresip("102", SECRET["102"], exchange.udp, tone=HIGH) as other,
        ):
            await mine.dial("102")
            await other.established()
            await asyncio.gather(mine.hears(HIGH), other.hears(LOW))
            await mine.hangup()
            await other.closed()
        call = await exchange.ended_call()
        check_journal(call, "101", "102")
        assert not call["private"], call
