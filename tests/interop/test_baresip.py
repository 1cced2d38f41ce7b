"""baresip as two real phones: plain, encrypted, and one of each."""

from __future__ import annotations

import asyncio

import pytest

from tests.peers import sipp
from tests.peers.baresip import Baresip
from tests.peers.exchange import Call, Config, Exchange, Extension, check_journal
from tests.peers.tone import assert_heard

from .common import HIGH, LOW, SECRET, plain, secure

pytestmark = pytest.mark.interop
NEEDS = ("baresip", "sipp")


def udp_phone(exchange: Exchange, number: str, tone: int) -> Baresip:
    return Baresip(number, SECRET[number], exchange.udp, tone=tone)


def tls_phone(exchange: Exchange, number: str, tone: int) -> Baresip:
    return Baresip(
        number, SECRET[number], exchange.tls, tone=tone, transport="tls", srtp="srtp-mand",
        ca=exchange.ca,
    )  # fmt: skip


async def talk(caller: Baresip, callee: Baresip, *, callee_hangs_up: bool = False) -> None:
    """One call, both hear the other's tone, one side hangs up, the recordings agree."""
    await caller.dial(callee.number)
    await caller.established()
    await callee.established()
    await caller.hears(HIGH)
    await callee.hears(LOW)
    await (callee if callee_hangs_up else caller).hangup()
    assert_heard(await caller.heard(), HIGH, share=0.8)
    assert_heard(await callee.heard(), LOW, share=0.8)


def srtp_of(call: Call) -> list[bool]:
    return [bool(leg["srtp"]) for leg in call["legs"]]


@pytest.mark.parametrize("callee_hangs_up", [False, True])
async def test_plain(callee_hangs_up: bool) -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        async with udp_phone(exchange, "101", LOW) as a, udp_phone(exchange, "102", HIGH) as b:
            await talk(a, b, callee_hangs_up=callee_hangs_up)
        call = await exchange.ended_call()
        check_journal(call, "101", "102")
        assert srtp_of(call) == [False, False]


async def test_tls_and_mandatory_srtp() -> None:
    async with Exchange(Config(secure("101", "102"))) as exchange:
        async with tls_phone(exchange, "101", LOW) as a, tls_phone(exchange, "102", HIGH) as b:
            await talk(a, b, callee_hangs_up=True)
        call = await exchange.ended_call()
        check_journal(call, "101", "102")
        assert srtp_of(call) == [True, True]


async def test_encrypted_calls_plain() -> None:
    async with Exchange(Config([*secure("101"), *plain("102")])) as exchange:
        async with tls_phone(exchange, "101", LOW) as a, udp_phone(exchange, "102", HIGH) as b:
            await talk(a, b)
        call = await exchange.ended_call()
        check_journal(call, "101", "102")
        assert sorted(srtp_of(call)) == [False, True]


async def test_plain_calls_encrypted() -> None:
    async with Exchange(Config([*plain("101"), *secure("102")])) as exchange:
        async with udp_phone(exchange, "101", LOW) as a, tls_phone(exchange, "102", HIGH) as b:
            await talk(a, b, callee_hangs_up=True)
        check_journal(await exchange.ended_call(), "101", "102")


async def test_offered_srtp_is_used_by_who_can() -> None:
    """Policy "offer": the phone that insists gets it, the one that cannot is called without."""
    offered = [Extension(number, SECRET[number], srtp="offer") for number in ("101", "102")]
    async with Exchange(Config(offered)) as exchange:
        async with tls_phone(exchange, "101", LOW) as a, udp_phone(exchange, "102", HIGH) as b:
            await talk(a, b)
        call = await exchange.ended_call()
        check_journal(call, "101", "102")
        assert sorted(srtp_of(call)) == [False, True]


async def test_required_srtp_is_not_optional() -> None:
    """A phone without SRTP cannot talk on an extension that requires it."""
    async with (
        Exchange(Config([*secure("101"), *plain("102")])) as exchange,
        udp_phone(exchange, "101", LOW) as a,
        udp_phone(exchange, "102", HIGH) as b,
    ):
        await a.dial("102")
        end = await a.closed()
        assert "488" in end["param"], end
        assert not [e for e in b.events.items if e["type"] == "CALL_INCOMING"]


async def test_hold_and_resume() -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        async with udp_phone(exchange, "101", LOW) as a, udp_phone(exchange, "102", HIGH) as b:
            await a.dial("102")
            await b.established()
            await a.hears(HIGH, 1)
            await a.hold()
            await a.resume()
            await a.hears(HIGH, 1)
            await b.hears(LOW, 1)
            await a.hangup()
            await b.closed()
        check_journal(await exchange.ended_call(), "101", "102")


@pytest.mark.parametrize("encrypted", [False, True])
async def test_digits_reach_the_other_phone(encrypted: bool) -> None:
    phone = tls_phone if encrypted else udp_phone
    extensions = secure("101", "102") if encrypted else plain("101", "102")
    async with Exchange(Config(extensions)) as exchange:
        async with phone(exchange, "101", LOW) as a, phone(exchange, "102", HIGH) as b:
            await a.dial("102")
            await a.established()
            await b.established()
            await a.hears(HIGH, 0.5)
            for sender, receiver, digits in ((a, b, "159#"), (b, a, "20*")):
                await sender.digits(digits)
                await receiver.events.wait(
                    lambda e, last=digits[-1]: (  # type: ignore[misc]
                        e["type"] == "CALL_DTMF_START" and e["param"] == last
                    ),
                    what=f"digits {digits}",
                )
                got = [e["param"] for e in receiver.events.items if e["type"] == "CALL_DTMF_START"]
                assert "".join(got) == digits
            await a.hangup()
            await b.closed()
        check_journal(await exchange.ended_call(), "101", "102")


async def test_sipp_calls_encrypted_baresip() -> None:
    async with Exchange(Config([*plain("101"), *secure("102")])) as exchange:
        async with (
            tls_phone(exchange, "102", HIGH) as phone,
            sipp.caller(
                exchange.tcp, "102", number="101", password=SECRET["101"], tone=LOW, talk=2.5,
                transport="tcp",
            ) as caller,
        ):  # fmt: skip
            await phone.established()
            caller.media.send_digits("42")
            await asyncio.gather(caller.finish(), phone.closed())
            assert_heard(caller.media.pcm(), HIGH)
            assert_heard(await phone.heard(), LOW, share=0.7)
            got = [e["param"] for e in phone.events.items if e["type"] == "CALL_DTMF_START"]
            assert got == ["4", "2"]
        check_journal(await exchange.ended_call(), "101", "102")
