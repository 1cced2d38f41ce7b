"""Attacks that fail, and must go on failing."""

from __future__ import annotations

import asyncio
import re
import statistics
import time

from tests.peers.exchange import Config, Exchange, Trunk

from .attacker import (
    EXTENSIONS,
    REGISTRAR,
    Phone,
    Socket,
    Talk,
    credentials,
    request,
    rtp,
    sounds,
    status,
    stream,
)

# Shapes of RFC 4475, each with what must come back over UDP: a status, or 0 for silence.
HEAD = "Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{n};rport\r\nTo: <sip:u@test>\r\n"
REST = "From: <sip:c@test>;tag=1\r\nCall-ID: {n}\r\nMax-Forwards: 70\r\n"
TORTURE = {
    "a body shorter than it says": ("INVITE sip:u@t", "CSeq: 1 INVITE\r\nContent-Length: 99", 400),
    "a negative length": ("INVITE sip:u@t", "CSeq: 1 INVITE\r\nContent-Length: -999", 400),
    "an endless number": ("INVITE sip:u@t", "CSeq: 36893488147419103232 INVITE", 400),
    "another method in CSeq": ("INVITE sip:u@t", "CSeq: 1 NOTIFY", 400),
    "an unknown scheme": ("OPTIONS nobodyKnows:totallyopaque", "CSeq: 1 OPTIONS", 416),
    "a strange method": ("!0123456789_*+`.%~ sip:u@t", "CSeq: 1 !0123456789_*+`.%~", 501),
    "folded headers": ("OPTIONS sip:u@t", "cseq  : 1\r\n  OPTIONS\r\nX:\r\n a\r\n b", 200),
    "unknown headers": ("OPTIONS sip:u@t", "CSeq: 1 OPTIONS\r\nX: ;;,,;;,;\r\ns :", 200),
    "a line without a colon": ("OPTIONS sip:u@t", "CSeq: 1 OPTIONS\r\nnonsense", 400),
    "a request line with a space": ("OPTIONS sip:u@t; lr", "CSeq: 1 OPTIONS", 400),
    "two lengths": ("OPTIONS sip:u@t", "CSeq: 1 OPTIONS\r\nL: 0\r\nL: 9", 400),
    "null bytes": ("OPTIONS sip:u@t", "CSeq: 1 OPTIONS\r\nX: \0\0\0", 200),
    "129 headers": ("OPTIONS sip:u@t", "CSeq: 1 OPTIONS" + "\r\nX: y" * 129, 0),
}


async def test_torture_is_answered_as_the_rfc_says(exchange: Exchange) -> None:
    stranger = await Socket.open("127.0.0.66")
    host, port = stranger.address
    for number, (name, (start, rest, expected)) in enumerate(TORTURE.items()):
        text = f"{start} SIP/2.0\r\n{HEAD}{REST}".format(host=host, port=port, n=f"t{number}")
        message = (text + rest + "\r\n\r\n").encode()
        answer = await stranger.ask(message, exchange.udp, 1 if expected else 0.2)
        assert status(answer) == expected, name


async def test_nobody_can_tell_which_users_there_are(exchange: Exchange) -> None:
    # From an address with a registration, which is not slowed down.
    phone = await Phone.at("127.0.0.11", "101", exchange.udp)
    challenge = await phone.ask(request("REGISTER", REGISTRAR, phone.address), exchange.udp)
    assert challenge is not None
    # A machine that stumbles may favour one of them once; a difference that tells shows each time.
    for _ in range(3):
        medians = await _answer_times(phone, challenge, exchange)
        if abs(medians[0] - medians[1]) < 0.3 * min(medians):
            return
    raise AssertionError(f"{medians} seconds for a user that there is, and one that there is not")


async def _answer_times(phone: Phone, challenge: bytes, exchange: Exchange) -> list[float]:
    """How long the answer to a wrong password takes for a user that there is, and for one that
    there is not; the answers themselves must be equal."""
    times: dict[str, list[float]] = {"102": [], "999": []}
    answers: dict[str, set[bytes]] = {"102": set(), "999": set()}
    for _ in range(400):
        for user, taken in times.items():
            proof = credentials(challenge, user, "wrong", "REGISTER", REGISTRAR)
            message = request("REGISTER", REGISTRAR, phone.address, headers=[proof], tag="a")
            started = time.perf_counter()
            answer = await phone.ask(message, exchange.udp)
            assert answer is not None
            if status(answer) == 503:
                continue  # a slow machine is busy: said of everybody, before a word is read
            taken.append(time.perf_counter() - started)
            answers[user].add(re.sub(rb"[0-9a-f.]{8,}", b"#", answer))
    assert min(map(len, times.values())) > 100
    assert answers["102"] == answers["999"]
    return [statistics.median(taken) for taken in times.values()]


async def test_an_extension_cannot_register_as_another(exchange: Exchange) -> None:
    phone = await Phone.at("127.0.0.11", "101", exchange.udp)
    for other in ("102", "%31%30%32"):
        assert status(await phone.register(to=other)) == 403


async def test_guessing_is_banned_and_a_neighbour_with_a_phone_is_not(exchange: Exchange) -> None:
    stranger = await Socket.open("127.0.0.66")
    phone = await Phone.at("127.0.0.11", "101", exchange.udp)
    for socket in (stranger, phone):
        for _ in range(11):
            challenge = await socket.ask(
                request("REGISTER", REGISTRAR, socket.address), exchange.udp, 0.5
            )
            if challenge is None:
                break
            proof = credentials(challenge, "102", "wrong", "REGISTER", REGISTRAR)
            await socket.ask(
                request("REGISTER", REGISTRAR, socket.address, headers=[proof]), exchange.udp, 0.5
            )
    options = request("OPTIONS", "sip:x@test", stranger.address)
    assert await stranger.ask(options, exchange.udp, 0.5) is None
    assert status(await phone.register()) == 200


async def test_sound_cannot_be_put_into_a_call_that_talks(exchange: Exchange) -> None:
    alice = await Phone.at("127.0.0.11", "101", exchange.udp)
    bob = await Phone.at("127.0.0.12", "102", exchange.udp)
    hers, his = await Socket.open("127.0.0.11"), await Socket.open("127.0.0.12")
    stranger = await Socket.open("127.0.0.66")
    talk = Talk(alice, bob)
    await talk.ring(hers.address)
    await talk.answer(his.address)
    for index, port in enumerate(talk.sound):
        (hers, his)[index].send(rtp(0, b"-"), port)
    await asyncio.sleep(0.05)
    for socket in (hers, his):
        socket.everything()
    await asyncio.gather(
        stream(hers, talk.sound[0], b"A", 1),
        stream(his, talk.sound[1], b"B", 1),
        *(stream(stranger, port, b"E", 5000) for port in talk.sound),
    )
    assert (sounds(hers), sounds(his), sounds(stranger)) == (b"B", b"A", b"")


async def test_a_trunk_cannot_be_impersonated_in_via_and_from() -> None:
    carrier = await Socket.open("127.0.0.99")
    trunk = Trunk("carrier", *carrier.address, ["+12025550100"])
    async with Exchange(Config(EXTENSIONS, [trunk], {"*": "102"})) as exchange:
        stranger = await Socket.open("127.0.0.66")
        invite = request(
            "INVITE", "sip:+12025550143@test", carrier.address, sender="<sip:+1@127.0.0.99>"
        )
        assert status(await stranger.ask(invite, exchange.udp)) == 401


async def test_hostile_sentences_get_an_answer_without_control_characters(
    exchange: Exchange,
) -> None:
    for text in ("a" * 60_000, "call " + "9" * 1900, "(" * 1900, "call \x1b[2J", "\u202e" * 500):
        answer = await exchange.say(text)
        assert answer, text[:20]
        assert "\x1b" not in answer, text[:20]


async def test_one_byte_at_a_time(exchange: Exchange) -> None:
    reader, writer = await asyncio.open_connection(*exchange.tcp)
    for byte in request("OPTIONS", "sip:x@test", ("127.0.0.1", 5), transport="TCP"):
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await asyncio.wait_for(reader.read(100), 2)).startswith(b"SIP/2.0 200")
    writer.close()


async def test_files_and_socket_are_private(exchange: Exchange) -> None:
    open_to_all = {"ca.pem", "server.pem"}
    for path in exchange.data.rglob("*"):
        if not path.is_dir() and path.name not in open_to_all:
            assert not path.lstat().st_mode & 0o077, path
