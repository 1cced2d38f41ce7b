"""Programs that are told what happens: another process that answers, fails, is away, and is told
everything once by id and in order."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from encryptotel.demo.phone import Phone
from encryptotel.webhooks import MOST
from pbx.sip.stack import Incoming
from tests.office import quiet
from tests.web.test_api import Client, client, problem

PRIVATE = {"web": {"private_webhooks": True, "port": 0}}


class Crm:
    """A receiver. `status` is what it answers."""

    def __init__(self) -> None:
        self.status, self.url = 200, ""
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.raw: list[tuple[dict[str, str], bytes]] = []
        self.asked = 0
        self.news = asyncio.Condition()
        self.looked_up: list[dict[str, Any]] = []
        self.introduce: Any = self.nobody

    async def nobody(self, asked: dict[str, Any]) -> web.Response:
        return web.Response(status=204)

    async def take(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await request.read()
        event = json.loads(body)
        if event["type"] == "lookup":
            self.looked_up.append(event["data"])
            return await self.introduce(event["data"])
        if self.status == 200:
            self.got.append((request.headers["webhook-id"], event))
            self.raw.append((dict(request.headers), body))
        async with self.news:
            self.news.notify_all()
        return web.Response(status=self.status, headers={"location": "http://127.0.0.1:9/"})

    async def until(self, happened: Any) -> None:
        async with asyncio.timeout(20), self.news:
            await self.news.wait_for(happened)

    def texts(self) -> list[str]:
        return [event["data"]["text"] for _, event in self.got]


@asynccontextmanager
async def crm() -> AsyncIterator[Crm]:
    it, app = Crm(), web.Application()
    app.router.add_post("/calls", it.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    it.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/calls"  # type: ignore[attr-defined]
    try:
        yield it
    finally:
        await runner.cleanup()


async def hook(it: Client, url: str, *kinds: str) -> dict[str, Any]:
    made = await it.post("/webhooks", {"url": url, "kinds": list(kinds)})
    assert made.status_code == 201, made.text
    return dict(made.json())


def hurry(it: Client, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Waiting takes no time, and the clock is the test's."""
    monkeypatch.setattr("encryptotel.webhooks.PAUSES", (0.05,))
    service = it.office.app.webhooks
    assert service is not None
    return service


async def test_a_crm_sees_who_rings_and_how_it_ended(tmp_path: Path) -> None:
    """A call comes in and is missed: the program hears of it while it rings."""
    async with crm() as receiver, client(tmp_path, **PRIVATE) as it:
        made = await hook(it, receiver.url, "incoming", "missed")
        alice = await it.office.phone("101", Phone(quiet, ring_seconds=3600))
        bob = await it.office.phone("102", Phone(quiet))
        calling = asyncio.ensure_future(bob.call("101"))
        await receiver.until(lambda: receiver.got)
        (_, event), (headers, body) = receiver.got[0], receiver.raw[0]
        assert event["type"] == "incoming"
        assert (event["data"]["peer"], event["data"]["back"]) == ("Bob (102)", "102")
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = b64decode(made["secret"].removeprefix("whsec_"))
        digest = b64decode(headers["webhook-signature"].removeprefix("v1,"))
        assert hmac.compare_digest(digest, hmac.new(key, signed, hashlib.sha256).digest())
        for leg in list(bob.legs):
            leg.hang_up()
        await asyncio.gather(calling, return_exceptions=True)
        await receiver.until(lambda: len(receiver.got) == 2)
        assert receiver.got[1][1]["type"] == "missed"
        await alice.stop()


async def test_an_hour_away_loses_nothing_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crm() as receiver, client(tmp_path, **PRIVATE) as it:
        service = hurry(it, monkeypatch)
        made = await hook(it, receiver.url)
        receiver.status = 503
        texts = [f"event {number}" for number in range(50)]
        for text in texts:
            it.office.app.followers.announce("101", text)
        for minutes in range(0, 60, 10):
            service._now = lambda minutes=minutes: datetime.now(UTC) + timedelta(minutes=minutes)
            before = receiver.asked
            await receiver.until(lambda before=before: receiver.asked > before + 1)
        assert receiver.got == []
        receiver.status = 200
        await receiver.until(lambda: len(receiver.got) == len(texts))
        assert receiver.texts() == texts
        assert len({id for id, _ in receiver.got}) == len(texts)
        async with asyncio.timeout(10):
            while (await it.get(f"/webhooks/{made['id']}/deliveries"))[0]["state"] != "done":  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_what_waits_outlasts_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crm() as receiver:
        receiver.status = 500
        async with client(tmp_path, **PRIVATE) as it:
            hurry(it, monkeypatch)
            await hook(it, receiver.url)
            it.office.app.followers.announce("101", "before")
            await receiver.until(lambda: receiver.asked)
        receiver.status = 200
        async with client(tmp_path, **PRIVATE) as it:
            it.office.app.followers.announce("101", "after")
            await receiver.until(lambda: len(receiver.got) == 2)
            assert receiver.texts() == ["before", "after"]


async def test_a_day_away_is_told_of_and_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crm() as receiver, client(tmp_path, **PRIVATE) as it:
        service = hurry(it, monkeypatch)
        made = await hook(it, receiver.url)
        receiver.status = 302  # which is not followed
        it.office.app.followers.announce("101", "lost")
        await receiver.until(lambda: receiver.asked > 1)
        service._now = lambda: datetime.now(UTC) + timedelta(days=1, minutes=1)
        told = "Your webhook at 127.0.0.1 has not answered for a day"
        await it.office.until(lambda: any(told in text for text in it.office.told))
        found = await it.get(f"/webhooks/{made['id']}/deliveries")
        (dead,) = [one for one in found if one["state"] == "dead"]
        assert dead["status"] == 302
        receiver.status = 200
        again = await it.post(f"/webhooks/{made['id']}/deliveries/{dead['id']}/replay", None)
        assert again.status_code == 202
        await receiver.until(lambda: "lost" in receiver.texts())
        assert dead["id"] in [id for id, _ in receiver.got]


async def test_a_test_and_a_removal(tmp_path: Path) -> None:
    async with crm() as receiver, client(tmp_path, **PRIVATE) as it:
        made = await hook(it, receiver.url, "ended")
        assert "secret" not in (await it.get("/webhooks"))[0]
        it.office.app.followers.announce("101", "of another kind")
        assert (await it.post(f"/webhooks/{made['id']}/test", None)).status_code == 202
        await receiver.until(lambda: receiver.got)
        assert [event["type"] for _, event in receiver.got] == ["test"]
        assert (await it("DELETE", f"/webhooks/{made['id']}")).status_code == 204
        problem(await it.post(f"/webhooks/{made['id']}/test", None), 404, "webhook.unknown")
        assert await it.get("/webhooks") == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1/x", "reached by https"),
        ("https://127.0.0.1/x", "private network"),
        ("https://[::1]/x", "private network"),
        ("https://[::ffff:10.0.0.1]/x", "private network"),
        ("https://169.254.169.254/latest", "private network"),
        ("https://192.168.1.1/x", "private network"),
        ("https://0/x", "private network"),
        ("https://localhost/x", "private network"),
        ("ftp://example.org/", "no address"),
        ("https://no.such.host.invalid/", "cannot be found"),
        ("https://[half/x", "no address"),
        ("https://x@[64:ff9b::a00:1]/", "private network"),
        ("https://[2002:7f00:1::]/", "private network"),
        ("https://224.0.0.1/", "private network"),
        ("https://ⓛocalhost/", "no address"),
    ],
)
async def test_what_is_not_on_the_internet_is_not_told(tmp_path: Path, url: str, why: str) -> None:
    async with client(tmp_path) as it:
        refused = await it.post("/webhooks", {"url": url})
        assert why in problem(refused, 422, "webhook.address")["detail"]


async def test_a_name_that_leads_elsewhere_later_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was on the Internet when it was given may not be any more."""
    async with crm() as receiver, client(tmp_path) as it:
        service = it.office.app.webhooks
        assert service is not None
        monkeypatch.setattr("encryptotel.receivers.addresses_of", lambda *_, **__: ["127.0.0.1"])
        made = await hook(it, receiver.url)
        monkeypatch.undo()
        await it.post(f"/webhooks/{made['id']}/test", None)
        async with asyncio.timeout(20):
            while not (await it.get(f"/webhooks/{made['id']}/deliveries"))[0]["tries"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert receiver.asked == 0


async def test_a_receiver_that_drips_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte of its answer now and then is no answer."""
    monkeypatch.setattr("encryptotel.webhooks.IN_ALL", 0.5)
    held: list[asyncio.StreamWriter] = []

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"H")
                await writer.drain()
                await asyncio.sleep(0.1)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with crm() as receiver, client(tmp_path, **PRIVATE) as it:
        hurry(it, monkeypatch)
        slow = await hook(it, f"http://127.0.0.1:{port}/x")
        await hook(it, receiver.url)
        it.office.app.followers.announce("101", "hello")
        await receiver.until(lambda: receiver.texts() == ["hello"])
        async with asyncio.timeout(20):
            while not (await it.get(f"/webhooks/{slow['id']}/deliveries"))[0]["tries"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    for writer in held:
        writer.close()
    server.close()


async def test_many_at_once_are_not_more_than_a_few_and_tell_once(tmp_path: Path) -> None:
    async with crm() as receiver, client(tmp_path, **PRIVATE) as it:
        service, keys = it.office.app.webhooks, it.office.app.api_keys
        assert service is not None
        program = await keys.find(it.token)
        assert program is not None
        found = await asyncio.gather(
            *(service.add(program, receiver.url, ()) for _ in range(14)), return_exceptions=True
        )
        made = [one for one in found if not isinstance(one, BaseException)]
        assert len(made) == MOST
        for one in made[1:]:
            await service.remove(program.person, one.id)
        it.office.app.followers.announce("101", "hello")
        it.office.app.followers.announce("101", "last")
        await receiver.until(lambda: "last" in receiver.texts())
        assert receiver.texts() == ["hello", "last"]


async def test_codes_are_told_to_no_program(tmp_path: Path) -> None:
    async with crm() as receiver, client(tmp_path, **PRIVATE) as it:
        await hook(it, receiver.url)
        await it.post("/verifications", {"to": "101", "by": "chat"})
        await it.office.until(lambda: any("is your code" in text for text in it.office.told))
        it.office.app.followers.announce("101", "after")
        await receiver.until(lambda: receiver.got)
        assert receiver.texts() == ["after"]


# ── who calls ───────────────────────────────────────────────────────────────────────────────
def answering(**answer: Any) -> Any:
    async def introduce(asked: dict[str, Any]) -> web.Response:
        return web.json_response(answer)

    return introduce


class Display(Phone):
    """A phone that shows by whom it is rung."""

    def __init__(self) -> None:
        super().__init__(quiet, ring_seconds=0.1)
        self.rung_by: list[str] = []

    def on_request(self, incoming: Incoming) -> None:
        if incoming.request.method == "INVITE":
            self.rung_by.append(incoming.request.from_.name)
        super().on_request(incoming)


async def rung(it: Client, caller: str = "102") -> Display:
    """Alice's phone, which rang once for a call of somebody's."""
    alice = Display()
    await it.office.phone("101", alice)
    other = await it.office.phone(caller, Phone(quiet))
    (await other.call("101")).hang_up()
    await it.office.ended()
    return alice


async def test_who_calls_is_looked_up_before_it_rings(tmp_path: Path) -> None:
    """The name and the note are on the phone's display and in the chat."""
    async with crm() as receiver, client(tmp_path, **PRIVATE) as it:
        receiver.introduce = answering(name="Acme Ltd", note="three open orders")
        await hook(it, receiver.url, "lookup")
        alice = await rung(it)
        (asked,) = receiver.looked_up
        assert (asked["back"], asked["about"]) == ("102", "101")
        assert alice.rung_by == ["Acme Ltd: three open orders"]
        await it.office.until(lambda: any("Acme Ltd: three" in text for text in it.office.told))
        assert receiver.got == []  # it is asked, and told nothing


async def late(asked: dict[str, Any]) -> web.Response:
    await asyncio.sleep(2)  # longer than anybody waits here
    return web.json_response({"name": "Too Late"})


async def _given(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")


@pytest.mark.parametrize(
    "answer",
    [
        late,
        lambda _: _given("no json"),
        lambda _: _given("[" * 100_000),
        lambda _: _given('{"name": 5, "note": {}}'),
        lambda _: _given('{"name": "' + 10_000 * "x" + '"}'),
        lambda _: _given("null"),
    ],
    ids=["late", "no json", "deep", "no words", "long", "nothing"],
)
async def test_phones_ring_whatever_a_program_answers(
    tmp_path: Path, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encryptotel.introductions.WITHIN", 0.3)
    async with crm() as receiver, client(tmp_path, **PRIVATE) as it:
        receiver.introduce = answer
        await hook(it, receiver.url, "lookup")
        assert (await rung(it)).rung_by == ["Bob"]
        assert len(receiver.looked_up) == 1


async def test_what_a_program_writes_is_one_line_for_a_display(tmp_path: Path) -> None:
    async with crm() as receiver, client(tmp_path, **PRIVATE) as it:
        receiver.introduce = answering(name='Ann "<sip:x@y>\r\nVia: z', note=500 * "n")
        await hook(it, receiver.url, "lookup")
        (shown,) = (await rung(it)).rung_by
        assert "\r" not in shown
        assert "\n" not in shown
        assert len(shown) <= 80


async def test_who_hides_their_number_is_not_looked_up(tmp_path: Path) -> None:
    async with crm() as receiver, client(tmp_path, **PRIVATE) as it:
        await hook(it, receiver.url, "lookup")
        it.office.app.exchange.hides = lambda number: True
        assert (await rung(it)).rung_by == ["Anonymous"]
        assert receiver.looked_up == []
