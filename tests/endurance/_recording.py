"""Records two tones to the file of its argument until it is killed: each second of sound in a
second. Prints a line when it begins."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from encryptotel.sealed import SealedFile
from pbx.media.codecs import PCMU
from pbx.media.recorder import Recorder
from pbx.media.rtp import RtpPacket
from pbx.media.tones import tone


async def record(path: Path, recipient: str) -> None:
    recorder = Recorder(SealedFile(path, [recipient]))
    encode = PCMU.encoder(8000, 20)
    sound = [encode(tone(1.0, hertz)) for hertz in (440.0, 620.0)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    print("recording", flush=True)
    number = 0
    while True:
        for side, pcm in enumerate(sound):
            at = number * 160 % len(pcm)
            packet = RtpPacket(
                payload_type=0, sequence=number & 0xFFFF, timestamp=160 * number, ssrc=side + 1,
                payload=pcm[at : at + 160],
            )  # fmt: skip
            recorder.hear(side, {0: PCMU}, packet.encode())
        number += 1
        await asyncio.sleep(max(0.0, began + number * 0.02 - loop.time()))


asyncio.run(record(Path(sys.argv[1]), sys.argv[2]))
