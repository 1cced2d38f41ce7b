"""Tones as files and samples, and the judgement of what was heard. Independent of the product."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.int16]
Sound = Path | str | bytes | Pcm


def tone(hz: float, seconds: float, rate: int = 8000, dbfs: float = -12) -> Pcm:
    """A sine of `hz`; the level is that of the sine's RMS relative to a full-scale sine."""
    peak = 32767 * 10 ** (dbfs / 20)
    wave_form = peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return wave_form.round().astype(np.int16)


def write_tone(
    path: Path, hz: float, seconds: float = 60, rate: int = 8000, channels: int = 1
) -> Path:
    """A 16-bit WAV of one tone, the same in all channels."""
    samples = np.repeat(tone(hz, seconds, rate)[:, None], channels, axis=1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def read_wav(path: Path | str) -> tuple[Pcm, int]:
    """First channel and rate of a 16-bit WAV, also of one whose writer never fixed its sizes."""
    data = Path(path).read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"{path}: no WAV file")
    at, rate, channels, bits = 12, 8000, 1, 16
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = at + 8
        if name == b"fmt ":
            channels = int.from_bytes(data[body + 2 : body + 4], "little")
            rate = int.from_bytes(data[body + 4 : body + 8], "little")
            bits = int.from_bytes(data[body + 14 : body + 16], "little")
        if name == b"data":
            frame = channels * bits // 8
            raw = data[body : body + size] if 0 < size <= len(data) - body else data[body:]
            raw = raw[: len(raw) // frame * frame]
            if bits == 8:
                eight = np.frombuffer(raw, np.uint8).astype(np.int16)
                return ((eight - 128) * 256).astype(np.int16)[::channels], rate
            return np.frombuffer(raw, "<i2").astype(np.int16)[::channels], rate
        at = body + size + size % 2
    raise ValueError(f"{path}: WAV without data")


def _ulaw_table() -> Pcm:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_table() -> Pcm:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    mantissa, segment = (code & 0x0F) << 4, (code & 0x70) >> 4
    linear = np.where(segment == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, linear, -linear).astype(np.int16)


ULAW, ALAW = _ulaw_table(), _alaw_table()


def _encode(pcm: Pcm, table: Pcm) -> bytes:
    """The code whose value is nearest to each sample."""
    order = np.argsort(table, kind="stable")
    values = table[order].astype(np.int32)
    right = np.clip(np.searchsorted(values, pcm), 1, 255)
    nearer_left = pcm.astype(np.int32) - values[right - 1] <= values[right] - pcm.astype(np.int32)
    return bytes(order[np.where(nearer_left, right - 1, right)].astype(np.uint8).tobytes())


def ulaw(pcm: Pcm) -> bytes:
    """G.711 µ-law of 16-bit samples."""
    return _encode(pcm, ULAW)


def alaw(pcm: Pcm) -> bytes:
    """G.711 A-law of 16-bit samples."""
    return _encode(pcm, ALAW)


@dataclass(frozen=True)
class Analysis:
    """What is in a sound, window by window (100 ms)."""

    seconds: float
    dbfs: float  # level of the windows that are not silent
    hz: float  # the frequency that dominates most of them
    voiced: float  # seconds that are not silent
    frequencies: npt.NDArray[np.float64]  # dominant frequency of each window that is not silent

    def share(self, hz: float, tolerance: float = 12) -> float:
        """Fraction of the windows with sound in which `hz` dominates."""
        if not len(self.frequencies):
            return 0.0
        return float(np.mean(np.abs(self.frequencies - hz) <= tolerance))


def analyse(sound: Sound, rate: int = 8000, silence_dbfs: float = -45) -> Analysis:
    """Look at a WAV file, or at 16-bit samples of `rate`."""
    if isinstance(sound, (str, Path)):
        samples, rate = read_wav(sound)
    elif isinstance(sound, bytes):
        samples = np.frombuffer(sound, "<i2").astype(np.int16)
    else:
        samples = sound
    size = rate // 10
    count = len(samples) // size
    windows = samples[: count * size].reshape(count, size).astype(np.float64) / 32768
    rms = np.sqrt(np.mean(windows**2, axis=1)) * np.sqrt(2) if count else np.zeros(0)
    loud = rms > 10 ** (silence_dbfs / 20)
    if not loud.any():
        return Analysis(len(samples) / rate, -120.0, 0.0, 0.0, np.zeros(0))
    padded = 1 << (4 * size - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(windows[loud] * np.hanning(size), padded, axis=1))
    spectrum[:, : int(60 * padded / rate)] = 0  # mains hum and offsets are not tones
    frequencies = np.argmax(spectrum, axis=1) * rate / padded
    level = 20 * np.log10(float(np.sqrt(np.mean(rms[loud] ** 2))))
    return Analysis(
        seconds=len(samples) / rate,
        dbfs=level,
        hz=float(np.median(frequencies)),
        voiced=float(loud.sum()) / 10,
        frequencies=frequencies,
    )


def assert_heard(
    sound: Sound, hz: float, seconds: float = 1.0, share: float = 0.9, rate: int = 8000
) -> Analysis:
    """The tone dominates `share` of all that is not silence, for `seconds` at least."""
    found = analyse(sound, rate)
    got = found.share(hz)
    if got < share or got * found.voiced < seconds:
        raise AssertionError(
            f"expected {hz:g} Hz for {seconds:g} s: dominant in {got:.0%} of {found.voiced:.1f} s "
            f"of sound ({found.seconds:.1f} s recorded), mostly {found.hz:.0f} Hz "
            f"at {found.dbfs:.0f} dBFS"
        )
    return found


def assert_silent(sound: Sound, seconds: float = 0.3, rate: int = 8000) -> None:
    """Less than `seconds` of anything audible."""
    found = analyse(sound, rate)
    if found.voiced > seconds:
        raise AssertionError(f"expected silence, heard {found.voiced:.1f} s of {found.hz:.0f} Hz")
