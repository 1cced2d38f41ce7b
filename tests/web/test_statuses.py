"""Every status that the document names is reached, and none other: what is documented can happen.

What may happen everywhere (no key, another page's request, too much, too often) is asked for
everywhere; what is of one path is in the tables below.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyrage
import pytest

from encryptotel.demo.phone import Phone, plays
from encryptotel.feeds import LISTENERS
from pbx.events import MessageLeft
from pbx.media.tones import tone
from tests.calls.test_callback import telephone_network
from tests.calls.test_menus import MENUS
from tests.calls.test_money import DECK
from tests.calls.test_paying import MONEY, OURS
from tests.calls.test_recording import recorded
from tests.office import quiet
from tests.peers.waves_node import Chain, waves_node
from tests.web.test_api import DOCUMENT, Client, client
from web import server
from web.api.caller import COOKIE

GUESS = {"{name}": "Bob", "{label}": "Facebook"}
OUTSIDE, BUSY_WORD = "+12025550143", "running"
READ = (
    "/me", "/contacts", "/redirects", "/reminders", "/numbers", "/devices", "/voicemail",
    "/recordings", "/balance", "/statement", "/calls", "/history", "/webhooks", "/menus/picture",
)  # fmt: skip
"What needs nothing to be asked for."
Reached = dict[tuple[str, str], set[int]]


def document() -> dict[tuple[str, str], dict[str, Any]]:
    """The operations by method and path."""
    paths = json.loads(DOCUMENT.read_text())["paths"]
    return {
        (method.upper(), path): operation
        for path, operations in paths.items()
        for method, operation in operations.items()
    }


def app_of(it: Client) -> Any:
    """The API as an application."""
    web = it.office.app.web
    assert web is not None
    bounds: Any = web._config.app
    return next(r.app for r in bounds._app.routes if getattr(r, "path", "").endswith("/v1"))


def buckets(it: Client) -> Any:
    """How often keys may still ask."""
    return app_of(it).state.buckets


def somewhere(path: str) -> str:
    """A path with something that is not there."""
    for name, value in GUESS.items():
        path = path.replace(name, value)
    return "/".join("0" if part.startswith("{") else part for part in path.split("/"))


class Walker:
    """Asks, and notes what was answered where."""

    def __init__(self, it: Client, reached: Reached) -> None:
        self.it, self.reached = it, reached

    async def __call__(self, method: str, path: str, at: str = "", **more: Any) -> httpx.Response:
        answer = await self.it(method, at or somewhere(path), **more)
        self.reached[method, path].add(answer.status_code)
        return answer

    async def raw(self, method: str, path: str, **more: Any) -> None:
        """Without a key."""
        answer = await self.it.site.client.request(method, f"/v1{somewhere(path)}", **more)
        self.reached[method, path].add(answer.status_code)


async def anywhere(walk: Walker) -> None:
    """What a request can be refused for on every path."""
    api = walk.it.site.office.app
    for (method, path), operation in document().items():
        if not operation.get("security"):
            continue
        await walk.raw(method, path)
        foreign = {"cookie": f"{COOKIE}=x", "sec-fetch-site": "cross-site"}
        await walk.raw(method, path, headers=foreign)
        await walk(method, path, params={"long": 2_000 * "x"})
        if path != "/events":
            (bucket,) = buckets(walk.it).values()
            bucket._left, bucket._at = 0.0, time.monotonic() + 60
            await walk(method, path)
            bucket._left, bucket._at = 400.0, time.monotonic()
        if "requestBody" in operation:
            await walk(method, path, content=b"\xff", headers={"content-type": "application/json"})
            await walk(method, path, content=70_000 * b"x")
            await walk(method, path, json=[])
        if method == "POST":
            await walk(method, path, headers={"idempotency-key": 65 * "x"}, json={})
            running = app_of(walk.it).state.running
            (id,) = api.api_keys._rows
            running.add((id, BUSY_WORD))
            await walk(method, path, headers={"idempotency-key": BUSY_WORD}, json={})
    for path, wrong in (
        ("/history", {"limit": 0}),
        ("/agenda", {"day": "today"}),
        ("/numbers/figures", {"label": 41 * "x"}),
        ("/numbers/statistics", {"label": 41 * "x"}),
        ("/events", {"after": "x"}),
    ):
        headers = {"last-event-id": 50 * "x"} if path == "/events" else {}
        await walk("GET", path, params=wrong, headers=headers)
    await walk("DELETE", "/contacts/{name}", f"/contacts/{81 * 'x'}")


async def over_there(walk: Walker) -> None:
    """What is done, and what of it cannot be: nothing there, nobody there, there already."""
    it, office = walk.it, walk.it.office
    await walk("GET", "/health")
    await walk("GET", "/ready")
    office.app._stopping = True
    await walk("GET", "/ready")
    office.app._stopping = False
    for path in READ:
        await twice(walk, path)
    await twice(walk, "/agenda", day="2030-01-01")
    for (method, path), operation in document().items():
        if "404" in operation["responses"] and "{" in path:
            body = {"json": BODIES.get((method, path), {})}
            await walk(method, path, **(body if "requestBody" in operation else {}))
    await people(walk)
    await calls(walk)
    await wishes(walk)
    await programs(walk)
    assert it.office is office


async def twice(walk: Walker, path: str, at: str = "", **query: str) -> None:
    """Read something, and once more with the tag of what is known."""
    first = await walk("GET", path, at, params=query)
    while first.status_code == httpx.codes.OK:  # something may change in this moment
        known = {"if-none-match": first.headers["etag"]}
        first = await walk("GET", path, at, params=query, headers=known)


BODIES: dict[tuple[str, str], Any] = {
    ("PUT", "/contacts/{name}"): {"number": "Zaphod"},
    ("POST", "/calls/{id}/control"): {"do": "hold"},
    ("POST", "/calls/{id}/transfer"): {"to": "102"},
    ("POST", "/calls/{id}/keys"): {"keys": "1"},
    ("POST", "/verifications/{id}/check"): {"code": "0000"},
}
NOBODY = "Zaphod"


async def people(walk: Walker) -> None:
    await walk("PUT", "/contacts/{name}", json={"number": "102"})
    await walk("DELETE", "/contacts/{name}")
    await walk("POST", "/messages", json={"to": "102", "text": "hello"})
    await walk("POST", "/messages", json={"to": NOBODY, "text": "hello"})
    await walk("POST", "/say", json={"text": "status"})


async def calls(walk: Walker) -> None:
    office = walk.it.office
    for path, order in (
        ("/calls", {"to": NOBODY}),
        ("/conferences", {"participants": [NOBODY]}),
    ):
        await walk("POST", path, json=order)
    placed = (await walk("POST", "/calls", json={"to": "102"})).json()
    id = placed["id"]
    at = f"/calls/{id}"
    await walk("POST", "/calls/{id}/keys", f"{at}/keys", json={"keys": "1"})
    await office.until(lambda: "You are connected." in office.told)
    await twice(walk, "/history/{id}", f"/history/{id}")
    await walk("POST", "/calls/{id}/control", f"{at}/control", json={"do": "hold"})
    await walk("POST", "/calls/{id}/keys", f"{at}/keys", json={"keys": "1"})
    while not (await walk("GET", "/calls")).json()[0]["held"]:
        pass
    await walk("POST", "/calls/{id}/control", f"{at}/control", json={"do": "resume"})
    await walk("POST", "/calls/{id}/transfer", f"{at}/transfer", json={"to": NOBODY})
    await walk("POST", "/calls/{id}/transfer", f"{at}/transfer", json={"to": "103"})
    await walk("DELETE", "/calls/{id}", at)
    placed = (await walk("POST", "/conferences", json={"participants": ["102", "103"]})).json()
    await walk("DELETE", "/calls/{id}", f"/calls/{placed['id']}")


async def wishes(walk: Walker) -> None:
    await walk("POST", "/redirects", json={"to": NOBODY})
    await walk("POST", "/redirects", json={"to": "102"})
    (kept,) = (await walk("GET", "/redirects")).json()
    await walk("DELETE", "/redirects/{id}", f"/redirects/{kept['id']}")
    soon = {"text": "think", "at": "2030-01-01T08:00:00+01:00"}
    await walk("POST", "/reminders", json={**soon, "to": NOBODY})
    kept = (await walk("POST", "/reminders", json=soon)).json()
    await walk("DELETE", "/reminders/{id}", f"/reminders/{kept['id']}")
    await walk("GET", "/numbers/figures")
    await walk("GET", "/numbers/statistics")
    await walk("POST", "/numbers", json={"label": "Facebook"})
    await walk("POST", "/numbers", json={"label": "Facebook"})
    await walk("POST", "/numbers", json={"label": "Radio", "line": "Atlantis"})
    await twice(walk, "/numbers/figures")
    await twice(walk, "/numbers/statistics")
    await walk("DELETE", "/numbers/{label}")
    await walk("POST", "/devices", json={"name": "desk"})
    link = await walk.it.site.link("kitchen")
    await walk.it.site.scans(link)
    (phone,) = [one for one in (await walk("GET", "/devices")).json() if one["id"]]
    await walk("DELETE", "/devices/{id}", f"/devices/{phone['id']}")


async def programs(walk: Walker) -> None:
    sent = (await walk("POST", "/verifications", json={"to": "101", "by": "chat"})).json()
    at = f"/verifications/{sent['id']}"
    await twice(walk, "/verifications/{id}", at)
    await walk("POST", "/verifications/{id}/check", f"{at}/check", json={"code": "0000"})
    await walk("POST", "/verifications", json={"to": NOBODY})
    for _ in range(6):
        await walk("POST", "/verifications", json={"to": "101", "by": "chat"})
    asked = {"to": "102", "by": "call", "approve": "Sign in?"}
    at = f"/verifications/{(await walk('POST', '/verifications', json=asked)).json()['id']}"
    await walk("POST", "/verifications/{id}/check", f"{at}/check", json={"code": "0000"})
    order = {"url": "http://127.0.0.1:9/x"}
    made = [(await walk("POST", "/webhooks", json=order)).json() for _ in range(11)]
    at = f"/webhooks/{made[0]['id']}"
    await walk("POST", "/webhooks/{id}/test", f"{at}/test")
    deliveries = "/webhooks/{id}/deliveries"
    await twice(walk, deliveries, f"{at}/deliveries")
    (told, *_) = (await walk("GET", deliveries, f"{at}/deliveries")).json()
    replay = f"{at}/deliveries/{told['id']}/replay"
    await walk("POST", "/webhooks/{id}/deliveries/{event}/replay", replay)
    await walk("DELETE", "/webhooks/{id}", at)
    await listeners(walk)
    await walk("DELETE", "/session")
    await walk("POST", "/invoices", json={"amount": "10", "coin": "ETT"})


async def listeners(walk: Walker) -> None:
    """One more than may listen, one too often, and one that may."""
    feeds = walk.it.office.app.feeds
    assert feeds is not None
    streams = [feeds.listen(walk.it.office.app.person, "") for _ in range(LISTENERS)]
    for stream in streams:
        await anext(stream)
    await walk("GET", "/events")
    (bucket,) = buckets(walk.it).values()
    bucket._left, bucket._at = 0.0, time.monotonic() + 60
    await walk("GET", "/events")
    bucket._left, bucket._at = 400.0, time.monotonic()
    for stream in streams:
        await stream.aclose()
    headers = {"authorization": f"Bearer {walk.it.token}"}
    async with walk.it.site.client.stream("GET", "/v1/events", headers=headers) as answer:
        walk.reached["GET", "/events"].add(answer.status_code)


async def kept(walk: Walker) -> None:
    """A voice message and a recording."""
    office, app = walk.it.office, walk.it.office.app
    event = MessageLeft(call_id="c", at=datetime.now(UTC), extension="101", caller="102",
                        sound=bytes(16_000))  # fmt: skip
    await app.followers.take_message(event)
    (mail,) = (await walk("GET", "/voicemail")).json()
    await twice(walk, "/voicemail/{id}/sound", f"/voicemail/{mail['id']}/sound")
    await walk("DELETE", "/voicemail/{id}", f"/voicemail/{mail['id']}")
    office.told.clear()
    placed = (await walk("POST", "/calls", json={"to": "102", "record": True})).json()
    await office.until(lambda: "You are connected." in office.told)
    await asyncio.sleep(1)  # of talk
    await walk("DELETE", "/calls/{id}", f"/calls/{placed['id']}")
    row = await recorded(office)
    await twice(walk, "/recordings/{id}/sound", f"/recordings/{row.id}/sound")


async def with_money(walk: Walker) -> None:
    """What costs more than there is, or is of no plan."""
    outside = {"to": OUTSIDE}
    for path, order in (
        ("/calls", outside),
        ("/conferences", {"participants": [OUTSIDE, "102"]}),
        ("/messages", {**outside, "text": "hello"}),
        ("/numbers", {"label": "Facebook"}),
    ):
        await walk("POST", path, json=order)
    await walk("GET", "/menus/picture")
    await twice(walk, "/statement")
    await twice(walk, "/balance")
    await walk("POST", "/invoices", json={"amount": "10", "coin": "WAVES"})
    await walk("POST", "/invoices", json={"amount": "10", "coin": "ETT"})


async def test_every_documented_status_is_reached_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "OPENED", 10_000)  # many refusals end their connection
    reached: Reached = defaultdict(set)
    for name in ("free", "paying"):
        (tmp_path / name).mkdir()
    (tmp_path / "free" / "menus.toml").write_text(MENUS)
    (tmp_path / "paying" / "rates.csv").write_text(DECK)
    identity = pyrage.x25519.Identity.generate()
    async with client(
        tmp_path / "free",
        menus={"file": "menus.toml"},
        web={"private_webhooks": True, "port": 0},
        recording={"key": str(identity.to_public())},
    ) as it:
        await telephone_network(it.office, Phone(quiet))
        await it.office.phone("101", Phone(plays(tone(1, 440.0))))
        for number in ("102", "103"):
            await it.office.phone(number, Phone(plays(tone(1, 620.0))))
        walk = Walker(it, reached)
        await over_there(walk)
        await kept(walk)
        await anywhere(walk)
    async with waves_node(Chain()) as node:
        waves = {"address": OURS, "node": node.url, "every": 0.1, "prices": {"ETT": "0.05"}}
        money = {**MONEY, "only_with_plan": ["numbers"], "text": "0.05"}
        plans = ({"name": "Home", "price": "5"},)
        async with client(tmp_path / "paying", money=money, waves=waves, tariff=plans) as it:
            await telephone_network(it.office, Phone(quiet), texts=True)
            for number in ("101", "102"):
                await it.office.phone(number, Phone(quiet))
            await with_money(Walker(it, reached))
    described = document()
    lines = []
    for one, operation in described.items():
        documented = {int(status) for status in operation["responses"]}
        lines += [f"{one}: never {status}" for status in sorted(documented - reached[one])]
        lines += [f"{one}: {status} is new" for status in sorted(reached[one] - documented)]
    assert not lines, "\n".join(lines)


def test_every_operation_has_an_example() -> None:
    whole = json.loads(DOCUMENT.read_text())

    def shown(part: Any) -> bool:
        match part:
            case {"$ref": str(reference)}:
                return shown(whole["components"]["schemas"][reference.rpartition("/")[2]])
            case {"examples": _} | {"example": _}:
                return True
            case dict():
                return any(shown(one) for one in part.values())
            case list():
                return any(shown(one) for one in part)
        return False

    lacking = []
    for operation, described in document().items():
        good = [status for status in described["responses"] if status.startswith("2")]
        answers = [described["responses"][status] for status in good]
        given = described.get("requestBody"), described.get("parameters"), answers
        if not any(map(shown, given)) and "204" not in good:
            lacking.append(operation)
    assert lacking == []
