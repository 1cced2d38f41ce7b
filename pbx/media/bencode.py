"""Bencoding (BEP 3), as the ng protocol of rtpengine writes its dictionaries.

Read from a stream: where a message ends is known only by reading it, which is why no library for
whole files does it.
"""

from __future__ import annotations

from typing import TypeAlias

Value: TypeAlias = "int | str | list[Value] | dict[str, Value]"

MAX_MESSAGE = 262_144
"Octets of one message at most."
_DEPTH = 16
_DIGITS = 12


class BencodeError(ValueError):
    """What came is no bencoding, or too much of it."""


def encode(value: Value) -> bytes:
    """The value, for the wire."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        octets = value.encode()
        return b"%d:%b" % (len(octets), octets)
    if isinstance(value, list):
        return b"l%be" % b"".join(map(encode, value))
    items = (encode(key) + encode(one) for key, one in sorted(value.items()))
    return b"d%be" % b"".join(items)


def decode(data: bytes | bytearray, at: int = 0) -> tuple[Value, int]:
    """The value that begins there, and where it ends. Raises `BencodeError`, and `IndexError`
    while it is not all there yet."""
    return _Reader(data).value(at, 0)


class _Reader:
    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data

    def value(self, at: int, depth: int) -> tuple[Value, int]:
        if depth > _DEPTH:
            raise BencodeError("too deep")
        kind = self._data[at]
        if kind == ord("i"):
            return self._number(at + 1, ord("e"))
        if kind == ord("l"):
            return self._list(at + 1, depth)
        if kind == ord("d"):
            return self._dictionary(at + 1, depth)
        return self._text(at)

    def _list(self, at: int, depth: int) -> tuple[list[Value], int]:
        found: list[Value] = []
        while self._data[at] != ord("e"):
            one, at = self.value(at, depth + 1)
            found.append(one)
        return found, at + 1

    def _dictionary(self, at: int, depth: int) -> tuple[dict[str, Value], int]:
        found: dict[str, Value] = {}
        while self._data[at] != ord("e"):
            key, at = self._text(at)
            found[key], at = self.value(at, depth + 1)
        return found, at + 1

    def _text(self, at: int) -> tuple[str, int]:
        length, begin = self._number(at, ord(":"))
        end = begin + length
        if not 0 <= length <= MAX_MESSAGE:
            raise BencodeError("too long")
        if end > len(self._data):
            raise IndexError
        return bytes(self._data[begin:end]).decode("utf-8", "replace"), end

    def _number(self, at: int, until: int) -> tuple[int, int]:
        end = self._data.find(bytes((until,)), at, at + _DIGITS + 1)
        if end < 0:
            if len(self._data) > at + _DIGITS:
                raise BencodeError("no number where there must be one")
            raise IndexError
        digits = bytes(self._data[at:end])
        if not digits.removeprefix(b"-").isdigit():
            raise BencodeError("no number where there must be one")
        return int(digits), end + 1
