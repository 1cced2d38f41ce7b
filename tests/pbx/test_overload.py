"""Overload control: what is refused unread, at what price, and who is heard all the same."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbx.guard import Guard
from pbx.overload import DEVICE_BURST, MAX_LAG, SAVED, SHARE, Overload
from pbx.sip.message import Response, parse_message
from pbx.sip.refusal import is_new, refusal, reply_port, transaction_key
from pbx.sip.transaction import server_key
from pbx.sip.transport import Address, Look
from tests.pbx.messages import request
from tests.pbx.virtual_time import MemoryFlow, passing, virtual

PHONE: Address = ("192.0.2.7", 5070)
NEIGHBOUR: Address = ("192.0.2.7", 6666)
STRANGER: Address = ("203.0.113.66", 5060)
INVITE = request("INVITE").encode()
REFUSED = b"503 Service Unavailable"


class Gate:
    """A phone at one port of a host, and work that takes as long as a test says."""

    def __init__(self) -> None:
        self.repeats: set[str] = set()
        guard = Guard(
            requests_per_second=1000,
            failures=3,
            ban_seconds=60,
            is_known=lambda host: host == PHONE[0],
            on_ban=lambda *_: None,
        )
        self.overload = Overload(
            guard, is_device=lambda remote: remote == PHONE, is_repeat=self.repeats.__contains__
        )

    def look(self, data: bytes = INVITE, remote: Address = NEIGHBOUR, cost: float = 0.0) -> Look:
        look = self.overload.look(data, MemoryFlow(remote=remote))
        if look is Look.METER:
            self.overload.spent(cost)
        return look

    async def flood(self, seconds: float, cost: float, rate: int = 2000) -> dict[Look, int]:
        """So many INVITEs a second of a neighbour; how many were treated how."""
        counts = dict.fromkeys(Look, 0)
        for _ in range(round(seconds * rate)):
            counts[self.look(cost=cost)] += 1
            await passing(1 / rate)
        return counts


@virtual
async def test_a_quiet_exchange_reads_everything() -> None:
    gate = Gate()
    assert {gate.look(remote=remote) for remote in (NEIGHBOUR, STRANGER)} == {Look.METER}
    assert gate.look(remote=PHONE) is Look.PASS


@virtual
async def test_a_flood_gets_its_share_of_the_time_and_503_for_the_rest() -> None:
    gate = Gate()
    counts = await gate.flood(5, cost=0.001)
    assert counts[Look.METER] * 0.001 == pytest.approx(5 * SHARE, rel=0.1)
    assert counts[Look.BUSY] > 7000
    assert counts[Look.DROP] == 0
    await passing(1)
    assert gate.look() is Look.METER  # and it is over when it is over


@virtual
async def test_what_belongs_to_a_call_is_read_after_new_calls_are_not() -> None:
    gate = Gate()
    gate.overload.spent(0.6 * SAVED)
    assert gate.look() is Look.BUSY
    for message in (request("BYE", to_tag="x"), request("INVITE", to_tag="x"), Response(200, "OK")):
        assert gate.look(message.encode()) is Look.METER
    gate.overload.spent(SAVED)
    assert gate.look() is Look.DROP
    assert gate.look(request("BYE", to_tag="x").encode(), PHONE) is Look.PASS


@virtual
async def test_a_registered_phone_calls_while_its_neighbour_floods() -> None:
    gate = Gate()
    gate.overload.spent(10)
    for _ in range(int(DEVICE_BURST)):
        assert gate.look(remote=PHONE) is Look.PASS
    assert gate.look(remote=PHONE) is Look.DROP  # but it may not flood either
    await passing(1)
    assert gate.look(remote=PHONE) is Look.PASS


@virtual
async def test_new_calls_are_refused_while_the_loop_lags() -> None:
    gate = Gate()
    gate.overload.lag = 2 * MAX_LAG
    assert gate.look(remote=PHONE) is gate.look() is Look.BUSY
    assert gate.look(request("BYE", to_tag="x").encode(), PHONE) is Look.PASS


@pytest.fixture
def all_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """All time that passes is work of ours, however many tests share the processor."""
    monkeypatch.setattr(time, "thread_time", time.perf_counter)


@pytest.mark.usefixtures("all_ours")
async def test_the_lag_of_a_loop_is_measured_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    gate.overload.start()
    for _ in range(3):
        time.sleep(0.6)  # noqa: ASYNC251  # as nothing in the program may
        await passing(0.001)
        await passing(0.11)
    assert gate.overload.lag > 0.1
    worst = gate.overload.lag
    await passing(1.2)
    assert gate.overload.lag < worst / 2
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)  # the processor was somebody else's
    time.sleep(0.6)  # noqa: ASYNC251
    await passing(0.11)
    assert gate.overload.lag < worst / 2
    gate.overload.stop()


@pytest.mark.usefixtures("all_ours")
async def test_one_long_stall_is_no_crowd() -> None:
    """A file that is slow once, a start: whoever registers next is not sent away for it."""
    gate = Gate()
    gate.overload.start()
    time.sleep(2)  # noqa: ASYNC251
    await passing(0.11)
    assert 0.05 < gate.overload.lag < MAX_LAG
    assert gate.look(remote=PHONE) is Look.PASS
    gate.overload.stop()


@virtual
async def test_a_repeat_of_a_request_that_is_worked_on_is_not_refused() -> None:
    gate = Gate()
    gate.overload.spent(0.6 * SAVED)
    message = parse_message(INVITE)
    assert not isinstance(message, Response)
    gate.repeats.add(server_key(message))
    assert gate.look() is Look.PASS


# ── the refusal ─────────────────────────────────────────────────────────────────────────────
def test_a_refusal_repeats_what_a_response_must() -> None:
    data = INVITE.replace(b";rport", b"").replace(b"branch=", b"rport;branch=")
    answer = parse_message(refusal(data, PHONE, REFUSED, b"Retry-After: 7"))
    asked = parse_message(data)
    assert isinstance(answer, Response)
    assert (answer.status, answer.get("retry-after"), answer.body) == (503, "7", b"")
    for name in ("from", "call-id", "cseq"):
        assert answer.get_all(name) == asked.get_all(name)
    assert answer.via.parameters["branch"] == asked.via.parameters["branch"]
    assert answer.via.parameters["received"] == PHONE[0]
    assert answer.via.parameters["rport"] == str(PHONE[1])
    assert answer.to_tag
    assert refusal(data, PHONE, REFUSED) == refusal(data, PHONE, REFUSED)


@pytest.mark.parametrize(
    "via",
    [
        "SIP/2.0/UDP host.example",
        "SIP/2.0/TLS [2001:db8::9]:5062;branch=z9hG4bKx;rport;received=1.2.3.4",
        "SIP/2.0/UDP a;branch=z9hG4bKx, SIP/2.0/UDP b;branch=z9hG4bKy",
    ],
)
def test_any_via_can_be_answered(via: str) -> None:
    asked = request("REGISTER")
    asked.set("via", via)
    answer = parse_message(refusal(asked.encode(), ("2001:db8::1", 5), REFUSED))
    assert answer.elements("via")[1:] == asked.elements("via")[1:]
    assert answer.elements("via")[0].endswith(";received=2001:db8::1")
    assert answer.via.parameters["received"] == "2001:db8::1"


def test_where_a_refusal_goes() -> None:
    asked = request("OPTIONS")
    for via, port in (("a;rport", 9), ("a:5070", 5070), ("a", 5060), ("a:99999", 9)):
        asked.set("via", f"SIP/2.0/UDP {via}")
        assert reply_port(asked.encode(), 9) == port
    assert reply_port(b"OPTIONS", 9) == 9


@given(st.binary(max_size=400))
@settings(max_examples=300)
def test_no_bytes_are_answered_but_requests(noise: bytes) -> None:
    for data in (noise, b"INVITE " + noise, b"INVITE sip:a SIP/2.0\r\nv: " + noise):
        is_new(data), transaction_key(data), reply_port(data, 1)
        answer = refusal(data, PHONE, REFUSED)
        assert not answer or answer.startswith(b"SIP/2.0 503 ")
        assert len(answer) < len(data) + 200


@pytest.mark.parametrize("method", ["INVITE", "REGISTER", "OPTIONS", "CANCEL"])
def test_the_transaction_key_is_the_stacks(method: str) -> None:
    message = request(method)
    assert transaction_key(message.encode()) == server_key(message)


def test_what_is_new() -> None:
    assert is_new(INVITE)
    assert not is_new(request("INVITE", to_tag="x").encode())
    assert not is_new(request("BYE").encode())
    assert not is_new(Response(200, "OK").encode())
    tagged_user = INVITE.replace(b"To: <sip:", b"To: <sip:x;tag=1@")
    assert is_new(tagged_user)


@pytest.mark.parametrize(
    "data",
    [
        b"INVITE sip:a SIP/2.0" + b"\r\nv:" * 4000,
        b"INVITE sip:a SIP/2.0\r\nv: SIP/2.0/UDP a" + b";" * 16_000,
        b"INVITE sip:a SIP/2.0\r\nt:" + b">;" * 8000,
        b"INVITE sip:a SIP/2.0\r\nv: SIP/2.0/UDP " + b"a:" * 8000,
    ],
)
def test_no_message_is_slow_to_refuse(data: bytes) -> None:
    started = time.thread_time()
    is_new(data), transaction_key(data), refusal(data, PHONE, REFUSED)
    assert time.thread_time() - started < 0.02


def test_a_refusal_is_cheap() -> None:
    """Against the parse it saves; both in this very process."""

    def cost(work: object) -> float:
        started = time.thread_time()
        for _ in range(500):
            work()  # type: ignore[operator]
        return time.thread_time() - started

    parse = min(cost(lambda: parse_message(INVITE)) for _ in range(3))
    refuse = min(cost(lambda: refusal(INVITE, PHONE, REFUSED)) for _ in range(3))
    assert refuse < 2 * parse
