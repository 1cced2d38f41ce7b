"""The ladder of a call, and that no secret survives in it."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.media.srtp import new_crypto
from pbx.sip.digest import Credentials, DigestClient, DigestServer
from pbx.sip.message import parse_message
from pbx.trace import MAX_MESSAGES, MAX_STRAYS, Recorder, mask
from tests.pbx.messages import SDP, request
from tests.pbx.virtual_time import MemoryFlow

BEGAN = datetime(2026, 11, 22, tzinfo=UTC)


def recorder() -> Recorder:
    ticks = iter(range(10**9))
    return Recorder(lambda: BEGAN + timedelta(milliseconds=next(ticks)))


def secretive(secret: str = "zebra") -> tuple[bytes, list[str]]:
    """An INVITE full of secrets, and the secrets."""
    made = request(uri=f"sip:102:{secret}@example.com")
    client = DigestClient(Credentials(username="101", secret=secret))
    for proxy in (False, True):
        assert client.authorise(made, DigestServer("r").challenge(made, "h", proxy=proxy))
    made.set("contact", f"<sip:101:{secret}@192.0.2.9>;q=1, <sips:a:{secret}@h>")
    keys = [new_crypto("1"), new_crypto("2")]
    lines = [f"a={name}:{value}\r\n" for name, value in (key.attribute() for key in keys)]
    made.body = SDP + "".join([*lines, f"a=ice-pwd:{secret}ice\r\n"]).encode()
    hidden = [base64.b64encode(key.key).decode() for key in keys] + [f":{secret}@", f"{secret}ice"]
    for name in ("authorization", "proxy-authorization"):
        value = made.get(name)
        hidden.append(value.partition('response="')[2].partition('"')[0])
    return made.encode(), hidden


def test_no_secret_of_a_whole_invite_survives() -> None:
    wire, hidden = secretive()
    shown = mask(wire.decode())
    assert all(len(secret) > 5 for secret in hidden)
    for secret in hidden:
        assert secret in wire.decode()
        assert secret not in shown


def test_what_is_no_secret_stays() -> None:
    shown = mask(secretive()[0].decode())
    for kept in ['username="101"', "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:…", "sip:102:…@",
                 "m=audio 4000", 'uri="sip:102']:  # fmt: skip
        assert kept in shown
    ordinary = request(body=SDP).encode().decode()
    assert mask(ordinary) == ordinary


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('RESPONSE = "abc"', 'RESPONSE = "…"'),
        ('nextnonce="abc"', 'nextnonce="…"'),
        ("inline:KEY1|2^20|1:4;inline:KEY2|1:4", "inline:…|2^20|1:4;inline:…|1:4"),
        ("INLINE:abc def", "INLINE:…"),
        ("<SIP:bob:pw@h>", "<SIP:bob:…@h>"),
        ("sip:bob:p;w?x=y@h", "sip:bob:…@h"),
        ("sip:h:5060 sip:bob@h:5060", "sip:h:5060 sip:bob@h:5060"),
        ("a=fingerprint:sha-256 AA:BB", "a=fingerprint:…"),
        ("a=zrtp-hash:1.10 abc", "a=zrtp-hash:…"),
        (
            "INFO sip:x SIP/2.0\r\nContent-Type: application/dtmf\r\n\r\n5\r\n\0SIP/2.0 200 OK",
            "INFO sip:x SIP/2.0\r\nContent-Type: application/dtmf\r\n\r\n…\0SIP/2.0 200 OK",
        ),
        (
            "c: APPLICATION/DTMF;x=y\r\n\r\n5",
            "c: APPLICATION/DTMF;x=y\r\n\r\n…",
        ),
    ],
)
def test_masks(text: str, shown: str) -> None:
    assert mask(text) == shown


PASSWORDS = st.text("abcdefXYZ0123456789-_.!~*'()&=+$,", min_size=6, max_size=20)


@given(PASSWORDS, st.sampled_from(["sip", "sips", "SIP"]))
def test_no_password_of_an_address_survives(password: str, scheme: str) -> None:
    secret = "Q7" + password
    for text in (f"<{scheme}:101:{secret}@h>;q=1", f"{scheme}:101:{secret}@h:5060;x=y"):
        assert secret not in mask(f"INVITE {text} SIP/2.0\r\nContact: {text}\r\n")


@given(st.binary(min_size=30, max_size=30))
def test_no_key_survives(key: bytes) -> None:
    text = base64.b64encode(key).decode()
    assert text not in mask(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{text}|2^31\r\n")


@given(st.text(max_size=300))
def test_masking_takes_any_text(text: str) -> None:
    mask(text)


# ── the recorder ────────────────────────────────────────────────────────────────────────────
def test_messages_before_and_after_the_call_is_known() -> None:
    kept, flow = recorder(), MemoryFlow()
    invite = request(call_id="x")
    kept.on_message(False, invite, flow)
    kept.follow("x", "call-1")
    kept.on_message(True, invite.response(200, to_tag="t"), flow)
    kept.on_message(False, request("BYE", call_id="x"), flow)
    lines = kept.peek("call-1")
    assert [(line.sent, line.summary) for line in lines] == [
        (False, "INVITE sip:102@example.com SIP/2.0"),
        (True, "SIP/2.0 200 OK (INVITE)"),
        (False, "BYE sip:102@example.com SIP/2.0"),
    ]
    assert lines[0].peer == "udp:192.0.2.9:5060"
    assert [line.text for line in kept.take("call-1")] == [line.text for line in lines]
    assert kept.peek("call-1") == kept.take("call-1") == []


def test_two_dialogs_of_a_call_are_one_ladder_in_order_of_time() -> None:
    kept, flow = recorder(), MemoryFlow()
    kept.on_message(False, request(call_id="in"), flow)
    kept.on_message(True, request(call_id="out"), flow)
    kept.follow("out", "call")
    kept.follow("in", "call")
    kept.on_message(False, request("BYE", call_id="in"), flow)
    assert [line.sent for line in kept.peek("call")] == [False, True, False]


def test_what_is_no_call_is_not_kept() -> None:
    kept, flow = recorder(), MemoryFlow()
    for method in ("REGISTER", "OPTIONS", "BYE"):
        kept.on_message(False, request(method, call_id="x"), flow)
    kept.follow("x", "call")
    assert kept.peek("call") == []
    assert kept.peek("no such call") == []


def test_memory_is_bounded() -> None:
    kept, flow = recorder(), MemoryFlow()
    for number in range(MAX_STRAYS + 50):
        kept.on_message(False, request(call_id=str(number)), flow)
    assert len(kept._strays) == MAX_STRAYS
    kept.follow("x", "call")
    for _ in range(MAX_MESSAGES + 50):
        kept.on_message(False, request(call_id="x"), flow)
    assert len(kept.peek("call")) == MAX_MESSAGES


def test_traces_are_masked_and_odd_bytes_do_no_harm() -> None:
    kept, flow = recorder(), MemoryFlow()
    wire, hidden = secretive(secrets.token_hex(8))
    for data in (wire, wire.replace(b"v=0", b"v=0\0\xff")):
        kept.on_message(False, parse_message(data), flow)
    kept.follow("a84b4c76e66710", "call")
    one, two = kept.peek("call")
    for secret in hidden:
        assert secret not in one.text + one.summary
        assert secret not in two.text + two.summary
    assert one.to_json()["text"] == one.text


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5))
def test_any_bodies_stay_with_their_messages(bodies: list[bytes]) -> None:
    kept, flow = recorder(), MemoryFlow()
    for number, body in enumerate(bodies):
        kept.on_message(False, request(call_id="x", cseq=number + 1, body=body), flow)
    kept.follow("x", "call")
    lines = kept.peek("call")
    assert [f"{number + 1} INVITE" in line.text for number, line in enumerate(lines)] == [
        True
    ] * len(bodies)


def test_a_leg_that_was_handed_over_is_the_other_calls_from_then_on() -> None:
    kept = recorder()
    kept.follow("sip-1", "first")
    kept.follow("sip-2", "second")
    assert kept.call_of("sip-1") == "first"
    kept.follow("sip-1", "second")
    kept.take("first")
    assert [kept.call_of(one) for one in ("sip-1", "sip-2", "sip-3")] == ["second", "second", ""]
    kept.take("second")
    assert not any((kept._whose, kept._by_sip_id, kept._calls, kept._sip_ids))
