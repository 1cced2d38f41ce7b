"""Text messages between phones, chats, trunks and an SMS provider; none is lost or doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import text as sql
from sqlmodel import select

from encryptotel.app import App
from encryptotel.postman import Postman
from nlp.commands import Block, Message, Party
from pbx.calls.leg import Target, only
from pbx.ports import Trunk
from pbx.texts import MAX_BYTES, Delivery, Text, send
from store.tables import TextRow
from tests.calls.writers import Writer
from tests.office import Office, open_office
from tests.peers.ports import HOST, free_port

NUMBER = "+12025550143"


async def left(app: App) -> list[TextRow]:
    """The messages still on their way."""
    async with app.database.reading() as session:
        return list((await session.execute(select(TextRow))).scalars())


async def until_none_left(app: App) -> None:
    async with asyncio.timeout(10):
        while await left(app):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def carrier(office: Office, network: Writer, *, texts: bool = True) -> None:
    """A carrier that takes text messages, as the US line."""
    address = await network.listen()
    office.app.directory.demo_trunks = [
        Trunk(
            name="us", zone="US", host=address[0], port=address[1],
            numbers=("+12025550100",), texts=texts,
        )
    ]  # fmt: skip
    await office.app.directory.load()
    office.app.exchange.refresh()
    await office.until(lambda: office.app.exchange.trunks["us"].up is True)


async def say(office: Office, command: Any, *, confirm: bool = False) -> str:
    """What the owner's chat answers to a command."""
    office.understands(command)
    (reply,) = await office.dialogue().hear("the order", confirm=confirm)
    return reply.text


async def test_from_phone_to_phone_and_to_the_chat(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.dialogue()
        alice = await office.phone("101", Writer())
        bob = await office.phone("102", Writer())
        assert (await bob.write("101", "Hello 👋\nAlice")).status == 202
        await alice.reads("102", "Hello 👋\nAlice")
        await office.until(lambda: "Bob (102) writes:\nHello 👋\nAlice" in office.told)
        await until_none_left(office.app)


async def test_from_the_chat_to_a_phone_and_back(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        bob = await office.phone("102", Writer())
        order = Message(to=Party(extension="102"), text="I am late")
        assert await say(office, order, confirm=True) == "Sent to Bob (102)."
        await bob.reads("101", "I am late")
        await bob.write("101", "No problem")
        await office.until(lambda: "Bob (102) writes:\nNo problem" in office.told)


async def test_a_phone_that_is_off_gets_them_in_order_when_it_is_on(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        for words in ("one", "two"):
            order = Message(to=Party(extension="102"), text=words)
            told = await say(office, order)
            assert told == "Bob (102) gets it as soon as their phone is there."
    async with open_office(tmp_path) as office:  # a restart in between loses nothing
        bob = await office.phone("102", Writer())
        await bob.reads("101", "two")
        assert list(bob.read.items) == [("101", "one"), ("101", "two")]
        await until_none_left(office.app)


async def test_a_chat_that_was_away_is_told_at_the_next_start_only_once(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.dialogue()
        bob = await office.phone("102", Writer())
        await bob.write("101", "seen")
        await office.until(lambda: "Bob (102) writes:\nseen" in office.told)
    async with open_office(tmp_path) as office:
        office.dialogue()
        bob = await office.phone("102", Writer())
        await bob.write("101", "new")
        await office.until(lambda: bool(office.told))
        assert office.told == ["Bob (102) writes:\nnew"]


async def test_whoever_is_blocked_is_told_so(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        bob = await office.phone("102", Writer())
        await say(office, Block(party=Party(extension="102")))
        refused = await bob.write("101", "hello?")
        assert (refused.status, await left(office.app)) == (403, [])


@pytest.mark.parametrize(
    ("to", "words", "status"),
    [
        ("999", "hello", 404),
        ("600", "hello", 405),
        ("102", "x" * (MAX_BYTES + 1), 413),
        ("102", "   ", 400),
        ("+12025550143", "hello", 503),
    ],
)
async def test_what_cannot_be_sent_is_refused(
    to: str, words: str, status: int, tmp_path: Path
) -> None:
    async with open_office(tmp_path) as office:
        bob = await office.phone("102", Writer())
        assert (await bob.write(to, words)).status == status
        assert await left(office.app) == []


async def test_a_stranger_cannot_write(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        bob = await office.phone("102", Writer())
        assert bob._account is not None
        bob._account = type(bob._account)(username="102", secret="wrong")
        assert (await bob.write("101", "hello")).status == 401


async def test_through_a_trunk_and_back(tmp_path: Path) -> None:
    route = ({"number": "+12025550100", "to": "101"},)
    async with open_office(tmp_path, route=route) as office:
        network = Writer()
        await carrier(office, network)
        order = Message(to=Party(number=NUMBER), text="from afar")
        asked = await say(office, order, confirm=True)
        assert asked == "Send “from afar” to +1 202-555-0143?"
        assert network.read.items == []
        told = await say(office, order)
        assert told.startswith("On its way to +1 202-555-0143.")
        await network.reads("+12025550100", "from afar")
        await until_none_left(office.app)
        trunk = office.app.exchange.trunks["us"].trunk
        network._server = _udp(office)
        network._account = None
        answer = await _from_trunk(network, trunk.numbers[0], "back again")
        assert answer == 202
        await office.until(lambda: "+1 202-555-0143 writes:\nback again" in office.told)
        await network.stop()


def _udp(office: Office) -> tuple[str, int]:
    host, port = office.app.addresses["udp"].rsplit(":", 1)
    return host, int(port)


async def _from_trunk(network: Writer, to: str, words: str) -> int:
    target = Target(
        peer=to,
        uri=f"sip:{to}@127.0.0.1",
        from_uri=f"sip:{NUMBER}@carrier",
        ways=only(network._flow),
    )
    return (await send(network._stack, target, words)).status


async def test_a_line_that_is_down_is_tried_again_and_the_sender_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encryptotel.texts.PAUSES", (0.2,))
    async with open_office(tmp_path) as office:
        office.dialogue()
        network = Writer(answer=503)
        await carrier(office, network)
        bob = await office.phone("102", Writer())
        assert (await bob.write(NUMBER, "please")).status == 202
        await bob.read.wait(lambda one: "was not sent" in one[1] and "I keep trying" in one[1], 10)
        network.answer = 200
        await until_none_left(office.app)
        assert network.read.items.count(("+12025550100", "please")) >= 2
        await network.stop()


async def test_a_carrier_that_refuses_is_not_asked_again(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        network = Writer(answer=404)
        await carrier(office, network)
        await say(office, Message(to=Party(number=NUMBER), text="hello"))
        failed = "Your message to +1 202-555-0143 was not sent: the line says: Not Found (404)."
        await office.until(lambda: failed in office.told)
        await until_none_left(office.app)
        assert len(network.read.items) == 1
        await network.stop()


@pytest.mark.parametrize("sending", [True, False])
async def test_what_was_being_sent_when_we_died_is_not_sent_again(
    sending: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_office(tmp_path) as office:
        row = TextRow(
            id="x", at=datetime.now(UTC), sender="101", recipient=NUMBER, words="hello",
            sending=sending,
        )  # fmt: skip
        async with office.app.database.writing() as session:
            session.add(row)
    sent: list[str] = []

    async def outside(self: Postman, text: Text) -> Delivery:
        sent.append(text.words)
        return Delivery(200, "OK")

    monkeypatch.setattr(Postman, "outside", outside)
    async with open_office(tmp_path) as office:
        await until_none_left(office.app)
        assert sent == ([] if sending else ["hello"])


async def test_messages_outside_have_a_limit_and_a_country(tmp_path: Path) -> None:
    async with open_office(tmp_path, limits={"texts_per_hour": 1}) as office:
        network = Writer()
        await carrier(office, network)
        moscow = Message(to=Party(number="+74951234567"), text="hello")
        assert "are not allowed" in await say(office, moscow)
        order = Message(to=Party(number=NUMBER), text="hello")
        assert (await say(office, order)).startswith("On its way")
        assert "which is the limit" in await say(office, order)
        await network.stop()


@asynccontextmanager
async def provider(
    answer: Callable[[], web.Response],
) -> AsyncIterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """A web server that takes SMS; what it got."""
    got: list[tuple[str, dict[str, str]]] = []

    async def take(request: web.Request) -> web.Response:
        fields = await request.json() if "json" in request.content_type else await request.post()
        got.append((request.headers.get("Authorization", ""), dict(fields)))
        return answer()

    app = web.Application()
    app.router.add_post("/sms", take)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, HOST, port).start()
    yield f"http://{HOST}:{port}/sms", got
    await runner.cleanup()


@pytest.mark.parametrize("kind", ["form", "json"])
async def test_an_sms_provider_gets_what_it_wants(kind: str, tmp_path: Path) -> None:
    async with provider(lambda: web.Response(status=201)) as (url, got):
        sms = {
            "url": url, "authorization": "Bearer s3cret", "format": kind, "sender": "Office",
            "fields": {"To": "{to}", "From": "{from}", "Body": "{from}: {text}", "Kind": "x"},
        }  # fmt: skip
        limits = {"countries": ("US",)}
        async with open_office(tmp_path, sms=sms, limits=limits) as office:
            await say(office, Message(to=Party(number=NUMBER), text="say {to} & more"))
            await until_none_left(office.app)
        body = {"To": NUMBER, "From": "Office", "Body": "Office: say {to} & more", "Kind": "x"}
        assert got == [("Bearer s3cret", body)]


async def test_an_sms_provider_that_refuses_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with provider(lambda: web.Response(status=402, reason="Payment Required")) as (url, _):
        sms = {"url": f"{url}?key=hidden", "authorization": "Bearer s3cret"}
        async with open_office(tmp_path, sms=sms, limits={"countries": ("US",)}) as office:
            await say(office, Message(to=Party(number=NUMBER), text="hello"))
            await office.until(lambda: any("Payment Required (402)" in t for t in office.told))
    assert "hidden" not in caplog.text
    assert "s3cret" not in caplog.text


async def test_a_provider_that_is_overloaded_is_not_asked_again(tmp_path: Path) -> None:
    """It may have taken the message: each costs."""
    async with provider(lambda: web.Response(status=503)) as (url, got):
        async with open_office(tmp_path, sms={"url": url}, limits={"countries": ("US",)}) as office:
            await say(office, Message(to=Party(number=NUMBER), text="hello"))
            await until_none_left(office.app)
        assert len(got) == 1


async def test_whoever_is_forgotten_sends_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encryptotel.texts.PAUSES", (0.2,))
    async with open_office(tmp_path) as office:
        network = Writer(answer=503)
        await carrier(office, network)
        bob = await office.phone("102", Writer())
        await bob.write(NUMBER, "secret")
        await network.read.wait(lambda one: one[1] == "secret", 10)
        await office.app.texts.forget("102")
        network.answer = 200
        job = next(iter(office.app.texts._jobs))
        await asyncio.wait((job,), timeout=5)
        tries = len(network.read.items)
        await network.stop()
        assert job.done()
        assert tries <= 2


async def test_what_came_in_this_run_is_not_taken_for_left_over(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        network = Writer(answer=503)
        await carrier(office, network)
        bob = await office.phone("102", Writer())
        await bob.write(NUMBER, "once")
        await network.read.wait(lambda one: one[1] == "once", 10)
        before = len(office.app.texts._jobs)
        await office.app.texts.start()
        assert len(office.app.texts._jobs) == before
        await network.stop()


async def test_a_short_number_of_a_carrier_is_not_one_of_ours(tmp_path: Path) -> None:
    route = ({"number": "+12025550100", "to": "101"},)
    async with open_office(tmp_path, route=route) as office:
        office.dialogue()
        network = Writer()
        await carrier(office, network)
        network._server = _udp(office)
        target = Target(
            peer="x",
            uri="sip:+12025550100@127.0.0.1",
            from_uri="sip:102@carrier",
            ways=only(network._flow),
        )
        assert (await send(network._stack, target, "the door code, please")).status == 202
        await office.until(lambda: any("door code" in text for text in office.told))
        assert not any("Bob" in text for text in office.told)
        await network.stop()


async def test_words_are_not_in_the_log_when_the_database_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_office(tmp_path) as office:
        bob = await office.phone("102", Writer())
        async with office.app.database.writing() as session:
            if office.app.database.path is None:
                refuse = "ALTER TABLE text ADD CONSTRAINT no CHECK (false) NOT VALID"
            else:
                refuse = (
                    "CREATE TRIGGER no BEFORE INSERT ON text BEGIN SELECT RAISE(ABORT, 'no'); END"
                )
            await session.execute(sql(refuse))
        assert (await bob.write("101", "my secret words")).status == 500
    assert "my secret words" not in caplog.text
