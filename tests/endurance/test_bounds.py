"""Every table has an end, and what happens there is what docs/limits.md says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from encryptotel import control, journal
from encryptotel.alerts import MAX_PER_HOUR, MAX_SOURCES, Alerts
from encryptotel.control import Control, ask
from encryptotel.health import WINDOW, Health
from encryptotel.journal import Journal
from pbx.events import (
    CallEnded,
    CallStarted,
    CallTraced,
    DeviceRegistered,
    LegEnded,
    LegStarted,
    TraceLine,
)
from pbx.guard import MAX_HOSTS, Guard
from pbx.sip.digest import MAX_NONCES, MAX_UNANSWERED, DigestServer
from pbx.sip.stack import Stack
from pbx.sip.transaction import Timers, Transactions
from pbx.trace import MAX_CALL_BYTES, MAX_MESSAGES, MIN_BYTES, Recorder
from store.database import Database
from store.journal import recent_calls
from tests.office import open_office
from tests.pbx.messages import request

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


# ── the journal while the database is away ──────────────────────────────────────────────────
@pytest.fixture
async def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Journal]:
    """A journal with small limits that nobody writes yet."""
    monkeypatch.setattr(journal, "MAX_WAITING", 100)
    monkeypatch.setattr(journal, "KEPT_FOR_ENDS", 20)
    monkeypatch.setattr(journal, "MAX_TRACE_BYTES", 1000)
    monkeypatch.setattr(journal, "MAX_DEVICES", 10)
    database = Database(tmp_path / "t.db")
    await database.open()
    yield Journal(database)
    await database.close()


def begins(call: str) -> list[CallStarted | LegStarted]:
    return [
        CallStarted(
            call_id=call, at=NOW, caller="1", callee="2", user="1", kind="internal", shown="1"
        ),
        LegStarted(call_id=call, leg_id=f"l{call}", at=NOW, peer="2", direction="out"),
    ]


def ends(call: str, text: str = "INVITE") -> list[LegEnded | CallEnded | CallTraced]:
    line = TraceLine(at=NOW, sent=True, peer="udp:a:1", summary="INVITE", text=text)
    return [
        LegEnded(call_id=call, leg_id=f"l{call}", at=NOW, peer="2", status=200, cause="hung up"),
        CallEnded(call_id=call, at=NOW, status=200, cause="hung up"),
        CallTraced(call_id=call, at=NOW, lines=[line]),
    ]


async def test_when_there_is_no_room_whole_new_calls_are_left_out(away: Journal) -> None:
    early = ["e1", "e2"]
    for call in early:
        for event in begins(call):
            away.take(event)
    for number in range(500):  # these come and go while the database is away
        for event in (*begins(f"x{number}"), *ends(f"x{number}")):
            away.take(event)
    for call in early:
        for event in ends(call):
            away.take(event)
    assert away.waiting <= 100
    assert away.dropped == 5 * 500 + 10 - away.waiting
    assert not away._given_up
    away.start()
    await away.close()
    calls = await recent_calls(away._database, limit=1000)
    assert all(call.ended_at and call.cause == "hung up" for call, _ in calls)
    assert set(early) <= {call.id for call, _ in calls}
    assert all(len(legs) == 1 and legs[0].ended_at for _, legs in calls)
    assert away.waiting == 0
    assert away._trace_bytes == 0


async def test_traces_have_a_bound_of_their_own(away: Journal) -> None:
    for number in range(8):
        for event in (*begins(f"t{number}"), *ends(f"t{number}", "x" * 300)):
            away.take(event)
    assert away._trace_bytes == 900
    assert away.dropped == 5


async def test_of_a_device_only_the_latest_waits(away: Journal) -> None:
    def registered(contact: int, seconds: int) -> DeviceRegistered:
        return DeviceRegistered(
            extension="101", at=NOW, contact=f"sip:{contact}", transport="udp", remote_host="h",
            remote_port=1, expires=NOW + timedelta(seconds=seconds), user_agent="", call_id="c",
            cseq=1, refreshed=True, username="101", since=NOW,
        )  # fmt: skip

    for seconds in range(1000):
        for contact in range(12):
            away.take(registered(contact, seconds))
    assert away.waiting == 10
    assert away.dropped == 2 * 1000


# ── the control socket ──────────────────────────────────────────────────────────────────────
async def _echo(request: control.Request) -> control.Request:
    return {"heard": request.get("text", "")}


@pytest.fixture
async def socket(tmp_path: Path) -> AsyncIterator[Path]:
    server = Control(tmp_path / "s", {"echo": _echo})
    await server.start()
    yield tmp_path / "s"
    await server.stop()


async def test_the_control_socket_bounds_connections_and_lines(socket: Path) -> None:
    writers = []
    for _ in range(control.MAX_CONNECTIONS):
        reader, writer = await asyncio.open_unix_connection(socket)
        writer.write(b'{"do": "echo"}\n')
        assert json.loads(await reader.readline()) == {"heard": ""}
        writers.append(writer)
    reader, writer = await asyncio.open_unix_connection(socket)
    assert await reader.read() == b""  # one too many
    writer.close()
    reader, writer = await _replace(socket, writers.pop())
    writer.write(b"x" * (2 * control.MAX_REQUEST) + b"\n")
    assert await reader.read() == b""  # too long a line
    writer.close()
    for writer in writers:
        writer.close()


async def _replace(
    socket: Path, old: asyncio.StreamWriter
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection in the place of another, as soon as that is gone."""
    old.close()
    await old.wait_closed()
    while True:
        reader, writer = await asyncio.open_unix_connection(socket)
        writer.write(b'{"do": "echo"}\n')
        if await reader.readline():
            return reader, writer
        writer.close()


async def test_a_silent_control_connection_is_closed(
    socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "IDLE_SECONDS", 0.05)
    reader, writer = await asyncio.open_unix_connection(socket)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    assert await ask(socket, {"do": "echo", "text": "still there"}) == {"heard": "still there"}


# ── what strangers can fill ─────────────────────────────────────────────────────────────────
async def test_nonces_and_askers_are_forgotten_oldest_first() -> None:
    digest = DigestServer("realm", lambda: 0.0)
    for number in range(MAX_UNANSWERED + 100):
        digest.challenge(request("REGISTER", user_agent=f"phone {number}"), "192.0.2.1")
    assert len(digest._unanswered) == MAX_UNANSWERED
    for number in range(MAX_NONCES + 100):
        assert digest._count(f"nonce {number}", "1")
    assert len(digest._counts) == MAX_NONCES


async def test_guesses_at_known_addresses_are_bounded() -> None:
    guard = Guard(
        requests_per_second=1, failures=3, ban_seconds=1,
        is_known=lambda host: True, on_ban=lambda *_: None,
    )  # fmt: skip
    for number in range(MAX_HOSTS + 100):
        guard.failed("192.0.2.1", str(number), "wrong passwords")
    assert len(guard._guesses) == MAX_HOSTS


async def test_transactions_are_refused_when_the_table_is_full() -> None:
    table = Transactions(Timers(), 50)
    flow = SimpleNamespace(reliable=True, closed=False, remote=("192.0.2.1", 5060))
    kept = [table.begin_server(request("OPTIONS"), flow) for _ in range(50)]  # type: ignore[arg-type]
    assert all(kept)
    assert table.begin_server(request("OPTIONS"), flow) is None  # type: ignore[arg-type]
    assert len(table) == 50
    table.close()
    assert len(table) == 0


async def test_a_stack_with_no_room_answers_503(tmp_path: Path) -> None:
    """Through the real door: what does not fit is refused, with a time to come back."""
    answers: list[bytes] = []
    stack = Stack(SimpleNamespace(on_request=lambda incoming: incoming.accept()))  # type: ignore[arg-type]
    await stack.transports.listen_udp(("127.0.0.1", 0))
    stack.transactions.limit = 3
    loop = asyncio.get_running_loop()
    phone, _ = await loop.create_datagram_endpoint(
        lambda: _Collect(answers), remote_addr=stack.transports.listening["udp"]
    )
    port = phone.get_extra_info("sockname")[1]
    for number in range(5):
        wanted = request("OPTIONS", call_id=f"c{number}", via=f"127.0.0.1:{port};rport")
        phone.sendto(wanted.encode())
    async with asyncio.timeout(5):
        while len(answers) < 2:  # noqa: ASYNC110  # datagrams
            await asyncio.sleep(0.01)
    assert all(b" 503 " in answer and b"Retry-After: " in answer for answer in answers)
    phone.close()
    await stack.close()


class _Collect(asyncio.DatagramProtocol):
    def __init__(self, into: list[bytes]) -> None:
        self._into = into

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._into.append(data)


def test_a_trace_is_bounded_in_bytes_and_keeps_the_beginning_of_each_message() -> None:
    recorder = Recorder(lambda: NOW)
    recorder.follow("long", "call")
    for _ in range(MAX_MESSAGES):
        recorder.on_message(True, request(call_id="long", body=b"x" * 5000), "udp:a:1")  # type: ignore[arg-type]
    lines = recorder.take("call")
    assert len(lines) == MAX_MESSAGES
    assert sum(len(line.text) for line in lines) <= MAX_CALL_BYTES + MAX_MESSAGES * MIN_BYTES
    assert all(line.summary.startswith("INVITE sip:102") for line in lines)


# ── what the owner is told ──────────────────────────────────────────────────────────────────
def test_a_source_is_told_of_once_a_day_and_few_an_hour() -> None:
    told: list[str] = []
    now = [0.0]
    alerts = Alerts(told.append, lambda: now[0])
    for _ in range(100):
        alerts.once("a", "somebody at a")
    assert told == ["somebody at a"]
    for number in range(5000):
        alerts.once(f"host {number}", f"somebody at {number}")
    assert len(told) == MAX_PER_HOUR
    assert "There is more of this" in told[-1]
    assert len(alerts._sources) == MAX_SOURCES
    now[0] += 3601
    alerts.once("b", "somebody at b")
    assert told[-1] == "somebody at b"
    now[0] += 86_400
    alerts.once("b", "again b")
    assert told[-1] == "again b"


async def test_what_nobody_reads_does_not_pile_up(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        app = office.app
        await app._do_say({"text": ""})
        for number in range(500):
            app.tell_owner(f"note {number}")
        assert len(app.news) == len(app._said_later) == 50
        news = (await app._do_say({"text": ""}))["news"]
        assert news[-1]["text"] == "note 499"
        assert (await app._do_say({"text": ""}))["news"] == []


async def test_the_lag_gauge_remembers_a_while_only() -> None:
    health = Health()
    health.start()
    for _ in range(WINDOW + 100):
        health._timer.cancel()  # type: ignore[union-attr]
        health._look()
    health.stop()
    assert len(health._lags) == WINDOW
    assert health.to_json()["tasks"] >= 1
