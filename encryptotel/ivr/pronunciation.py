"""How alike two rows of sounds of English are, in the phones of the CMU dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

EXTRA = 0.7
"Cost of a sound too many; one too few, or another one, costs 1."
ALIKE = 0.5
"Cost of a sound taken for one of its kind."
_KINDS = (
    frozenset(["S", "Z", "SH", "ZH", "F", "TH", "HH", "CH", "JH", "V", "DH"]),
    frozenset(["P", "T", "K", "B", "D", "G", "CH", "JH"]),
    frozenset(["M", "N", "NG", "L", "W", "R", "ER", "Y"]),
    frozenset(["AA", "AO", "AH", "AE", "AW", "AY", "OW", "UH"]),
    frozenset(["IY", "IH", "EY", "EH", "AE", "AY", "Y", "ER", "UH", "UW", "AH"]),
)
"Sounds that are heard for each other on the telephone."


def unlike(wanted: Sequence[str], heard: Sequence[str]) -> float:
    """What it costs to make one row of sounds of the other, for each sound that is wanted: 0 for
    the same, about 1 for something else."""
    costs = [EXTRA * index for index in range(len(heard) + 1)]
    for sound in wanted:
        before, costs = costs, [costs[0] + 1]
        for index, other in enumerate(heard):
            costs.append(
                min(before[index + 1] + 1, costs[-1] + EXTRA, before[index] + _other(sound, other))
            )
    return costs[-1] / max(1, len(wanted))


def _other(wanted: str, heard: str) -> float:
    if wanted == heard:
        return 0.0
    return ALIKE if heard in _ALIKE.get(wanted, ()) else 1.0


_ALIKE = {
    sound: frozenset(chain(*(kind for kind in _KINDS if sound in kind))) for sound in chain(*_KINDS)
}
