"""ZRTP messages as they pass (RFC 6189)."""

from __future__ import annotations

import pytest

from pbx.media.zrtp import Handshake, message_of
from tests.calls.sealed_phone import zrtp

# The shortest of all messages, as §5.1 and §5.3 have it.
HELLO_ACK = bytes.fromhex("100000015a5254500badcafe505a000348656c6c6f41434b00000000")


def test_messages_are_known_by_their_type() -> None:
    assert message_of(HELLO_ACK) == "HelloACK"
    assert message_of(zrtp("Confirm2")) == "Confirm2"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HELLO_ACK[:-1],
        HELLO_ACK + b"\0",
        b"\x80" + HELLO_ACK[1:],
        HELLO_ACK[:4] + b"STUN" + HELLO_ACK[8:],
        HELLO_ACK[:12] + b"XX" + HELLO_ACK[14:],
        HELLO_ACK[:14] + b"\xff\xff" + HELLO_ACK[16:],
        HELLO_ACK[:16] + b"\xff" * 8 + HELLO_ACK[24:],
    ],
)
def test_what_is_no_sound_message_is_nothing(data: bytes) -> None:
    assert message_of(data) == ""


def told(*messages: tuple[str, str]) -> tuple[Handshake, list[bool]]:
    changes: list[bool] = []
    handshake = Handshake(lambda: changes.append(handshake.secured))
    for side, message in messages:
        handshake.take(side, message)
    return handshake, changes


AGREED = (("b", "Confirm1"), ("a", "Confirm2"), ("b", "Conf2ACK"))


def test_it_is_secured_when_the_agreement_is_complete() -> None:
    begun = (("a", "Hello"), ("b", "Hello"), ("a", "Commit"), ("b", "DHPart1"), ("a", "DHPart2"))
    assert told(*begun, *AGREED)[1] == [True]
    assert told(*begun, *AGREED, *AGREED)[1] == [True]


@pytest.mark.parametrize(
    "messages",
    [
        AGREED[:2],
        AGREED[1:],
        (AGREED[0], AGREED[2]),
        (("b", "Confirm1"), ("b", "Confirm2"), ("b", "Conf2ACK")),  # one phone alone
        (("b", "Confirm1"), ("a", "Confirm2"), ("a", "Conf2ACK")),
        (("b", "Conf2ACK"), ("a", "Confirm2"), ("b", "Confirm1")),
    ],
)
def test_less_than_that_is_nothing(messages: tuple[tuple[str, str], ...]) -> None:
    assert told(*messages)[1] == []


def test_going_clear_is_agreed_on_too() -> None:
    assert told(*AGREED, ("a", "GoClear"))[1] == [True]
    assert told(*AGREED, ("a", "GoClear"), ("a", "ClearACK"))[1] == [True]
    assert told(*AGREED, ("a", "GoClear"), ("b", "ClearACK"))[1] == [True, False]
    assert told(*AGREED, ("a", "GoClear"), ("b", "ClearACK"), *AGREED)[1] == [True, False, True]
