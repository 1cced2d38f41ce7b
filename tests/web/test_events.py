"""What programs hear of as it happens, and of what they missed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bot.ports import Progress, Step
from encryptotel.demo.phone import Phone
from encryptotel.feeds import KEPT, LISTENERS, Feeds
from tests.office import quiet
from tests.web.test_api import Client, client, key, problem
from web import server


class Ear:
    """A program that listens."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def hear(self) -> dict[str, Any]:
        """The next event, with its id and name."""
        found: dict[str, Any] = {}
        async with asyncio.timeout(20):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name in ("id", "event"):
                    found[name] = value
                elif name == "data":
                    found |= json.loads(value)
                elif not line and "event" in found:
                    return found
        raise AssertionError("the stream ended")

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """All events up to one of a kind."""
        found = [await self.hear()]
        while found[-1]["event"] != kind:
            found.append(await self.hear())
        return found


@asynccontextmanager
async def listening(it: Client, last: str = "") -> AsyncIterator[Ear]:
    headers = {"authorization": f"Bearer {it.token}"}
    if last:
        headers["last-event-id"] = last
    async with it.site.client.stream("GET", "/v1/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Ear(answer)


async def test_a_call_is_heard_from_ringing_to_its_end(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        await it.office.phone("102", Phone(quiet))
        await it.office.phone("101", Phone(quiet))
        async with listening(it) as ear:
            placed = (await it.post("/calls", {"to": "102"})).json()
            found = await ear.until("joined")
            assert [one["event"] for one in found].count("answered") == 2
            assert {one["call"] for one in found} == {placed["id"]}
            await it("DELETE", f"/calls/{placed['id']}")
            (*_, ended) = await ear.until("ended")
            assert ended["call"] == placed["id"]


async def test_what_was_missed_comes_first(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        async with listening(it) as ear:
            it.office.app.followers.announce("101", "one")
            heard = await ear.hear()
        for text in ("two", "three"):
            it.office.app.followers.announce("101", text)
        async with listening(it, heard["id"]) as ear:
            assert [(await ear.hear())["text"] for _ in range(2)] == ["two", "three"]
        async with listening(it, "of-another-run") as ear:
            found = [await ear.hear() for _ in range(4)]
            assert found[0]["event"] == "gap"
            assert [one["text"] for one in found[1:]] == ["one", "two", "three"]


async def test_so_many_listen_at_once_and_no_more(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        feeds = it.office.app.feeds
        assert feeds is not None
        streams = [feeds.listen(it.office.app.person, "") for _ in range(LISTENERS)]
        assert {(await anext(stream)).kind for stream in streams} == {"here"}
        waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
        problem(await it("GET", "/events"), 409, "events.too_many")
        it.office.app.followers.announce("101", "hello")
        assert [one.text for one in await asyncio.gather(*waiting)] == ["hello"] * LISTENERS
        for stream in streams:
            await stream.aclose()
        async with listening(it):
            pass


async def test_a_key_that_is_revoked_hears_nothing_more(tmp_path: Path) -> None:
    async with client(tmp_path, "calls") as it:
        problem(await it("GET", "/events"), 403, "key.scope")
        other = Client(it.site, await key(it.office, "events"))
        async with listening(other) as ear:
            it.office.app.followers.announce("101", "before")
            assert (await ear.hear())["text"] == "before"
            await it.office.app.api_keys.revoke("101", "CRM 1")
            it.office.app.followers.announce("101", "after")
            texts = []
            try:
                while True:
                    texts.append((await ear.hear())["text"])
            except AssertionError:
                pass
            assert len(texts) <= 1  # what was on its way


async def test_a_program_that_is_too_slow_is_told_of_the_gap() -> None:
    tells: list[Any] = []

    def follow(person: object, tell: Any) -> Any:
        tells.append(tell)
        return lambda: None

    person: Any = type("P", (), {"extension": "101", "id": "owner"})()
    stream = Feeds(follow).listen(person, "")
    assert (await anext(stream)).kind == "here"
    (tell,) = tells
    for number in range(KEPT + 10):
        tell(Progress(call_id="", step=Step.NOTICE, text=str(number)))
    assert (await anext(stream)).kind == "gap"
    assert (await anext(stream)).text == "10"
    await stream.aclose()


# ── by WebSocket ────────────────────────────────────────────────────────────────────────────
async def open_socket(it: Client, token: str, query: str = "") -> ClientConnection:
    return await connect(
        f"wss://{it.site.url.removeprefix('https://')}/v1/ws{query}",
        ssl=it.site.tls,
        additional_headers={"authorization": f"Bearer {token}"},
        proxy=None,
    )


async def test_a_socket_hears_the_same_and_goes_on_where_it_was(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        async with await open_socket(it, it.token) as socket:
            here = json.loads(await asyncio.wait_for(socket.recv(), 5))
            assert here["kind"] == "here"
            it.office.app.followers.announce("101", "one")
            first = json.loads(await asyncio.wait_for(socket.recv(), 5))
            assert (first["kind"], first["words"]) == ("notice", "one")
        for text in ("two", "three"):
            it.office.app.followers.announce("101", text)
        async with await open_socket(it, it.token, f"?last={first['id']}") as socket:
            missed = [json.loads(await asyncio.wait_for(socket.recv(), 5)) for _ in range(3)]
            assert [one["text"] for one in missed] == ["", "two", "three"]
            assert missed[0]["id"] == first["id"]
            await it.office.app.api_keys.forget("101")
            it.office.app.followers.announce("101", "for nobody")
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 5)
        assert it.office.app.web is not None
        await until_nobody_is_connected(it)


async def until_nobody_is_connected(it: Client) -> None:
    web = it.office.app.web
    assert web is not None
    await it.site.client.aclose()
    async with asyncio.timeout(5):
        while web._state.connections or web._open.total():  # noqa: ASYNC110  # nobody is told
            await asyncio.sleep(0.01)


async def test_what_is_no_listener_gets_no_socket(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        narrow = await key(it.office, "calls")
        for token, query, status in (
            ("et_x", "", 401),
            (narrow, "", 403),
            (it.token, "?last=" + 50 * "x", 403),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await open_socket(it, token, query)
            assert refused.value.response.status_code == status
        async with await open_socket(it, it.token) as socket:
            await socket.send("x" * 5_000)  # which nobody asked for
            await asyncio.wait_for(socket.recv(), 5)  # where it is
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 5)


async def test_those_who_listen_take_no_places_of_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More sockets than an address may have connections, once it is known whose they are."""
    monkeypatch.setattr(server, "MAX_OF_ONE", LISTENERS // 2)
    async with client(tmp_path) as it:
        sockets = [await open_socket(it, it.token) for _ in range(LISTENERS)]
        with pytest.raises(InvalidStatus) as refused:
            await open_socket(it, it.token)
        assert refused.value.response.status_code == 409
        for socket in sockets:
            await socket.close()


async def test_who_is_cut_off_before_anything_happens_misses_nothing(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        headers = {"authorization": f"Bearer {it.token}"}
        async with it.site.client.stream("GET", "/v1/events", headers=headers) as answer:
            lines = answer.aiter_lines()
            async with asyncio.timeout(10):
                while not (line := await anext(lines)).startswith("id: "):
                    pass
        it.office.app.followers.announce("101", "meanwhile")
        async with listening(it, line.removeprefix("id: ")) as ear:
            assert (await ear.hear())["text"] == "meanwhile"
