"""A customer system, a program of its own that knows the exchange by HTTP only: who calls is on the
phone before it rings, a number is called with a click, a recording is fetched when it is ready, and
an hour away loses nothing and doubles nothing."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest

from encryptotel.demo.phone import Phone, plays
from pbx.events import CallAnswered
from pbx.media.tones import tone
from tests.calls.test_callback import telephone_network
from tests.calls.test_numbers import Carrier
from tests.peers.proc import Process
from tests.web.test_api import Client, client, key
from tests.web.test_webhooks import Display

CUSTOMER, OURS = "+12025550143", "+12025550100"
ROOT = Path(__file__).parents[2]


class Crm:
    """The customer system as a process: what it says, and what it is told to do."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def order(self, **what: Any) -> None:
        self.process.write(json.dumps(what))

    async def says(self, what: str, since: int = 0) -> dict[str, Any]:
        """The next line about something."""
        line = await self.process.wait_line(rf'^\{{"{what}": .*', 30, since)
        return dict(json.loads(line.string))

    def said(self, what: str) -> list[Any]:
        lines = [json.loads(line) for line in self.process.lines.items if line.startswith("{")]
        return [line[what] for line in lines if what in line]


@asynccontextmanager
async def crm(it: Client, folder: Path, token: str, port: int = 0) -> AsyncIterator[Crm]:
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    ca = it.office.app.certificates.ca
    process = await Process.start(
        "crm",
        [sys.executable, "-m", "tests.peers.crm", it.site.url, str(ca), str(folder), str(port)],
        cwd=ROOT,
        env={"KEY": token},
        stdin=True,
    )
    try:
        yield Crm(process)
    finally:
        await process.stop(signal.SIGKILL)


@asynccontextmanager
async def office(
    folder: Path,
) -> AsyncIterator[tuple[Client, Carrier, str, pyrage.x25519.Identity]]:
    """An exchange with a line, whose owner has a key for recordings; and a key for the system."""
    identity = pyrage.x25519.Identity.generate()
    async with client(
        folder / "exchange",
        web={"private_webhooks": True, "port": 0},
        route=({"number": OURS, "to": "101"},),
        recording={"key": str(identity.to_public())},
    ) as it:
        network = Carrier(plays(tone(1, 620.0)))
        await telephone_network(it.office, network)
        token = await key(it.office, "calls", "recordings:read", "events", "lookup")
        yield it, network, token, identity


async def test_who_calls_is_on_the_phone_before_it_rings(tmp_path: Path) -> None:
    async with office(tmp_path) as (it, network, token, _), crm(it, tmp_path / "crm", token) as pop:
        await pop.says("ready")
        alice = Display()
        await it.office.phone("101", alice)
        (await network.calls(it.office, OURS, CUSTOMER)).hang_up()
        assert (await pop.says("looked_up"))["looked_up"] == CUSTOMER
        assert alice.rung_by == ["Acme Ltd: three open orders"]
        assert (await pop.says("event"))["peer"] == "+1 202-555-0143"
        await it.office.until(lambda: any("three open orders" in text for text in it.office.told))


async def test_a_click_calls_and_the_recording_is_fetched_when_it_is_ready(tmp_path: Path) -> None:
    async with office(tmp_path) as (it, _, token, identity):
        async with crm(it, tmp_path / "crm", token) as desk:
            await desk.says("ready")
            await it.office.phone("101", Phone(plays(tone(1, 440.0))))
            desk.order(call=CUSTOMER, record=True)
            placed = (await desk.says("placed"))["placed"]
            await it.office.until(lambda: bool(it.office.of(CallAnswered, placed)))
            await asyncio.sleep(1)  # of talk
            desk.order(hang_up=placed)
            await desk.says("recording")
        sealed = (tmp_path / "crm" / "recording.age").read_bytes()
        assert b"OggS" not in sealed
        assert pyrage.decrypt(sealed, [identity]).startswith(b"OggS")


async def test_an_hour_away_loses_nothing_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it is being told; what happens meanwhile waits on the disk of the exchange."""
    monkeypatch.setattr("encryptotel.webhooks.PAUSES", (0.05,))
    async with office(tmp_path) as (it, _, token, _):
        webhooks = it.office.app.webhooks
        assert webhooks is not None
        texts = [f"number {number}" for number in range(60)]
        tell = it.office.app.followers.announce
        async with crm(it, tmp_path / "crm", token) as first:
            port = (await first.says("ready"))["ready"]
            for text in texts[:20]:
                tell("101", text)
            await first.says("event")
        for text in texts[20:40]:
            tell("101", text)
        gone = timedelta(hours=1)
        monkeypatch.setattr(webhooks, "_now", lambda: datetime.now(UTC) + gone)
        async with crm(it, tmp_path / "crm", token, port) as again:
            await again.says("ready")
            for text in texts[40:]:
                tell("101", text)
            await again.process.wait_line(f'"{texts[-1]}"', 30)
        kept = json.loads((tmp_path / "crm" / "seen.json").read_text())
        assert list(kept.values()) == texts
