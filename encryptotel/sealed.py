"""Files that only the owner of a key can open, written as they grow: the age format
(https://age-encryption.org/v1), by pyrage.

An age file is sealed in pieces of 64 kB, so what came last would be lost with us. It is kept in
two more age files beside the first, written in turn each second and removed at the end: whenever
we die, one of them is whole. Nothing is ever on the disk that can be read without the key, which
is not here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pyrage

PIECE = 65_536
"Bytes sealed at once (age, “Payload”)."
_SEAL = 16
"Bytes of the authentication of one piece, and of the payload's nonce."
_HEADER_END = b"\n---"
_TAIL = re.compile(r"\.from-(\d+)\.[ab]\.age$")


class SealedFile:
    """Takes bytes, keeps them for `recipients` (``age1…``). `close` in any case."""

    def __init__(self, path: Path, recipients: Sequence[str]) -> None:
        self.path = path
        self._keys = [pyrage.x25519.Recipient.from_str(one) for one in recipients]
        self._file = open(path, "xb", opener=_for_us_alone)  # noqa: SIM115  # closed by `close`
        self._main = _Counted(self._file)
        self._pieces: queue.Queue[bytes] = queue.Queue()
        self._waiting = b""
        "Not given to the sealing thread yet: there is nothing to seal before a piece is full."
        self._lately = b""
        "What is not certain to be in the file yet."
        self._begins = 0
        "Where in the sound that begins."
        self._tail: _Tail | None = None
        self._failed: BaseException | None = None
        self._sealing = threading.Thread(target=self._seal, name="seal", daemon=True)
        self._sealing.start()

    def write(self, data: bytes) -> int:
        """Seal the next bytes. Raises OSError once the disk failed."""
        if self._failed is not None:
            raise OSError(str(self._failed))
        self._waiting += data
        self._lately += data
        return len(data)

    def save(self) -> None:
        """Seal what is not in the file yet beside it. Raises OSError."""
        if len(self._waiting) >= PIECE:
            self._pieces.put(self._waiting)
            self._waiting = b""
        settled = self._main.settled
        if settled > self._begins:
            self._lately = self._lately[settled - self._begins :]
            self._begins = settled
        tail = self._tail
        if tail is None or tail.begins != self._begins:
            tail = _Tail(self.path, self._begins)
        tail.write(pyrage.encrypt(self._lately, self._keys))
        if self._tail is not None and self._tail is not tail:
            self._tail.remove()
        self._tail = tail

    def close(self) -> None:
        """Finish the file; what lies beside it is needed no more, unless that fails."""
        if self._waiting:
            self._pieces.put(self._waiting)
        self._pieces.put(b"")
        self._sealing.join()
        self._file.close()
        if self._tail is not None:
            self._tail.close()
            if self._failed is None:
                self._tail.remove()

    def _seal(self) -> None:
        try:
            pyrage.encrypt_io(_Reader(self._pieces), self._main, self._keys)
            self._file.flush()
            os.fsync(self._file.fileno())
        except Exception as error:  # of the disk, or the library's own
            self._failed = error


class _Tail:
    """What comes after the byte `begins` of the sound, in two files: making one, or putting it in
    another's place, costs more than sealing it. Neither ever becomes shorter."""

    def __init__(self, path: Path, begins: int) -> None:
        self.begins = begins
        self._paths = [path.with_name(f"{path.name}.from-{begins}.{which}.age") for which in "ab"]
        self._files = [
            open(one, "wb", buffering=0, opener=_for_us_alone)  # noqa: SIM115  # by `close`
            for one in self._paths
        ]

    def write(self, content: bytes) -> None:
        """Raises OSError."""
        file = self._files[0]
        self._files.reverse()
        file.seek(0)
        if file.write(content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        for file in self._files:
            file.close()

    def remove(self) -> None:
        self.close()
        for path in self._paths:
            path.unlink(missing_ok=True)


class _Reader:
    """Bytes that come through a queue, as a file; an empty piece is its end."""

    def __init__(self, pieces: queue.Queue[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self._over = False

    def read(self, size: int = -1) -> bytes:
        while not self._rest and not self._over:
            self._rest = self._pieces.get()
            self._over = not self._rest
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


class _Counted:
    """A file that knows how much of what is sealed in it is complete."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._header: bytes | None = b""
        self._payload = -_SEAL  # the nonce is no sound

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._file.flush()
        if self._header is None:
            self._payload += len(data)
            return len(data)
        self._header += data
        end = self._header.find(_HEADER_END)
        end = self._header.find(b"\n", end + 1) if end >= 0 else -1
        if end >= 0:
            self._payload += len(self._header) - end - 1
            self._header = None
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def settled(self) -> int:
        """Bytes of what was written that can be read back from the file."""
        return max(0, self._payload) // (PIECE + _SEAL) * PIECE


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def sealed(content: bytes, recipients: Sequence[str]) -> bytes:
    """A whole file for `recipients`. Takes a while: for a thread."""
    keys = [pyrage.x25519.Recipient.from_str(one) for one in recipients]
    return bytes(pyrage.encrypt(content, keys))


def opened(path: Path, identity: str) -> bytes:
    """What is in a file, up to where it was when its writer died. `identity` is an age key
    (``AGE-SECRET-KEY-1…``). Raises OSError, and ValueError for a key that does not fit."""
    try:
        key = pyrage.x25519.Identity.from_str(identity)
    except pyrage.IdentityError as error:
        raise ValueError("that is no age key") from error
    sound = _Memory()
    try:
        with path.open("rb") as file:
            pyrage.decrypt_io(file, sound, [key])
    except (OSError, pyrage.DecryptError) as error:
        if not sound.content and not _tails(path):
            raise ValueError("that key does not open it") from error
    for begins, tail in _tails(path):
        with contextlib.suppress(pyrage.DecryptError):  # the one that was being written
            rest = pyrage.decrypt(tail.read_bytes(), [key])
            if begins <= len(sound.content) < begins + len(rest):
                sound.content = sound.content[:begins] + rest
    return sound.content


def _tails(path: Path) -> list[tuple[int, Path]]:
    """The ends beside a file, the earliest first."""
    found = []
    for tail in path.parent.glob(f"{path.name}.from-*.age"):
        begins = _TAIL.search(tail.name)
        if begins:
            found.append((int(begins[1]), tail))
    return sorted(found)


class _Memory:
    def __init__(self) -> None:
        self.content = b""

    def write(self, data: bytes) -> int:
        self.content += data
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""
