"""The log: which call a line is about, lines for programs, and no secret in either."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from encryptotel import logs
from encryptotel.config import Config
from encryptotel.demo.phone import Phone
from pbx.about import about, call_at_hand
from pbx.events import CallAnswered, CallStarted, CallTraced, Event
from pbx.media.clock import MediaClock
from pbx.media.poller import MediaPoller
from pbx.sip.message import Request, Response
from pbx.sip.transport import Flow
from tests.calls.test_callback import place, telephone_network
from tests.office import Office, open_office, quiet

log = logging.getLogger(__name__)
SECRET = 'with "quotes" \\ and\nmore'
"What JSON writes otherwise."
EXTENSIONS = (
    {"number": "101", "name": "Alice", "secret": "secret-101"},
    {"number": "102", "name": "Bob", "secret": "secret-102"},
    {"number": "103", "name": "Carol", "secret": SECRET},
    {"number": "700", "script": f"{__name__}:breaks"},
)


def breaks(call: Any) -> None:
    """A script with a fault, that tells what it should not."""
    log.warning("my password is %s", SECRET)
    raise RuntimeError(f"no {SECRET}")


class Log:
    """What the program writes at its usual level, from `begin` on."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._patch = capsys, monkeypatch

    def begin(self, form: str, *secrets: str) -> None:
        """In the test itself: before, pytest puts a handler of its own there."""
        self._patch.setattr(logging.getLogger(), "handlers", [])
        self._patch.setattr(logging.getLogger(), "level", logging.WARNING)
        extensions = [{"number": f"8{n:02}", "secret": one} for n, one in enumerate(secrets)]
        values = {"log": {"format": form, "level": "info"}, "extension": extensions}
        logs.log_to(None, Config.model_validate(values))

    def lines(self) -> list[str]:
        """All of it, once."""
        return self._capsys.readouterr().err.splitlines()


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Log:
    return Log(capsys, monkeypatch)


def parsed(lines: list[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in lines]


async def two_calls_at_once(office: Office) -> list[str]:
    """Calls of Alice and Bob to the script with the fault; their ids."""
    phones = [await office.phone(number, Phone(quiet)) for number in ("101", "102")]
    await asyncio.gather(*(phone.call("700") for phone in phones), return_exceptions=True)
    await office.ended(2)
    return [event.call_id for event in office.of(CallStarted)]


# ── lines for programs ──────────────────────────────────────────────────────────────────────
async def test_lines_for_programs_say_which_call_they_are_about(
    tmp_path: Path, written: Log
) -> None:
    written.begin("json", SECRET)
    async with open_office(tmp_path, extension=EXTENSIONS) as office:
        calls = await two_calls_at_once(office)
    lines = parsed(written.lines())
    faults = [line for line in lines if line["logger"] == "pbx.calls.apps.script"]
    assert sorted(line["call"] for line in faults) == sorted(calls)
    assert all("RuntimeError" in line["error"] for line in faults)
    assert all(
        set(line) == {"at", "level", "logger", "message", "call", "error"} for line in faults
    )
    assert {line["level"] for line in faults} == {"error"}
    registered = [line for line in lines if "registered from" in line["message"]]
    assert len(registered) == 2
    assert all(set(line) == {"at", "level", "logger", "message"} for line in registered)
    for line in lines:
        assert line["at"].endswith("Z")
        age = datetime.now(UTC) - datetime.fromisoformat(line["at"])
        assert timedelta(0) <= age < timedelta(minutes=1)


async def test_no_secret_is_in_lines_for_programs(tmp_path: Path, written: Log) -> None:
    written.begin("json", SECRET)
    async with open_office(tmp_path, extension=EXTENSIONS) as office:
        await two_calls_at_once(office)
    lines = written.lines()
    told = [line for line in parsed(lines) if line["logger"] == __name__]
    assert [line["message"] for line in told] == [f"my password is {logs.MASKED}"] * 2
    assert len({line["call"] for line in told}) == 2
    faults = [line["error"] for line in parsed(lines) if "error" in line]
    assert all(f"RuntimeError: no {logs.MASKED}" in error for error in faults)
    assert not [line for line in lines if "quotes" in line]


def test_a_line_is_one_line_whatever_is_in_it(written: Log) -> None:
    written.begin("json")
    for odd in ("two\nlines", "\u2028", "\ud800", "\x1b[2J", "ünï"):
        log.warning("%s", odd)
    lines = written.lines()
    assert [line["message"] for line in parsed(lines)] == [
        "two\nlines", "\u2028", "\ud800", "\x1b[2J", "ünï"
    ]  # fmt: skip
    assert all(line.isprintable() for line in lines)


# ── lines for people ────────────────────────────────────────────────────────────────────────
async def test_lines_for_people_begin_with_the_call(tmp_path: Path, written: Log) -> None:
    written.begin("text", SECRET)
    async with open_office(tmp_path, extension=EXTENSIONS) as office:
        calls = await two_calls_at_once(office)
    text = "\n".join(written.lines())
    for call in calls:
        assert f"ERROR pbx.calls.apps.script: call {call}: script {__name__}:breaks failed" in text
    assert "encryptotel.app: 101 registered from" in text
    assert f"no {logs.MASKED}" in text
    assert SECRET not in text


# ── what a line is about ────────────────────────────────────────────────────────────────────
async def test_whatever_happens_in_a_call_is_about_it(tmp_path: Path) -> None:
    """Two at once, one of them ordered by chat, from their first message to their trace: what
    they tell, and every SIP message that is taken or sent for them."""
    async with open_office(tmp_path) as office:
        exchange = office.app.exchange
        told: list[tuple[str, str]] = []
        taken: list[tuple[str, str]] = []
        tell, take, whose = exchange.emit, exchange.stack.on_message, exchange.stack.whose

        def emit(event: Event) -> None:
            told.append((getattr(event, "call_id", ""), call_at_hand()))
            tell(event)

        def on_message(sent: bool, message: Request | Response, flow: Flow) -> None:
            if not sent:
                taken.append((whose(message.call_id), call_at_hand()))
            take(sent, message, flow)

        exchange.emit, exchange.stack.on_message = emit, on_message
        await telephone_network(office, Phone(quiet))
        for number in ("101", "103"):
            await office.phone(number, Phone(quiet))
        told.clear()
        taken.clear()
        ordered = await place(office)
        leg = await office._phones[-1].call("600")
        await office.until(lambda: bool(office.of(CallAnswered, ordered)))
        leg.hang_up()
        await office.ended()
        exchange.hang_up(ordered)
        await office.ended(2)
        await office.until(lambda: len(office.of(CallTraced)) == 2)
    calls = {event.call_id for event in office.of(CallStarted)}
    assert {id for id, _ in told if id} == {id for id, _ in taken if id} == calls
    assert all(about == id for id, about in told + taken)
    assert len(taken) >= 8
    assert call_at_hand() == ""


async def test_what_serves_all_calls_is_about_none_of_them(written: Log) -> None:
    """Though the first call began it."""
    written.begin("json")
    clock, poller = MediaClock(), MediaPoller(asyncio.get_running_loop())
    out, in_ = os.pipe()
    read, ticked = asyncio.Event(), asyncio.Event()

    def tick() -> None:
        ticked.set()
        raise RuntimeError("the stream")

    def take() -> None:
        os.read(out, 1)
        read.set()
        raise RuntimeError("the packet")

    with about("first"):
        clock.add(tick)
        poller.watch(out, take)
        task = asyncio.ensure_future(_say("within"))
    os.write(in_, b"x")
    await asyncio.gather(_soon(read.wait()), _soon(ticked.wait()), task)
    poller.forget(out)
    for file in (out, in_):
        os.close(file)
    lines = {line["message"]: line.get("call") for line in parsed(written.lines())}
    assert lines == {
        "within": "first",
        "a stream failed and is dropped from the clock": None,
        "a media packet could not be handled": None,
    }


async def _say(what: str) -> None:
    await asyncio.sleep(0)
    log.info("%s", what)


async def _soon(happens: Awaitable[object]) -> None:
    async with asyncio.timeout(10):
        await happens


def test_secrets_that_a_reload_brings_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logs.Masking(["first-secret"]))
    root.addHandler(handler)
    try:
        changed = {"number": "104", "name": "Dan", "secret": "second-secret"}
        logs.mask(Config.model_validate({"extension": (changed,)}))
        log.warning("first-secret and second-secret")
    finally:
        root.handlers[:] = before
    assert "••• and •••" in capsys.readouterr().err
