"""The client library against the exchange: with asyncio and without, over lines that are cut."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import socket
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.ports import Progress, Step
from encryptotel.demo.phone import Phone, plays
from encryptotel_client import (
    AsyncClient,
    BadSignature,
    Client,
    Refused,
    Unreachable,
    opened,
    trying,
)
from encryptotel_client.events import Ear, Event, event_of
from pbx.events import CallAnswered, CallEnded
from pbx.media.tones import tone
from tests.calls.test_callback import telephone_network
from tests.calls.writers import Writer
from tests.office import quiet
from tests.web import test_api
from tests.web.cutting import Line, line_to
from tests.web.test_api import DOCUMENT, NUMBER, _buckets
from tests.web.test_webhooks import PRIVATE, crm
from tools import client_shapes, client_sync

KINDS = ["with asyncio", "without"]


class Program:
    """A program with one of the two clients; `it` is the exchange."""

    def __init__(self, it: test_api.Client, client: AsyncClient | Client) -> None:
        self.it, self.office, self.client = it, it.office, client

    async def __call__(self, name: str, /, *given: Any, **named: Any) -> Any:
        """What a method answers; all that it yields."""
        method = getattr(self.client, name)
        if isinstance(self.client, AsyncClient):
            found = method(*given, **named)
            return [one async for one in found] if inspect.isasyncgen(found) else await found

        def ask() -> Any:
            answer = method(*given, **named)
            return list(answer) if inspect.isgenerator(answer) else answer

        return await asyncio.to_thread(ask)


@asynccontextmanager
async def program(
    folder: Path, kind: str = KINDS[0], *scopes: str, **sections: Any
) -> AsyncIterator[Program]:
    async with (
        test_api.client(folder, *scopes, **sections) as it,
        at(it, it.site.url, kind) as client,
    ):
        yield Program(it, client)


@asynccontextmanager
async def at(it: test_api.Client, url: str, kind: str) -> AsyncIterator[AsyncClient | Client]:
    authority = str(it.office.app.certificates.ca)
    if kind == KINDS[0]:
        async with AsyncClient(url, it.token, verify=authority) as client:
            yield client
    else:
        with Client(url, it.token, verify=authority) as other:
            yield other


@asynccontextmanager
async def cut_off(
    folder: Path, kind: str = KINDS[0], **sections: Any
) -> AsyncIterator[tuple[Program, Line]]:
    """A program behind a line that can be cut."""
    async with (
        test_api.client(folder, **sections) as it,
        line_to(*it.site.address) as line,
        at(it, line.url, kind) as client,
    ):
        yield Program(it, client), line


# ── the document ────────────────────────────────────────────────────────────────────────────
def test_what_is_written_by_programs_is_what_they_write() -> None:
    """After a change of the API, or of `aio.py`: `make client`."""
    assert client_shapes.FILE.read_text("utf-8") == client_shapes.shapes()
    assert client_sync.FILE.read_text("utf-8") == client_sync.client()


SAMPLES: dict[str, Any] = {
    "to": "102", "callback": "101", "line": "US", "participants": ["102", "103"], "name": "Bob",
    "number": "102", "keys": "1", "do": "hold", "condition": "busy", "after": 10, "by": "call",
    "day": date(2030, 1, 1), "at": datetime(2030, 1, 1, 8, tzinfo=UTC), "rule": "FREQ=DAILY",
    "code": "271828", "amount": "10", "coin": "ETT", "url": "https://127.0.0.1/", "label": "Ads",
    "period": "last week", "kinds": ["ended"], "caller": "103", "q": "Bob", "missed": True,
    "page": 2, "length": 4, "minutes": 1, "hide_number": True, "record": False, "text": "hello",
    "id": "x", "event": "x", "once": "w", "approve": "Sign in?",
}  # fmt: skip
"What each parameter is given."
UNDOCUMENTED = {
    "", "request.invalid", "request.unreadable", "path.unknown", "method.unknown", "page.cursor",
    "key.scope",
}  # fmt: skip
"What is refused because it is not as documented."
ANSWERS = {"AsyncGenerator[OldCall]": "PageOldCall", "bool": "Health", "AsyncGenerator[Event]": ""}
"What methods give that is not what is answered, but made of it."


def operations() -> dict[tuple[str, str], str]:
    """Methods and paths of the document, and the type of what is answered; empty: no JSON."""
    found = {}
    for where, methods in json.loads(DOCUMENT.read_text("utf-8"))["paths"].items():
        for method, operation in methods.items():
            (good,) = (one for code, one in operation["responses"].items() if code[0] == "2")
            shape = good.get("content", {}).get("application/json", {}).get("schema")
            found[method.upper(), where] = client_shapes.type_of(shape) if shape else ""
    return found


async def test_every_operation_is_a_method_and_the_other_way_round(tmp_path: Path) -> None:
    """Each method is tried with everything that it takes; what was sent is compared with the
    document, which the exchange did not find to be broken, and so is what it says it returns."""
    known = operations()
    asked: list[httpx.Request] = []

    async def note(request: httpx.Request) -> None:
        asked.append(request)

    made: dict[tuple[str, str], str] = {}
    async with program(tmp_path) as ask:
        assert isinstance(ask.client, AsyncClient)
        ask.client._http.event_hooks = {"request": [note]}
        public = [name for name in vars(AsyncClient) if not name.startswith("_")]
        for name in sorted({*public} - {"close"}):
            method = getattr(AsyncClient, name)
            wanted = [*inspect.signature(method).parameters][1:]
            given = {one: SAMPLES[one] for one in wanted}
            if "once" in given:
                given["once"] = name
            if name == "events":
                given["after"] = ""
                await anext_soon(ask, ask.client.events(**given))
            else:
                assert await refused_as(ask(name, **given)) not in UNDOCUMENTED, name
            request = asked[-1]
            (where,) = (one for one in known if fits(request, *one))
            assert where not in made, name
            made[where] = name
            said = method.__annotations__["return"]
            said = "" if said in ("None", "bytes") else ANSWERS.get(said, said)
            assert said == known[where], name
            if request.method == "POST":
                assert request.headers["idempotency-key"] == name
    assert made.keys() == known.keys()


async def refused_as(asking: Awaitable[Any]) -> str | None:
    """The id of a refusal; None where there is none."""
    try:
        await asking
    except Refused as refused:
        return refused.id
    return None


def fits(request: httpx.Request, method: str, where: str) -> bool:
    """Names of more letters than `x` are of the path itself."""
    sample = re.sub(r"\{(\w+)\}", lambda found: SAMPLES[found[1]], where)
    return (request.method, request.url.path) == (method, f"/v1{sample}")


async def anext_soon(ask: Program, events: Any) -> Any:
    """The next event, when something is announced once somebody listens."""
    coming = asyncio.ensure_future(anext(events))
    await until_heard(ask)
    ask.office.app.followers.announce("101", "hello")
    found = await asyncio.wait_for(coming, 10)
    await events.aclose()
    return found


async def until_heard(ask: Program) -> None:
    """Wait until somebody listens."""
    feeds = ask.office.app.feeds
    assert feeds is not None
    await until(lambda: any(feed.listeners for feed in feeds._feeds.values()))


async def until(happened: Callable[[], Any]) -> None:
    """Wait for something that nobody is told of."""
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# ── what people do ──────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_from_its_beginning_to_the_history(tmp_path: Path, kind: str) -> None:
    async with program(tmp_path, kind) as ask:
        await telephone_network(ask.office, Phone(plays(tone(1, 620.0))))
        alice = await ask.office.phone("101", Phone(quiet))
        placed = await ask("call", NUMBER, line="US", callback="101")
        assert (placed["to"], placed["line"]) == ("+1 202-555-0143", "US")
        await ask.office.until(lambda: bool(ask.office.of(CallAnswered)))
        (live,) = await ask("calls")
        assert (live["id"], live["joined"]) == (placed["id"], True)
        assert "hold" in (await ask("control", live["id"], "hold"))["detail"]
        assert await ask("hang_up", live["id"]) is None
        await ask.office.until(lambda: bool(ask.office.of(CallEnded)))
        assert await ask("calls") == []
        for count in range(2, 6):
            (await alice.call("600")).hang_up()
            await ask.office.ended(count)
        found = await ask("history", page=2)
        assert len({one["id"] for one in found}) == len(found) == 5
        assert found[-1]["peer"] == "+1 202-555-0143"
        assert [one["id"] for one in await ask("history", "+1 202")] == [found[-1]["id"]]
        assert (await ask("past_call", placed["id"]))["messages"]


async def test_a_page_is_asked_for_when_it_is_come_to(tmp_path: Path) -> None:
    async with program(tmp_path) as ask:
        assert isinstance(ask.client, AsyncClient)
        alice = await ask.office.phone("101", Phone(quiet))
        for count in range(1, 4):
            (await alice.call("600")).hang_up()
            await ask.office.ended(count)
        pages = 0

        async def note(request: httpx.Request) -> None:
            nonlocal pages
            pages += 1

        ask.client._http.event_hooks = {"request": [note]}
        seen = []
        async for one in ask.client.history(page=1):
            seen.append(one["id"])
            assert pages == len(seen)
        assert len(set(seen)) == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_names_are_taken_as_they_are(tmp_path: Path, kind: str) -> None:
    """What means something in a path means nothing in a name."""
    async with program(tmp_path, kind) as ask:
        names = ["Bob Ö", "..", "a?b#c", "50%", "%41"]
        for name in names:
            assert (await ask("save_contact", name, "102"))["name"] == name
        assert {one["name"] for one in await ask("contacts")} == {*names}
        for name in names:
            await ask("forget_contact", name)
        assert await ask("contacts") == []


async def test_wishes_and_reminders(tmp_path: Path) -> None:
    async with program(tmp_path) as ask:
        await ask("redirect", "102", caller="103", condition="busy")
        (redirected,) = await ask("redirects")
        assert "Carol" in redirected["what"]
        await ask("drop_redirect", redirected["id"])
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        reminded = await ask("remind", "take my pills", at, rule="FREQ=DAILY", by="message")
        assert datetime.fromisoformat(reminded["at"]) == at
        (due,) = await ask("agenda", at.date())
        assert "take my pills" in due["what"]
        assert await ask("ready") is True
        assert await ask("health") == {"status": "ok"}
        assert (await ask("me"))["extension"] == "101"


# ── refusals ────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("kind", KINDS)
async def test_a_refusal_says_why(tmp_path: Path, kind: str) -> None:
    async with program(tmp_path, kind, "calls", "messages") as ask:
        with pytest.raises(Refused) as nobody:
            await ask("call", "Zaphod")
        assert (nobody.value.status, nobody.value.id) == (404, "party.unknown_name")
        assert "Zaphod" in nobody.value.detail
        with pytest.raises(Refused) as wrong:
            await ask("message", "102", "")
        assert (wrong.value.status, wrong.value.id) == (422, "request.invalid")
        assert [one["field"] for one in wrong.value.errors] == ["body.text"]
        assert "body.text" in str(wrong.value)
        with pytest.raises(Refused) as other:
            await ask("balance")
        assert (other.value.status, other.value.id) == (403, "key.scope")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_is_in_nothing_that_is_shown(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "PAUSE", 0.01)
    async with cut_off(tmp_path, kind) as (ask, line):
        shown = [repr(ask.client), str(ask.client), repr(vars(ask.client))]
        await ask.office.app.api_keys.revoke("101", "CRM 0")
        with pytest.raises(Refused) as refused:
            await ask("me")
        assert refused.value.id == "key.wrong"
        line.down = True
        line.cut()
        with pytest.raises(Unreachable) as unreachable:
            await ask("call", "102")
        with pytest.raises(Unreachable) as deaf:
            await ask("events")
        for one in (refused, unreachable, deaf):
            error: BaseException | None = one.value
            assert error is not None
            assert error.__context__ is None
            whole = traceback.TracebackException.from_exception(error, capture_locals=True)
            shown += [*whole.format(), repr(error), str(error)]
        secret = ask.it.token.rpartition("_")[2]
        assert any("trying = " in text for text in shown)  # they were looked into
        assert not [text for text in shown if secret in text]


@pytest.mark.parametrize("key", ["", "et_1 2", "et_1\n", "et_ö"])
def test_what_is_no_key_is_not_taken(key: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="no key") as refused:
            kind("https://localhost", key)
        assert not key or key not in str(refused.value)


@pytest.mark.parametrize("url", ["http://localhost:8443", "localhost", "", "https://"])
def test_a_key_is_not_sent_unencrypted(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        Client(url, "et_1")


async def test_who_is_not_trusted_is_not_asked_again(tmp_path: Path) -> None:
    async with test_api.client(tmp_path) as it, line_to(*it.site.address) as line:
        async with AsyncClient(line.url, it.token) as client:  # which trusts what all trust
            with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
                await client.me()
        assert line.connections == 1


# ── tries ───────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_cut_before_the_answer_is_done_once(tmp_path: Path, kind: str) -> None:
    async with cut_off(tmp_path, kind) as (ask, line):
        bob = await ask.office.phone("102", Writer())
        await ask("me")  # the line is encrypted; what comes now is an answer
        line.answers = 0
        told = await ask("message", "102", "I am late")
        assert "Bob" in told["detail"]
        await ask("message", "102", "really")
        async with asyncio.timeout(10):
            await bob.read.wait(lambda one: one[1] == "really", 10)
        assert [words for _, words in bob.read.items] == ["I am late", "really"]
        assert (line.cuts, line.connections) == (1, 2)


async def test_what_is_being_done_is_waited_for(tmp_path: Path) -> None:
    """The same word from many at once: all get the answer of the one that did it."""
    async with program(tmp_path) as ask:
        bob = await ask.office.phone("102", Writer())
        both = [ask("message", "102", "hello", once="m") for _ in range(10)]
        answers = await asyncio.gather(*both)
        assert answers == answers[:1] * 10
        await ask("message", "102", "last")
        await bob.read.wait(lambda one: one[1] == "last", 10)
        assert [words for _, words in bob.read.items] == ["hello", "last"]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_deleted_by_a_try_that_was_cut_is_gone(tmp_path: Path, kind: str) -> None:
    async with cut_off(tmp_path, kind) as (ask, line):
        await ask("save_contact", "Bob", "102")
        line.answers = 0
        await ask("forget_contact", "Bob")
        assert (line.cuts, await ask("contacts")) == (1, [])
        with pytest.raises(Refused):
            await ask("forget_contact", "Bob")


@pytest.mark.parametrize("kind", KINDS)
async def test_who_asks_too_often_waits_as_long_as_is_said(tmp_path: Path, kind: str) -> None:
    async with program(tmp_path, kind) as ask:
        await ask("me")
        (bucket,) = _buckets(ask.it).values()
        bucket._left, bucket._at, before = -150.0, time.monotonic(), time.monotonic()
        assert (await ask("me"))["extension"] == "101"
        assert 1.0 <= time.monotonic() - before < 5


async def test_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "TRIES", 2)
    async with program(tmp_path) as ask:
        await ask("me")
        (bucket,) = _buckets(ask.it).values()
        bucket._left, bucket._at = -100_000.0, time.monotonic()
        with pytest.raises(Refused) as refused:
            await ask("me")
        assert (refused.value.status, refused.value.id) == (429, "key.too_often")


def answer(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_when_it_is_worth_asking_again() -> None:
    later = (datetime.now(UTC) + timedelta(seconds=30)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert trying.least_pause(answer(200)) is None
    assert trying.least_pause(answer(409)) is None
    assert trying.least_pause(answer(500)) is None
    assert trying.least_pause(answer(503)) == 0
    assert trying.least_pause(answer(503, retry_after="7")) == 7
    assert trying.least_pause(answer(429, retry_after="7")) == 7
    assert trying.least_pause(answer(429)) is None
    found = trying.least_pause(answer(503, retry_after=later))
    assert found is not None
    assert 25 < found <= 30
    patient = trying.Trying("GET", None)
    assert patient.answered(answer(429, retry_after="60"))
    assert patient.pause >= 60
    assert not patient.answered(answer(429, retry_after="61"))


# ── events ──────────────────────────────────────────────────────────────────────────────────
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange asks those who were cut off to come again at once."""
    monkeypatch.setattr("web.api.events.AGAIN", 10)


async def listen(client: AsyncClient | Client, heard: Callable[[Event], bool], after: str) -> None:
    """Until something was heard."""
    if isinstance(client, AsyncClient):
        async for event in client.events(after):
            if heard(event):
                return

    def wait(events: Iterator[Event]) -> None:
        next(event for event in events if heard(event))

    if isinstance(client, Client):
        await asyncio.to_thread(wait, client.events(after))


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_lost_or_heard_twice_over_cuts(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut after more and more bytes, also within an event; more happens while nobody listens."""
    soon(monkeypatch)
    async with cut_off(tmp_path, kind) as (ask, line):
        announce = ask.office.app.followers.announce
        found: list[Event] = []
        bytes_before_a_cut = [0, 1, 50, 150, 250, 300, 0, 350]
        texts = [f"event {number}" for number in range(3 * len(bytes_before_a_cut) + 1)]
        listening = asyncio.ensure_future(
            listen(ask.client, lambda one: found.append(one) or one.text == texts[-1], "")
        )
        await until_heard(ask)
        announce("101", texts[0])
        await until(lambda: found)
        for cuts, passed in enumerate(bytes_before_a_cut):
            line.answers = passed
            for text in texts[3 * cuts + 1 : 3 * cuts + 4]:
                announce("101", text)
            await line.until_cut(cuts + 1)
            if cuts % 2:  # the next is while it listens, or is not even connected
                await until(lambda cuts=cuts: len(found) == 3 * cuts + 4)
        await asyncio.wait_for(listening, 60)
        assert [one.text for one in found] == texts
        assert {one.kind for one in found} == {"notice"}
        assert len({one.id for one in found}) == len(texts)
        assert line.connections > 1


@pytest.mark.parametrize("kind", KINDS)
async def test_an_exchange_that_is_away_is_waited_for(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon(monkeypatch)
    async with cut_off(tmp_path, kind) as (ask, line):
        found: list[Event] = []
        listening = asyncio.ensure_future(
            listen(ask.client, lambda one: found.append(one) or one.text == "third", "")
        )
        await until_heard(ask)
        ask.office.app.followers.announce("101", "first")
        await until(lambda: found)
        line.down = True
        line.cut()
        ask.office.app.followers.announce("101", "second")
        await until(lambda: line.connections >= 5)
        line.down = False
        ask.office.app.followers.announce("101", "third")
        await asyncio.wait_for(listening, 20)
        assert [one.text for one in found] == ["first", "second", "third"]


async def test_what_was_missed_between_two_runs_comes_first(tmp_path: Path) -> None:
    async with program(tmp_path) as ask:
        assert isinstance(ask.client, AsyncClient)
        first = await anext_soon(ask, ask.client.events())
        texts = ["line\u2028 in\x85 a text", "two\r\nlines", "ö" * 900]
        for text in texts:
            ask.office.app.followers.announce("101", text)
        found: list[Event] = []
        for kind in KINDS:
            found.clear()
            async with at(ask.it, ask.it.site.url, kind) as client:
                await listen(client, lambda one: found.append(one) or len(found) == 3, first.id)
            assert [one.text for one in found] == texts
            assert found[0].words == texts[0]
        await listen(ask.client, lambda one: found.append(one) or True, "of-another-run")
        assert found[-1].kind == "gap"


async def test_a_step_is_called_the_same_in_a_stream_and_in_a_webhook(tmp_path: Path) -> None:
    async with crm() as receiver, program(tmp_path, **PRIVATE) as ask:
        made = await ask("add_webhook", receiver.url)
        found: list[Event] = []
        listening = asyncio.ensure_future(
            listen(ask.client, lambda one: found.append(one) or True, "")
        )
        await until_heard(ask)
        again = Progress(call_id="c", step=Step.REMINDER_AGAIN, text="pills")
        ask.office.app.followers.spread("101", again)
        await asyncio.wait_for(listening, 20)
        await receiver.until(lambda: receiver.raw)
        told = opened(made["secret"], *receiver.raw[0])
        assert found[0].kind == told.kind == "reminder_again"
        assert (found[0].call, found[0].text) == (told.call, told.text) == ("c", "pills")


def test_events_come_in_pieces_of_any_size() -> None:
    """Half an event of a connection that was cut is not put together with what comes next."""
    data = json.dumps({"text": "ö\u2028", "kind": "x"}, ensure_ascii=False)
    stream = f"retry: 5\n\nid: r-1\r\nevent: text\r\ndata: {data}\r\n\r\n:\n\n".encode()
    for size in range(1, len(stream)):
        ear = Ear("")
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        (event,) = (one for piece in pieces for one in ear.take(piece))
        assert (event.id, event.kind, event.text) == ("r-1", "text", "ö\u2028")
        cut = Ear("r-0")
        if not cut.take(stream[:size]):
            assert cut.begins()["last-event-id"] == "r-0"
            assert cut.take(stream) == [event]
        assert cut.begins()["last-event-id"] == "r-1"


async def test_who_may_not_listen_is_told(tmp_path: Path) -> None:
    async with program(tmp_path, KINDS[0], "calls") as ask:
        with pytest.raises(Refused) as refused:
            await ask("events")
        assert refused.value.id == "key.scope"


async def test_a_key_that_is_revoked_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon(monkeypatch)
    async with program(tmp_path) as ask:
        found: list[Event] = []
        listening = asyncio.ensure_future(
            listen(ask.client, lambda one: found.append(one) or False, "")
        )
        await until_heard(ask)
        ask.office.app.followers.announce("101", "before")
        await ask.office.app.api_keys.revoke("101", "CRM 0")
        ask.office.app.followers.announce("101", "after")
        with pytest.raises(Refused) as refused:
            await asyncio.wait_for(listening, 20)
        assert refused.value.id == "key.wrong"
        assert "after" not in [one.text for one in found]


# ── webhooks ────────────────────────────────────────────────────────────────────────────────
async def test_what_the_exchange_signed_opens_and_nothing_else(tmp_path: Path) -> None:
    async with crm() as receiver, program(tmp_path, **PRIVATE) as ask:
        made = await ask("add_webhook", receiver.url, ["text", "notice"])
        ask.office.app.followers.announce("101", "hellö")
        await receiver.until(lambda: receiver.raw)
        headers, body = receiver.raw[0]
        secret = made["secret"]
        event = opened(secret, headers, body)
        assert (event.kind, event.text) == ("notice", "hellö")
        assert event.id == headers["webhook-id"]
        assert event.at is not None
        assert abs(datetime.now(UTC) - event.at) < timedelta(minutes=1)
        capital = {name.title(): value for name, value in headers.items()}
        stamp = float(headers["webhook-timestamp"])
        other = f"v1a,x {headers['webhook-signature']} v1,AAAA"
        assert opened(secret, capital, body, now=stamp + 300) == event
        assert opened(secret, {**headers, "webhook-signature": other}, body) == event
        for place in range(len(body)):
            changed = bytearray(body)
            changed[place] ^= 1
            with pytest.raises(BadSignature):
                opened(secret, headers, bytes(changed))
        for name, value in (
            ("webhook-id", "msg_other"), ("webhook-timestamp", str(int(stamp) + 1)),
            ("webhook-timestamp", "soon"), ("webhook-signature", ""),
            ("webhook-signature", "v1,\udcff"), ("webhook-signature", "v2" + other[-40:]),
        ):  # fmt: skip
            with pytest.raises(BadSignature):
                opened(secret, {**headers, name: value}, body)
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            with pytest.raises(BadSignature):
                opened(secret, {n: v for n, v in headers.items() if n != name}, body)
        for now in (stamp - 301, stamp + 301):
            with pytest.raises(BadSignature):
                opened(secret, headers, body, now=now)
        with pytest.raises(BadSignature):
            opened("whsec_" + "A" * 32, headers, body)
        for wrong in ("", "whsec_", "whsec_ö", "whsec_AAAA"):
            with pytest.raises(ValueError, match="no secret"):
                opened(wrong, headers, body)


def test_what_a_later_exchange_tells_as_well_is_left_out() -> None:
    event = Event(id="1", kind="ended", call="c-1")
    assert event_of({"call": "c-1", "new": True}, id="1", kind="ended") == event


# ── the guide ───────────────────────────────────────────────────────────────────────────────
GUIDE = Path(__file__).parents[2] / "docs/howto/client.md"


def block(words: str) -> str:
    """The block of the guide with these words in it."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.S)
    (found,) = (one for one in blocks if words in one)
    return str(found)


@asynccontextmanager
async def running(code: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", code, cwd=GUIDE.parents[2], stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_the_first_call_of_the_guide(tmp_path: Path) -> None:
    async with test_api.client(tmp_path) as it:
        await telephone_network(it.office, Phone(plays(tone(1, 620.0))))
        await it.office.phone("101", Phone(quiet))
        code = block("pbx.call(").replace("https://pbx.example.org:8443", it.site.url)
        code = code.replace('"ca.pem"', repr(str(it.office.app.certificates.ca)))
        async with running(code, PBX_KEY=it.token) as process:
            out, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
        assert b"'callee': '+1 202-555-0143'" in out, out
        assert await it.get("/calls") == []


async def test_the_receiver_of_the_guide(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with program(tmp_path, **PRIVATE) as ask:
        made = await ask("add_webhook", f"http://127.0.0.1:{port}/", ["notice"])
        code = block("BaseHTTPRequestHandler").replace("8000", str(port))
        async with running(code, PBX_SECRET=made["secret"]) as process:
            assert process.stdout is not None
            await until(lambda: is_taken(port))
            ask.office.app.followers.announce("101", "hello")
            told = await asyncio.wait_for(process.stdout.readline(), 20)
            assert b" notice " in told
            await until_told(ask, made["id"])


def is_taken(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


async def until_told(ask: Program, id: str) -> None:
    async with asyncio.timeout(20):
        while [one["state"] for one in await ask("deliveries", id)] != ["done"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
