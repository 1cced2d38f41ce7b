"""A stranger, or a dishonest phone, with a UDP socket: SIP typed by hand, right or wrong."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import struct
import time
from collections.abc import Iterable
from typing import Any, Self

from tests.peers.exchange import Address, Extension

EXTENSIONS = tuple(Extension(number, f"secret-{number}") for number in ("101", "102", "103"))
REGISTRAR = "sip:encryptotel.local"
SDP = (
    "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


class Socket(asyncio.DatagramProtocol):
    """A UDP socket with a queue of what came."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()
        self.address: Address = ("", 0)
        self._wire: Any = None

    @classmethod
    async def open(cls, host: str, port: int = 0) -> Self:
        loop = asyncio.get_running_loop()
        _, socket = await loop.create_datagram_endpoint(cls, local_addr=(host, port))
        return socket

    def close(self) -> None:
        self._wire.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = transport
        self.address = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.came.put_nowait(data)

    def send(self, data: bytes, to: Address) -> None:
        self._wire.sendto(data, to)

    def everything(self) -> list[bytes]:
        """What came since the last look."""
        return [self.came.get_nowait() for _ in range(self.came.qsize())]

    async def next(self, start: bytes, holding: bytes = b"", within: float = 2) -> bytes | None:
        """The next message with this start and something in it; None in time."""
        end = time.monotonic() + within
        while (left := end - time.monotonic()) > 0:
            try:
                data = await asyncio.wait_for(self.came.get(), left)
            except TimeoutError:
                return None
            if data.startswith(start) and not data.startswith(b"SIP/2.0 1") and holding in data:
                return data
        return None

    async def ask(self, message: bytes, to: Address, within: float = 2) -> bytes | None:
        """The final answer to a request."""
        call_id = f"Call-ID: {header(message, 'call-id')}".encode()
        self.send(message, to)
        return await self.next(b"SIP/2.0", call_id, within)


def request(
    method: str,
    uri: str,
    via: tuple[str, object],
    *,
    sender: str = "<sip:x@test>",
    to: str = "",
    tag: str = "",
    call_id: str = "",
    branch: str = "",
    cseq: int = 1,
    headers: Iterable[str] = (),
    body: str = "",
    transport: str = "UDP;rport",
) -> bytes:
    """A request; `transport` takes Via parameters after a semicolon."""
    name, _, parameters = transport.partition(";")
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/{name} {via[0]}:{via[1]};branch={branch or 'z9hG4bK' + secrets.token_hex(8)}"
        + (f";{parameters}" if parameters else ""),
        f"From: {sender};tag={tag or secrets.token_hex(4)}",
        f"To: {to or f'<{uri}>'}",
        f"Call-ID: {call_id or secrets.token_hex(8)}",
        f"CSeq: {cseq} {method}",
        "Max-Forwards: 70",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("utf-8", "surrogateescape")


def header(message: bytes, name: str) -> str:
    found = re.search(rf"^{name}:[ ]*(.*?)\r$", message.decode("utf-8", "replace"), re.M | re.I)
    return found[1] if found else ""


def status(message: bytes | None) -> int:
    """The status of a response; 0 when there was none."""
    return int(message[8:11]) if message else 0


def credentials(challenge: bytes, user: str, secret: str, method: str, uri: str) -> str:
    """An Authorization header with SHA-256, as challenged first."""
    offered = header(challenge, "www-authenticate")
    realm, nonce = (re.search(f'{key}="([^"]*)"', offered)[1] for key in ("realm", "nonce"))  # type: ignore[index]
    algorithm = "SHA-256" if "SHA-256" in offered else "MD5"

    def digest(*parts: str) -> str:
        make = hashlib.sha256 if algorithm == "SHA-256" else hashlib.md5
        return make(":".join(parts).encode()).hexdigest()

    first, second = digest(user, realm, secret), digest(method, uri)
    answer = digest(first, nonce, "00000001", "c", "auth", second)
    return (
        f'Authorization: Digest username="{user}", realm="{realm}", nonce="{nonce}", '
        f'uri="{uri}", response="{answer}", algorithm={algorithm}, qop=auth, nc=00000001, '
        'cnonce="c"'
    )


class Phone(Socket):
    """A phone of ours, honest until told otherwise."""

    exchange: Address
    number: str

    @classmethod
    async def at(cls, host: str, number: str, exchange: Address) -> Self:
        """Open and register."""
        phone = await cls.open(host)
        phone.number, phone.exchange = number, exchange
        assert status(await phone.register()) == 200
        return phone

    @property
    def contact(self) -> str:
        return f"Contact: <sip:{self.number}@{self.address[0]}:{self.address[1]}>"

    async def register(self, to: str = "", headers: Iterable[str] = ()) -> bytes | None:
        return await self.proven(
            "REGISTER",
            REGISTRAR,
            to=f"<sip:{to or self.number}@test>",
            headers=[self.contact, *headers],
        )

    async def proven(
        self, method: str, uri: str, *, claimed: str = "", headers: Iterable[str] = (), **rest: Any
    ) -> bytes | None:
        """A request with good credentials; `claimed` is another URI inside the digest."""
        fixed: dict[str, Any] = {
            "sender": f"<sip:{self.number}@test>",
            "tag": secrets.token_hex(4),
            "call_id": secrets.token_hex(8),
            **rest,
        }
        challenge = await self.ask(
            request(method, uri, self.address, headers=headers, **fixed), self.exchange
        )
        if status(challenge) != 401 or challenge is None:
            return challenge
        proof = credentials(challenge, self.number, f"secret-{self.number}", method, claimed or uri)
        self.everything()
        again = request(method, uri, self.address, headers=[*headers, proof], cseq=2, **fixed)
        self.send(again, self.exchange)
        own = f"Call-ID: {fixed['call_id']}".encode()
        while (answer := await self.next(b"SIP/2.0", own, 4)) is not None:
            if f"CSeq: 2 {method}".encode() in answer:  # no repeat of the challenge
                break
        return answer

    async def call_echo(self, host: str = "") -> bytes | None:
        body = SDP.format(host=host or self.address[0], port=4000)
        return await self.proven("INVITE", "sip:600@test", headers=[self.contact], body=body)


class Talk:
    """A call between two phones, and everything an eavesdropper could learn of it."""

    def __init__(self, caller: Phone, callee: Phone) -> None:
        self.caller, self.callee = caller, callee
        self.call_id, self.tag = secrets.token_hex(8), secrets.token_hex(4)
        self.uri = f"sip:{callee.number}@test"
        self.sender = f"<sip:{caller.number}@test>"
        self.branch = "z9hG4bK" + secrets.token_hex(8)
        self.to = ""
        self.sound: tuple[Address, Address] = (("", 0), ("", 0))
        self._invite = b""
        self._theirs: Address = ("", 0)

    def request(self, method: str, via: Address, cseq: int, **rest: Any) -> bytes:
        """A request of this dialog, whoever sends it."""
        return request(
            method, self.uri, via, sender=self.sender, to=rest.pop("to", self.to), tag=self.tag,
            call_id=self.call_id, cseq=cseq, **rest,
        )  # fmt: skip

    async def ring(self, sound: Address) -> None:
        """INVITE until the callee rings. `sound` is what the caller's SDP says."""
        caller, callee = self.caller, self.callee
        offer = {"headers": [caller.contact], "body": SDP.format(host=sound[0], port=sound[1])}
        challenge = await caller.ask(
            self.request("INVITE", caller.address, 1, **offer), caller.exchange
        )
        assert challenge is not None
        proof = credentials(challenge, caller.number, f"secret-{caller.number}", "INVITE", self.uri)
        offer["headers"] = [caller.contact, proof]
        caller.send(
            self.request("INVITE", caller.address, 2, branch=self.branch, **offer),
            caller.exchange,
        )
        invite = await callee.next(b"INVITE", within=5)
        assert invite is not None
        self._invite = invite
        callee.send(self._answer("180 Ringing"), callee.exchange)

    async def answer(self, sound: Address) -> None:
        """The callee answers with this SDP; `self.sound` is where each side sends."""
        caller, callee = self.caller, self.callee
        body = SDP.format(host=sound[0], port=sound[1])
        callee.send(self._answer("200 OK", body), callee.exchange)
        ok = await caller.next(b"SIP/2.0 200", self.call_id.encode(), 5)
        assert ok is not None
        self.to = header(ok, "to")
        caller.send(self.request("ACK", caller.address, 2), caller.exchange)
        ports = [int(re.search(rb"m=audio (\d+)", text)[1]) for text in (ok, self._invite)]  # type: ignore[index]
        host = caller.exchange[0]
        self.sound = ((host, ports[0]), (host, ports[1]))
        await asyncio.sleep(0.1)

    def _answer(self, line: str, body: str = "") -> bytes:
        kept = [f"{name}: {header(self._invite, name)}" for name in ("Via", "From", "Call-ID")]
        lines = [
            f"SIP/2.0 {line}", *kept, f"To: {header(self._invite, 'to')};tag=b",
            f"CSeq: {header(self._invite, 'cseq')}", self.callee.contact,
            "Content-Type: application/sdp", f"Content-Length: {len(body)}",
        ]  # fmt: skip
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def rtp(sequence: int, sound: bytes) -> bytes:
    """20 ms of one repeated byte."""
    return struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, sequence * 160, 7) + sound * 160


async def stream(source: Socket, to: Address, sound: bytes, start: int = 0) -> None:
    """0.3 s of RTP."""
    for index in range(15):
        source.send(rtp(start + index, sound), to)
        await asyncio.sleep(0.02)


def sounds(socket: Socket) -> bytes:
    """Which sounds came since the last look."""
    return b"".join(sorted({data[12:13] for data in socket.everything()}))
