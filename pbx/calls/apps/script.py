"""PyVoIP call-back scripts as extensions.

A function written for PyVoIP (`def answer(call: VoIPCall)`) runs unchanged on a leg of ours:
over TLS and SRTP, through our jitter buffer. It blocks, so it gets a thread; everything that
touches the leg crosses over to the event loop.
"""

from __future__ import annotations

import asyncio
import audioop
import contextlib
import importlib
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.leg import Leg
from pbx.ports import CallRefused
from pbx.sip.message import Request
from pbx.vocabulary import CallState, InvalidStateError, SIPMessage, VoIPCall

log = logging.getLogger(__name__)

MAX_SCRIPTS = 32
"Scripts that may run at once; each holds a thread."
MAX_HEARD = 8000 * 2 * 30
"Bytes of received sound kept for a script that does not read: 30 s."
STOP_GRACE = 5.0
"Seconds a script may take to notice that its call is over."

_threads = ThreadPoolExecutor(MAX_SCRIPTS, thread_name_prefix="script")
_running: set[asyncio.Future[object]] = set()


class ScriptError(ValueError):
    """A script cannot be loaded; the text says why."""


def load(reference: str) -> Callable[[VoIPCall], object]:
    """The function of `module:function`. Raises `ScriptError`."""
    module, _, name = reference.partition(":")
    try:
        function = getattr(importlib.import_module(module), name or "answer")
    except Exception as error:  # a script's import may raise anything
        raise ScriptError(f"script {reference!r} cannot be loaded: {error}") from error
    if not callable(function):
        raise ScriptError(f"script {reference!r} is not a function")
    found: Callable[[VoIPCall], object] = function
    return found


class ScriptCall(VoIPCall):
    """PyVoIP's call interface over a leg.

    Sound is 8-bit unsigned mono at 8 kHz, as PyVoIP has it; a script that sets `sample_width`
    to 2 reads and writes 16-bit samples and loses nothing.
    """

    def __init__(self, leg: Leg, request: Request, on_answered: Callable[[], None]) -> None:
        # PyVoIP's own constructor opens sockets, which is just what we replace.
        self.call_id = leg.call_id
        self.session_id = leg.id
        self.sample_width = 1
        self.state = CallState.RINGING
        self._leg = leg
        self._loop = asyncio.get_running_loop()
        self._on_answered = on_answered
        self._invite = request.encode()
        self._request: SIPMessage | None = None
        self._heard = bytearray()
        self._news = threading.Condition()
        self._keys = ""

    @property
    def request(self) -> SIPMessage:  # type: ignore[override]  # PyVoIP sets it at once
        """The INVITE as PyVoIP presents it."""
        if self._request is None:
            self._request = SIPMessage(self._invite)
        return self._request

    def answer(self) -> None:
        """Take the call."""
        if self.state != CallState.RINGING:
            raise InvalidStateError("Call is not ringing")
        self._on_loop(self._accept())
        self.state = CallState.ANSWERED

    def deny(self) -> None:
        """Refuse the call as busy."""
        if self.state != CallState.RINGING:
            raise InvalidStateError("Call is not ringing")
        self._on_loop(self._hang_up(486))
        self.state = CallState.ENDED

    def hangup(self) -> None:
        """End the call."""
        if self.state != CallState.ANSWERED:
            raise InvalidStateError("Call is not answered")
        self._on_loop(self._hang_up())
        self.state = CallState.ENDED

    def write_audio(self, data: bytes) -> None:
        """Queue sound to be played."""
        pcm = data if self.sample_width == 2 else audioop.lin2lin(audioop.bias(data, 1, -128), 1, 2)
        if self.state == CallState.ANSWERED:
            self._on_loop(self._play(pcm))

    def read_audio(self, length: int = 160, blocking: bool = True) -> bytes:
        """The next `length` bytes heard; silence when there are none, at once or (blocking)
        when the call is over."""
        silence = b"\x80" if self.sample_width == 1 else b"\0"
        wanted = length * (2 // self.sample_width)
        with self._news:
            while blocking and len(self._heard) < wanted and self.state == CallState.ANSWERED:
                self._news.wait(0.5)
            if len(self._heard) < wanted:
                return silence * length
            pcm = bytes(self._heard[:wanted])
            del self._heard[:wanted]
        return pcm if self.sample_width == 2 else audioop.bias(audioop.lin2lin(pcm, 2, 1), 1, 128)

    def get_dtmf(self, length: int = 1) -> str:
        """Keys pressed and not yet read, at most `length`."""
        with self._news:
            keys, self._keys = self._keys[:length], self._keys[length:]
        return keys

    def bye(self) -> None:
        """The other side hung up."""
        with self._news:
            self.state = CallState.ENDED
            self._news.notify_all()

    # ── on the event loop ───────────────────────────────────────────────────────────────
    async def _accept(self) -> None:
        await self._leg.answer()
        self._leg.audio.on_frame = self._take_frame
        self._leg.audio.on_digit = self._take_key
        self._on_answered()

    async def _hang_up(self, status: int = 200) -> None:
        self._leg.hang_up("", status)

    async def _play(self, pcm: bytes) -> None:
        self._leg.audio.play(pcm)

    def _on_loop(self, action: Coroutine[object, object, None]) -> None:
        """Do something on the loop and wait for it, so that errors reach the script."""
        try:
            asyncio.run_coroutine_threadsafe(action, self._loop).result(10)
        except (CallRefused, TimeoutError, RuntimeError) as error:
            raise InvalidStateError(str(error)) from error

    def _take_frame(self, frame: bytes) -> None:
        with self._news:
            if len(self._heard) < MAX_HEARD:
                self._heard += frame
            self._news.notify_all()

    def _take_key(self, key: str) -> None:
        with self._news:
            self._keys = (self._keys + key)[-64:]


async def run_script(call: Call, leg: Leg, request: Request, reference: str) -> Ending:
    """Run a script until it returns or the caller hangs up."""
    if len(_running) >= MAX_SCRIPTS:
        raise CallRefused(503, "too many scripts are running")
    loop = asyncio.get_running_loop()
    script_call = ScriptCall(leg, request, call.answered)
    try:
        function = await loop.run_in_executor(_threads, load, reference)
    except ScriptError as error:
        log.error("%s", error)
        raise CallRefused(480, "the script of this extension is broken") from error
    # in our context: what the script logs is about its call
    work = loop.run_in_executor(_threads, copy_context().run, function, script_call)
    _running.add(work)
    work.add_done_callback(_running.discard)
    try:
        await leg.until_over(asyncio.shield(work))
    except Exception as error:
        log.exception("script %s failed", reference)
        raise CallRefused(500, "the script of this extension failed") from error
    finally:
        script_call.bye()
    with contextlib.suppress(TimeoutError):  # one that never looks keeps its thread, not us
        await asyncio.wait_for(asyncio.shield(work), STOP_GRACE)
    return leg.ending or Ending(status=200 if leg.answered else 480, reason="")
