"""Menu words over a telephone line: recognised, refused, and branches taken wrongly.

Synthetic voices say the words of menus and other things; each is cut out and heard as in a call.
Whoever was understood wrongly, or said something else, says no at the read-back: a branch is wrong
when that was heard as a yes. Voices and words are others than those the thresholds were chosen by.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench import spoken
from bench.report import Row
from bench.rows import Options
from bench.spoken import Spoken
from encryptotel.ivr.recognisers import Engine, Recogniser, load

CLEAN, NOISY, REFUSED, WRONG = 0.90, 0.75, 0.80, 0.01
YES, NO = spoken.READ_BACK


@dataclass(frozen=True, slots=True)
class Heard:
    """What was made of something said, and in how many milliseconds."""

    said: Spoken
    word: str
    took: float


def measure(options: Options) -> list[Row]:
    """Everything the test callers say."""
    voices = spoken.HEARD_VOICES[:3] if options.quick else spoken.HEARD_VOICES
    recogniser = load(Engine.POCKETSPHINX, "")
    heard = [
        _heard(recogniser, one)
        for one in spoken.heard(voices, spoken.HEARD_MENUS, spoken.HEARD_OTHERS)
    ]
    words, others = [one for one in heard if one.said.said], [o for o in heard if not o.said.said]
    rows = [
        _share("clean", "menu words recognised", _right(words, noisy=False), CLEAN),
        _share("noisy", f"… with {spoken.NOISY:.0f} dB of noise", _right(words, noisy=True), NOISY),
        _share("refused", "other speech refused", [not one.word for one in others], REFUSED),
        _wrong(heard, recogniser),
    ]
    used = spoken.voices(voices)
    rows[0].detail = (
        f"{len(words)} words and {len(others)} other things by {len(used)} voices "
        f"({', '.join(used)}); {statistics.median(one.took for one in heard):.0f} ms each"
    )
    for noisy in (False, True):
        part = [one for one in others if one.said.noisy is noisy]
        rows[
            2
        ].detail += f"{'noisy' if noisy else 'clean'} {_mean([not o.word for o in part]):.1%} "
    by_voice = {
        voice: _mean([o.word == o.said.said for o in words if o.said.voice == voice])
        for voice in used
    }
    rows[1].detail = ", ".join(f"{voice} {share:.0%}" for voice, share in by_voice.items())
    return rows


def _heard(recogniser: Recogniser, said: Spoken) -> Heard:
    begun = time.perf_counter()
    word = recogniser.hear(spoken.utterance(said.line), said.words)
    return Heard(said, word, (time.perf_counter() - begun) * 1000)


def _right(words: Sequence[Heard], *, noisy: bool) -> list[bool]:
    return [one.word == one.said.said for one in words if one.said.noisy is noisy]


def _share(key: str, title: str, good: Sequence[bool], goal: float) -> Row:
    row = Row(f"menu-words-{key}", title, "share")
    row.against(_mean(good), goal, at_least=True)
    return row


def _wrong(heard: Sequence[Heard], recogniser: Recogniser) -> Row:
    """Branches taken that nobody wanted: among all that was said at a menu, what was read back
    wrongly and then, though the caller said no, taken for a yes."""
    asked = [one for one in heard if tuple(one.said.words) != spoken.READ_BACK]
    misread = [one for one in asked if one.word and one.word != one.said.said]
    answers = [
        _heard(
            recogniser,
            Spoken(
                one.said.voice, NO, spoken.READ_BACK, one.said.noisy,
                spoken.on_the_line(NO, one.said.voice, noisy=one.said.noisy, number=7000 + index),
            ),
        )
        for index, one in enumerate(misread)
    ]  # fmt: skip
    taken = sum(one.word == YES for one in answers)
    row = Row("menu-words-wrong", "wrong branch taken after the read-back", "share")
    row.against(taken / len(asked), WRONG)
    row.detail = (
        f"{len(misread)} of {len(asked)} were read back wrongly ({len(misread) / len(asked):.1%}); "
        f"of their “no” {taken} were heard as “yes”"
    )
    return row


def _mean(good: Sequence[bool]) -> float:
    return sum(good) / max(1, len(good))
