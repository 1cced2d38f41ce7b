"""The SIP messages of each call, for its ladder, with everything secret masked."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from operator import itemgetter

from pbx.events import TraceLine
from pbx.sip.message import Request, Response
from pbx.sip.transport import Flow

MAX_BYTES = 8192
"Bytes kept of one message."
MAX_STRAYS = 200
MAX_STRAY_MESSAGES = 6
MAX_STRAY_BYTES = 2048
MAX_MESSAGES = 120
"Messages kept a call."
MAX_CALL_BYTES, MIN_BYTES = 49_152, 200
"Bytes kept of a call in all, and of a message in any case: masking must not hold the loop."

_UNPRINTABLE = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PLAIN = bytes([0, 9, 10, 13, *range(32, 127)])
_SECRETS = tuple(
    (signs, re.compile(pattern, re.IGNORECASE | re.MULTILINE), replacement)
    for signs, pattern, replacement in (
        (
            ("response", "rspauth", "nonce", "opaque"),
            r'((?:response|rspauth|cnonce|nonce|opaque)\s?=\s?"?)[^",\0\r\n]*',
            r"\1…",
        ),
        (("basic",), r"(Authorization\s?:\s?Basic\s)[^\0\r\n]*", r"\1…"),
        (("inline:",), r"(inline:)[^\r\n|;\0]+", r"\1…"),
        (("signal",), r"(^Signal\s?=\s?)[^\0\r\n]*", r"\1…"),
        (("k=",), r"(^k=)[^\0\r\n]*", r"\1…"),
        (
            ("ice-pwd", "fingerprint", "zrtp-hash", "key-mgmt"),
            r"(a=(?:ice-pwd|fingerprint|zrtp-hash|key-mgmt):)[^\0\r\n]*",
            r"\1…",
        ),
    )
)
"What there is to mask, behind words that are looked for first: most calls have none of it."
_PASSWORD = re.compile(r"(sips?:[^@:\s>\0]{1,128}+:)[^@\s>\0]{1,512}+(?=@)", re.IGNORECASE)
_PASSWORD_LOWER = re.compile(_PASSWORD.pattern)


_KEY = "application/dtmf"
_PLAIN_KEY = re.compile(rf"^[^:\r\n]+:\s*{_KEY}\s*(?:;|$)", re.IGNORECASE | re.MULTILINE)


def _without_key(message: str) -> str:
    """A message whose body is nothing but a key that was pressed, without it."""
    head, empty, body = message.partition("\r\n\r\n")
    return f"{head}{empty}…" if body and _PLAIN_KEY.search(head) else message


def mask(text: str) -> str:
    """A message without digests, SRTP keys and passwords."""
    lower = text.lower()
    for signs, pattern, replacement in _SECRETS:
        if any(sign in lower for sign in signs):
            text = pattern.sub(replacement, text)
    if _KEY in lower:
        text = "\0".join(map(_without_key, text.split("\0")))
    return _PASSWORD.sub(r"\1…", text) if _PASSWORD_LOWER.search(lower) else text


def readable(data: bytes) -> str:
    """The text of messages, with what a terminal might obey replaced."""
    text = data.decode("utf-8", "replace")
    plain = not data.translate(None, _PLAIN)
    return text if plain else _UNPRINTABLE.sub("�", text)


_Line = tuple[datetime, bool, str, str, bytes]


class _Messages:
    """The messages of a call, or of an INVITE that is none yet."""

    __slots__ = ("lines", "size")

    def __init__(self) -> None:
        self.lines: list[_Line] = []
        self.size = 0
        "Bytes of them in all."

    def add(self, line: _Line) -> None:
        self.lines.append(line)
        self.size += len(line[-1])


class Recorder:
    """Collects messages by SIP Call-ID and hands them out by call.

    What is kept is bytes; masking and decoding wait until somebody takes the trace. Messages
    of an INVITE that is no call yet are strays, of which only the latest are kept.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._strays: OrderedDict[str, _Messages] = OrderedDict()
        self._calls: dict[str, _Messages] = {}
        self._by_sip_id: dict[str, _Messages] = {}
        self._sip_ids: dict[str, list[str]] = {}
        self._whose: dict[str, str] = {}
        "The call that a dialog is of now; its messages stay with the one it began in."

    def call_of(self, sip_call_id: str) -> str:
        """The call that messages with this Call-ID are about; empty for none."""
        return self._whose.get(sip_call_id, "")

    def follow(self, sip_call_id: str, call: str) -> None:
        """Messages with this Call-ID belong to `call`, those already seen included."""
        if self._whose.get(sip_call_id) != call:
            self._whose[sip_call_id] = call
            self._sip_ids.setdefault(call, []).append(sip_call_id)
        if sip_call_id in self._by_sip_id:
            return
        kept = self._by_sip_id[sip_call_id] = self._calls.setdefault(call, _Messages())
        strays = self._strays.pop(sip_call_id, None)
        for line in strays.lines if strays else ():
            kept.add(line)

    def on_stray(self, sent: bool, message: Request | Response, flow: Flow) -> None:
        """The hook for messages of no dialog: never written into a call that goes on."""
        if message.call_id not in self._by_sip_id:
            self.on_message(sent, message, flow)

    def on_message(self, sent: bool, message: Request | Response, flow: Flow) -> None:
        """The stack's hook. Registrations and the like are not kept."""
        sip_id = message.call_id
        kept, limit, most = self._by_sip_id.get(sip_id), MAX_MESSAGES, MAX_BYTES
        if kept is None:
            kept, limit, most = self._strays.get(sip_id), MAX_STRAY_MESSAGES, MAX_STRAY_BYTES
        if kept is None:
            if not (isinstance(message, Request) and message.method == "INVITE"):
                return
            kept = self._strays[sip_id] = _Messages()
            if len(self._strays) > MAX_STRAYS:
                self._strays.popitem(last=False)
        if len(kept.lines) < limit:
            data = message.encode()[: min(most, max(MAX_CALL_BYTES - kept.size, MIN_BYTES))]
            about = f" ({message.cseq.method})" if isinstance(message, Response) else ""
            kept.add((self._now(), sent, str(flow), about, data))

    def peek(self, call: str) -> list[TraceLine]:
        """The masked messages of a call so far."""
        kept = self._calls.get(call)
        lines = sorted(kept.lines, key=itemgetter(0)) if kept else []
        # One pass of the expressions over everything; no secret spans the line between two.
        whole = b"\0".join(data.replace(b"\0", b"") for *_, data in lines)
        texts = mask(readable(whole)).split("\0") if lines else []
        return [
            TraceLine(
                at=at,
                sent=sent,
                peer=peer,
                summary=text.partition("\r\n")[0][:180] + about,
                text=text,
            )
            for (at, sent, peer, about, _), text in zip(lines, texts, strict=True)
        ]

    def take(self, call: str) -> list[TraceLine]:
        """The masked messages of a call that ended; they are forgotten here."""
        lines = self.peek(call)
        kept = self._calls.pop(call, None)
        for sip_id in self._sip_ids.pop(call, []):
            if self._whose.get(sip_id) == call:
                del self._whose[sip_id]
            if self._by_sip_id.get(sip_id) is kept:
                self._by_sip_id.pop(sip_id, None)
        return lines
