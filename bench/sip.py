"""Just enough SIP to place calls, answer them and register, independent of the code measured.

It is a measuring tool, not a phone: UDP on loopback, one thread an endpoint, the simplest message
that is valid.
"""

from __future__ import annotations

import base64
import hashlib
import queue
import random
import re
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.process import BenchError

Address = tuple[str, int]
OWN_PORTS = (10_000, 19_000)

_COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
}
_ALGORITHMS = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}


@dataclass(slots=True)
class Message:
    """A parsed SIP message: start line, headers by lower-case name, body."""

    start: str
    headers: dict[str, list[str]]
    body: str

    @property
    def status(self) -> int:
        """The status code of a response, 0 for a request."""
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """The method of a request; of a response, that of its CSeq."""
        return self.get("cseq").split()[-1] if self.status else self.start.split()[0]

    @property
    def uri(self) -> str:
        """The Request-URI."""
        return self.start.split()[1]

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self.get("call-id")

    def get(self, name: str) -> str:
        """The first value of a header, or nothing."""
        return self.headers.get(name, [""])[0]


def parse(data: bytes) -> Message | None:
    """A datagram as a message; None for keep-alives and what is not SIP."""
    head, _, body = data.decode(errors="replace").partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    if "SIP/2.0" not in start:
        return None
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        headers.setdefault(_COMPACT.get(name, name), []).append(value.strip())
    return Message(start, headers, body)


def render(start: str, headers: list[tuple[str, str]], body: str = "") -> bytes:
    """A message as bytes, with its Content-Length."""
    lines = [start, *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body.encode())}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def respond(request: Message, status: str, tag: str, contact: str = "", body: str = "") -> bytes:
    """A response to a request, the parts that must be equal copied from it."""
    to = request.get("to")
    headers = [("Via", via) for via in request.headers.get("via", [])]
    headers += [("Record-Route", route) for route in request.headers.get("record-route", [])]
    headers += [
        ("From", request.get("from")),
        ("To", to if ";tag=" in to else f"{to};tag={tag}"),
        ("Call-ID", request.call_id),
        ("CSeq", request.get("cseq")),
    ]
    if contact:
        headers.append(("Contact", contact))
    return render(f"SIP/2.0 {status}", headers, body)


CODECS = {0: "PCMU", 8: "PCMA"}
SUITE = "AES_CM_128_HMAC_SHA1_80"


def audio_offer(host: str, port: int, payload: int = 0, key: bytes = b"", tag: str = "1") -> str:
    """An SDP that offers or accepts one kind of G.711; with a key (30 bytes) as SRTP."""
    secure = f"a=crypto:{tag} {SUITE} inline:{base64.b64encode(key).decode()}\r\n" if key else ""
    return (
        f"v=0\r\no=- {port} 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/{'SAVP' if key else 'AVP'} {payload}\r\n"
        f"a=rtpmap:{payload} {CODECS[payload]}/8000\r\n{secure}a=ptime:20\r\na=sendrecv\r\n"
    )


def audio_types(sdp: str) -> list[int]:
    """The payload types of an SDP's audio."""
    found = re.search(r"^m=audio \d+ \S+ ([\d ]+)", sdp, re.M)
    return [int(word) for word in found[1].split()] if found else []


def audio_key(sdp: str) -> tuple[str, bytes]:
    """Tag and key of the SRTP line of an SDP that we can do."""
    found = re.search(rf"^a=crypto:(\d+) {SUITE} inline:([A-Za-z0-9+/=]+)", sdp, re.M | re.I)
    if found is None:
        raise BenchError(f"no {SUITE} in this SDP:\n{sdp}")
    return found[1], base64.b64decode(found[2])


def audio_address(sdp: str) -> Address:
    """Where an SDP wants its audio sent."""
    host = re.search(r"^c=IN IP4 (\S+)", sdp, re.M)
    port = re.search(r"^m=audio (\d+)", sdp, re.M)
    if host is None or port is None:
        raise BenchError(f"no audio in this SDP:\n{sdp}")
    return host[1], int(port[1])


def authorization(challenge: str, method: str, uri: str, user: str, secret: str) -> str:
    """The answer to a digest challenge (RFC 7616), or nothing for an algorithm not known here."""
    given = {
        name.lower(): value.strip('"')
        for name, value in re.findall(r'(\w+)=("[^"]*"|[^",\s]+)', challenge.partition(" ")[2])
    }
    algorithm = given.get("algorithm", "MD5")
    function = _ALGORITHMS.get(algorithm.upper())
    if function is None:
        return ""

    def hashed(text: str) -> str:
        return function(text.encode()).hexdigest()

    ha1 = hashed(f"{user}:{given['realm']}:{secret}")
    ha2 = hashed(f"{method}:{uri}")
    fields = (
        f'Digest username="{user}", realm="{given["realm"]}", nonce="{given["nonce"]}", '
        f'uri="{uri}", algorithm={algorithm}'
    )
    if "auth" in given.get("qop", "").replace(" ", "").split(","):
        cnonce = secrets.token_hex(8)
        proof = hashed(f"{ha1}:{given['nonce']}:00000001:{cnonce}:auth:{ha2}")
        fields += f', qop=auth, nc=00000001, cnonce="{cnonce}"'
    else:
        proof = hashed(f"{ha1}:{given['nonce']}:{ha2}")
    fields += f', response="{proof}"'
    if "opaque" in given:
        fields += f', opaque="{given["opaque"]}"'
    return fields


class Registration:
    """The REGISTER requests of one user from one socket (UDP, or a TCP connection), with digest."""

    def __init__(self, sock: socket.socket, server: Address, user: str, secret: str) -> None:
        self.sock = sock
        self._stream = sock.type == socket.SOCK_STREAM
        self._server = server
        self._user = user
        self._secret = secret
        self._call_id = secrets.token_hex(8)
        self._tag = secrets.token_hex(4)
        self._sequence = 0
        self._buffer = b""
        self.retry_after = 0.0

    def send(self, authorized: str = "") -> None:
        """Send the next REGISTER; that nobody listens yet is no error."""
        self._sequence += 1
        host, port = self.sock.getsockname()
        aor = f"sip:{self._user}@{self._server[0]}"
        transport, parameter = ("TCP", ";transport=tcp") if self._stream else ("UDP", "")
        branch = f"z9hG4bK{secrets.token_hex(8)}"
        headers = [
            ("Via", f"SIP/2.0/{transport} {host}:{port};rport;branch={branch}"),
            ("Max-Forwards", "70"),
            ("From", f"<{aor}>;tag={self._tag}"),
            ("To", f"<{aor}>"),
            ("Call-ID", self._call_id),
            ("CSeq", f"{self._sequence} REGISTER"),
            ("Contact", f"<sip:{self._user}@{host}:{port}{parameter}>"),
            ("Expires", "3600"),
        ]
        if authorized:
            headers.append(("Authorization", authorized))
        request = render(f"REGISTER sip:{self._server[0]} SIP/2.0", headers)
        try:
            if self._stream:
                self.sock.sendall(request)
            else:
                self.sock.sendto(request, self._server)
        except ConnectionRefusedError:
            return

    def receive(self) -> int:
        """Read one message, answer a challenge; the status of a response to REGISTER, else 0."""
        try:
            data = self.sock.recv(65535)
        except (ConnectionRefusedError, BlockingIOError, TimeoutError):
            return 0
        if self._stream:
            if not data:
                raise ConnectionResetError(f"the connection of {self._user} was closed")
            self._buffer += data
            if not _complete(self._buffer):
                return 0
            data, self._buffer = self._buffer, b""
        message = parse(data)
        if message is None or not message.status or message.method != "REGISTER":
            return 0
        if message.status == 503:
            wanted = message.get("retry-after")
            self.retry_after = float(wanted) if wanted.isdigit() else 1.0
        if message.status == 401:
            uri = f"sip:{self._server[0]}"
            for challenge in message.headers.get("www-authenticate", []):
                proof = authorization(challenge, "REGISTER", uri, self._user, self._secret)
                if proof:
                    self.send(proof)
                    break
        return message.status

    def complete(self, timeout: float, every: float = 0.5) -> float:
        """Register, asking again at the given interval; the seconds until 200 came."""
        begun = time.monotonic()
        due = begun
        status = 0
        while (now := time.monotonic()) - begun < timeout:
            if now >= due:
                self.send()
                due = now + every
            if select.select([self.sock], [], [], max(0.0, due - time.monotonic()))[0]:
                status = self.receive() or status
                if status == 200:
                    return time.monotonic() - begun
        raise BenchError(f"{self._user} could not register: {status or 'no answer'}")


def _complete(data: bytes) -> bool:
    """Whether a message of a stream is there with its whole body."""
    head, end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"^(?:content-length|l)\s*:\s*(\d+)", head, re.M | re.I)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def bound_socket(address: Address) -> socket.socket:
    """A UDP socket on an address; port 0 takes any."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind(address)
    return sock


def free_port(host: str) -> int:
    """A port nobody holds just now, for UDP or TCP, below those the system gives out itself."""
    for _ in range(200):
        port = random.randrange(*OWN_PORTS)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
            socket.socket() as stream,
        ):
            try:
                sock.bind((host, port))
                stream.bind((host, port))
            except OSError:
                continue
            return port
    raise BenchError(f"no free port on {host}")


@dataclass(slots=True)
class Dialog:
    """A call we placed: what its BYE needs, where its audio goes, and the SDP that said so."""

    call_id: str
    local: str
    remote: str
    target: str
    server: Address
    audio: Address
    answer: str = ""
    sequence: int = 1


@dataclass
class Endpoint:
    """A UDP user agent in a thread of its own: places calls, and answers all that come in.

    ``answer`` gives the SDP for a new incoming call; ``broken`` is what it raised, if it could not.
    """

    sock: socket.socket
    answer: Callable[[Message], str] | None = None
    broken: BenchError | None = None
    incoming: queue.Queue[Message] = field(default_factory=queue.Queue)

    def __post_init__(self) -> None:
        self._responses: dict[str, queue.Queue[Message]] = {}
        self._answered: dict[str, str] = {}
        self._tag = secrets.token_hex(4)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> Address:
        """Host and port of its socket."""
        host, port = self.sock.getsockname()
        return host, port

    def start(self) -> None:
        """Begin to serve."""
        self.sock.settimeout(0.2)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and close the socket."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.sock.close()

    def _contact(self) -> str:
        host, port = self.address
        return f"<sip:bench@{host}:{port}>"

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                data, source = self.sock.recvfrom(65535)
            except (TimeoutError, ConnectionRefusedError):
                continue
            message = parse(data)
            if message is None:
                continue
            if message.status:
                if waiting := self._responses.get(message.call_id):
                    waiting.put(message)
            elif message.method == "INVITE":
                self._ring(message, source)
            elif message.method != "ACK":
                if message.method == "BYE":
                    self._answered.pop(message.call_id, None)
                self.sock.sendto(respond(message, "200 OK", self._tag), source)

    def _ring(self, invite: Message, source: Address) -> None:
        if invite.call_id not in self._answered:  # else it is repeated, or a re-INVITE
            if self.answer is None:
                self.sock.sendto(respond(invite, "486 Busy Here", self._tag), source)
                return
            try:
                self._answered[invite.call_id] = self.answer(invite)
            except BenchError as error:
                self.broken = error
                refusal = respond(invite, "488 Not Acceptable Here", self._tag)
                self.sock.sendto(refusal, source)
                return
            self.incoming.put(invite)
        body = self._answered[invite.call_id]
        self.sock.sendto(respond(invite, "200 OK", self._tag, self._contact(), body), source)

    def _request(self, method: str, dialog: Dialog, body: str = "") -> bytes:
        host, port = self.address
        headers = [
            ("Via", f"SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bK{secrets.token_hex(8)}"),
            ("Max-Forwards", "70"),
            ("From", dialog.local),
            ("To", dialog.remote),
            ("Call-ID", dialog.call_id),
            ("CSeq", f"{dialog.sequence} {method}"),
            ("Contact", self._contact()),
        ]
        return render(f"{method} {dialog.target} SIP/2.0", headers, body)

    def _final(self, request: bytes, dialog: Dialog, timeout: float) -> Message:
        """Send a request, again every half second until something comes; its final response."""
        waiting = self._responses.setdefault(dialog.call_id, queue.Queue())
        deadline = time.monotonic() + timeout
        heard = False
        while time.monotonic() < deadline:
            if not heard:
                self.sock.sendto(request, dialog.server)
            try:
                message = waiting.get(timeout=0.5)
            except queue.Empty:
                continue
            heard = True
            if message.status >= 200 and message.get("cseq").startswith(f"{dialog.sequence} "):
                return message
        raise BenchError(f"no final answer from {dialog.server[0]}:{dialog.server[1]}")

    def call(self, server: Address, number: str, sdp: str, timeout: float = 10) -> Dialog:
        """Place a call, wait until it is answered."""
        host, port = self.address
        uri = f"sip:{number}@{server[0]}:{server[1]}"
        dialog = Dialog(
            call_id=secrets.token_hex(10),
            local=f"<sip:bench@{host}:{port}>;tag={secrets.token_hex(4)}",
            remote=f"<{uri}>",
            target=uri,
            server=server,
            audio=("", 0),
        )
        final = self._final(self._request("INVITE", dialog, sdp), dialog, timeout)
        dialog.remote = final.get("to")
        if contact := re.search(r"<([^>]+)>", final.get("contact")):
            dialog.target = contact[1]
        self.sock.sendto(self._request("ACK", dialog), server)
        if final.status != 200:
            raise BenchError(f"a call to {number} was answered {final.start[8:]}")
        dialog.audio = audio_address(final.body)
        dialog.answer = final.body
        return dialog

    def hang_up(self, dialog: Dialog) -> None:
        """End a call we placed."""
        dialog.sequence += 1
        self._final(self._request("BYE", dialog), dialog, 5)
        self._responses.pop(dialog.call_id, None)
