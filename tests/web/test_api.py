"""The way in for programs: keys, refusals, requests that come again, and what people do by chat."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.ports import OperatorError, Role
from encryptotel.demo.phone import Phone, plays
from pbx.events import CallAnswered, CallEnded
from pbx.media.tones import tone
from pbx.ports import CallRefused
from tests.calls.test_callback import telephone_network
from tests.calls.writers import Writer
from tests.office import Office, quiet
from tests.web.site import Site, open_site
from web.api.app import create_api
from web.api.caller import BURST
from web.ports import SCOPES

NUMBER = "+12025550143"
DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"


class Client:
    """A program with a key of Alice's."""

    def __init__(self, site: Site, token: str) -> None:
        self.site, self.office, self.token = site, site.office, token

    async def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return await self.site.client.request(method, f"/v1{path}", headers=headers, **more)

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self("POST", path, json=body, headers=headers)


@asynccontextmanager
async def client(folder: Path, *scopes: str, **sections: Any) -> AsyncIterator[Client]:
    async with open_site(folder, **sections) as site:
        site.office.dialogue()
        yield Client(site, await key(site.office, *scopes))


async def key(office: Office, *scopes: str) -> str:
    wanted = scopes or [scope for scope in SCOPES if ":" not in scope]
    return await office.app.api_keys.make("101", f"CRM {len(office.app.api_keys._rows)}", wanted)


def problem(answer: httpx.Response, status: int, id: str) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert (found["status"], found["id"], found["type"]) == (status, id, f"/problems/{id}")
    return found


# ── keys ────────────────────────────────────────────────────────────────────────────────────
async def test_a_key_is_shown_once_and_opens_what_it_is_for(tmp_path: Path) -> None:
    async with client(tmp_path, "contacts:read") as it:
        me = await it.get("/me")
        assert (me["extension"], me["role"], me["scopes"]) == ("101", "owner", ["contacts:read"])
        assert await it.get("/contacts") == []
        refused = await it("PUT", "/contacts/Bob", json={"number": "102"})
        problem(refused, 403, "key.scope")
        (row,) = it.office.app.api_keys._rows.values()
        secret = it.token.removeprefix(f"et_{row.id}_")
        assert_only_its_digest_is_kept(tmp_path, row.id, secret)
        assert row.used is not None


def assert_only_its_digest_is_kept(folder: Path, id: str, secret: str) -> None:
    on_disk = b"".join(file.read_bytes() for file in folder.rglob("*.db*"))
    assert id.encode() in on_disk
    assert secret.encode() not in on_disk


async def test_what_is_no_key_opens_nothing(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        good = it.token
        for token in ("et_", "x" * 5_000, good[:-1], good + "x", "et_000000000000_" + "a" * 43):
            answer = await it.site.client.get(
                "/v1/me", headers={"authorization": f"Bearer {token}"}
            )
            problem(answer, 401, "key.wrong")
            assert answer.headers["www-authenticate"] == "Bearer"
        problem(await it.site.client.get("/v1/me"), 401, "key.missing")
        (row,) = it.office.app.api_keys._rows.values()
        row.expires = datetime.now(UTC) - timedelta(seconds=1)
        problem(await it("GET", "/me"), 401, "key.wrong")
        row.expires = datetime.now(UTC) + timedelta(days=1)
        await it.get("/me")
        await it.office.app.api_keys.revoke("101", row.name)
        problem(await it("GET", "/me"), 401, "key.wrong")


async def test_keys_by_chat(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        chat = site.office.dialogue()
        (made,) = await chat.hear("make an API key for my CRM that can calls and contacts:read")
        assert made.private
        it = Client(site, made.text.splitlines()[-1])
        assert (await it.get("/me"))["scopes"] == ["calls", "contacts:read"]
        (listed,) = await chat.hear("my API keys")
        assert "CRM: calls, contacts:read; used" in listed.text
        assert it.token not in listed.text
        (refused,) = await chat.hear("make an api key for another that can fly")
        assert "not fly" in refused.text
        (gone,) = await chat.hear("revoke the CRM API key")
        assert gone.text == "The key CRM opens nothing any more."
        problem(await it("GET", "/me"), 401, "key.wrong")


async def test_a_key_that_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        answers = [await it("GET", "/me") for _ in range(3)]
        left = [int(answer.headers["ratelimit-remaining"]) for answer in answers]
        assert left[0] >= left[-1]
        (bucket,) = _buckets(it).values()
        bucket._left = 0.5
        bucket._at += 60
        refused = await it("GET", "/me")
        problem(refused, 429, "key.too_often")
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["ratelimit-limit"] == str(int(BURST))


def _buckets(it: Client) -> Any:
    app = it.office.app.web
    assert app is not None
    bounds: Any = app._config.app
    api = next(r.app for r in bounds._app.routes if getattr(r, "path", "").endswith("/v1"))
    return api.state.buckets


# ── requests that come again ────────────────────────────────────────────────────────────────
async def test_a_request_that_comes_again_is_done_once(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        network = await telephone_network(it.office, Phone(plays(tone(1, 620.0))))
        await it.office.phone("101", Phone(quiet))
        order, word = {"to": NUMBER}, {"Idempotency-Key": "order-1"}
        first = await it.post("/calls", order, **word)
        assert first.status_code == 202, first.text
        again = await it.post("/calls", order, **word)
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["idempotency-replayed"] == "true"
        assert len(await it.get("/calls")) == 1
        assert len(network.legs) <= 1
        other = await it.post("/calls", {"to": "102"}, **word)
        problem(other, 422, "idempotency.other")
        problem(await it.post("/calls", order, **{"Idempotency-Key": "x" * 65}), 422,
                "idempotency.word")  # fmt: skip


async def test_many_at_once_are_done_once(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        bob = await it.office.phone("102", Writer())
        word = {"Idempotency-Key": "m"}
        answers = await asyncio.gather(
            *(it.post("/messages", {"to": "102", "text": "hello"}, **word) for _ in range(10))
        )
        statuses = sorted(answer.status_code for answer in answers)
        assert set(statuses) <= {202, 409}
        assert 202 in statuses
        async with asyncio.timeout(10):
            await bob.read.wait(lambda one: one[1] == "hello", 10)
        assert len(bob.read.items) == 1


async def test_what_was_refused_may_be_asked_again(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        word = {"Idempotency-Key": "w"}
        problem(await it.post("/calls", {"to": "Zaphod"}, **word), 404, "party.unknown_name")
        await it("PUT", "/contacts/Zaphod", json={"number": "102"})
        await it.office.phone("102", Phone(quiet))
        await it.office.phone("101", Phone(quiet))
        assert (await it.post("/calls", {"to": "Zaphod"}, **word)).status_code == 202


# ── what people do by chat ──────────────────────────────────────────────────────────────────
async def test_a_call_from_the_first_request_to_the_history(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        await telephone_network(it.office, Phone(plays(tone(1, 620.0))))
        await it.office.phone("101", Phone(quiet))
        placed = (await it.post("/calls", {"to": NUMBER, "line": "US"})).json()
        assert (placed["to"], placed["back"]) == ("+1 202-555-0143", "101")
        await it.office.until(lambda: bool(it.office.of(CallAnswered)))
        (live,) = await it.get("/calls")
        assert (live["id"], live["joined"]) == (placed["id"], True)
        assert (await it.post(f"/calls/{live['id']}/control", {"do": "hold"})).status_code == 202
        assert (await it.post(f"/calls/{live['id']}/keys", {"keys": "12#"})).status_code in (
            202,
            409,
            422,
        )
        assert (await it("DELETE", f"/calls/{live['id']}")).status_code == 204
        await it.office.until(lambda: bool(it.office.of(CallEnded)))
        problem(await it("DELETE", f"/calls/{live['id']}"), 404, "call.over")
        page = await it.get("/history", limit=1)
        assert page["items"][0]["peer"] == "+1 202-555-0143"
        assert page["next"] is None


async def test_pages_follow_each_other(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        alice = await it.office.phone("101", Phone(quiet))
        for count in range(1, 4):
            leg = await alice.call("600")
            leg.hang_up()
            await it.office.ended(count)
        seen, cursor = [], None
        while True:
            page = await it.get("/history", limit=2, **({"cursor": cursor} if cursor else {}))
            seen += [one["at"] for one in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == 3
        assert seen == sorted(seen, reverse=True)
        for wrong in ("x", "aGVsbG8", "%00"):
            problem(await it("GET", "/history", params={"cursor": wrong}), 422, "page.cursor")


async def test_people_messages_and_sentences(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        kept = await it("PUT", "/contacts/Bob", json={"number": "+44 20 7946 0321"})
        assert kept.json() == {"name": "Bob", "number": "+44 20 7946 0321"}
        assert await it.get("/contacts") == [kept.json()]
        bob = await it.office.phone("102", Writer())
        sent = await it.post("/messages", {"to": "102", "text": "I am late"})
        assert sent.status_code == 202
        await bob.read.wait(lambda one: one[1] == "I am late", 10)
        said = await it.post("/say", {"text": "my contacts"})
        assert said.status_code == 200
        assert "Bob: +44 20 7946 0321" in said.json()[0]["text"]
        assert (await it("DELETE", "/contacts/Bob")).status_code == 204
        assert (await it("DELETE", "/contacts/Bob")).status_code == 404


async def test_wishes_reminders_phones_and_money(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        sent = await it.post("/redirects", {"to": "102", "condition": "busy"})
        assert sent.json() == {"detail": "Calls go to Bob (102) when you are busy."}
        (one,) = await it.get("/redirects")
        assert (await it("DELETE", f"/redirects/{one['id']}")).status_code == 204
        problem(await it("DELETE", f"/redirects/{one['id']}"), 404, "redirect.unknown")
        at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        reminder = await it.post(
            "/reminders", {"text": "take my pills", "at": at, "rule": "FREQ=DAILY"}
        )
        assert reminder.status_code == 201, reminder.text
        assert [one["text"] for one in await it.get("/reminders")] == ["take my pills"]
        assert (await it("DELETE", f"/reminders/{reminder.json()['id']}")).status_code == 204
        link = (await it.post("/devices", {"name": "desk"})).json()
        assert link["page"].startswith(it.site.url)
        assert (await it.get("/devices")) == []
        assert (await it.get("/balance"))["pays"] is False
        problem(await it.post("/invoices", {"amount": "10", "coin": "ETT"}), 404, "money.off")
        assert await it.get("/voicemail") == []
        assert await it.get("/recordings") == []
        problem(await it("GET", "/voicemail/x/sound"), 404, "voicemail.unknown")
        problem(await it("GET", "/recordings/x/sound"), 404, "recording.unknown")


# ── refusals ────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/calls", {}, "body.to"),
        ("/calls", {"to": ""}, "body.to"),
        ("/calls", {"to": "x" * 81}, "body.to"),
        ("/calls", {"to": "102", "hide_number": "perhaps"}, "body.hide_number"),
        ("/messages", {"to": "102", "text": "x" * 1_001}, "body.text"),
        ("/conferences", {"participants": []}, "body.participants"),
        ("/reminders", {"text": "x", "at": "2030-01-01T08:00:00"}, "body.at"),
        ("/invoices", {"amount": "-1", "coin": "ETT"}, "body.amount"),
        ("/verifications", {"to": "102", "length": 3}, "body.length"),
    ],
)
async def test_what_is_wrong_is_told_field_by_field(
    tmp_path: Path, path: str, body: Any, field: str
) -> None:
    async with client(tmp_path) as it:
        found = problem(await it.post(path, body), 422, "request.invalid")
        assert field in [one["field"] for one in found["errors"]]


async def test_what_is_no_request(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        problem(await it("GET", "/nowhere"), 404, "path.unknown")
        problem(await it("PATCH", "/calls"), 405, "method.unknown")
        answer = await it("POST", "/calls", content=b"{" * 1_000)
        problem(answer, 422, "request.invalid")
        assert (await it("POST", "/calls", content=b"x" * 70_000)).status_code == 413
        assert (await it.get("/health")) == {"status": "ok"}
        assert (await it.get("/ready")) == {"status": "ready"}


def test_the_document_is_the_one_that_is_committed() -> None:
    """After a change of paths: `python -m web.api.document`."""
    desk: Any = None
    assert json.loads(DOCUMENT.read_text("utf-8")) == json.loads(
        json.dumps(create_api(desk).openapi())
    )


# ── what a hostile reading found ────────────────────────────────────────────────────────────
async def test_secrets_in_answers_are_kept_for_who_asked_only(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        word = {"Idempotency-Key": "k"}
        made = (await it.post("/devices", {"name": "desk"}, **word)).json()
        token = made["page"].rpartition("/")[2]
        assert len(token) == 32
        assert (await it.post("/devices", {"name": "desk"}, **word)).json() == made
        assert_only_its_digest_is_kept(tmp_path, sha256(token.encode()).hexdigest(), token)


async def test_what_cannot_be_read_may_be_asked_again(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        headers = {"Idempotency-Key": "b", "content-type": "application/json"}
        for _ in range(2):
            answer = await it("POST", "/calls", content=b"\xff", headers=headers)
            problem(answer, 400, "request.unreadable")


async def test_an_extension_of_somebody_else_later_knows_nothing_of_before(tmp_path: Path) -> None:
    """Neither what happened, nor what was talked about."""
    async with client(tmp_path) as it:
        app = it.office.app
        assert app.feeds is not None
        zoe = replace(app.person, id="zoe", name="Zoe", extension="110")
        yan = replace(zoe, id="yan", name="Yan", role=Role.GUEST)
        listening = app.feeds.listen(zoe, "")
        assert (await anext(listening)).kind == "here"
        app.followers.announce("110", "for Zoe")
        heard = await anext(listening)
        await listening.aclose()
        run = heard.id.partition("-")[0]
        again = app.feeds.listen(yan, f"{run}-0")
        assert (await anext(again)).kind == "gap"
        assert (await anext(again)).kind == "here"
        app.followers.announce("110", "for Yan")
        assert (await anext(again)).text == "for Yan"
        await again.aclose()
        await app._talk(zoe, "help")
        await app._talk(yan, "help")
        assert app._spoken["110 "][0].person.id == "yan"


async def test_rules_that_would_be_looked_for_for_ever_are_refused(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        for rule in (
            "FREQ=MINUTELY;INTERVAL=7;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU;BYHOUR=3;BYMINUTE=1",
            "FREQ=HOURLY;INTERVAL=23;BYDAY=MO;BYHOUR=3",
            "FREQ=HOURLY;BYDAY=1MO",
        ):
            answer = await it.post("/reminders", {"text": "x", "at": at, "rule": rule})
            assert answer.status_code == 422, rule
        good = {"text": "x", "at": at, "rule": "FREQ=HOURLY;BYHOUR=9,10,11;BYDAY=MO,TU"}
        assert (await it.post("/reminders", good)).status_code == 201


async def test_a_revoked_key_takes_what_it_began_along(tmp_path: Path) -> None:
    async with client(tmp_path, web={"private_webhooks": True, "port": 0}) as it:
        app = it.office.app
        other = Client(it.site, await key(it.office, "events"))
        made = await other.post("/webhooks", {"url": "http://127.0.0.1:9/x"})
        assert made.status_code == 201, made.text
        assert len(await it.get("/webhooks")) == 1
        await app.api_keys.revoke("101", "CRM 1")
        assert await it.get("/webhooks") == []


async def test_what_is_known_is_not_sent_again(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        first = await it("GET", "/contacts")
        tag = first.headers["etag"]
        again = await it("GET", "/contacts", headers={"if-none-match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        await it("PUT", "/contacts/Bob", json={"number": "102"})
        changed = await it("GET", "/contacts", headers={"if-none-match": tag})
        assert changed.json() == [{"name": "Bob", "number": "102"}]


async def test_history_is_searched_by_name_and_by_how_numbers_begin(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        alice = await it.office.phone("101", Phone(quiet))
        await it("PUT", "/contacts/The Echo", json={"number": "600"})
        for count, number in enumerate(("600", "102", "600"), 1):
            try:
                (await alice.call(number)).hang_up()
            except CallRefused:
                assert number == "102"  # whose phone is off
            await it.office.ended(count)

        async def found(q: str) -> list[str]:
            return [one["back"] for one in (await it.get("/history", q=q))["items"]]

        assert await found("echo") == ["600", "600"]
        assert await found("60") == ["600", "600"]
        assert await found("bob") == ["102"]
        assert await found(" 10 2 ") == ["102"]
        assert await found("101") == []  # one's own number is everywhere
        assert await found("nobody") == []
        assert await found("%") == await found("_") == []
        first = await it.get("/history", q="60", limit=1)
        second = await it.get("/history", q="60", limit=1, cursor=first["next"])
        assert [len(page["items"]) for page in (first, second)] == [1, 1]
        assert second["next"] is None


async def test_a_call_is_looked_into_by_those_whose_it_is(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        await it.office.phone("102", Phone(plays(tone(1, 620.0))))
        await it.office.phone("101", Phone(plays(tone(1, 440.0))))
        id = (await it.post("/calls", {"to": "102"})).json()["id"]
        await it.office.until(lambda: bool(it.office.of(CallAnswered)))
        async with asyncio.timeout(10):
            while not (levels := (await it.get("/calls"))[0]["levels"]) or levels[0]["dbfs"] < -30:
                pass
        assert {one["who"] for one in levels} <= {"101", "102"}
        going = await it.get(f"/history/{id}")
        assert going["messages"][0]["summary"].startswith("INVITE")
        await it("DELETE", f"/calls/{id}")
        await it.office.ended()
        over = await it.get(f"/history/{id}")
        assert {leg["who"] for leg in over["legs"]} == {"101", "102"}
        assert all(leg["codec"] == "PCMU/8000" and leg["received"] for leg in over["legs"])
        assert "127.0.0.1" not in str(over["messages"][0]["peer"])
        problem(await it("GET", "/history/nothing"), 404, "call.unknown")
        carol = replace(it.office.app.person, extension="103", id="carol", role=Role.MEMBER)
        with pytest.raises(OperatorError, match="no such call of yours"):
            await it.office.app.operator.past.call(carol, id)


async def test_days_of_other_ages_are_refused(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        assert await it.get("/agenda", day="2030-01-01") == []
        for day in ("0001-01-01", "9999-12-31", "1e9", "today"):
            problem(await it("GET", "/agenda", params={"day": day}), 422, "request.invalid")
