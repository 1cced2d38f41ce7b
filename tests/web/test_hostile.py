"""What a hostile reading found: keys, sessions, questions and numbers in the hands of others."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import encryptotel.receivers
import web.server
from bot.ports import Account, OperatorError, Person, Role
from encryptotel.demo.phone import Phone, plays
from encryptotel.outbound import Forbidden, Why
from encryptotel.receivers import Receivers
from nlp.commands import Invite, Party, Redirect, Understanding
from pbx.calls.cause import Ending
from pbx.events import CallAnswered, CallStarted, LegAnswered
from pbx.media.tones import tone
from store.tables import CallRow
from tests.calls.test_callback import telephone_network
from tests.calls.test_rooms import said
from tests.office import BusyPhone, Office, quiet
from tests.web.site import Site, open_site
from tests.web.test_api import Client, client, problem
from tests.web.test_approvals import Chat

OUT = "+12025550143"
PAGE = {"x-console": "1"}
UP = (
    "GET /v1/ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


async def somebody(office: Office, name: str, role: Role = Role.MEMBER) -> Person:
    code = await office.app.people.invite(name, role=role)
    person = await office.app.people.join(code, Account("jabber", f"{name}@example.org"), name)
    assert person is not None
    return person


async def key_of(it: Site, person: Person, *scopes: str) -> Client:
    return Client(it, await it.office.app.api_keys.make(person.extension, "k", scopes))


def loud() -> Phone:
    return Phone(plays(tone(1, 440.0)), ring_seconds=0.1)


def digits(found: Any) -> str:
    return str(found).replace(" ", "").replace("-", "")


async def test_upgrades_that_are_none_do_not_close_the_server_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody: an upgrade whose announced body never comes has no deadline and keeps its place."""
    monkeypatch.setattr(web.server, "ARRIVES_WITHIN", 1.0)
    monkeypatch.setattr(web.server, "IDLE", 1)
    async with open_site(tmp_path) as site:
        held = []
        for _ in range(web.server.MAX_OF_ONE):
            reader, writer = await asyncio.open_connection(*site.address, ssl=site.tls)
            writer.write((UP + "content-length: 5\r\n\r\n").encode())
            held.append((reader, writer))
        await asyncio.sleep(2)  # twice as long as a request may take to arrive
        try:
            answered = await site.sent(
                b"GET /v1/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            )
        except ConnectionError:
            answered = b""
        for _, writer in held:
            writer.transport.abort()
        assert answered.startswith(b"HTTP/1.1 200")


async def test_nobody_picks_up_a_question_that_is_for_another(tmp_path: Path) -> None:
    """*1 does not take the call that asks Alice at her phone."""
    async with client(tmp_path) as it:
        chat = Chat(it.office)
        await it.office.phone("101", Phone(quiet, ring_seconds=60))
        carol = await it.office.phone("103", Phone(quiet))
        assert "I ring your phone" in await chat.say("ask me by phone before dangerous commands")
        assert "needs your approval" in await chat.say("set up my phone")
        await it.office.until(lambda: any(e.kind == "reminder" for e in it.office.of(CallStarted)))
        await carol.call("*1101")
        await said(it.office, carol, "Nothing rings there.")


async def test_who_asked_first_gets_what_was_approved(tmp_path: Path) -> None:
    """Alice asks for a phone by chat and approves; a program that kept asking has the link."""
    async with client(tmp_path, "devices") as it:
        chat = Chat(it.office)
        await chat.say("ask me before dangerous commands by chat")
        assert "needs your approval" in await chat.say("set up my phone")
        (approve, _) = (await chat.asked()).buttons
        problem(await it.post("/devices", {"name": "thief"}), 403, "approval.asked")
        await chat.say(approve.says)
        stolen = await it.post("/devices", {"name": "thief"})
        assert stolen.status_code == 403, stolen.text


async def test_a_program_does_not_flood_a_chat_with_questions(tmp_path: Path) -> None:
    async with client(tmp_path, "devices") as it:
        chat = Chat(it.office)
        await chat.say("ask me before dangerous commands by chat")
        chat.told.clear()
        for _ in range(50):
            await it.post("/devices", {"name": "desk"})
        asked = [one for one in chat.told if one.buttons]
        assert len(asked) <= 5, len(asked)


async def test_a_program_cannot_make_others_questions_unanswerable(tmp_path: Path) -> None:
    """All open questions of everybody are in one book of 10,000: who asks often empties it."""
    async with client(tmp_path, "devices") as it:
        office = it.office
        bob = await somebody(office, "Bob2")
        office.app.followers.follow(bob, lambda _: None)
        asked = office.app.approvals.write(bob.extension, "Sign in", lambda yes: None)
        chat = Chat(office)
        await chat.say("ask me before dangerous commands by chat")
        chat.dialogue._push = lambda reply: None
        for _ in range(10_000):  # what POST /devices does each time, 200 a second and key
            with pytest.raises(OperatorError):
                office.app.approvals.require(office.app.person, "a new phone")
        assert office.app.approvals.answer(bob, asked, yes=True) == "Sign in"


async def test_a_phone_is_not_rung_again_and_again_for_approvals(tmp_path: Path) -> None:
    async with client(tmp_path, "devices") as it:
        chat = Chat(it.office)
        await it.office.phone("101", BusyPhone(quiet))
        await chat.say("ask me by phone before dangerous commands")
        for _ in range(12):
            await it.post("/devices", {"name": "desk"})
            await asyncio.sleep(0.15)
        rang = [one for one in it.office.of(CallStarted) if one.kind == "reminder"]
        assert len(rang) <= 3, len(rang)


async def test_a_guest_has_no_key_by_the_console(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        guest = await somebody(site.office, "Gus", Role.GUEST)
        for wish in (
            site.office.app.operator.make_key(guest, "x", ["calls"]),
            site.office.app.operator.open_console(guest),
        ):
            with pytest.raises(OperatorError, match="guests"):
                await wish


async def test_a_session_is_no_bearer_key(tmp_path: Path) -> None:
    """A key that can say, money, devices or verify always needs a second yes; what the console's
    link gives can all of these and needs none, shown by any program as a bearer."""
    async with open_site(tmp_path) as site:
        chat = Chat(site.office)
        assert "needs your approval" in await chat.say("make an API key for x that can money")
        said = await chat.say("open the console")
        token = said.splitlines()[1].partition("#")[2]
        entered = await site.client.post(
            "/console/enter", json={"token": token}, headers={"x-console": "1"}
        )
        site.client.cookies.clear()
        it = Client(site, entered.headers["set-cookie"].partition(";")[0].partition("=")[2])
        assert (await it.post("/say", {"text": "status"})).status_code in (401, 403)


async def test_a_program_does_not_answer_was_this_you(tmp_path: Path) -> None:
    async with client(tmp_path, "say") as it:
        said: list[bool] = []
        it.office.app.operator._answer = lambda *, yes: said.append(yes) or "Done."
        assert said == []


async def test_a_link_dies_with_its_person(tmp_path: Path) -> None:
    """The first free extension is given again: the link of who left opens the next one's page."""
    async with open_site(tmp_path) as site:
        app = site.office.app
        left = await somebody(site.office, "Left")
        link = await app.operator.open_console(left)
        await app.operator.forget(left)
        new = await somebody(site.office, "New")
        assert new.extension == left.extension
        entered = await site.client.post(
            "/console/enter", json={"token": link.url.partition("#")[2]}, headers={"x-console": "1"}
        )
        assert entered.status_code == 404


async def test_a_grant_dies_with_its_person(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        app = site.office.app
        left = await somebody(site.office, "Left")
        app.followers.follow(left, lambda _: None)
        asked = app.approvals.write(left.extension, "x", lambda yes: None)
        await app.operator.forget(left)
        new = await somebody(site.office, "New")
        with pytest.raises(OperatorError):
            app.approvals.answer(new, asked, yes=True)


async def test_a_hidden_caller_is_hidden_in_a_call_looked_into(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        office = site.office
        member = await somebody(office, "Mel")
        it = await key_of(site, member, "calls")
        alice = await office.phone("101", Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        await office.phone(member.extension, Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        leg = await alice.call(f"*67{member.extension}")
        await asyncio.sleep(1)
        (live,) = await it.get("/calls")
        leg.hang_up()
        await office.ended()
        page = await it.get("/history")
        whole = await it.get(f"/history/{page['items'][0]['id']}")
        assert live["caller"] != "101"
        assert "101" not in [one["who"] for one in live["levels"]]
        assert "101" not in [one["who"] for one in whole["legs"]]


async def test_what_sip_says_does_not_name_who_is_hidden(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        office = site.office
        member = await somebody(office, "Mel")
        it = await key_of(site, member, "calls")
        alice = await office.phone("101", Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        called = await office.phone(
            member.extension, Phone(plays(tone(1, 440.0)), ring_seconds=0.1)
        )
        await alice.call(f"*67{member.extension}")
        await asyncio.sleep(0.5)
        called.legs[0].hang_up()
        await office.ended()
        page = await it.get("/history")
        whole = await it.get(f"/history/{page['items'][0]['id']}")
        assert not any("sip:101@" in one["summary"] for one in whole["messages"])
        assert not any(one["peer"] == "101" for one in whole["messages"])


async def test_nobody_picks_up_a_code_that_is_for_another(tmp_path: Path) -> None:
    async with client(tmp_path, "verify") as it:
        await it.office.phone("102", Phone(quiet, ring_seconds=60))
        carol = await it.office.phone("103", Phone(quiet))
        await it.post("/verifications", {"to": "102", "by": "call"})
        await it.office.until(lambda: any(e.kind == "reminder" for e in it.office.of(CallStarted)))
        (call,) = [e.call_id for e in it.office.of(CallStarted) if e.kind == "reminder"]
        await asyncio.sleep(0.5)
        await carol.call("*1102")
        await asyncio.sleep(2)
        there = it.office.app.exchange.calls.get(call)
        heard = [leg.peer for leg in there.legs if leg.answered] if there else []
        assert "103" not in heard


async def test_a_program_that_may_say_gets_no_chat_of_its_own(tmp_path: Path) -> None:
    async with client(tmp_path, "say") as it:
        app = it.office.app
        app.operator.offer_way(lambda code: f"https://t.me/bot?start={code}")
        await it.post("/say", {"text": "my API keys"})
        ((dialogue, _),) = app._spoken.values()
        meant = Understanding(text="", commands=(Invite(name="me"),), lacks=((),), confidence=1.0)
        dialogue._understand = lambda *_: asyncio.sleep(0, meant)  # as the model does
        (answer,) = (await it.post("/say", {"text": "invite me"})).json()
        assert answer["text"] == "That can be said in a chat of yours only."
        chat = Chat(it.office)
        await chat.say("ask me before dangerous commands by chat")
        with pytest.raises(OperatorError, match="needs your approval"):
            await app.operator.invite(app.person, "")


@pytest.mark.parametrize(
    "text",
    [
        "my pin is 123456",
        "set my answerphone  PIN to 4321",
        f"my  key is age1{58 * 'q'}",
        "forget  me for good",
        "unlock my PIN",
        "delete my wallet",
        "yes",
    ],
)
async def test_a_program_says_nothing_that_only_the_person_may(tmp_path: Path, text: str) -> None:
    async with client(tmp_path, "say") as it:
        (answer,) = (await it.post("/say", {"text": text})).json()
        assert answer["text"] in (
            "That can be said in a chat of yours only.",
            "There is nothing waiting for a yes.",
        )


async def test_who_is_behind_a_relay_number_is_not_in_sip_messages(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        office = site.office
        app = office.app
        member = await somebody(office, "Mel")
        it = await key_of(site, member, "calls")
        await telephone_network(office, Phone(plays(tone(1, 620.0)), ring_seconds=0.1))
        await app.operator.relays.connect(
            app.person, Party(extension=member.extension), Party(number=OUT)
        )
        (relay,) = app.operator.relays._relays
        mel = await office.phone(member.extension, Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        leg = await mel.call(relay)
        await asyncio.sleep(1)
        live = await it.get("/calls")
        leg.hang_up()
        await office.ended()
        page = await it.get("/history")
        whole = await it.get(f"/history/{page['items'][0]['id']}")
        found = [await it.get("/history", q=q) for q in ("+1202", "+1203")]
        assert "2025550143" not in str(whole).replace(" ", "").replace("-", "")
        assert "2025550143" not in str(live).replace(" ", "").replace("-", "")
        assert [len(one["items"]) for one in found] == [0, 0]


async def test_where_somebody_is_redirected_is_their_business(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        office = site.office
        app = office.app
        member = await somebody(office, "Mel")
        it = await key_of(site, member, "calls")

        async def one(phone: Phone, leg: Any) -> None:
            for _ in range(8):
                await asyncio.sleep(1)
                leg.audio.send_digit("1")
            await leg.ended()

        await telephone_network(office, Phone(one, ring_seconds=0.1))
        await app.operator.handling.redirect(app.person, Redirect(to=Party(number=OUT)))
        mel = await office.phone(member.extension, Phone(plays(tone(1, 440.0)), ring_seconds=0.1))
        leg = await mel.call("101")
        await asyncio.sleep(1)
        live = await it.get("/calls")
        leg.hang_up()
        await office.ended()
        page = await it.get("/history")
        whole = await it.get(f"/history/{page['items'][0]['id']}")
        assert "2025550143" not in digits(live)
        assert "2025550143" not in str(whole).replace(" ", "").replace("-", "")


async def calls_in(it: Client, count: int, *, same: bool = False) -> None:
    start = datetime.now(UTC) - timedelta(days=30)
    async with it.office.app.database.writing() as session:
        for n in range(count):
            at = start if same else start + timedelta(seconds=n)
            session.add(
                CallRow(
                    id=f"x{n:08d}", started_at=at, answered_at=at, ended_at=at, caller="102",
                    callee="101", dialled="101", user="102", kind="internal", cause="",
                )
            )  # fmt: skip


async def test_missed_calls_are_found_in_a_long_history(tmp_path: Path) -> None:
    async with client(tmp_path, "calls:read") as it:
        await calls_in(it, 6_000)
        began = time.monotonic()
        answer = await it("GET", "/history", params={"missed": "true", "limit": "1"}, timeout=30)
        assert answer.status_code == 200
        assert time.monotonic() - began < 1


async def test_calls_of_the_same_moment_are_on_some_page(tmp_path: Path) -> None:
    async with client(tmp_path, "calls:read") as it:
        await calls_in(it, 5, same=True)
        seen, cursor = [], ""
        while True:
            page = await it.get("/history", limit=2, **({"cursor": cursor} if cursor else {}))
            seen += [one["id"] for one in page["items"]]
            cursor = page["next"]
            if not cursor:
                break
        assert len(seen) == 5


async def test_a_connection_that_left_its_place_is_not_kept_for_more(tmp_path: Path) -> None:
    """What was let out of the count as a listener goes on as an ordinary connection, uncounted:
    after the stream has ended (its key was revoked, or one listener too many came at once) it is
    served for as long as it asks every five seconds, and eight more may follow."""
    async with client(tmp_path, "events") as it:
        listen = f"GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {it.token}\r\n\r\n"
        conns = [await asyncio.open_connection(*it.site.address, ssl=it.site.tls) for _ in range(8)]
        for _, writer in conns:
            writer.write(listen.encode())
        await asyncio.sleep(1)
        assert it.office.app.feeds.listeners == 8
        (row,) = it.office.app.api_keys._rows.values()
        await it.office.app.api_keys.revoke("101", row.name)
        it.office.app.followers.announce("101", "news")  # or fifteen seconds
        await asyncio.sleep(0.5)
        for _ in range(3):
            for _, writer in conns:
                writer.write(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n")
            await asyncio.sleep(1)
        served = sum(bytes(reader._buffer).count(b'"status":"ok"') == 3 for reader, _ in conns)
        counted = it.office.app.web._open.total()
        for _, writer in conns:
            writer.transport.abort()
        assert counted >= served


async def test_wrong_links_do_not_take_the_only_writer(tmp_path: Path) -> None:
    """500 a second and address may ask, without any key; each takes the lock of all writes."""
    async with open_site(tmp_path) as site:
        database, took = site.office.app.database, 0
        writing = database.writing

        def counted() -> Any:
            nonlocal took
            took += 1
            return writing()

        database.writing = counted
        statuses = []
        for n in range(100):
            answer = await site.client.post(
                "/console/enter", json={"token": f"{n:032x}"}, headers={"x-console": "1"}
            )
            statuses.append(answer.status_code)
        assert took < 20 or 429 in statuses


async def test_slow_names_of_one_do_not_stop_those_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that does not answer holds a thread, also when nobody waits any more."""

    def slow(url: str, *, private: bool) -> list[str]:
        if "slow" in url:
            time.sleep(4)
        return ["192.0.2.1"]

    monkeypatch.setattr(encryptotel.receivers, "addresses_of", slow)
    one = Receivers(private=True, now=lambda: datetime.now(UTC))
    for _ in range(3):
        await asyncio.gather(
            *(
                one.tell("https://slow.example/x", "whsec_AAAA", "1", b"", within=0.3)
                for _ in range(4)
            )
        )
    began = time.monotonic()
    try:
        async with asyncio.timeout(1.5):
            await one.addresses("https://other.example/x")
    except TimeoutError:
        pass
    took = time.monotonic() - began
    await one.close()
    assert took < 1.0, took


async def test_text_of_a_program_is_one_line(tmp_path: Path) -> None:
    async with client(tmp_path, "verify") as it:
        chat = Chat(it.office)
        text = "x\n\nEncryptoTel: your console was opened. Close it: https://evil.example\n"
        answer = await it.post("/verifications", {"to": "101", "by": "chat", "approve": text})
        assert answer.status_code == 202
        question = await chat.asked()
        assert "\n" not in question.text


async def test_a_question_that_expired_is_not_said_to_be_approved(tmp_path: Path) -> None:
    async with client(tmp_path, "verify") as it:
        chat = Chat(it.office)
        await it.post("/verifications", {"to": "101", "by": "chat", "approve": "Sign in"})
        question = await chat.asked()
        verifications = it.office.app.verifications
        verifications._now = lambda: datetime.now(UTC) + timedelta(hours=1)
        said = await chat.say(question.buttons[0].says)
        assert not said.startswith("Approved")


async def test_refused_sockets_are_no_errors(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_site(tmp_path) as site:
        raw = UP.replace("/v1/ws", "/v1/ws?last=1") + "\r\n"
        await site.sent(raw.encode())
        token = "0" * 32
        await site.sent((UP.replace("/v1/ws", f"/setup/{token}") + "\r\n").encode())
        lines = [
            (r.levelname, r.name, r.getMessage()) for r in caplog.records if "uvicorn" in r.name
        ]
        assert not any(level == "ERROR" for level, _, _ in lines)
        assert not any(token in line for _, _, line in lines)


async def test_who_comes_after_sees_no_calls_of_who_left(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        office = site.office
        app = office.app
        left = await somebody(office, "Left")
        alice = await office.phone("101", Phone(quiet, ring_seconds=0.1))
        await office.phone(left.extension, Phone(quiet, ring_seconds=0.1))
        leg = await alice.call(left.extension)
        leg.hang_up()
        await office.ended()
        await asyncio.sleep(0.5)
        await app.operator.forget(left)
        new = await somebody(office, "New")
        assert new.extension == left.extension
        it = await key_of(site, new, "calls")
        assert (await it.get("/history"))["items"] == []


async def test_calls_are_listed_while_one_of_them_ends(tmp_path: Path) -> None:
    """One whose end is under way does not make the whole list a 404."""
    async with client(tmp_path, "calls") as it:
        alice = await it.office.phone("101", Phone(quiet, ring_seconds=0.1))
        await it.office.phone("102", Phone(quiet, ring_seconds=0.1))
        await alice.call("102")
        (call,) = it.office.app.exchange.calls.values()
        call.ending = Ending(
            status=200, reason="hung up"
        )  # as hang_up does, a turn before it is gone
        answer = await it("GET", "/calls")
        call.ending = None
        assert answer.status_code == 200


async def test_where_somebody_is_redirected_is_theirs_in_a_callback_too(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        office = site.office
        member = await somebody(office, "Mel")
        it = await key_of(site, member, "calls")
        await telephone_network(office, Phone(quiet, ring_seconds=0.1))
        app = office.app
        await app.operator.handling.redirect(app.person, Redirect(to=Party(number=OUT)))
        await office.phone(member.extension, Phone(quiet, ring_seconds=0.1))
        id = (await it.post("/calls", {"to": "101"})).json()["id"]
        await office.until(lambda: len(office.of(LegAnswered)) >= 1)
        await asyncio.sleep(1)
        live = await it.get("/calls")
        await it("DELETE", f"/calls/{id}")
        await office.ended()
        whole = await it.get(f"/history/{id}")
        assert "2025550143" not in digits(live)
        assert "2025550143" not in digits(whole)


async def test_who_was_brought_in_is_seen_as_themselves(tmp_path: Path) -> None:
    async with client(tmp_path, "calls") as it:
        for number in ("101", "102", "103"):
            await it.office.phone(number, loud())
        id = (await it.post("/calls", {"to": "102"})).json()["id"]
        await it.office.until(lambda: bool(it.office.of(CallAnswered)))
        await it.post("/conferences", {"participants": ["103"]})
        await it.office.until(lambda: len(it.office.of(LegAnswered)) >= 3)
        await asyncio.sleep(1)
        (live,) = await it.get("/calls")
        assert {one["who"] for one in live["levels"]} == {"101", "102", "103"}
        await it("DELETE", f"/calls/{id}")
        await it.office.ended()
        whole = await it.get(f"/history/{id}")
        assert {one["who"] for one in whole["legs"]} == {"101", "102", "103"}


async def test_a_program_does_not_use_up_what_its_owner_may_ask(tmp_path: Path) -> None:
    async with client(tmp_path, "devices") as it:
        chat = Chat(it.office)
        await it.office.phone("101", BusyPhone(quiet))
        await chat.say("ask me by phone before dangerous commands")
        for _ in range(9):
            await it.post("/devices", {"name": "desk"})
            await asyncio.sleep(0.1)
        assert "I ring your phone" in await chat.say("set up my phone")


async def test_who_lost_their_phone_is_asked_by_chat(tmp_path: Path) -> None:
    async with client(tmp_path) as it:
        chat = Chat(it.office)
        alice = await it.office.phone("101", Phone(quiet))
        await chat.say("ask me by phone before dangerous commands")
        it.office.app.exchange.registrar.drop("101", "lost")
        assert "approve it in your chat" in await chat.say("set up my phone")
        (approve, _) = (await chat.asked()).buttons
        await chat.say(approve.says)
        assert "Scan this" in await chat.say("set up my phone")
        assert alice.legs == []


async def test_missed_calls_are_found_among_others_with_the_same_name(tmp_path: Path) -> None:
    async with client(tmp_path, "calls:read") as it:
        start = datetime.now(UTC) - timedelta(days=1)
        async with it.office.app.database.writing() as session:
            for n in range(10):
                at, theirs = start + timedelta(seconds=n), n < 5
                caller, callee = ("102", "101") if theirs else ("101", "102")
                session.add(
                    CallRow(
                        id=f"x{n:08d}", started_at=at, ended_at=at, caller=caller, callee=callee,
                        dialled=callee, user=caller, kind="internal", cause="",
                    )
                )  # fmt: skip
        for q in ("Bob", "102"):
            page = await it.get("/history", missed=True, q=q, limit=3)
            assert [one["id"] for one in page["items"]] == ["x00000004", "x00000003", "x00000002"]
            assert page["next"]


async def test_http_is_refused_while_https_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(url: str, *, private: bool) -> list[str]:
        if url.startswith("https"):
            time.sleep(0.5)
            return ["192.0.2.1"]
        raise Forbidden(Why.NOT_HTTPS)

    monkeypatch.setattr(encryptotel.receivers, "addresses_of", slow)
    one = Receivers(private=False, now=lambda: datetime.now(UTC))
    first = asyncio.ensure_future(one.addresses("https://crm.example/x"))
    await asyncio.sleep(0)
    with pytest.raises(Forbidden):
        await one.addresses("http://crm.example/x")
    assert await first == ["192.0.2.1"]
    await one.close()
