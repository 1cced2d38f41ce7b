"""The real program as a process that can be killed and started again on the same ports, and
phones that register once and never again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

from encryptotel.control import ask
from encryptotel.demo.phone import Behaviour, Phone
from pbx.calls.leg import Leg
from pbx.media.srtp import SrtpPolicy
from pbx.sip.digest import Credentials
from tests.office import quiet
from tests.peers import ports
from tests.peers.exchange import Config, Extension
from tests.peers.proc import Process

ROOT = Path(__file__).parents[2]
DOMAIN = "encryptotel.local"
LONG = 3600


class Program:
    """One data folder and one configuration, and the process that runs on them just now."""

    def __init__(
        self,
        folder: Path,
        numbers: Iterable[str],
        *,
        data: Path | None = None,
        extra: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.folder = folder
        self.data = data or folder / "data"
        self.file = folder / "config.toml"
        self.numbers = list(numbers)
        first = ports.free_range(6)
        self.ports = {"udp": first, "tcp": first + 2, "tls": first + 4}
        media = ports.free_range(8 * max(8, len(self.numbers)))
        self.sections: dict[str, dict[str, Any]] = {
            "exchange": {
                "udp_port": first,
                "tcp_port": first + 2,
                "tls_port": first + 4,
                "free_ports": False,
            },
            "media": {"rtp_ports": [media, media + 8 * max(8, len(self.numbers)) - 2]},
        }
        for name, values in (extra or {}).items():
            self.sections.setdefault(name, {}).update(values)
        self.before: tuple[str, ...] = ()
        "What is put in front of the command at each start."
        self.process: Process
        self.ready: dict[str, Any] = {}

    def write_config(self, text: str = "") -> None:
        """Write the configuration anew, from `sections` and `numbers` or as given."""
        if not text:
            people = [Extension(number, f"secret-{number}") for number in self.numbers]
            text = Config(people, extra=self.sections).toml()
        self.file.write_text(text)

    async def start(self, *before: str) -> None:
        """Start it and wait until it serves; `before` is put in front of the command."""
        if not self.file.exists():
            self.write_config()
        self.process = await Process.start(
            "encryptotel",
            [*self.before, *before, sys.executable, "-m", "encryptotel", "run",
             "--config", self.file, "--data", self.data, "--json"],
            cwd=ROOT,
        )  # fmt: skip
        try:
            self.ready = json.loads((await self.process.wait_line(r'^\{.*"ready"', 60)).string)
        except BaseException:
            await self.process.stop(signal.SIGKILL)
            raise

    async def kill(self) -> datetime:
        """`kill -9`; the moment of it."""
        at = datetime.now(UTC)
        await self.process.stop(signal.SIGKILL)
        return at

    def signal(self, number: signal.Signals) -> None:
        self.process.child.send_signal(number)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        return await self.process.stop(signal.SIGTERM, within=20)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        code = await self.stop()
        if error is not None:
            error.add_note(f"--- exchange\n{self.process.lines.tail(200)}")
        else:
            assert code == 0, self.process.lines.tail(200)

    # ── what it knows ───────────────────────────────────────────────────────────────────
    async def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """What the command line would ask of it."""
        return await ask(self.data / "control.sock", {"do": do, **values})

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """What is on disk, read as any other program would."""
        connection = sqlite3.connect(f"file:{self.data / 'encryptotel.db'}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(query, values)]
        finally:
            connection.close()

    async def until(
        self, query: str, wanted: Callable[[list[dict[str, Any]]], bool], within: float = 15
    ) -> list[dict[str, Any]]:
        """The rows once they are as wanted. Asked from outside, so it has to be asked again."""
        found: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(within):
                while not wanted(found := await asyncio.to_thread(self.rows, query)):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{query}: {found}\n{self.process.lines.tail(100)}") from None
        return found

    @property
    def udp(self) -> tuple[str, int]:
        return ports.HOST, self.ports["udp"]

    def status_file(self) -> dict[str, int]:
        """Resident kilobytes and open files, as the kernel counts them."""
        proc = Path(f"/proc/{self.process.child.pid}")
        rss = next(
            int(line.split()[1])
            for line in (proc / "status").read_text().splitlines()
            if line.startswith("VmRSS")
        )
        return {"rss_kb": rss, "files": len(os.listdir(proc / "fd"))}


@cache
def _rtp_ports() -> tuple[int, int]:
    """A range for all phones of this test process, away from everybody else's."""
    first = ports.free_range(1000)
    return first, first + 998


class OncePhone(Phone):
    """A phone that registers once, for an hour, and never again."""

    def __init__(self, behave: Behaviour = quiet, **options: Any) -> None:
        options.setdefault("ring_seconds", 0.05)
        options.setdefault("srtp", SrtpPolicy.OFF)
        options.setdefault("rtp_ports", _rtp_ports())
        super().__init__(behave, **options)
        self.registrations = 0

    async def _register_once(self, expires: int) -> int:
        self.registrations += 1
        return await super()._register_once(LONG if expires else 0)

    async def _stay_registered(self) -> None:
        """It does not try."""

    async def _attend(self, leg: Leg) -> None:
        """Say a few packets by hand: a hundred real voices are more than a test can speak."""
        if self._behave is not quiet:
            await super()._attend(leg)
            return
        for number in range(20):
            port = leg.media.audio_port
            if leg.ending is not None or port is None:
                return
            port.send(b"\x80\x00" + number.to_bytes(2) + bytes(8) + b"\xff" * 160)
            await asyncio.sleep(0.02)

    async def join(self, program: Program, number: str, **options: Any) -> OncePhone:
        """Register as an extension of a program."""
        if options.get("transport", "udp") == "udp":
            await self.listen()
        transport = options.get("transport", "udp")
        account = Credentials(username=number, secret=f"secret-{number}")
        server = (ports.HOST, program.ports[transport])
        status = await self.register(server, account, DOMAIN, **options)
        assert status == 200, status
        return self


def moment(text: str) -> datetime:
    """A time as SQLite keeps ours."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
