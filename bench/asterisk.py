"""Asterisk 22 as a system under test, in a Debian ``sid`` of its own under ``.cache/asterisk``.

``python -m bench.asterisk install`` (as root, some 100 s, 600 MB) gets it with ``debootstrap``.
It is configured for speed: no call records, no log files, G.711 only, media through Asterisk.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from bench.native import CACHE
from bench.process import BenchError, Child, Unavailable
from bench.server import ALAW, RTP_PORTS, ULAW, Server, Wiring

ROOT = CACHE / "asterisk"
MIRROR = "http://deb.debian.org/debian"
PACKAGES = ("asterisk", "asterisk-modules")

_ASTERISK = """\
[directories]
astetcdir => {run}/etc
astrundir => {run}/run
astlogdir => {run}/log
astspooldir => {run}/spool
astdbdir => {run}/db
astkeydir => {run}/key
astvarlibdir => /var/lib/asterisk
astdatadir => /usr/share/asterisk
astmoddir => /usr/lib/x86_64-linux-gnu/asterisk/modules
[options]
verbose = 0
debug = 0
"""
_PJSIP = """\
[global]
endpoint_identifier_order=ip,username,anonymous
[bench]
type=transport
protocol=udp
bind={host}:{port}
[caller]
type=endpoint
context=bench
disallow=all
allow={caller_codec}
media_encryption={encryption}
direct_media=no
[caller-by-address]
type=identify
endpoint=caller
match={caller}
[callee]
type=endpoint
context=bench
disallow=all
allow={callee_codec}
media_encryption={encryption}
direct_media=no
aors=callee
[callee]
type=aor
contact=sip:callee@{callee_host}:{callee_port}
"""
_CODECS = {ULAW: "ulaw", ALAW: "alaw"}
_FILES = {
    "modules.conf": "[modules]\nautoload=yes\nnoload=chan_iax2.so\nnoload=res_http_websocket.so\n",
    "cdr.conf": "[general]\nenable=no\n",
    "logger.conf": "[general]\n[logfiles]\nconsole => error\n",
    "http.conf": "[general]\nenabled=no\n",
    "manager.conf": "[general]\nenabled=no\n",
}


def installed() -> bool:
    """Whether Asterisk can be run here: the tree is there and we may enter it."""
    return (ROOT / "usr/sbin/asterisk").exists() and os.geteuid() == 0


def install() -> None:
    """Get Debian ``sid`` and Asterisk; it is not started, and nothing stays mounted."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise Unavailable("this needs root and debootstrap (apt-get install debootstrap)")
    if not (ROOT / "usr/bin/apt-get").exists() or (ROOT / "debootstrap").exists():
        shutil.rmtree(ROOT, ignore_errors=True)
        ROOT.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["debootstrap", "--variant=minbase", "sid", str(ROOT), MIRROR], check=True)
    policy = ROOT / "usr/sbin/policy-rc.d"  # packages must not start their services
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    script = (
        'mount -t proc proc "$0/proc" && exec chroot "$0" env DEBIAN_FRONTEND=noninteractive '
        'apt-get install -y --no-install-recommends "$@"'
    )
    # A mount namespace of its own: the mount ends with the command.
    subprocess.run(["unshare", "--mount", "sh", "-c", script, str(ROOT), *PACKAGES], check=True)
    print(version())


def version() -> str:
    """The version installed."""
    done = subprocess.run(
        ["chroot", str(ROOT), "/usr/sbin/asterisk", "-V"],
        capture_output=True,
        text=True,
        check=True,
    )
    return " ".join(done.stdout.split()[:2]).partition("+")[0]


class Asterisk(Server):
    """Asterisk in the foreground, with files of its own for every run."""

    name = "Asterisk"
    dial = "PJSIP/callee,20"
    """How it rings the callee."""

    def __init__(self, wiring: Wiring, folder: Path) -> None:
        super().__init__(wiring, folder)
        self._inside = f"/bench-{secrets.token_hex(4)}"

    @property
    def _files(self) -> Path:
        return ROOT / self._inside.lstrip("/")

    def start(self) -> Child:
        """Write its configuration, start it, wait until its command line answers."""
        if not installed():
            raise Unavailable("Asterisk is not installed: python -m bench.asterisk install (root)")
        for name in ("etc", "run", "log", "spool", "db", "key"):
            (self._files / name).mkdir(parents=True)
        low, high = RTP_PORTS
        host, port = self.wiring.callee
        pjsip = _PJSIP.format(
            host=self.address[0],
            port=self.address[1],
            caller=self.wiring.caller[0],
            callee_host=host,
            callee_port=port,
            caller_codec=_CODECS[self.wiring.media.types[0]],
            callee_codec=_CODECS[self.wiring.media.types[1]],
            encryption="sdes" if self.wiring.media.srtp else "no",
        )
        files = {
            **_FILES,
            "extensions.conf": f"[bench]\nexten => _[+0-9].,1,Dial({self.dial})\n",
            "asterisk.conf": _ASTERISK.format(run=self._inside),
            "pjsip.conf": pjsip,
            "rtp.conf": f"[general]\nrtpstart={low}\nrtpend={high}\n",
        }
        for name, text in files.items():
            (self._files / "etc" / name).write_text(text)
        # It looks up its own host name for every call; no name server need be asked.
        (ROOT / "etc/hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")
        (ROOT / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
        command = ["chroot", str(ROOT), "/usr/sbin/asterisk", "-f", "-C", self._configuration]
        core = self.wiring.core
        child = Child(command, self.folder / "log", cwd=self.folder, quiet=True, core=core)
        deadline = time.monotonic() + 40
        while not self._booted():
            if not child.alive or time.monotonic() > deadline:
                child.stop()
                raise BenchError(f"Asterisk does not start\n{child.last_words()}")
            time.sleep(0.2)
        return child

    @property
    def _configuration(self) -> str:
        return f"{self._inside}/etc/asterisk.conf"

    def _ask(self, command: str) -> str:
        """What its command line answers; nothing while it does not answer."""
        asked = ["chroot", str(ROOT), "/usr/sbin/asterisk", "-C", self._configuration]
        done = subprocess.run([*asked, "-r", "-x", command], capture_output=True, check=False)
        return done.stdout.decode(errors="replace") if done.returncode == 0 else ""

    def _booted(self) -> bool:
        return "fully booted" in self._ask("core waitfullybooted")

    def remark(self) -> str:
        """The bridge technologies its calls use, with how many bridges use each."""
        found = Counter(
            re.findall(
                r"\s(native_rtp|simple_bridge|softmix|holding_bridge)\b",
                self._ask("bridge show all"),
            )
        )
        return ", ".join(f"{count} × {name}" for name, count in found.items())

    def version(self) -> str:
        """The version installed."""
        return version()

    def __exit__(self, *error: object) -> None:
        super().__exit__(None, None, None)
        shutil.rmtree(self._files, ignore_errors=True)


class AsteriskListening(Asterisk):
    """Asterisk with calls whose keys it listens to (Dial's tT: transfer by keys), as it must also
    for recording: its native RTP bridge cannot be used, and every frame goes through its core."""

    name = "Asterisk, Dial tT"
    dial = "PJSIP/callee,20,tT"


def main() -> int:
    """The command line: ``install``."""
    if sys.argv[1:] != ["install"]:
        print("usage: python -m bench.asterisk install", file=sys.stderr)
        return 2
    try:
        install()
    except (OSError, BenchError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
