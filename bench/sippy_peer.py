"""sippy's ``b2bua_simple`` as a system under test: where Asterisk is not installed.

It carries signalling only, no media ports, and writes no log, so it is flattered a little.
``python -m bench.sippy_peer`` installs it into ``.cache/sippy``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import socket
import subprocess
import sys
import time
import venv
from pathlib import Path

from bench.native import CACHE
from bench.process import BenchError, Child, Unavailable
from bench.server import Server

HOME = CACHE / "sippy"
PACKAGE = "sippy==2.5.0"


def install() -> None:
    """Put sippy into an environment of its own."""
    venv.create(HOME, with_pip=True)
    subprocess.run([HOME / "bin" / "pip", "install", "--quiet", PACKAGE], check=True)


def interpreter() -> Path:
    """The Python that can run sippy."""
    if importlib.util.find_spec("sippy") is not None:
        return Path(sys.executable)
    if (HOME / "bin" / "b2bua_simple").exists():
        return HOME / "bin" / "python"
    raise Unavailable(
        "neither Asterisk (python -m bench.asterisk install, as root) "
        "nor sippy (python -m bench.sippy_peer) is installed"
    )


class Sippy(Server):
    """``b2bua_simple`` with the callee as its only next hop."""

    name = "sippy"

    def start(self) -> Child:
        """Start it; it says nothing when it is ready, so ask it."""
        host, port = self.wiring.callee
        command = [str(interpreter()), str(interpreter().parent / "b2bua_simple")]
        command += ["-f", "-l", self.address[0], "-p", str(self.address[1]), "-n", f"{host}:{port}"]
        silent = {"SIPLOG_BEND": "none"}
        child = Child(
            command,
            self.folder / "log",
            cwd=self.folder,
            quiet=True,
            environment=silent,
            core=self.wiring.core,
        )
        deadline = time.monotonic() + 15
        while not _taken(self.address):
            if not child.alive or time.monotonic() > deadline:
                child.stop()
                raise BenchError(f"sippy does not start\n{child.last_words()}")
            time.sleep(0.1)
        return child

    def version(self) -> str:
        """The version installed."""
        try:
            return f"sippy {importlib.metadata.version('sippy')}"
        except importlib.metadata.PackageNotFoundError:
            return PACKAGE.replace("==", " ")


def _taken(address: tuple[str, int]) -> bool:
    """Whether somebody has bound this UDP address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(address)
        except OSError:
            return True
    return False


if __name__ == "__main__":
    install()
