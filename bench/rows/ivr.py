"""Menus for callers: a key pressed to the first packet of the next prompt.

Two menus lead to each other; each prompt is a tone of its own. The clock runs from the key, which
may wait 20 ms for its packet, until a packet with the other tone is back; what the phone's own
jitter buffer adds until that is heard is told beside it.
"""

from __future__ import annotations

import asyncio
import audioop
import statistics
import time
import wave
from pathlib import Path

import numpy as np
import uvloop

from bench.exchange import EXTENSION, SECRET, available, await_ready, configuration, launch
from bench.process import BenchError
from bench.report import Row, quantile
from bench.rows import Options
from bench.server import CALLER_HOST, CARRIER_HOST, EXCHANGE_HOST
from bench.sip import free_port
from encryptotel.demo.phone import Phone
from pbx.calls.leg import Leg
from pbx.media.codecs import PCMU, RATE
from pbx.media.rtp import parse_rtp
from pbx.media.tones import tone
from pbx.sip.digest import Credentials

LIMIT_MS = 150.0
TONES = (440.0, 1000.0)
PATIENCE = 5.0
MENUS = """
[menu.low]
number = "800"
sound = "low.wav"
default = "hang up"
wait = 30
[[menu.low.choice]]
key = "1"
to = "menu high"
[menu.high]
sound = "high.wav"
default = "hang up"
wait = 30
[[menu.high.choice]]
key = "1"
to = "menu low"
"""


class Caller:
    """Presses a key whenever it hears a tone, and times how long the other takes to come."""

    def __init__(self, presses: int) -> None:
        self.came: list[float] = []
        self.heard: list[float] = []
        self._presses = presses
        self._wanted = 0.0
        self._begun = 0.0
        self._came = 0.0
        self._heard = asyncio.Event()

    async def behave(self, phone: Phone, leg: Leg) -> None:
        leg.audio.on_frame = self._hear
        port = leg.media.audio_port
        assert port is not None
        port.tap(self._packet)
        await self._until(TONES[0])
        for press in range(self._presses):
            await asyncio.sleep(0.3 + 0.007 * (press % 10))  # at all moments of a packet
            self._begun = time.monotonic()
            leg.audio.send_digit("1")
            await self._until(TONES[(press + 1) % 2])
            self.came.append((self._came - self._begun) * 1000)
            self.heard.append((time.monotonic() - self._begun) * 1000)
        leg.hang_up()

    async def _until(self, hertz: float) -> None:
        self._wanted, self._came = hertz, 0.0
        self._heard.clear()
        async with asyncio.timeout(PATIENCE):
            await self._heard.wait()

    def _packet(self, data: bytes) -> None:
        packet = parse_rtp(data)
        if packet is None or packet.payload_type != 0 or self._came:
            return
        if _strongest(audioop.ulaw2lin(packet.payload, 2)) == self._wanted:
            self._came = time.monotonic()

    def _hear(self, frame: bytes) -> None:
        if self._came and _strongest(frame) == self._wanted:
            self._heard.set()


def _strongest(frame: bytes) -> float:
    samples = np.frombuffer(frame, "<i2").astype(float)
    at = np.arange(samples.size) / RATE
    power = [abs(samples @ np.exp(-2j * np.pi * hertz * at)) / samples.size for hertz in TONES]
    return TONES[int(np.argmax(power))] if max(power) > 500 else 0.0


def _sound(file: Path, pcm: bytes) -> None:
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(pcm)


def measure(options: Options) -> list[Row]:
    """Many keys in one call, though no more than the exchange puts up with."""
    available()
    folder = options.folder / "ivr"
    data = folder / "data"
    data.mkdir(parents=True)
    for name, hertz in zip(("low", "high"), TONES, strict=True):
        _sound(folder / f"{name}.wav", tone(20.0, hertz))
    (folder / "menus.toml").write_text(MENUS)
    port = free_port(EXCHANGE_HOST)
    config = folder / "config.toml"
    caller, carrier = (CALLER_HOST, free_port(CALLER_HOST)), (CARRIER_HOST, free_port(CARRIER_HOST))
    config.write_text(
        configuration(port, caller, carrier, (EXTENSION,)) + '\n[menus]\nfile = "menus.toml"\n'
    )
    with launch(config, data, folder / "log", core=options.core) as child:
        await_ready(child)
        pressed = uvloop.run(_keys(port, 20 if options.quick else 50))
    row = Row("ivr", "key pressed → next prompt heard, p99", "ms")
    came, heard = pressed.came, pressed.heard
    row.against(quantile(came, 0.99), LIMIT_MS)
    row.detail = (
        f"{len(came)} keys: median {statistics.median(came):.0f} ms, p90 {quantile(came, 0.9):.0f} "
        f"ms, worst {max(came):.0f} ms; heard behind the phone's jitter buffer: median "
        f"{statistics.median(heard):.0f} ms"
    )
    row.rounds = [{"ms": one} for one in came]
    return [row]


async def _keys(port: int, presses: int) -> Caller:
    caller = Caller(presses)
    done = asyncio.Event()

    async def behave(phone: Phone, leg: Leg) -> None:
        try:
            await caller.behave(phone, leg)
        finally:
            done.set()

    phone = Phone(behave, ring_seconds=0.1, codecs=(PCMU,))
    try:
        await phone.listen()
        account = Credentials(username=EXTENSION, secret=SECRET)
        await phone.register((EXCHANGE_HOST, port), account, "encryptotel.local")
        await phone.call("800")
        await done.wait()
    finally:
        await phone.stop()
    if len(caller.heard) < presses:
        raise BenchError(f"the prompt after key {len(caller.heard) + 1} did not come")
    return caller
