"""`encryptotel demo`: the white paper's call without a person, proven by tone."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot.dialogue import Dialogue
from bot.replies import Reply
from encryptotel.app import App
from encryptotel.config import Config, ExtensionSection, new_secret
from encryptotel.demo.phone import plays
from encryptotel.errors import UserError
from encryptotel.ladder import draw
from pbx.events import CallEnded, CallTraced, Event
from pbx.media.codecs import RATE
from pbx.media.tones import dominant, level, share_of, tone

SENTENCE = "Call the number +1 202 555 0143 from the USA zone number, then call me back on 101"
PHONE_HZ, NUMBER_HZ = 440.0, 620.0
LISTEN_SECONDS = 4
TIMEOUT = 40.0
ENOUGH = 0.9
"Share of the listening time in which the other side's tone must be the strongest sound."


async def show(*, quiet: bool) -> dict[str, Any]:
    """Run the demo and give its proof; `passed` sums it up."""

    def say(text: str = "") -> None:
        if not quiet:
            print(text, flush=True)

    with tempfile.TemporaryDirectory(prefix="encryptotel-demo-") as folder:
        app = App(_config(), Path(folder))
        app.demo_behaviour = plays(tone(1.0, PHONE_HZ))
        app.carrier_then = plays(tone(1.0, NUMBER_HZ))
        ended: asyncio.Future[CallEnded] = asyncio.get_running_loop().create_future()
        traced: asyncio.Future[CallTraced] = asyncio.get_running_loop().create_future()
        await app.start()
        take = app.exchange.emit

        def listen(event: Event) -> None:
            take(event)
            if isinstance(event, CallEnded) and not ended.done():
                ended.set_result(event)
            if isinstance(event, CallTraced) and not traced.done():
                traced.set_result(event)

        app.exchange.emit = listen
        try:
            say("EncryptoTel demo: an exchange, a toy carrier and a headless phone, real SIP.")
            say("  " + "  ".join(f"{name} {place}" for name, place in app.addresses.items()))
            async with _within(TIMEOUT):
                proof = await _call(app, say)
                trace = await traced
                proof["cause"] = (await ended).cause
            say()
            say(draw(trace.lines, _names(app)))
            say()
            say(_verdict(proof))
            return proof
        finally:
            await app.stop()


async def _call(app: App, say: Any) -> dict[str, Any]:
    """Say the sentence, listen on both sides, hang up by chat."""
    say()
    say(f"you> {SENTENCE}")
    joined = asyncio.Event()

    def push(reply: Reply) -> None:
        say(f"bot> {reply.text}")
        if reply.text.startswith("You are connected"):
            joined.set()

    dialogue: Dialogue = app.dialogue(push)
    for reply in await dialogue.hear(SENTENCE):
        say(f"bot> {reply.text}")
    await joined.wait()
    phone, carrier = app.demo_phones["101"], app.carrier
    assert carrier is not None
    second = 2 * RATE  # until the announcement has given way to the steady tone
    await phone.until_heard(lambda heard: share_of(bytes(heard[-second:]), NUMBER_HZ) >= ENOUGH)
    phone.heard.clear()
    carrier.heard.clear()
    enough = 2 * RATE * LISTEN_SECONDS
    await phone.until_heard(lambda heard: len(heard) >= enough)
    await carrier.until_heard(lambda heard: len(heard) >= enough)
    proof: dict[str, Any] = {
        "phone_heard": _measure(bytes(phone.heard), NUMBER_HZ),
        "number_heard": _measure(bytes(carrier.heard), PHONE_HZ),
    }
    proof["passed"] = all(side["share"] >= ENOUGH for side in proof.values())
    say("you> hang up")
    for reply in await dialogue.hear("hang up"):
        say(f"bot> {reply.text}")
    dialogue.close()
    return proof


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise UserError(f"the demo did not get through within {seconds:.0f} s") from error


def _measure(pcm: bytes, hz: float) -> dict[str, float]:
    return {
        "expected_hz": hz,
        "dominant_hz": round(dominant(pcm), 1),
        "share": round(share_of(pcm, hz), 3),
        "level_db": round(level(pcm), 1),
        "seconds": round(len(pcm) / 2 / RATE, 1),
    }


def _verdict(proof: dict[str, Any]) -> str:
    lines = []
    for who, key in (("101", "phone_heard"), ("+1 202-555-0143", "number_heard")):
        side = proof[key]
        lines.append(
            f"{who} heard {side['dominant_hz']:.0f} Hz (the other side plays "
            f"{side['expected_hz']:.0f} Hz) for {100 * side['share']:.0f} % of "
            f"{side['seconds']} s at {side['level_db']} dBFS"
        )
    lines.append("PASSED: both sides hear each other" if proof["passed"] else "FAILED")
    return "\n".join(lines)


def _names(app: App) -> dict[str, str]:
    names = {str(b.flow): f"phone {b.extension}" for b in app.exchange.registrar.all()}
    for link in app.exchange.trunks.values():
        names[f"udp:{link.trunk.host}:{link.trunk.port}"] = "demo carrier"
    return names


def _config() -> Config:
    return Config.model_validate(
        {
            "exchange": {"udp_port": 0, "tcp_port": 0, "tls_port": 0},
            "web": {"on": False},
            "demo": {"carrier": True, "phones": ("101",)},
            "extension": (
                ExtensionSection(number="101", name="Alice", secret=new_secret()).model_dump(),
            ),
            "log": {"level": "error"},
        }
    )
