"""Sound files as prompts."""

from __future__ import annotations

from pathlib import Path

import av

from encryptotel.ivr.file import MAX_SOUND_SECONDS
from pbx.media.codecs import RATE
from pbx.media.speech import levelled

MAX_BYTES = 20_000_000
MAX_SOUNDS = 50


class SoundError(ValueError):
    """A file that cannot be played; the text says why."""


def sound_of(file: Path) -> bytes:
    """A sound file of any usual format as PCM at `RATE`, as loud as what is spoken. Raises
    `SoundError`."""
    try:
        size = file.stat().st_size
    except OSError as error:
        raise SoundError(f"{file.name} cannot be read: {error.strerror}") from error
    if size > MAX_BYTES:
        raise SoundError(f"{file.name} is larger than {MAX_BYTES // 1_000_000} MB: shorten it")
    most = 2 * RATE * MAX_SOUND_SECONDS
    pcm = bytearray()
    try:
        with av.open(str(file), metadata_errors="ignore") as container:
            resampler = av.AudioResampler("s16", "mono", RATE)
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    pcm += bytes(piece.planes[0])[: 2 * piece.samples]
                if len(pcm) > most:
                    raise SoundError(
                        f"{file.name} is longer than {MAX_SOUND_SECONDS} s: nobody listens to that"
                    )
    except (av.error.FFmpegError, IndexError) as error:
        raise SoundError(f"{file.name} is no sound that can be read: save it as WAV") from error
    if not pcm:
        raise SoundError(f"{file.name} is empty")
    return levelled(bytes(pcm))
