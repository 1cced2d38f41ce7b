"""Voice messages to words, offline: pocketsphinx in a process of its own.

It knows some sentences and nothing else, so that it is right nearly always when one of them was
said; what was said otherwise is often, not always, found to be none of them, so everything it
hears is read back before it is done. Numbers are not taken by voice.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
from collections.abc import Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path
from typing import Any

from encryptotel.worker import new_worker

log = logging.getLogger(__name__)

RATE = 16_000
MAX_NAMES = 500
"Contacts that can be called by voice; with more, only the first."
WITHIN = 20.0
"Seconds for one message."
SENTENCES = (
    "hang up", "status", "help", "any missed calls", "play my last voicemail", "mute me",
    "unmute me", "put the call on hold", "take the call off hold", "show my contacts",
    "call again", "who called me today", "who called me yesterday",
)  # fmt: skip
LIKELY = -0.0008
"How much worse than any row of sounds a sentence may fit, a frame, in pocketsphinx's measure."
_PRONOUNCED = {"unmute": "AH N M Y UW T"}
_WORD = re.compile(r"[a-z']+")


class Listener:
    """Hears sentences. Its process is started at the first message and stays."""

    def __init__(self) -> None:
        self._pool = new_worker()

    async def hear(self, file: bytes, names: Iterable[str]) -> str:
        """The sentence in a voice message (Opus in Ogg), one of `SENTENCES` or “call” with one
        of the names; empty when it is none of them, or no sound."""
        known = [name.lower() for name in list(names)[:MAX_NAMES] if name.strip()]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(WITHIN):
                return await loop.run_in_executor(self._pool, _hear, file, known)
        except (BrokenProcessPool, TimeoutError) as error:
            log.warning("a voice message was not heard: %s", type(error).__name__)
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = new_worker()
            return ""

    async def close(self) -> None:
        """End the process."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)


# ── in the process ──────────────────────────────────────────────────────────────────────────
def _hear(file: bytes, names: Sequence[str]) -> str:
    from pbx.media import ogg

    try:
        pcm = ogg.decoded(file, RATE)
    except ogg.OggError:
        return ""
    decoder = _decoder()
    sentences = [*SENTENCES, *(f"call {name}" for name in names)]
    known = [one for one in sentences if all(map(decoder.lookup_word, one.split()))]
    known = [one for one in known if all(map(_WORD.fullmatch, one.split()))]
    grammar = f"#JSGF V1.0;\ngrammar g;\npublic <said> = {' | '.join(known)};\n"
    decoder.add_jsgf_string("said", grammar)
    decoder.activate_search("said")
    said, fit = _decoded(decoder, pcm)
    if said not in known:
        return ""
    _, best = _decoded(_sounds(), pcm)
    return said if fit - best >= LIKELY else ""


def _decoded(decoder: Any, pcm: bytes) -> tuple[str, float]:
    """What a decoder hears, and how well that fits, a frame."""
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    if found is None:
        return "", 0.0
    return str(found.hypstr), found.best_score / max(1, decoder.n_frames())


@cache
def _engine() -> tuple[Any, Path]:
    """pocketsphinx, which is not typed, and the models that come with it."""
    engine: Any = importlib.import_module("pocketsphinx")
    return engine, Path(engine.get_model_path()) / "en-us"


@cache
def _decoder() -> Any:
    """For sentences; loading takes 0.2 s."""
    engine, model = _engine()
    decoder = engine.Decoder(
        hmm=str(model / "en-us"),
        dict=str(model / "cmudict-en-us.dict"),
        lm=None,
        samprate=RATE,
        loglevel="FATAL",
    )
    for word, sounds in _PRONOUNCED.items():
        decoder.add_word(word, sounds, True)
    return decoder


@cache
def _sounds() -> Any:
    """For any row of sounds of the language: what fits much worse than that was not said."""
    engine, model = _engine()
    return engine.Decoder(
        hmm=str(model / "en-us"),
        allphone=str(model / "en-us-phone.lm.bin"),
        dict=None,
        lm=None,
        samprate=RATE,
        loglevel="FATAL",
        lw=2.0,
        pip=0.3,
        beam=1e-20,
        pbeam=1e-20,
    )
