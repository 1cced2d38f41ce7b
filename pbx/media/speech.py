"""Spoken announcements, by espeak-ng inside this process or another voice.

The library is one C state machine a process, so one thread owns it for all speakers; a
sentence takes some milliseconds there and nothing on the event loop.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Protocol

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from pbx.media.codecs import RATE

MAX_TEXT = 500
"Characters of one announcement; the rest is not spoken."
MAX_CACHED = 64
WORDS_A_MINUTE = 150
PEAK = 16_000
"Loudest sample after levelling, of 32 767."

_SYNCHRONOUS = 2
_RATE_PARAMETER = 1
_UTF8 = 1
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class SpeechError(RuntimeError):
    """No voice could be loaded."""


class Voice(Protocol):
    """Speaks: text to PCM (16-bit mono at `RATE`)."""

    async def say(self, text: str) -> bytes:
        """Speak a sentence; raises `SpeechError` when that cannot be done."""


class Cache:
    """The latest sentences that were spoken."""

    def __init__(self) -> None:
        self._spoken: OrderedDict[str, bytes] = OrderedDict()

    async def get(self, text: str, speak: Callable[[str], Awaitable[bytes]]) -> bytes:
        """A sentence: as it was spoken before, or spoken now."""
        if text in self._spoken:
            self._spoken.move_to_end(text)
            return self._spoken[text]
        pcm = await speak(text)
        self._spoken[text] = pcm
        if len(self._spoken) > MAX_CACHED:
            self._spoken.popitem(last=False)
        return pcm


class Speaker:
    """A voice of espeak-ng, cached."""

    def __init__(self, voice: str = "en-us") -> None:
        self._voice = voice
        self._cache = Cache()

    async def say(self, text: str) -> bytes:
        """Speak a sentence; raises `SpeechError` when there is no such voice."""
        return await self._cache.get(text[:MAX_TEXT], self._spoken)

    async def _spoken(self, text: str) -> bytes:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_thread, speak, text, self._voice)


_thread = ThreadPoolExecutor(1, thread_name_prefix="speech")


def speak(text: str, voice: str) -> bytes:
    """The same at once, for whoever has the time: on one thread only."""
    return _engine().speak(text, voice)


@cache
def _engine() -> _Engine:
    """The one engine, started on the speech thread at first use."""
    return _Engine()


class _Engine:
    """espeak-ng's C interface (speak_lib.h), used from one thread only."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())  # type: ignore[no-untyped-call]
        data = str(espeakng_loader.get_data_path()).encode()  # type: ignore[no-untyped-call]
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0)
        if self._rate <= 0:
            raise SpeechError("espeak-ng did not start")
        self._chunks: list[bytes] = []
        self._callback = _CALLBACK(self._take)  # kept: the library calls it as long as we live
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_SetParameter(_RATE_PARAMETER, WORDS_A_MINUTE, 0)

    def speak(self, text: str, voice: str) -> bytes:
        """PCM of a text. Raises `SpeechError` for an unknown voice."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SpeechError(f"there is no voice {voice!r}; try en-us, en, de, fr, es, ru")
        self._chunks.clear()
        encoded = text.replace("\0", " ").encode() + b"\0"
        self._library.espeak_Synth(encoded, len(encoded), 0, 0, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        return to_telephone(b"".join(self._chunks), self._rate)

    def _take(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _: object) -> int:
        if samples and count:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0


def to_telephone(pcm: bytes, rate: int) -> bytes:
    """Low-pass below 3.6 kHz, resample to `RATE`, and level to `PEAK`."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    if not samples.size:
        return b""
    taps = np.arange(-32, 33)
    cutoff = 3600 / rate
    kernel = 2 * cutoff * np.sinc(2 * cutoff * taps) * np.hamming(taps.size)
    smooth = np.convolve(samples, kernel, "same")
    at = np.arange(0, samples.size - 1, rate / RATE)
    resampled = np.interp(at, np.arange(samples.size), smooth)
    return _levelled(resampled)


def levelled(pcm: bytes) -> bytes:
    """Sound at `RATE` as loud as what is spoken."""
    return _levelled(np.frombuffer(pcm, "<i2").astype(np.float64))


def _levelled(samples: NDArray[np.float64]) -> bytes:
    loudest = float(np.max(np.abs(samples))) or 1.0
    return (samples * (PEAK / loudest)).astype("<i2").tobytes()
