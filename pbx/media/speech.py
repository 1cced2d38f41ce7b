"""Spoken announcements, by espeak-ng inside this process.

The library is one C state machine a process, so one thread owns it for all speakers; a
sentence takes some milliseconds there and nothing on the event loop.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import espeakng_loader
import numpy as np

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


class Speaker:
    """Text to PCM (16-bit mono at `RATE`) in one voice, cached."""

    def __init__(self, voice: str = "en-us") -> None:
        self._voice = voice
        self._cache: OrderedDict[str, bytes] = OrderedDict()

    async def say(self, text: str) -> bytes:
        """Speak a sentence; raises `SpeechError` when there is no such voice."""
        text = text[:MAX_TEXT]
        if text in self._cache:
            self._cache.move_to_end(text)
            return self._cache[text]
        loop = asyncio.get_running_loop()
        pcm = await loop.run_in_executor(_thread, _speak, text, self._voice)
        self._cache[text] = pcm
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return pcm


_thread = ThreadPoolExecutor(1, thread_name_prefix="speech")


def _speak(text: str, voice: str) -> bytes:
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
        return _to_telephone(b"".join(self._chunks), self._rate)

    def _take(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _: object) -> int:
        if samples and count:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0


def _to_telephone(pcm: bytes, rate: int) -> bytes:
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
    loudest = float(np.max(np.abs(resampled))) or 1.0
    levelled: np.ndarray = (resampled * (PEAK / loudest)).astype("<i2")
    return levelled.tobytes()
