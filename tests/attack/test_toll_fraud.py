"""Somebody has a phone's password, or sends its callers to a number of their own: what that
may cost is bounded, and the owner hears of it. The real program, a carrier and phones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.peers.exchange import Config, Exchange, Trunk

from .attacker import EXTENSIONS, SDP, Phone, Socket, header, request, status

HOME, ABROAD, PREMIUM = "+12125550123", "+33142685300", "+19005550100"
THIEF = "127.1.0.66"


@asynccontextmanager
async def office(**limits: object) -> AsyncIterator[tuple[Exchange, Socket]]:
    """An exchange with a US line, and the carrier it leads to."""
    carrier = await Socket.open("127.0.0.99")
    trunk = Trunk("carrier", *carrier.address, ["+12025550100"])
    extra = {"limits": {"countries": ["US", "FR"], **limits}}
    async with Exchange(Config(EXTENSIONS, [trunk], {"*": "102"}, extra=extra)) as exchange:
        yield exchange, carrier


async def dial(phone: Phone, number: str) -> bytes | None:
    """Call a number; the final answer, None while it rings."""
    body = SDP.format(host=phone.address[0], port=4000)
    return await phone.proven(
        "INVITE", f"sip:{number}@test", headers=[phone.contact, "Supported: 100rel"], body=body
    )


async def through(phone: Phone, number: str, carrier: Socket) -> None:
    """The call reaches the carrier, which is busy."""
    dialling = asyncio.ensure_future(dial(phone, number))
    came = await carrier.next(b"INVITE", number.encode(), 4)
    assert came is not None
    refuse(came, carrier, phone)
    assert status(await dialling) == 486


def refuse(came: bytes, at: Socket, phone: Phone) -> None:
    at.send(reply(came, "486 Busy Here"), phone.exchange)


def reply(asked: bytes, line: str, *more: str) -> bytes:
    kept = [f"{name}: {header(asked, name)}" for name in ("Via", "From", "Call-ID", "CSeq")]
    lines = [
        f"SIP/2.0 {line}", *kept, f"To: {header(asked, 'to')};tag=b", *more, "Content-Length: 0",
    ]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def question(exchange: Exchange) -> str:
    """What the owner was asked last."""
    news: list[str] = (await exchange.cli("status"))["news"]
    return next(text for text in reversed(news) if text.startswith("Was this you?"))


async def test_a_new_country_is_asked_about_and_the_owner_opens_it_from_the_chat() -> None:
    async with office() as (exchange, carrier):
        phone = await Phone.at("127.0.0.11", "101", exchange.udp)
        await through(phone, HOME, carrier)
        assert status(await dial(phone, ABROAD)) == 403
        assert await carrier.next(b"INVITE", within=0.3) is None
        asked = await question(exchange)
        assert "Extension 101 (Extension 101) wanted to call +33 1 42 68 53 00" in asked
        assert "its first call to FR" in asked
        assert status(await dial(phone, HOME)) == 403  # held
        assert "101 may call outside again" in await exchange.say("yes")
        await through(phone, ABROAD, carrier)


async def test_a_thief_with_the_password_calls_nobody() -> None:
    async with office() as (exchange, carrier):
        phone = await Phone.at("127.0.0.11", "101", exchange.udp)
        await through(phone, HOME, carrier)
        thief = await Phone.at(THIEF, "101", exchange.udp)
        for number in (HOME, ABROAD, PREMIUM):
            assert status(await dial(thief, number)) == 403
        assert f"from the network address {THIEF}" in await question(exchange)
        assert "locked for a day" in await exchange.say("no")
        assert status(await dial(thief, HOME)) == 403
        assert await carrier.next(b"INVITE", within=0.3) is None


async def test_who_sends_callers_elsewhere_pays_and_is_limited() -> None:
    """A 302 of a phone to an outside number (as a forwarding by a stolen account)."""
    async with office(trunk_calls_per_hour=1) as (exchange, carrier):
        alice = await Phone.at("127.0.0.11", "101", exchange.udp)
        bob = await Phone.at("127.0.0.12", "102", exchange.udp)

        async def redirected(number: str) -> asyncio.Task[bytes | None]:
            dialling = asyncio.create_task(dial(alice, "102"))
            came = await bob.next(b"INVITE", within=4)
            assert came is not None
            bob.send(reply(came, "302 Moved", f"Contact: <sip:{number}@evil.test>"), exchange.udp)
            return dialling

        for number in (PREMIUM, "+4420794601"):  # never, and no country of ours
            assert status(await (await redirected(number))) >= 300
        dialling = await redirected(HOME)
        came = await carrier.next(b"INVITE", HOME.encode(), 4)
        assert came is not None
        refuse(came, carrier, bob)
        assert status(await dialling) == 486
        assert status(await (await redirected(HOME))) >= 300  # the second within the hour: bob's
        assert await carrier.next(b"INVITE", within=0.3) is None
        await through(alice, HOME, carrier)  # and not alice's


async def test_a_trunk_caller_who_is_sent_abroad_is_held() -> None:
    """Diversion of a call from outside: charged to the extension, and asked about."""
    async with office() as (exchange, carrier):
        bob = await Phone.at("127.0.0.12", "102", exchange.udp)
        invite = request(
            "INVITE", "sip:+12025550100@test", carrier.address, sender="<sip:+12125550199@c.test>",
            headers=["Contact: <sip:c@127.0.0.99>"], body=SDP.format(host="127.0.0.99", port=4000),
        )  # fmt: skip
        carrier.send(invite, exchange.udp)
        came = await bob.next(b"INVITE", within=4)
        assert came is not None
        bob.send(reply(came, "302 Moved", f"Contact: <sip:{ABROAD}@x.test>"), exchange.udp)
        assert status(await carrier.next(b"SIP/2.0", within=4)) >= 300
        assert "Extension 102" in await question(exchange)
