"""A PostgreSQL server of our own, with databases that come and go."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, create_engine, text

from store.database import postgresql
from tests.peers.network import HERE, Host
from tests.peers.ports import free_port

USER, PASSWORD = "exchange", "pass%word@1"
READY_SECONDS = 60


def programs() -> Path | None:
    """The folder of the newest server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgres:
    """A cluster in a folder of its own. It may be killed and started again. `archive` is a file
    with settings by which it keeps what is written in `kept`; a function that is given as `data`
    fills the folder instead of an empty cluster."""

    def __init__(
        self,
        programs: Path,
        host: Host = HERE,
        folder: Path | None = None,
        *,
        archive: Path | None = None,
        data: Callable[[Path], None] | None = None,
    ) -> None:
        """`folder` is where its own is made; there may be little room there."""
        self._small = ("min_wal_size=32MB", "max_wal_size=64MB") if folder else ()
        self._programs, self._host = programs, host
        self._folder = Path(tempfile.mkdtemp(prefix="encryptotel-pg-", dir=folder))
        self._data, self.kept = self._folder / "data", self._folder / "kept"
        self._more: tuple[str, ...] = ()
        self._as = "postgres" if os.geteuid() == 0 else None  # the server refuses to be root
        if self._as:
            who = pwd.getpwnam(self._as)
            os.chown(self._folder, who.pw_uid, who.pw_gid)
        if archive is not None:
            self.run("mkdir", "-p", str(self.kept / "wal"))
            text = archive.read_text().replace("/backup/postgres", str(self.kept))
            self._more = tuple(re.findall(r"^(\w+ = .*)$", text, re.M))
        self.port = free_port()
        if data is not None:
            data(self._data)
            self.start()
            return
        word = self._folder / "password"
        word.write_text(PASSWORD)
        word.chmod(0o644)
        self._run(
            "initdb", "-D", str(self._data), "-U", USER, "-A", "scram-sha-256", "--no-sync",
            "--pwfile", str(word), "-E", "UTF8", "--locale", "C.UTF-8",
        )  # fmt: skip
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")
        self.start()

    def start(self) -> None:
        """Begin to serve."""
        settings = (
            f"port={self.port}", f"listen_addresses={self._host.address}", "fsync=off",
            f"unix_socket_directories={self._folder}", *self._small,
            *(setting.replace(" = ", "=", 1).replace("'", "") for setting in self._more),
        )  # fmt: skip
        options = [word for setting in settings for word in ("-c", setting)]
        become = ("setpriv", f"--reuid={self._as}", f"--regid={self._as}", "--clear-groups")
        self._process = subprocess.Popen(
            [*self._host.before, *(become if self._as else ()),
             str(self._programs / "postgres"), "-D", str(self._data), *options],
            cwd=self._folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        wait = ("-d", "postgres", "-h", self._host.address, "-p", str(self.port), "-U", USER)
        until = time.monotonic() + READY_SECONDS
        while self._ask("pg_isready", *wait).returncode:
            assert time.monotonic() < until, "the server does not come up"
            assert self._process.poll() is None, "the server ended"

    def kill(self) -> None:
        """End the server as `kill -9` does: with all that serves its clients."""
        leader = self._process.pid
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        for pid in (leader, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @contextmanager
    def database(self, locale: str = "") -> Iterator[URL]:
        """An empty database, dropped afterwards, whose texts are in the order of a locale."""
        name = f"t{secrets.token_hex(6)}"
        sorts = f" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE '{locale}'" if locale else ""
        self._say(f"CREATE DATABASE {name}{sorts}")
        try:
            yield postgresql(self.address(name), PASSWORD)
        finally:
            if self.runs:
                self._say(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def address(self, name: str) -> str:
        """As somebody writes it in a configuration."""
        return f"postgresql://{USER}@{self._host.address}:{self.port}/{name}"

    def run(self, *words: str) -> str:
        """Run a program as the server's user, with the server's programs; what it prints."""
        path = f"{self._programs}:{os.environ['PATH']}"
        done = subprocess.run(
            words, user=self._as, cwd=self._folder, check=False, capture_output=True, text=True,
            env={"PATH": path, "PGPASSWORD": PASSWORD}, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> None:
        """End it and forget all."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _say(self, statement: str) -> None:
        engine = create_engine(postgresql(self.address("postgres"), PASSWORD))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))
        engine.dispose()

    def _run(self, program: str, *words: str) -> None:
        done = self._ask(program, *words)
        assert done.returncode == 0, done.stderr[-2000:]

    def _ask(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._programs / program), *words],
            user=self._as, cwd=self._folder, check=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
