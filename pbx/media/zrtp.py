"""ZRTP on its way between two phones (RFC 6189): carried as it is, never answered or changed.

What is looked at is only how far the phones are. Their keys come out of a Diffie-Hellman exchange
that the packets do not tell, so whoever carries them cannot listen.
"""

from __future__ import annotations

from collections.abc import Callable

ATTRIBUTE = "zrtp-hash"
"The SDP attribute by which a phone announces its first ZRTP message (§8)."
_COOKIE = b"ZRTP"
_PREAMBLE = b"PZ"
_HEADER, _CHECKSUM = 12, 4


def message_of(data: bytes) -> str:
    """The type of the message in a ZRTP packet (§5.1), such as `Hello`; empty for anything that
    is not sound ZRTP."""
    if len(data) < _HEADER + 12 + _CHECKSUM or data[0] & 0xF0 != 0x10 or data[4:8] != _COOKIE:
        return ""
    words = int.from_bytes(data[14:16], "big")
    if data[12:14] != _PREAMBLE or _HEADER + 4 * words + _CHECKSUM != len(data):
        return ""
    name = data[16:24]
    return name.decode("ascii").rstrip() if name.isascii() else ""


class Handshake:
    """The key agreement of one stream, as seen from between the phones. `on_change` is told when
    the stream is encrypted from phone to phone, and when it is no more."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.begun = False
        "Whether any message came."
        self.secured = False
        self._on_change = on_change
        self._answered: dict[str, object] = {}
        "Who sent the latest message of a type that only counts with its reply."

    def take(self, side: object, message: str) -> None:
        """One of the phones, `side`, sends a message.

        The agreement is complete with Confirm1, Confirm2 from the other side and Conf2ACK (§4.6),
        and over with GoClear and its ClearACK (§4.7.2), an Error (§5.9) or a new Commit.
        """
        self.begun = True
        before = self.secured
        sent = self._answered
        match message:
            case "Confirm1" | "Confirm2" | "GoClear":
                sent[message] = side
            case "Conf2ACK" if sent.get("Confirm1") is side and "Confirm2" in sent:
                self.secured = self.secured or sent["Confirm2"] is not side
                sent.clear()
            case "Commit" | "Error":  # they agree anew, or cannot
                self.secured = False
                sent.clear()
            case "ClearACK" if sent.get("GoClear") not in (None, side):
                self.secured = False
                sent.clear()
        if self.secured != before:
            self._on_change()
