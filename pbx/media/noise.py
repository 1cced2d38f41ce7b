"""Comfort noise (RFC 3389): what a silent line sounds like."""

from __future__ import annotations

import numpy as np

LOUDEST = 30
"−dBov. A description of louder noise than this is taken for this: it is no comfort."
_SPARE = 8
"Frames of noise made at once."


class ComfortNoise:
    """White noise at the level the other side told; silence before it told one.

    The spectrum that may follow the level is left out, which RFC 3389 §3 allows.
    """

    def __init__(self) -> None:
        self._level = 0.0
        self._random = np.random.default_rng(0)
        self._made = b""

    def describe(self, payload: bytes) -> None:
        """Take the payload of a comfort noise packet: its first byte is the level, −dBov."""
        if payload:
            self._level = 32_768 * 10 ** (-max(LOUDEST, payload[0] & 0x7F) / 20)
            self._made = b""

    def more(self, count: int) -> bytes:
        """`count` samples of it."""
        if self._level < 1:
            return bytes(2 * count)
        if len(self._made) < 2 * count:
            noise = self._random.normal(0, self._level, _SPARE * count)
            self._made += noise.clip(-32_768, 32_767).round().astype("<i2").tobytes()
        made, self._made = self._made[: 2 * count], self._made[2 * count :]
        return made
