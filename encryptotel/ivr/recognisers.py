"""What tells words apart: pocketsphinx, or Vosk, Whisper or Moonshine where that is wanted.

Everything here runs in a process of its own (`encryptotel.ivr.ear`). Sound is 16-bit PCM at 8 kHz,
one utterance with some silence around it.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from encryptotel.ivr.pronunciation import unlike
from pbx.media.resample import Resampler

TELEPHONE, WIDE = 8_000, 16_000


class Engine(StrEnum):
    """Recognisers there are."""

    POCKETSPHINX = "pocketsphinx"
    VOSK = "vosk"
    WHISPER = "whisper"
    MOONSHINE = "moonshine"


class RecogniserError(RuntimeError):
    """One cannot be used; the text says what to do."""


class Recogniser(Protocol):
    """Knows a few words."""

    def hear(self, sound: bytes, words: Sequence[str]) -> str:
        """Which of the words was said; empty for none of them."""

    def unknown(self, words: Sequence[str]) -> list[str]:
        """Those of the words that it cannot know."""

    def write(self, sound: bytes) -> str:
        """What was said, whatever it is; empty for one that knows a few words only."""


def load(engine: Engine, model: str) -> Recogniser:
    """A recogniser, which takes up to some seconds. Raises `RecogniserError`."""
    if engine is Engine.VOSK:
        return Vosk(Path(model))
    if engine is Engine.WHISPER:
        return Whisper(Path(model))
    if engine is Engine.MOONSHINE:
        return Moonshine(model)
    return PocketSphinx()


# ── pocketsphinx ────────────────────────────────────────────────────────────────────────────
FEATURES = Path(__file__).with_name("telephone.params")
"How its sounds are looked at: as its model wants it, but for no guessing of what is noise."
MASK = 25.0
"""Decibels of the noise that is added below what was said: silence on a digital line is unlike
any that the model knows, and quiet lines are then as good as noisy ones."""
LOUD, LOUDEST_FRAMES, FRAME = 3000.0, 15, 160
SILENT = 30.0
"Root mean square of the loudest frames below which nobody spoke: −61 dB."
PRONOUNCED = {"unmute": "AH N M Y UW T"}
"Words of ours that its dictionary lacks."
USUAL_FRAMES = 8.0
"Hundredths of a second a sound takes."
FIT, FREE_FIT, ODD, SLOW = 5.983, -1.655, -3.511, 2.554
UNLIKE, FREE_UNLIKE, BESIDE, EVEN = -3.109, -3.249, -2.631, 4.227
"""What speaks for a word and against it (a logistic regression over the `TUNED_*` callers of
`bench/spoken.py`): how well it fits beside two decodings as any row of sounds, one that likes usual
rows and one that is freer; how unusual its speed is, and how slow it was said; how unlike its own
sounds are those that were heard; and what else was said beside it."""
SURE = -1.5
"""From which sum of these a word counts: the least at which four fifths of what else the `TUNED_*`
callers say are refused. What is understood wrongly then is read back, and costs a second; what is
refused has to be said again."""
NEAR = 3
"Frames that a sound may lie outside of its word."


class PocketSphinx:
    """The default: English, from a wheel, for the few words of a menu.

    It finds the likeliest of the words, whatever was said; so the same sound is also decoded as
    any row of sounds, and a word that this speaks against is none.
    """

    def __init__(self) -> None:
        engine: Any = importlib.import_module("pocketsphinx")
        model = Path(engine.get_model_path()) / "en-us"

        def decoder(**options: Any) -> Any:
            return engine.Decoder(
                hmm=str(model / "en-us"),
                featparams=str(FEATURES),
                lm=None,
                samprate=WIDE,
                topn=8,
                loglevel="FATAL",
                **options,
            )

        self._words = decoder(dict=str(model / "cmudict-en-us.dict"), lw=1.0)
        for word, sounds in PRONOUNCED.items():
            self._words.add_word(word, sounds, True)
        phones = {"dict": None, "allphone": str(model / "en-us-phone.lm.bin")}
        self._usual = decoder(**phones, lw=2.0, pip=0.3, beam=1e-20, pbeam=1e-20)
        self._free = decoder(**phones, lw=1.0, pip=1.0, beam=1e-40, pbeam=1e-40)

    def hear(self, sound: bytes, words: Sequence[str]) -> str:
        pcm = Resampler(TELEPHONE, WIDE)(masked(sound))
        known = [word for word in words if not self.unknown([word])]
        if not known or not pcm:
            return ""
        grammar = f"#JSGF V1.0;\ngrammar g;\npublic <said> = {' | '.join(known)};\n"
        self._words.add_jsgf_string("menu", grammar)
        self._words.activate_search("menu")
        found = _decoded(self._words, pcm)
        if found is None or found.text not in known:
            return ""
        usual, free = _decoded(self._usual, pcm), _decoded(self._free, pcm)
        if usual is None or free is None:
            return ""
        return found.text if self._sureness(found, usual, free) >= SURE else ""

    def unknown(self, words: Sequence[str]) -> list[str]:
        return [one for one in words if not all(self._words.lookup_word(w) for w in one.split())]

    def write(self, sound: bytes) -> str:
        return ""  # its guesses at free speech by telephone are nonsense

    def _sureness(self, found: _Decoded, usual: _Decoded, free: _Decoded) -> float:
        said = self._pronounced(found.text)
        speed = found.frames / (sum(map(len, said)) / len(said))
        begin, end = found.span
        beside = sum(
            last - first + 1
            for _, (first, last) in free.parts
            if last < begin - NEAR or first > end + NEAR
        )
        return (
            EVEN
            + FIT * 1000 * (found.score - usual.score) / found.length
            + FREE_FIT * 1000 * (found.score - free.score) / found.length
            + ODD * abs(math.log(max(speed, 1.0) / USUAL_FRAMES))
            + SLOW * speed / 10
            + UNLIKE * _unlike(said, usual)
            + FREE_UNLIKE * _unlike(said, free)
            + BESIDE * beside / 20
        )

    def _pronounced(self, words: str) -> list[list[str]]:
        """All ways to say words, as phones."""
        ways: list[list[str]] = [[]]
        for word in words.split():
            found = [self._words.lookup_word(word)]
            while other := self._words.lookup_word(f"{word}({len(found) + 1})"):
                found.append(other)
            ways = [way + one.split() for way in ways for one in found]
        return ways


@dataclass(frozen=True, slots=True)
class _Decoded:
    """What a decoder found: its parts with their frames, without silences."""

    text: str
    score: float
    length: int
    "Frames in all."
    parts: Sequence[tuple[str, tuple[int, int]]]

    @property
    def span(self) -> tuple[int, int]:
        """The first frame and the last."""
        return (self.parts[0][1][0], self.parts[-1][1][1]) if self.parts else (0, 1)

    @property
    def frames(self) -> int:
        return self.span[1] - self.span[0] + 1


def _unlike(said: Sequence[Sequence[str]], heard: _Decoded) -> float:
    """How unlike what was heard is to the likest way of saying something."""
    return min(2.0, *(unlike(one, [phone for phone, _ in heard.parts]) for one in said))


def _decoded(decoder: Any, pcm: bytes) -> _Decoded | None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    if found is None:
        return None
    return _Decoded(
        text=str(found.hypstr),
        score=float(found.best_score),
        length=max(1, decoder.n_frames()),
        parts=[
            (one.word, (one.start_frame, one.end_frame))
            for one in decoder.seg()
            if one.word[0] not in "<[(+" and one.word != "SIL"
        ],
    )


def masked(sound: bytes) -> bytes:
    """Speech at one loudness, with a little noise; empty where nobody speaks."""
    samples = np.frombuffer(sound[: len(sound) // (2 * FRAME) * 2 * FRAME], "<i2").astype(float)
    if not samples.size:
        return b""
    power = np.sort(np.mean(samples.reshape(-1, FRAME) ** 2, axis=1))[-LOUDEST_FRAMES:]
    loudest = float(np.sqrt(np.mean(power)))
    if loudest < SILENT:
        return b""
    scaled = samples * (LOUD / loudest)
    noise = np.random.default_rng(5).standard_normal(samples.size) * LOUD * 10 ** (-MASK / 20)
    return np.clip(scaled + noise, -32_767, 32_767).astype("<i2").tobytes()


# ── where a model is given ──────────────────────────────────────────────────────────────────
class Vosk:
    """A Vosk model's folder (`pip install vosk`), in the language of the model."""

    SURE = 0.6
    "Confidence from which a word counts."

    def __init__(self, model: Path) -> None:
        vosk = _module("vosk")
        if not model.is_dir():
            raise RecogniserError(f"{model} is not the folder of a Vosk model")
        vosk.SetLogLevel(-1)
        try:
            self._model = vosk.Model(str(model))
        except Exception as error:  # Vosk raises the plain class
            raise RecogniserError(f"{model} is not the folder of a Vosk model") from error
        self._new = vosk.KaldiRecognizer

    def hear(self, sound: bytes, words: Sequence[str]) -> str:
        recogniser = self._new(self._model, TELEPHONE, json.dumps([*words, "[unk]"]))
        recogniser.SetWords(True)
        recogniser.AcceptWaveform(sound)
        result = json.loads(recogniser.FinalResult())
        found = [one for one in result.get("result", ()) if one["word"] != "[unk]"]
        if not found or min(one["conf"] for one in found) < self.SURE:
            return ""
        return within(" ".join(one["word"] for one in found), words)

    def unknown(self, words: Sequence[str]) -> list[str]:
        find = self._model.vosk_model_find_word
        return [one for one in words if any(find(part) < 0 for part in one.split())]

    def write(self, sound: bytes) -> str:
        recogniser = self._new(self._model, TELEPHONE)
        said = [
            json.loads(recogniser.Result())["text"]
            for at in range(0, len(sound), TELEPHONE)
            if recogniser.AcceptWaveform(sound[at : at + TELEPHONE])
        ]
        return " ".join(
            text for text in (*said, json.loads(recogniser.FinalResult())["text"]) if text
        )


class Whisper:
    """A Whisper model's folder in the format of CTranslate2 (`pip install faster-whisper`)."""

    NO_SPEECH = 0.6
    "Probability that nobody spoke, from which nobody did."

    def __init__(self, model: Path) -> None:
        whisper = _module("faster_whisper", "faster-whisper")
        if not (model / "model.bin").is_file():
            raise RecogniserError(f"{model} has no model.bin of a Whisper model in it")
        try:
            self._model = whisper.WhisperModel(
                str(model), device="cpu", compute_type="int8", local_files_only=True
            )
        except Exception as error:  # whatever the model's runtime raises
            raise RecogniserError(f"{model} is not a Whisper model: {error}") from error

    def hear(self, sound: bytes, words: Sequence[str]) -> str:
        return within(self._written(sound, beam_size=1, hotwords=", ".join(words)), words)

    def write(self, sound: bytes) -> str:
        return self._written(sound)

    def _written(self, sound: bytes, **options: Any) -> str:
        segments, _ = self._model.transcribe(
            _wide(sound), condition_on_previous_text=False, **options
        )
        said = [one.text.strip() for one in segments if one.no_speech_prob < self.NO_SPEECH]
        return " ".join(said)

    def unknown(self, words: Sequence[str]) -> list[str]:
        return []  # it writes any word


class Moonshine(PocketSphinx):
    """Moonshine (`pip install 'encryptotel[moonshine]'`), whose small English model lies in its
    wheel. It writes messages down; a menu's words, alone too short for it, are heard as ever."""

    def __init__(self, model: str) -> None:
        super().__init__()
        moonshine = _module("moonshine_voice", "'encryptotel[moonshine]'")
        folder = Path(model) if model else Path(moonshine.__file__).parent / "assets" / "tiny-en"
        if not (folder / "encoder_model.ort").is_file():
            raise RecogniserError(f"{folder} has no encoder_model.ort of a Moonshine model in it")
        self._moonshine, self._folder = moonshine, folder

    @cached_property
    def _writer(self) -> Any:
        """Loaded by the process that writes, which then leaves the machine to calls."""
        os.nice(10)
        return self._moonshine.Transcriber(str(self._folder), self._moonshine.ModelArch.TINY)

    def write(self, sound: bytes) -> str:
        if not masked(sound):  # silence it takes for a “you”
            return ""
        heard = self._writer.transcribe_without_streaming(_wide(sound).tolist(), WIDE)
        return " ".join(" ".join(line.text for line in heard.lines).split())


def _wide(sound: bytes) -> NDArray[np.float32]:
    """Between −1 and 1 at `WIDE`, as neural models take it."""
    pcm = np.frombuffer(Resampler(TELEPHONE, WIDE)(sound), "<i2")
    return pcm.astype(np.float32) / np.float32(32_768)


def within(heard: str, words: Sequence[str]) -> str:
    """The one word that was said, alone or with a word or two around it: “sales, please”."""
    said = " ".join(re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", heard.lower()))
    found = [word for word in words if re.search(rf"\b{re.escape(word)}\b", said)]
    longest = max(found, key=len, default="")
    alone = all(word in longest for word in found)
    short = len(said.split()) <= len(longest.split()) + 2
    return longest if longest and alone and short else ""


def _module(name: str, package: str = "") -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RecogniserError(
            f"{name} is configured and not installed: pip install {package or name}"
        ) from error
    except OSError as error:  # a library that it wants of the system
        raise RecogniserError(f"{name} cannot be loaded: {error}") from error
