"""rtpengines: programs that carry sound for us, asked by their ng protocol over TCP.

One connection to each is kept. Over it go questions, one answer each, and what an engine tells by
itself: keys that pass as events (RFC 4733).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Protocol

from pbx.media.bencode import MAX_MESSAGE, BencodeError, Value, decode, encode
from pbx.media.port import Address
from pbx.media.rtp import DIGITS

log = logging.getLogger(__name__)

PATIENCE = 3.0
"Seconds an answer may take, and seconds without a connection after which an engine is gone."
PING_EVERY = 2.0
RETRY_EVERY = 0.2


class EngineError(OSError):
    """An engine does not answer, or refuses."""


class EngineRefuses(EngineError):
    """An engine does not do what it was asked for."""


class Carried(Protocol):
    """Something an engine carries, known to it by its id."""

    @property
    def id(self) -> str: ...

    def pressed(self, key: str, side: str) -> None:
        """A key passed, sent by one side."""

    def gone(self) -> None:
        """The engine is no more, or has forgotten it."""


class Rtpengine:
    """One of them. `carried` is what it carries for us."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.carried: dict[str, Carried] = {}
        self.alive = False
        self._asked: dict[str, asyncio.Future[dict[str, Value]]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._connected = asyncio.Event()
        self._heard_at = 0.0
        "When it said something last, by the loop's clock."

    def __str__(self) -> str:
        return f"rtpengine {self.address[0]}:{self.address[1]}"

    def start(self) -> None:
        """Connect, and connect again whenever that is over."""
        self._tasks = [asyncio.ensure_future(one) for one in (self._stay(), self._ping())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.alive = False

    @property
    def can_be_asked(self) -> bool:
        return self._connected.is_set()

    async def connected(self) -> None:
        """Wait until it can be asked."""
        await self._connected.wait()

    async def ask(self, command: str, **values: Value) -> dict[str, Value]:
        """What it answers; names of values have `_` for their blanks and hyphens. Raises
        `EngineError`."""
        writer = self._writer
        if writer is None:
            raise EngineError(f"{self} cannot be reached")
        cookie = secrets.token_hex(8)
        question: dict[str, Value] = {
            name.replace("_", "-"): value for name, value in values.items() if value != ""
        }
        answered = self._asked[cookie] = asyncio.get_running_loop().create_future()
        try:
            writer.write(cookie.encode() + b" " + encode({**question, "command": command}))
            async with asyncio.timeout(PATIENCE):
                answer: dict[str, Value] = await answered
        except RuntimeError as error:  # uvloop's word for a transport that is closed
            raise EngineError(f"{self} is gone") from error
        except TimeoutError as error:
            writer.transport.abort()  # what cannot be asked is not chosen until it is back
            raise EngineError(f"{self} does not answer") from error
        finally:
            self._asked.pop(cookie, None)
        if answer.get("result") not in ("ok", "pong"):
            raise EngineRefuses(f"{self} refuses: {answer.get('error-reason', 'no reason told')}")
        return answer

    # ── the connection ──────────────────────────────────────────────────────────────────
    async def _stay(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            began = now()
            try:
                async with asyncio.timeout(PATIENCE):
                    reader, self._writer = await asyncio.open_connection(*self.address)
                try:
                    await self._serve(reader)
                finally:
                    self._hang_up()
            except ConnectionRefusedError:  # nobody is there
                self._lose()
            except (OSError, TimeoutError):
                pass  # a network that is away for a moment
            if now() - self._heard_at > PATIENCE:
                self._lose()
            await asyncio.sleep(max(0.0, RETRY_EVERY - (now() - began)))

    async def _serve(self, reader: asyncio.StreamReader) -> None:
        listening = asyncio.ensure_future(self._listen(reader))
        try:
            await self._greet()
            self.alive = True
            self._connected.set()
            await listening
        finally:
            listening.cancel()

    async def _greet(self) -> None:
        """Find out whether it is the one that we knew: one that began anew knows no call. Raises
        `EngineError`."""
        if not self.carried:
            await self.ask("ping")
            return
        try:
            await self.ask("query", call_id=next(iter(self.carried)))
        except EngineRefuses as error:
            log.warning("%s began anew: %s", self, error)
            self._lose()

    def _hang_up(self) -> None:
        writer, self._writer = self._writer, None
        self._connected.clear()
        if writer is not None:
            writer.close()
        for answered in self._asked.values():
            if not answered.done():
                answered.set_exception(EngineError(f"{self} is gone"))

    def _lose(self) -> None:
        """What it carried must be carried by another."""
        if self.alive:
            log.error("%s is gone, with the sound of %d legs", self, len(self.carried))
        self.alive = False
        carried, self.carried = self.carried, {}
        for one in carried.values():
            one.gone()

    async def _ping(self) -> None:
        """Notice one whose machine is gone without a word."""
        while True:
            await asyncio.sleep(PING_EVERY)
            with contextlib.suppress(EngineError):
                await self.ask("ping")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Take what it says until the connection ends."""
        buffer = bytearray()
        while data := await reader.read(65_536):
            buffer += data
            try:
                self._take_all(buffer)
            except BencodeError as error:
                log.error("%s says what cannot be read: %s", self, error)
                return
            if len(buffer) > MAX_MESSAGE:
                log.error("%s says too much at once", self)
                return

    def _take_all(self, buffer: bytearray) -> None:
        while (blank := buffer.find(b" ")) >= 0:
            try:
                said, end = decode(buffer, blank + 1)
            except IndexError:
                return  # the rest is on its way
            cookie = buffer[:blank].decode("ascii", "replace").strip()
            del buffer[:end]
            if isinstance(said, dict):
                self._take(cookie, said)

    def _take(self, cookie: str, said: dict[str, Value]) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        answered = self._asked.get(cookie)
        if answered is not None and not answered.done():
            answered.set_result(said)
            return
        data = said.get("data")
        if said.get("notify") != "onDTMF" or not isinstance(data, dict):
            return
        carried, event = self.carried.get(str(data.get("callid"))), data.get("event")
        if carried is not None and isinstance(event, int) and 0 <= event < len(DIGITS):
            carried.pressed(DIGITS[event], str(data.get("source_tag")))


class Rtpengines:
    """All that we know."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self.all = [Rtpengine(address) for address in addresses]
        self._forgetting: Sequence[asyncio.Task[None]] = ()

    def start(self) -> None:
        for one in self.all:
            one.start()

    async def stop(self) -> None:
        await asyncio.gather(*(one.stop() for one in self.all))

    async def ready(self) -> None:
        """Wait until all can be asked, but not for those that cannot be reached."""
        if self.all:
            waiting = [asyncio.ensure_future(one.connected()) for one in self.all]
            _, absent = await asyncio.wait(waiting, timeout=PATIENCE)
            for one in absent:
                one.cancel()

    def choose(self) -> Rtpengine | None:
        """The one that carries the least for us, of those that live."""
        able = [one for one in self.all if one.can_be_asked]
        return min(able, key=lambda one: len(one.carried)) if able else None

    @property
    def carrying(self) -> Mapping[str, int]:
        """How much each carries for us, of those that can be asked."""
        able = [one for one in self.all if one.can_be_asked]
        return {f"{one.address[0]}:{one.address[1]}": len(one.carried) for one in able}

    def forget(self, ids: Sequence[str]) -> None:
        """End what another of us left behind, at whichever engine it is."""
        self._forgetting = [asyncio.ensure_future(self._forget(one, ids)) for one in self.all]

    async def _forget(self, engine: Rtpengine, ids: Sequence[str]) -> None:
        for id in ids:
            try:
                await engine.ask("delete", call_id=id, delete_delay=0)
            except EngineError as error:
                log.warning("%s", error)
