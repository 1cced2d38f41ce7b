"""The four machines of RFC 3261 §17, timer by timer. Times are seconds since the test began."""

from __future__ import annotations

import itertools

import pytest

from pbx.sip.message import Response
from pbx.sip.transaction import (
    ClientTransaction,
    InviteClientTransaction,
    InviteServerTransaction,
    NonInviteClientTransaction,
    NonInviteServerTransaction,
    ServerTransaction,
    State,
    Timers,
    Transactions,
    client_key,
    new_branch,
    server_key,
)
from tests.pbx.messages import answer, request
from tests.pbx.virtual_time import MemoryFlow, now, passing, settled, statuses, virtual

INVITE_SCHEDULE = [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
"Timer A: T1, then doubling without a ceiling, until timer B at 64 × T1."
CAPPED_SCHEDULE = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
"Timers E and G: T1, then doubling up to T2."


class Client:
    """A client transaction and what its user was told, with the time."""

    def __init__(self, method: str, transport: str = "udp") -> None:
        self.flow = MemoryFlow(transport)  # type: ignore[arg-type]
        self.told: list[tuple[float, int]] = []
        self.ended: list[float] = []
        self.table = Transactions(Timers(), 100)
        self.request = request(method)
        self.transaction: ClientTransaction = self.table.begin_client(
            self.request, self.flow, self._on_response
        )

    def _on_response(self, response: Response) -> None:
        self.told.append((round(now(), 6), response.status))

    def receive(self, status: int, tag: str = "peer") -> None:
        response = answer(self.request, status, tag)
        found = self.table.find_client(response)
        if found is not None:
            found.receive(response)

    @property
    def state(self) -> State:
        return self.transaction.state


class Server:
    """A server transaction."""

    def __init__(self, method: str, transport: str = "udp") -> None:
        self.flow = MemoryFlow(transport)  # type: ignore[arg-type]
        self.table = Transactions(Timers(), 100)
        self.request = request(method)
        begun = self.table.begin_server(self.request, self.flow)
        assert begun is not None
        self.transaction: ServerTransaction = begun
        self.unconfirmed: list[float] = []
        if isinstance(begun, InviteServerTransaction):
            begun.on_no_ack = lambda: self.unconfirmed.append(round(now(), 6))

    @property
    def invite(self) -> InviteServerTransaction:
        assert isinstance(self.transaction, InviteServerTransaction)
        return self.transaction

    @property
    def state(self) -> State:
        return self.transaction.state


# ── INVITE client, §17.1.1 ──────────────────────────────────────────────────────────────────
@virtual
async def test_an_unanswered_invite_is_repeated_doubling_and_given_up_after_64_t1() -> None:
    client = Client("INVITE")
    await passing(100)
    assert client.flow.times() == INVITE_SCHEDULE  # timer A
    assert client.told == [(32.0, 408)]  # timer B
    assert client.state is State.TERMINATED
    assert len(client.table) == 0


@virtual
async def test_a_repeated_invite_is_the_same_bytes() -> None:
    client = Client("INVITE")
    await passing(40)
    assert len({data for _, data in client.flow.sent}) == 1


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@virtual
async def test_an_invite_on_a_reliable_transport_is_sent_once(transport: str) -> None:
    client = Client("INVITE", transport)
    await passing(100)
    assert client.flow.times() == [0.0]
    assert client.told == [(32.0, 408)]


@virtual
async def test_a_provisional_answer_stops_timers_a_and_b() -> None:
    client = Client("INVITE")
    await passing(1)
    client.receive(180)
    assert client.state is State.PROCEEDING
    await passing(600)  # phones ring for as long as they like
    assert client.flow.times() == [0.0, 0.5]
    assert client.told == [(1.0, 180)]
    client.receive(183)
    client.receive(200)
    assert [status for _, status in client.told] == [180, 183, 200]


@virtual
async def test_a_refusal_is_acknowledged_at_once_and_each_time_it_is_repeated() -> None:
    client = Client("INVITE")
    client.flow.messages()
    client.receive(486)
    assert client.state is State.COMPLETED
    client.receive(486)
    client.receive(486)
    acks = client.flow.messages()
    assert statuses(acks) == ["ACK", "ACK", "ACK"]
    assert client.told == [(0.0, 486)]  # the user hears of it once


@virtual
async def test_the_ack_of_a_refusal_is_made_as_17_1_1_3_says() -> None:
    client = Client("INVITE")
    client.request.set("route", ["<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>"])
    client.flow.messages()
    client.receive(404, tag="4242")
    (ack,) = client.flow.messages()
    assert ack.start_line() == "ACK sip:102@example.com SIP/2.0"
    assert ack.get_all("via") == client.request.get_all("via")
    assert ack.get("from") == client.request.get("from")
    assert ack.get("to") == "<sip:102@example.com>;tag=4242"
    assert ack.call_id == client.request.call_id
    assert ack.get("cseq") == "1 ACK"
    assert ack.get_all("route") == ["<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>"]
    assert ack.body == b""


@virtual
async def test_timer_d_absorbs_repeated_refusals_for_32_seconds() -> None:
    client = Client("INVITE")
    client.receive(486)
    await passing(31.9)
    assert client.state is State.COMPLETED
    await passing(0.2)
    assert client.state is State.TERMINATED
    assert len(client.table) == 0


@virtual
async def test_timer_d_is_zero_on_a_reliable_transport() -> None:
    client = Client("INVITE", "tcp")
    client.receive(486)
    assert client.state is State.TERMINATED
    assert statuses(client.flow.messages()) == ["INVITE", "ACK"]


@virtual
async def test_a_success_is_passed_up_again_when_repeated_until_timer_m() -> None:
    client = Client("INVITE")
    client.receive(200)
    assert client.state is State.ACCEPTED  # RFC 6026 §7.2
    await passing(20)
    client.receive(200)
    client.receive(200, tag="another-phone")
    client.receive(180)  # too late to mean anything
    client.receive(486)
    assert client.told == [(0.0, 200), (20.0, 200), (20.0, 200)]
    await passing(12.1)  # timer M: 64 × T1 after the first
    assert client.state is State.TERMINATED
    client.receive(200)
    assert len(client.told) == 3


@virtual
async def test_a_success_is_not_acknowledged_by_the_transaction() -> None:
    client = Client("INVITE")
    client.receive(200)
    await passing(40)
    assert statuses(client.flow.messages()) == ["INVITE"]


@virtual
async def test_a_cancelled_invite_is_given_up_when_no_final_answer_comes() -> None:
    client = Client("INVITE")
    client.receive(180)
    assert isinstance(client.transaction, InviteClientTransaction)
    client.transaction.abandon(32.0)  # §9.1
    await passing(31.9)
    assert client.told == [(0.0, 180)]
    await passing(1)
    assert client.told == [(0.0, 180), (32.0, 487)]


# ── non-INVITE client, §17.1.2 ──────────────────────────────────────────────────────────────
@virtual
async def test_an_unanswered_request_is_repeated_up_to_t2_and_given_up_after_64_t1() -> None:
    client = Client("OPTIONS")
    await passing(100)
    assert client.flow.times() == CAPPED_SCHEDULE  # timer E
    assert client.told == [(32.0, 408)]  # timer F
    assert len(client.table) == 0


@virtual
async def test_a_request_on_a_reliable_transport_is_sent_once() -> None:
    client = Client("REGISTER", "tls")
    await passing(100)
    assert client.flow.times() == [0.0]
    assert client.told == [(32.0, 408)]


@virtual
async def test_after_a_provisional_answer_a_request_is_repeated_every_t2() -> None:
    client = Client("BYE")
    await passing(0.5)
    client.receive(100)
    assert client.state is State.PROCEEDING
    client.flow.times()
    await passing(100)
    repeats = client.flow.times()
    gaps = {round(b - a, 6) for a, b in itertools.pairwise(repeats)}
    assert gaps == {4.0}
    assert client.told == [(0.5, 100), (32.0, 408)]  # timer F runs on


@virtual
async def test_timer_k_absorbs_repeated_answers_for_t4() -> None:
    client = Client("OPTIONS")
    client.receive(200)
    client.receive(200)
    assert client.told == [(0.0, 200)]
    await passing(4.9)
    assert client.state is State.COMPLETED
    await passing(0.2)
    assert client.state is State.TERMINATED
    assert client.flow.times() == [0.0]


@virtual
async def test_timer_k_is_zero_on_a_reliable_transport() -> None:
    client = Client("OPTIONS", "tcp")
    client.receive(200)
    assert client.state is State.TERMINATED


@virtual
async def test_other_clocks_scale_the_timers() -> None:
    flow = MemoryFlow()
    told: list[int] = []
    table = Transactions(Timers(t1=0.1, t2=0.4, t4=0.5), 10)
    table.begin_client(request("OPTIONS"), flow, lambda response: told.append(response.status))
    await passing(6.3)
    assert flow.times()[:5] == [0.0, 0.1, 0.3, 0.7, 1.1]
    assert told == []
    await passing(0.2)
    assert told == [408]


# ── INVITE server, §17.2.1 ──────────────────────────────────────────────────────────────────
@virtual
async def test_a_repeated_invite_is_answered_with_the_last_provisional() -> None:
    server = Server("INVITE")
    server.transaction.receive_again()
    assert server.flow.messages() == []  # nothing said yet
    server.transaction.reply(100)
    server.transaction.reply(180)
    server.transaction.receive_again()
    assert statuses(server.flow.messages()) == [100, 180, 180]
    await passing(300)
    assert server.state is State.PROCEEDING
    assert server.flow.messages() == []  # provisionals are not repeated unasked


@virtual
async def test_a_refusal_is_repeated_until_timer_h() -> None:
    server = Server("INVITE")
    server.transaction.reply(486)
    assert server.state is State.COMPLETED
    await passing(100)
    assert server.flow.times() == CAPPED_SCHEDULE  # timer G
    assert server.unconfirmed == [32.0]  # timer H
    assert len(server.table) == 0


@virtual
async def test_a_refusal_on_a_reliable_transport_is_sent_once_and_still_waits_for_ack() -> None:
    server = Server("INVITE", "tcp")
    server.transaction.reply(486)
    await passing(31)
    assert server.flow.times() == [0.0]
    assert server.state is State.COMPLETED
    await passing(2)
    assert server.unconfirmed == [32.0]


@virtual
async def test_ack_stops_the_refusal_and_timer_i_absorbs_more_acks() -> None:
    server = Server("INVITE")
    server.transaction.reply(486)
    await passing(0.6)
    server.invite.acknowledged()
    assert server.state is State.CONFIRMED
    assert server.flow.times() == [0.0, 0.5]
    server.invite.acknowledged()
    server.transaction.receive_again()
    await passing(4.9)
    assert server.state is State.CONFIRMED
    await passing(0.2)  # timer I: T4
    assert server.state is State.TERMINATED
    assert server.flow.times() == []
    assert server.unconfirmed == []


@virtual
async def test_timer_i_is_zero_on_a_reliable_transport() -> None:
    server = Server("INVITE", "tls")
    server.transaction.reply(486)
    server.invite.acknowledged()
    assert server.state is State.TERMINATED


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@virtual
async def test_a_success_is_repeated_on_every_transport_until_its_ack(transport: str) -> None:
    server = Server("INVITE", transport)
    server.transaction.reply(200)
    assert server.state is State.ACCEPTED
    await passing(4)
    assert server.flow.times() == [0.0, 0.5, 1.5, 3.5]  # §13.3.1.4
    server.invite.acknowledged()
    await passing(100)
    assert server.flow.times() == []
    assert server.unconfirmed == []
    assert len(server.table) == 0


@virtual
async def test_a_success_without_ack_is_given_up_by_timer_l() -> None:
    server = Server("INVITE")
    server.transaction.reply(200)
    await passing(100)
    assert server.flow.times() == CAPPED_SCHEDULE
    assert server.unconfirmed == [32.0]
    assert len(server.table) == 0


@virtual
async def test_an_invite_repeated_after_the_success_is_swallowed() -> None:
    server = Server("INVITE")
    server.transaction.reply(200)
    server.flow.messages()
    server.transaction.receive_again()  # RFC 6026 §7.1
    assert server.flow.messages() == []


@virtual
async def test_nothing_is_sent_after_a_final_answer() -> None:
    server = Server("INVITE", "tcp")
    server.transaction.reply(404)
    server.transaction.reply(200)
    server.transaction.reply(180)
    assert statuses(server.flow.messages()) == [404]


# ── non-INVITE server, §17.2.2 ──────────────────────────────────────────────────────────────
@virtual
async def test_a_repeated_request_gets_the_same_answer_until_timer_j() -> None:
    server = Server("REGISTER")
    server.transaction.receive_again()
    assert server.flow.sent == []
    server.transaction.reply(200)
    await passing(31.9)
    server.transaction.receive_again()
    sent = [data for _, data in server.flow.sent]
    assert len(sent) == 2
    assert sent[0] == sent[1]
    await passing(0.2)  # timer J: 64 × T1
    assert server.state is State.TERMINATED
    server.transaction.receive_again()
    assert len(server.flow.sent) == 2
    assert len(server.table) == 0


@virtual
async def test_timer_j_is_zero_on_a_reliable_transport() -> None:
    server = Server("OPTIONS", "tcp")
    server.transaction.reply(200)
    assert server.state is State.TERMINATED


@virtual
async def test_a_slow_request_repeats_its_provisional() -> None:
    server = Server("INFO")
    server.transaction.reply(100)
    assert server.state is State.PROCEEDING
    server.transaction.receive_again()
    server.transaction.reply(200)
    server.transaction.reply(500)
    assert statuses(server.flow.messages()) == [100, 100, 200]


# ── transport errors, §17.1.4 ───────────────────────────────────────────────────────────────
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
@virtual
async def test_a_broken_connection_answers_503_at_once(method: str) -> None:
    client = Client(method, "tcp")
    await passing(1)
    client.table.flow_closed(client.flow)
    assert client.told == [(1.0, 503)]
    await passing(100)
    assert len(client.told) == 1


@virtual
async def test_a_connection_that_breaks_while_it_rings_answers_503() -> None:
    client = Client("INVITE", "tls")
    client.receive(180)
    client.table.flow_closed(client.flow)
    assert client.told == [(0.0, 180), (0.0, 503)]


@virtual
async def test_a_connection_that_breaks_after_the_answer_changes_nothing() -> None:
    client = Client("INVITE", "tcp")
    client.receive(200)
    client.table.flow_closed(client.flow)
    assert client.told == [(0.0, 200)]


@virtual
async def test_other_connections_are_not_touched() -> None:
    client = Client("OPTIONS", "tcp")
    client.table.flow_closed(MemoryFlow("tcp"))
    assert client.told == []


@virtual
async def test_a_request_on_a_closed_flow_fails_on_the_next_turn_of_the_loop() -> None:
    flow, told = MemoryFlow("tcp"), []
    flow.close()
    table = Transactions(Timers(), 10)
    table.begin_client(request("OPTIONS"), flow, lambda response: told.append(response.status))
    assert told == []  # the caller has its transaction before it hears
    await settled()
    assert told == [503]


# ── the table ───────────────────────────────────────────────────────────────────────────────
@virtual
async def test_a_full_table_begins_nothing_more() -> None:
    table = Transactions(Timers(), 3)
    begun = [table.begin_server(request("OPTIONS"), MemoryFlow()) for _ in range(5)]
    assert [found is not None for found in begun] == [True, True, True, False, False]


@virtual
async def test_kinds_follow_methods() -> None:
    table = Transactions(Timers(), 10)
    flow = MemoryFlow()
    assert isinstance(table.begin_server(request("INVITE"), flow), InviteServerTransaction)
    assert isinstance(table.begin_server(request("BYE"), flow), NonInviteServerTransaction)
    client = table.begin_client(request("INFO"), flow, lambda _: None)
    assert isinstance(client, NonInviteClientTransaction)
    table.close()
    assert len(table) == 0


@virtual
async def test_closing_is_silent() -> None:
    client = Client("INVITE")
    client.table.close()
    await passing(100)
    assert client.told == []
    assert client.flow.times() == [0.0]


@virtual
async def test_a_cancel_finds_the_invite_of_its_branch() -> None:
    table = Transactions(Timers(), 10)
    invite = request("INVITE", branch="z9hG4bKabc")
    begun = table.begin_server(invite, MemoryFlow())
    assert table.find_cancelled(request("CANCEL", branch="z9hG4bKabc")) is begun
    assert table.find_cancelled(request("CANCEL", branch="z9hG4bKabd")) is None


@virtual
async def test_a_cancel_does_not_find_another_request() -> None:
    table = Transactions(Timers(), 10)
    table.begin_server(request("OPTIONS", branch="z9hG4bKabc"), MemoryFlow())
    assert table.find_cancelled(request("CANCEL", branch="z9hG4bKabc")) is None


# ── matching, §17.1.3 and §17.2.3 ───────────────────────────────────────────────────────────
def test_an_ack_belongs_to_its_invite_and_a_cancel_does_not() -> None:
    invite = request("INVITE", branch="z9hG4bKx")
    assert server_key(request("ACK", branch="z9hG4bKx")) == server_key(invite)
    assert server_key(request("CANCEL", branch="z9hG4bKx")) != server_key(invite)


def test_the_same_branch_from_another_host_is_another_transaction() -> None:
    here = request("OPTIONS", branch="z9hG4bKx", via="192.0.2.9:5060;rport")
    there = request("OPTIONS", branch="z9hG4bKx", via="192.0.2.10:5060;rport")
    assert server_key(here) != server_key(there)


@pytest.mark.parametrize("branch", ["1", "z9hG4bK"])
def test_without_a_magic_branch_the_call_and_its_number_decide(branch: str) -> None:
    invite = request("INVITE", branch=branch, cseq=7)
    assert server_key(request("ACK", branch=branch, cseq=7)) == server_key(invite)
    assert server_key(request("INVITE", branch=branch, cseq=8)) != server_key(invite)
    assert server_key(request("INVITE", branch=branch, cseq=7, call_id="b")) != server_key(invite)
    assert server_key(request("INVITE", branch=branch, cseq=7, from_tag="b")) != server_key(invite)


def test_a_response_is_matched_by_branch_and_method() -> None:
    invite = request("INVITE", branch="z9hG4bKx")
    cancel = request("CANCEL", branch="z9hG4bKx")
    assert client_key(answer(invite, 200)) == "z9hG4bKx INVITE"
    assert client_key(answer(cancel, 200)) == "z9hG4bKx CANCEL"


def test_branches_are_unguessable_and_marked() -> None:
    branches = {new_branch() for _ in range(1000)}
    assert len(branches) == 1000
    assert all(branch.startswith("z9hG4bK") and len(branch) >= 27 for branch in branches)


@virtual
async def test_a_reply_carries_its_tag_and_headers() -> None:
    server = Server("INVITE")
    server.transaction.reply(100)
    server.transaction.reply(503, retry_after="5")
    trying, busy = server.flow.messages()
    assert trying.to_tag == ""
    assert busy.to_tag == server.transaction.local_tag
    assert busy.get("retry-after") == "5"
