"""A Piper voice: speech from a neural model in a file, for whoever wants it warmer than espeak-ng.

`piper-tts` is not required; it is looked for when a voice is configured.
"""

from __future__ import annotations

import asyncio
import importlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pbx.media.speech import MAX_TEXT, Cache, SpeechError, to_telephone


class PiperVoice:
    """Text to PCM, like `Speaker`. A sentence takes some hundred milliseconds of a thread of its
    own, so it is best spoken before anybody waits for it."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._voice: Any = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="piper")
        self._cache = Cache()

    async def say(self, text: str) -> bytes:
        """Speak a sentence; raises `SpeechError` when the model cannot be used."""
        return await self._cache.get(text[:MAX_TEXT], self._spoken)

    async def _spoken(self, text: str) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._speak, text)

    def _speak(self, text: str) -> bytes:
        if self._voice is None:
            self._voice = _load(self._model)
        try:
            chunks = list(self._voice.synthesize(text))
        except Exception as error:  # whatever the model's runtime raises
            raise SpeechError(f"{self._model} cannot speak: {error}") from error
        rate = chunks[0].sample_rate if chunks else 1
        return to_telephone(b"".join(chunk.audio_int16_bytes for chunk in chunks), rate)


def _load(model: Path) -> Any:
    try:
        piper: Any = importlib.import_module("piper")
    except ImportError as error:
        raise SpeechError(
            "a Piper voice is configured and piper-tts is not installed: pip install piper-tts"
        ) from error
    try:
        return piper.PiperVoice.load(str(model))
    except Exception as error:  # whatever the model's runtime raises
        raise SpeechError(
            f"{model} is not a Piper voice, NAME.onnx with NAME.onnx.json beside it: {error}"
        ) from error
