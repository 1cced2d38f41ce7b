"""The connection to an engine that misbehaves: it is told in words, and nothing waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from pbx.media import rtpengine
from pbx.media.bencode import MAX_MESSAGE, Value, decode, encode
from pbx.media.rtpengine import EngineError, EngineRefuses, Rtpengine, Rtpengines

Answers = Callable[[str, dict[str, Value], asyncio.StreamWriter], Awaitable[None]]


async def pong(cookie: str, asked: dict[str, Value], writer: asyncio.StreamWriter) -> None:
    writer.write(cookie.encode() + b" " + encode({"result": "pong"}))


@asynccontextmanager
async def engine(
    answers: Answers = pong,
) -> AsyncIterator[tuple[Rtpengine, list[asyncio.StreamWriter]]]:
    """Something that listens as one, and our end of it."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        buffer = b""
        while data := await reader.read(65_536):
            buffer += data
            while b" " in buffer:
                cookie, _, rest = buffer.partition(b" ")
                try:
                    asked, end = decode(rest)
                except IndexError:
                    break
                buffer = rest[end:]
                assert isinstance(asked, dict)
                await answers(cookie.decode(), asked, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    ours = Rtpengine(server.sockets[0].getsockname()[:2])
    ours.start()
    try:
        yield ours, writers
    finally:
        await ours.stop()
        server.close()


class Carried:
    """A leg's place there."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.keys: list[tuple[str, str]] = []
        self.lost = asyncio.Event()

    def pressed(self, key: str, side: str) -> None:
        self.keys.append((key, side))

    def gone(self) -> None:
        self.lost.set()


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110  # nothing of ours tells of it
            await asyncio.sleep(0.005)


async def test_answers_find_who_asked_in_whatever_pieces_and_order_they_come() -> None:
    waiting: list[tuple[str, str]] = []

    async def late(cookie: str, asked: dict[str, Value], writer: asyncio.StreamWriter) -> None:
        if asked["command"] == "ping":
            await pong(cookie, asked, writer)
            return
        waiting.append((cookie, str(asked["call-id"])))
        if len(waiting) == 3:
            for one, id in reversed(waiting):
                for octet in one.encode() + b" " + encode({"result": "ok", "is": id}):
                    writer.write(bytes((octet,)))
                    await writer.drain()

    async with engine(late) as (ours, _):
        await ours.connected()
        found = await asyncio.gather(*(ours.ask("query", call_id=id) for id in "abc"))
        assert [one["is"] for one in found] == ["a", "b", "c"]


async def test_keys_are_told_to_whom_they_belong_and_nonsense_to_nobody() -> None:
    async with engine() as (ours, writers):
        await ours.connected()
        mine = Carried("mine")
        ours.carried["mine"] = mine
        said: list[dict[str, Value]] = [
            {"notify": "onDTMF", "data": {"callid": "other", "event": 1, "source_tag": "far"}},
            {"notify": "onDTMF", "data": {"callid": "mine", "event": 99, "source_tag": "far"}},
            {"notify": "onDTMF", "data": {"callid": "mine", "event": "5", "source_tag": "far"}},
            {"notify": "onDTMF", "data": ["mine"]},
            {"notify": "onSomething", "data": {"callid": "mine", "event": 1}},
            {"result": "ok"},
            {"notify": "onDTMF", "data": {"callid": "mine", "event": 10, "source_tag": "far"}},
        ]
        for one in said:
            writers[0].write(b"cookie " + encode(one))
        await until(lambda: mine.keys)
        assert mine.keys == [("*", "far")]
        assert (await ours.ask("ping"))["result"] == "pong"


@pytest.mark.parametrize(
    "harm",
    [b"what is this", b"c " + b"l" * 100, b"c 9:" + b"x" * 4, b"c " + b"1" * 20, b"\xff" * 99],
)
async def test_what_cannot_be_read_ends_the_connection_and_the_next_is_good(harm: bytes) -> None:
    async with engine() as (ours, writers):
        await ours.connected()
        carried = ours.carried["a"] = Carried("a")
        writers[0].write(harm + b" " * 8 + b"x" * (MAX_MESSAGE + 1))
        await until(lambda: len(writers) > 1)
        await ours.connected()
        assert (await ours.ask("ping"))["result"] == "pong"
        assert not carried.lost.is_set()  # it answers: what it carries, it still carries


async def test_one_that_refuses_says_why() -> None:
    async def refuses(cookie: str, asked: dict[str, Value], writer: asyncio.StreamWriter) -> None:
        if asked["command"] == "ping":
            await pong(cookie, asked, writer)
        else:
            said: dict[str, Value] = {"result": "error", "error-reason": "no ports left"}
            writer.write(cookie.encode() + b" " + encode(said))

    async with engine(refuses) as (ours, _):
        await ours.connected()
        with pytest.raises(EngineRefuses, match="no ports left"):
            await ours.ask("offer", call_id="a", sdp="")


async def test_one_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtpengine, "PATIENCE", 0.1)
    silent = False

    async def answers(cookie: str, asked: dict[str, Value], writer: asyncio.StreamWriter) -> None:
        if not silent:
            await pong(cookie, asked, writer)

    async with engine(answers) as (ours, _):
        both = Rtpengines([])
        both.all.append(ours)
        await ours.connected()
        assert both.choose() is ours
        carried = ours.carried["a"] = Carried("a")
        silent = True
        with pytest.raises(EngineError, match="does not answer"):
            await ours.ask("query", call_id="a")
        await until(lambda: both.choose() is None)
        async with asyncio.timeout(5):
            await carried.lost.wait()
        silent = False
        async with asyncio.timeout(5):
            await ours.connected()
        assert both.choose() is ours


async def test_one_that_nobody_listens_at_is_gone_at_once() -> None:
    async with engine() as (ours, writers):
        await ours.connected()
        carried = ours.carried["a"] = Carried("a")
        ours.address = ("127.0.0.1", 1)
        writers[0].transport.abort()
        async with asyncio.timeout(1):
            await carried.lost.wait()
        with pytest.raises(EngineError, match="cannot be reached"):
            await ours.ask("ping")
