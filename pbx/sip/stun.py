"""STUN Binding (RFC 8489): asking where we are seen from, and telling phones that keep their
way through a NAT open with it (RFC 5626 §4.4.2, §8). Message formats are `aioice`'s."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from aioice.stun import COOKIE, HEADER_LENGTH, Class, Message, Method, parse_message

from pbx.sip.transport import Address

MAX_STUN = 1280
"Bytes; a Binding request or response has a few dozen (RFC 8489 §6.1 asks for 1280 at most)."
_MAX_ATTRIBUTES = 32
_UNDERSTOOD = frozenset((0x0006, 0x0008, 0x0014, 0x0015, 0x0020, 0x0024, 0x0025))
"Of the attributes that must be understood; the credentials among them are not asked for."


def is_stun(data: bytes) -> bool:
    """Whether a datagram is STUN: SIP begins with a letter or a line end, STUN with two zero
    bits and, since RFC 5389, the cookie."""
    return len(data) >= HEADER_LENGTH and data[0] < 0x40 and data[4:8] == COOKIE.to_bytes(4, "big")


def binding_request() -> Message:
    """A new Binding request."""
    request = Message(Method.BINDING, Class.REQUEST)
    request.add_fingerprint()
    return request


def parse(data: bytes) -> Message | None:
    """A Binding message; None for anything else, however broken."""
    if not is_stun(data) or len(data) > MAX_STUN or len(data) % 4:
        return None
    try:
        if sum(1 for _ in _attribute_types(data)) > _MAX_ATTRIBUTES:
            return None
        message = parse_message(data)
    except (ValueError, struct.error, IndexError):
        return None
    return message if message.message_method is Method.BINDING else None


def mapped_address(response: Message) -> Address | None:
    """Where a Binding response says that our request came from."""
    for name in ("XOR-MAPPED-ADDRESS", "MAPPED-ADDRESS"):
        found = response.attributes.get(name)
        if response.message_class is Class.RESPONSE and found is not None and found[1]:
            return str(found[0]), int(found[1])
    return None


def answer(data: bytes, source: Address) -> bytes | None:
    """The response to a Binding request from an address; None when it is no such request.

    It is at most 60 bytes, so nobody gains by making us send it to somebody else.
    """
    request = parse(data)
    if request is None or request.message_class is not Class.REQUEST:
        return None
    unknown = [kind for kind in _attribute_types(data) if kind < 0x8000 and kind not in _UNDERSTOOD]
    response = Message(
        Method.BINDING, Class.ERROR if unknown else Class.RESPONSE, request.transaction_id
    )
    if unknown:  # §6.3.1
        response.attributes["ERROR-CODE"] = (420, "")
        listed = b"".join(struct.pack("!H", kind) for kind in unknown[:4])
        tail = struct.pack("!HH", 0x000A, len(listed)) + listed + bytes(-len(listed) % 4)
        wire = bytes(response) + tail
        return wire[:2] + struct.pack("!H", len(wire) - HEADER_LENGTH) + wire[4:]
    response.attributes["XOR-MAPPED-ADDRESS"] = (source[0].partition("%")[0], source[1])
    if "FINGERPRINT" in request.attributes:
        response.add_fingerprint()
    return bytes(response)


def _attribute_types(data: bytes) -> Iterator[int]:
    """The types of a message's attributes; ValueError when one does not fit in."""
    position = HEADER_LENGTH
    while position + 4 <= len(data):
        kind, length = struct.unpack_from("!HH", data, position)
        position += 4 + length + -length % 4
        if position > len(data):
            raise ValueError("an attribute is longer than the message")
        yield kind
