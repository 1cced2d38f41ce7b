"""The ways people type: no punctuation, swapped, lost and doubled letters."""

import random
import re

Roles = tuple[tuple[int, int, str], ...]

_WORD = re.compile(r"(?<![\w'])[a-z]{4,}(?![\w'])")


class Noise:
    """Spoils some sentences, keeping the places of the roles right."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def apply(self, text: str, roles: Roles) -> tuple[str, Roles]:
        """`text` with, now and then, its punctuation gone or a letter mistyped."""
        if self._rng.random() < 0.2:
            text, roles = _edit(text, roles, [i for i, char in enumerate(text) if char in ",.!?;"])
        if self._rng.random() < 0.1 and (words := list(_WORD.finditer(text))):
            word = self._rng.choice(words)
            at = self._rng.randrange(word.start() + 1, word.end() - 1)
            if self._rng.random() < 0.5:
                text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
            else:
                text, roles = _edit(text, roles, [at])
        return text, roles


def _edit(text: str, roles: Roles, gone: list[int]) -> tuple[str, Roles]:
    """Without the characters at `gone`."""

    def moved(place: int) -> int:
        return place - sum(1 for at in gone if at < place)

    shorter = "".join(char for i, char in enumerate(text) if i not in set(gone))
    return shorter, tuple((moved(a), moved(b), role) for a, b, role in roles)
