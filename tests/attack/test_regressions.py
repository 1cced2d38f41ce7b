"""Attacks that succeeded once, each with what it did to the user, and must go on failing."""

from __future__ import annotations

import asyncio
import socket as sockets
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from encryptotel.config import LimitsSection
from encryptotel.gatekeeper import Gatekeeper
from pbx.ports import CallRefused
from pbx.sip.digest import parse_parameters
from pbx.sip.message import ParseError, parse_message
from tests.peers.exchange import ROOT, Config, Exchange, Trunk

from .attacker import (
    EXTENSIONS,
    REGISTRAR,
    SDP,
    Phone,
    Socket,
    Talk,
    credentials,
    header,
    request,
    rtp,
    sounds,
    status,
    stream,
)

HERE = ("127.0.0.1", 5)
PING = b"\r\n\r\n"


def took(work: Callable[..., object], *arguments: object) -> float:
    """The better of two runs, in ms. The limits are ten times what is usual, against what was
    a hundred times."""
    best = 1e9
    for _ in range(2):
        started = time.perf_counter()
        with suppress(ParseError):
            work(*arguments)
        best = min(best, time.perf_counter() - started)
    return 1000 * best


# ── the process and its loop ────────────────────────────────────────────────────────────
async def test_a_tcp_peer_that_asks_twice_and_leaves_kills_nothing(exchange: Exchange) -> None:
    """A TCP client that left before its answers killed the exchange, and every call."""
    for _ in range(15):
        _, writer = await asyncio.open_connection(*exchange.tcp)
        ask = [request("OPTIONS", "sip:x@test", HERE, transport="TCP") for _ in range(5)]
        writer.write(b"".join(ask))
        writer.close()
        await asyncio.sleep(0.03)
    assert exchange.process.child.returncode is None


async def test_a_command_line_that_leaves_kills_nothing(exchange: Exchange) -> None:
    """A command stopped with Ctrl+C at the wrong moment killed the exchange, and every call."""
    for _ in range(10):
        with sockets.socket(sockets.AF_UNIX) as client:
            client.connect(str(exchange.data / "control.sock"))
            client.send(b'{"do":"status"}\n' * 50)
    await asyncio.sleep(0.5)
    assert exchange.process.child.returncode is None


@pytest.mark.parametrize("value", ['"' + '"<' * 7900, '"' + '"<' * 3000])
def test_a_hostile_from_is_parsed_quickly(value: str) -> None:
    """One datagram with such a From kept the exchange busy: calls stuttered."""
    message = request("OPTIONS", "sip:x@test", HERE, sender=value)
    assert took(parse_message, message) < 50


def test_a_hostile_authorization_is_parsed_quickly() -> None:
    """One datagram with such an Authorization kept the exchange busy: calls stuttered."""
    assert took(parse_parameters, "Digest a=" + " " * 15_500 + '"') < 50


def test_a_length_of_zeros_is_no_exception() -> None:
    """A length of very many zeros was an unhandled error instead of a bad request."""
    message = request("OPTIONS", "sip:x@test", HERE).replace(
        b"Length: 0", b"Length: " + b"0" * 5000
    )
    with suppress(ParseError):
        parse_message(message)


async def test_a_port_too_large_in_via_is_refused_and_holds_nothing(exchange: Exchange) -> None:
    """A stranger's Via with an impossible port raised errors nobody handled."""
    stranger = await Socket.open("127.0.0.66")
    stranger.send(
        request("OPTIONS", "sip:x@test", ("127.0.0.66", 99999999999), transport="UDP"), exchange.udp
    )
    await asyncio.sleep(0.5)
    assert "Unhandled exception" not in exchange.log()


async def _slowest_answer(exchange: Exchange, flood: Coroutine[Any, Any, None]) -> float:
    """Worst OPTIONS round trip in ms while `flood` runs."""
    probe = await Socket.open("127.0.0.200")
    task = asyncio.ensure_future(flood)
    worst = 0.0
    while not task.done():
        started = time.perf_counter()
        await probe.ask(request("OPTIONS", "sip:x@test", probe.address), exchange.udp, 1)
        worst = max(worst, 1000 * (time.perf_counter() - started))
        await asyncio.sleep(0.02)
    return worst


@pytest.mark.parametrize(
    "piece", [PING, request("OPTIONS", "sip:x@test", HERE)], ids=["pings", "requests"]
)
async def test_one_tcp_connection_does_not_hold_up_the_others(
    exchange: Exchange, piece: bytes
) -> None:
    """One TCP connection that sent without a pause held up everybody else's calls."""

    async def flood() -> None:
        reader, writer = await asyncio.open_connection(*exchange.tcp, local_addr=("127.0.0.4", 0))

        async def drain() -> None:
            while await reader.read(65_536):
                pass

        sink = asyncio.ensure_future(drain())
        end = time.monotonic() + 2
        with suppress(OSError):
            while time.monotonic() < end:
                writer.write(piece * (200_000 // len(piece)))
                await writer.drain()
        sink.cancel()
        writer.close()

    assert await _slowest_answer(exchange, flood()) < 250


# ── tables ──────────────────────────────────────────────────────────────────────────────
async def test_a_ban_is_not_forgotten_for_ten_thousand_others(exchange: Exchange) -> None:
    """A banned stranger got in again after ten thousand other addresses had been seen."""
    stranger = await Socket.open("127.0.0.66")
    for _ in range(11):
        challenge = await stranger.ask(
            request("REGISTER", REGISTRAR, stranger.address), exchange.udp, 0.5
        )
        if challenge is None:
            break
        proof = credentials(challenge, "102", "wrong", "REGISTER", REGISTRAR)
        stranger.send(
            request("REGISTER", REGISTRAR, stranger.address, headers=[proof]), exchange.udp
        )
        await asyncio.sleep(0.01)
    for number in range(10_100):
        with sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM) as one:
            one.bind((f"127.100.{number // 250}.{number % 250 + 1}", 0))
            one.sendto(b"OPTIONS sip:x SIP/2.0\r\nv:SIP/2.0/UDP a\r\n\r\n", exchange.udp)
        if number % 10 == 0:
            await asyncio.sleep(0.001)
    options = request("OPTIONS", "sip:x@test", stranger.address)
    assert await stranger.ask(options, exchange.udp, 0.5) is None


async def test_one_datagram_is_not_answered_eleven_times(exchange: Exchange) -> None:
    """The exchange answered one forged INVITE many times: it could be used to flood others."""
    stranger = await Socket.open("127.0.0.66")
    invite = request("INVITE", "sip:1@test", stranger.address)
    stranger.send(invite, exchange.udp)
    await asyncio.sleep(2.5)
    assert sum(map(len, stranger.everything())) <= 5 * len(invite)


# ── bans, guesses and identities ────────────────────────────────────────────────────────
async def test_nobody_is_banned_by_forged_datagrams(exchange: Exchange) -> None:
    """Datagrams with a forged source address had a phone banned that did nothing wrong."""
    attacker = await Socket.open("127.0.0.66")
    challenge = await attacker.ask(request("REGISTER", REGISTRAR, attacker.address), exchange.udp)
    forged = await Socket.open("127.0.0.77")  # stands for a forged source address
    proof = credentials(challenge, "nobody", "x", "REGISTER", REGISTRAR)
    for _ in range(10):
        forged.send(request("REGISTER", REGISTRAR, forged.address, headers=[proof]), exchange.udp)
    await asyncio.sleep(0.2)
    await Phone.at("127.0.0.77", "103", exchange.udp)


# ── calls ───────────────────────────────────────────────────────────────────────────────
def _reply(asked: bytes, line: str, phone: Phone) -> bytes:
    """A phone's answer to a request it got."""
    kept = [f"{name}: {header(asked, name)}" for name in ("Via", "From", "Call-ID", "CSeq")]
    to = header(asked, "to")
    to += "" if ";tag=" in to else ";tag=b"
    lines = [f"SIP/2.0 {line}", *kept, f"To: {to}", phone.contact, "Content-Length: 0"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@asynccontextmanager
async def _talk(
    exchange: Exchange, says: tuple[str, int] | None = None
) -> AsyncIterator[tuple[Talk, Socket, Socket]]:
    """A call that rings, and is hung up so that the exchange need not wait for its end."""
    alice = await Phone.at("127.0.0.11", "101", exchange.udp)
    bob = await Phone.at("127.0.0.12", "102", exchange.udp)
    hers, his = await Socket.open("127.0.0.11"), await Socket.open("127.0.0.12")
    talk = Talk(alice, bob)
    await talk.ring(says or hers.address)
    yield talk, hers, his
    if not talk.to:
        await talk.answer(his.address)
    alice.send(talk.request("BYE", alice.address, 99), exchange.udp)
    if bye := await bob.next(b"BYE"):
        bob.send(_reply(bye, "200 OK", bob), exchange.udp)


async def test_a_phone_behind_nat_is_not_robbed_of_its_sound(exchange: Exchange) -> None:
    """One packet of a stranger, sent first, took over the sound of a phone behind NAT."""
    async with _talk(exchange, ("10.9.9.9", 4000)) as (talk, hers, his):
        await talk.answer(his.address)
        thief = await Socket.open("127.0.0.66")
        thief.send(rtp(0, b"E"), talk.sound[0])
        await asyncio.sleep(0.05)
        await asyncio.gather(stream(hers, talk.sound[0], b"A"), stream(his, talk.sound[1], b"B"))
        assert (sounds(hers), sounds(thief)) == (b"B", b"")


async def test_a_listener_gets_no_sound_before_the_phone_speaks(exchange: Exchange) -> None:
    """While a phone was silent, a stranger's packet was enough to listen to the other one."""
    async with _talk(exchange) as (talk, _, his):
        await talk.answer(his.address)
        thief = await Socket.open("127.0.0.66")
        thief.send(rtp(0, b"E"), talk.sound[0])
        await asyncio.sleep(0.05)
        await stream(his, talk.sound[1], b"B")
        assert sounds(thief) == b""


async def test_requests_in_a_call_from_another_address_are_refused(exchange: Exchange) -> None:
    """Whoever knew the call's identifiers could end it, or move its sound, from anywhere."""
    async with _talk(exchange) as (talk, _, his):
        await talk.answer(his.address)
        thief = await Socket.open("127.0.0.66")
        for number, method in enumerate(("OPTIONS", "INVITE", "BYE"), 50):
            body = SDP.format(host="127.0.0.66", port=4000) if method == "INVITE" else ""
            contact = "Contact: <sip:e@127.0.0.66>"
            forged = talk.request(method, thief.address, number, body=body, headers=[contact])
            talk.callee.everything()
            answer = await thief.ask(forged, exchange.udp, 0.5)
            assert status(answer) in (0, 401, 403, 481), method
            assert not talk.callee.everything(), method


async def test_a_call_cannot_be_cancelled_by_others(exchange: Exchange) -> None:
    """A CANCEL from another address stopped the ringing of somebody else's call."""
    async with _talk(exchange) as (talk, _, _):
        thief = await Socket.open("127.0.0.66")
        cancel = talk.request(
            "CANCEL", talk.caller.address, 2, branch=talk.branch, to=f"<{talk.uri}>"
        )
        thief.send(cancel, exchange.udp)
        await asyncio.sleep(0.5)
        assert (await exchange.calls())[0]["state"] == "ringing"


# ── what is written and shown ───────────────────────────────────────────────────────────
async def test_the_journal_goes_on_after_a_user_agent_in_latin_1(exchange: Exchange) -> None:
    """A phone whose name was not UTF-8 stopped the journal: later calls were not in the list."""
    phone = await Phone.at("127.0.0.11", "101", exchange.udp)
    assert status(await phone.register(headers=["User-Agent: T\udce9l\udce9phone"])) == 200
    await asyncio.sleep(0.5)
    ok = await phone.call_echo()
    assert status(ok) == 200
    sender, _, tag = header(ok, "from").partition(";tag=")
    call = {"sender": sender, "tag": tag, "to": header(ok, "to"), "call_id": header(ok, "call-id")}
    for number, method in ((2, "ACK"), (3, "BYE")):
        phone.send(
            request(method, "sip:600@test", phone.address, cseq=number, **call), exchange.udp
        )
    await asyncio.sleep(1)
    assert len(await exchange.calls()) == 1


async def _printed(exchange: Exchange, *command: str) -> tuple[int, bytes]:
    """The exit code and the output of a command."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "encryptotel",
        *command,
        "--data",
        str(exchange.data),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, _ = await child.communicate()
    return child.returncode or 0, out


async def test_calls_can_be_listed_whatever_was_dialled(exchange: Exchange) -> None:
    """After somebody dialled square brackets, `calls` ended with an error."""
    phone = await Phone.at("127.0.0.11", "101", exchange.udp)
    body = SDP.format(host="127.0.0.11", port=4000)
    await phone.proven("INVITE", "sip:%5B%2Fred%5D@test", headers=[phone.contact], body=body)
    await asyncio.sleep(1)
    code, _ = await _printed(exchange, "calls")
    assert code == 0


async def test_nothing_dialled_reaches_the_terminal_as_an_escape(exchange: Exchange) -> None:
    """A stranger's number could clear the screen of whoever listed the calls."""
    phone = await Phone.at("127.0.0.11", "101", exchange.udp)
    body = SDP.format(host="127.0.0.11", port=4000)
    await phone.proven(
        "INVITE", "sip:%1b%5B2J%1b%5D0;x%07@test", headers=[phone.contact], body=body
    )
    await asyncio.sleep(1.5)
    for command in (["calls"], ["trace", "last"]):
        _, out = await _printed(exchange, *command)
        assert out
        assert b"\x1b" not in out
        assert b"\x07" not in out


async def test_a_caller_with_an_escaped_sign_reaches_the_phone() -> None:
    """A call from a number with an escaped sign never reached the phone."""
    carrier = await Socket.open("127.0.0.99")
    trunk = Trunk("carrier", *carrier.address, ["+12025550100"])
    async with Exchange(Config(EXTENSIONS, [trunk], {"*": "102"})) as exchange:
        bob = await Phone.at("127.0.0.12", "102", exchange.udp)
        invite = request(
            "INVITE",
            "sip:+12025550100@test",
            carrier.address,
            sender="<sip:%231%20@c.test>",
            headers=["Contact: <sip:c@127.0.0.99>"],
            body=SDP.format(host="127.0.0.99", port=4000),
        )
        carrier.send(invite, exchange.udp)
        came = await bob.next(b"INVITE", within=2)
        assert came
        bob.send(_reply(came, "486 Busy Here", bob), exchange.udp)
        await asyncio.sleep(0.2)


# ── toll fraud ──────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+19001234567", "US"),
        ("+19765551234", "US"),
        ("+44118118", "GB"),
        ("+447012345678", "GB"),
        ("+4911833", "DE"),
        ("+499001", "DE"),
    ],
)
def test_expensive_numbers_are_off(number: str, country: str) -> None:
    """A stolen password could call premium numbers at the owner's expense."""

    class Line:
        name = "t"
        zone = country
        numbers = ()
        max_calls = 9

    keeper = Gatekeeper(LimitsSection(), 60.0, lambda: [Line()])
    with pytest.raises(CallRefused):
        keeper.admit("101", Line(), number)
