"""Attacks that succeed now; each test states what should hold instead."""

from __future__ import annotations

import asyncio
import socket as sockets
import time
from contextlib import suppress

import pytest

from encryptotel.config import LimitsSection
from encryptotel.gatekeeper import Gatekeeper
from pbx.ports import CallRefused
from pbx.sip.digest import parse_parameters
from pbx.sip.message import ParseError, parse_message
from tests.attack.attacker import (
    EXTENSIONS,
    REGISTRAR,
    SDP,
    Phone,
    Socket,
    Talk,
    credentials,
    request,
    rtp,
    sounds,
    status,
    stream,
)  # fmt: skip
from tests.peers.exchange import Config, Exchange, Trunk

HERE = ("127.0.0.1", 5)


def took(work, *arguments) -> float:
    best = 1e9
    for _ in range(2):
        started = time.perf_counter()
        with suppress(ParseError):
            work(*arguments)
        best = min(best, time.perf_counter() - started)
    return 1000 * best


# ── the process and its loop ────────────────────────────────────────────────────────────
async def test_a_tcp_peer_that_asks_twice_and_leaves_does_not_kill_the_exchange(exchange) -> None:
    for _ in range(15):
        _, writer = await asyncio.open_connection(*exchange.tcp)
        ask = [request("OPTIONS", "sip:x@test", HERE, transport="TCP") for _ in range(5)]
        writer.write(b"".join(ask))
        writer.close()
        await asyncio.sleep(0.03)
    assert exchange.process.child.returncode is None


async def test_a_command_line_that_leaves_does_not_kill_the_exchange(exchange) -> None:
    for _ in range(10):
        with sockets.socket(sockets.AF_UNIX) as client:
            client.connect(str(exchange.data / "control.sock"))
            client.send(b'{"do":"status"}\n' * 50)
    await asyncio.sleep(0.5)
    assert exchange.process.child.returncode is None


@pytest.mark.parametrize("value", ['"' + '"<' * 7900, '"' + '"<' * 3000])
def test_a_hostile_from_is_parsed_in_5_ms(value: str) -> None:
    message = request("OPTIONS", "sip:x@test", HERE, sender=value)
    assert took(parse_message, message) < 5


def test_a_hostile_authorization_is_parsed_in_5_ms() -> None:
    assert took(parse_parameters, "Digest a=" + " " * 15_500 + '"') < 5


def test_a_length_of_zeros_is_no_exception() -> None:
    message = request("OPTIONS", "sip:x@test", HERE).replace(
        b"Length: 0", b"Length: " + b"0" * 5000
    )
    with suppress(ParseError):
        parse_message(message)


async def test_a_port_too_large_in_via_is_refused_and_holds_nothing(exchange) -> None:
    stranger = await Socket.open("127.0.0.66")
    stranger.send(
        request("OPTIONS", "sip:x@test", ("127.0.0.66", 99999999999), transport="UDP"), exchange.udp
    )
    await asyncio.sleep(0.5)
    assert "Unhandled exception" not in exchange.log()


async def _slowest_answer(exchange, flood) -> float:
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


@pytest.mark.parametrize("kind", ["pings", "requests"])
async def test_one_tcp_connection_does_not_hold_up_the_others(exchange, kind: str) -> None:
    piece = b"\r\n\r\n" if kind == "pings" else request("OPTIONS", "sip:x@test", HERE)

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

    assert await _slowest_answer(exchange, flood()) < 20


# ── tables ──────────────────────────────────────────────────────────────────────────────
async def test_strangers_cannot_fill_the_transactions_of_a_registered_phone(exchange) -> None:
    phone = await Phone.at("127.0.0.11", "101", exchange.udp)
    for number in range(230):
        with sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM) as one:
            one.bind((f"127.2.0.{number + 1}", 0))
            for index in range(100):
                one.sendto(request("OPTIONS", "sip:x@test", one.getsockname()), exchange.udp)
                if index % 5 == 4:
                    await asyncio.sleep(0.0015)
    assert status(await phone.register()) == 200


async def test_a_ban_is_not_forgotten_for_ten_thousand_others(exchange) -> None:
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


async def test_one_datagram_is_not_answered_eleven_times(exchange) -> None:
    stranger = await Socket.open("127.0.0.66")
    invite = request("INVITE", "sip:1@test", stranger.address)
    stranger.send(invite, exchange.udp)
    await asyncio.sleep(8)
    assert sum(map(len, stranger.everything())) <= 5 * len(invite)


# ── bans, guesses and identities ────────────────────────────────────────────────────────
async def test_nobody_is_banned_by_forged_datagrams(exchange) -> None:
    attacker = await Socket.open("127.0.0.66")
    challenge = await attacker.ask(request("REGISTER", REGISTRAR, attacker.address), exchange.udp)
    forged = await Socket.open("127.0.0.77")  # stands for a forged source address
    proof = credentials(challenge, "nobody", "x", "REGISTER", REGISTRAR)
    for _ in range(10):
        forged.send(request("REGISTER", REGISTRAR, forged.address, headers=[proof]), exchange.udp)
    await asyncio.sleep(0.2)
    await Phone.at("127.0.0.77", "103", exchange.udp)


# ── calls ───────────────────────────────────────────────────────────────────────────────
async def _talk(exchange, says: tuple[str, int] | None = None, *, answered: bool = True):
    alice = await Phone.at("127.0.0.11", "101", exchange.udp)
    bob = await Phone.at("127.0.0.12", "102", exchange.udp)
    hers, his = await Socket.open("127.0.0.11"), await Socket.open("127.0.0.12")
    talk = Talk(alice, bob)
    await talk.ring(says or hers.address)
    if answered:
        await talk.answer(his.address)
    return talk, hers, his


async def test_a_phone_behind_nat_is_not_robbed_of_its_sound(exchange) -> None:
    talk, hers, his = await _talk(exchange, ("10.9.9.9", 4000))
    thief = await Socket.open("127.0.0.66")
    thief.send(rtp(0, b"E"), talk.sound[0])
    await asyncio.sleep(0.05)
    await asyncio.gather(stream(hers, talk.sound[0], b"A"), stream(his, talk.sound[1], b"B"))
    assert (sounds(hers), sounds(thief)) == (b"B", b"")


async def test_a_listener_does_not_get_the_sound_before_the_phone_speaks(exchange) -> None:
    talk, _, his = await _talk(exchange)
    thief = await Socket.open("127.0.0.66")
    thief.send(rtp(0, b"E"), talk.sound[0])
    await asyncio.sleep(0.05)
    await stream(his, talk.sound[1], b"B")
    assert sounds(thief) == b""


@pytest.mark.parametrize("method", ["BYE", "INVITE", "OPTIONS"])
async def test_requests_in_a_call_from_another_address_are_refused(exchange, method: str) -> None:
    talk, _, _ = await _talk(exchange)
    thief = await Socket.open("127.0.0.66")
    body = SDP.format(host="127.0.0.66", port=4000) if method == "INVITE" else ""
    forged = talk.request(
        method, thief.address, 50, body=body, headers=["Contact: <sip:e@127.0.0.66>"]
    )
    talk.callee.everything()
    answer = await thief.ask(forged, exchange.udp, 0.5)
    assert status(answer) in (0, 401, 403, 481)
    assert not talk.callee.everything()


async def test_a_call_cannot_be_cancelled_by_others(exchange) -> None:
    talk, _, _ = await _talk(exchange, answered=False)
    thief = await Socket.open("127.0.0.66")
    cancel = talk.request("CANCEL", talk.caller.address, 2, branch=talk.branch, to=f"<{talk.uri}>")
    thief.send(cancel, exchange.udp)
    await asyncio.sleep(0.5)
    assert (await exchange.calls())[0]["state"] == "ringing"


# ── what is written and shown ───────────────────────────────────────────────────────────
async def test_the_journal_goes_on_after_a_user_agent_in_latin_1(exchange) -> None:
    phone = await Phone.at("127.0.0.11", "101", exchange.udp)
    assert status(await phone.register(headers=["User-Agent: T\udce9l\udce9phone"])) == 200
    await asyncio.sleep(0.5)
    assert status(await phone.call_echo()) == 200
    await asyncio.sleep(1)
    assert len(await exchange.calls()) == 1


async def _printed(exchange, *command: str) -> tuple[int, bytes]:
    child = await asyncio.create_subprocess_exec(
        "/work/main/.venv/bin/python", "-m", "encryptotel", *command, "--data", str(exchange.data),
        cwd="/work/main", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await child.communicate()
    return child.returncode or 0, out


async def test_calls_can_be_listed_whatever_was_dialled(exchange) -> None:
    phone = await Phone.at("127.0.0.11", "101", exchange.udp)
    body = SDP.format(host="127.0.0.11", port=4000)
    await phone.proven("INVITE", "sip:%5B%2Fred%5D@test", headers=[phone.contact], body=body)
    await asyncio.sleep(1)
    code, _ = await _printed(exchange, "calls")
    assert code == 0


@pytest.mark.parametrize("command", ["calls", "trace"])
async def test_nothing_dialled_reaches_the_terminal_as_an_escape(exchange, command: str) -> None:
    phone = await Phone.at("127.0.0.11", "101", exchange.udp)
    body = SDP.format(host="127.0.0.11", port=4000)
    await phone.proven(
        "INVITE", "sip:%1b%5B2J%1b%5D0;x%07@test", headers=[phone.contact], body=body
    )
    await asyncio.sleep(1.5)
    _, out = await _printed(exchange, command, *(["last"] if command == "trace" else []))
    assert out
    assert b"\x1b" not in out
    assert b"\x07" not in out


async def test_a_caller_with_an_escaped_sign_reaches_the_phone() -> None:
    carrier = await Socket.open("127.0.0.99")
    trunk = Trunk("carrier", *carrier.address, ["+12025550100"])
    async with Exchange(Config(EXTENSIONS, [trunk], {"*": "102"})) as exchange:
        bob = await Phone.at("127.0.0.12", "102", exchange.udp)
        carrier.send(
            request(
                "INVITE", "sip:+12025550100@test", carrier.address, sender="<sip:%231%20@c.test>",
                headers=["Contact: <sip:c@127.0.0.99>"], body=SDP.format(host="127.0.0.99", port=4000),
            ),
            exchange.udp,
        )  # fmt: skip
        assert await bob.next(b"INVITE", within=2)


# ── toll fraud ──────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+19001234567", "US"), ("+19765551234", "US"), ("+44118118", "GB"),
        ("+447012345678", "GB"), ("+4911833", "DE"), ("+499001", "DE"),
    ],
)  # fmt: skip
def test_expensive_numbers_are_off(number: str, country: str) -> None:
    class Line:
        name, zone, numbers, max_calls = "t", country, (), 9

    keeper = Gatekeeper(LimitsSection(), 60.0, lambda: [Line()])
    with pytest.raises(CallRefused):
        keeper.admit("101", Line(), number)
