"""Mixing: for each listener the sum of all others, 20 ms at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pbx.media.keys import FRAMES


def mixed(frames: Sequence[bytes | None], extra: bytes | None, rate: int) -> Sequence[bytes]:
    """What each party hears: all but their own frame of 16-bit PCM, and `extra`. A party that
    says nothing has None for a frame."""
    if not frames:
        return ()
    silence = bytes(2 * rate // FRAMES)
    heard = np.frombuffer(b"".join(frame or silence for frame in frames), "<i2")
    heard = heard.reshape(len(frames), -1)
    total = heard.sum(axis=0, dtype=np.int32)
    if extra is not None:
        total += np.frombuffer(extra, "<i2")
    return [row.tobytes() for row in (total - heard).clip(-32_768, 32_767).astype("<i2")]
