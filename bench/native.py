"""The C programs of the bench: compiled on first use, kept by the hash of their source."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from bench.process import Unavailable

HERE = Path(__file__).parent
CACHE = HERE.parent / ".cache"
SRTP_HEADER = Path("/usr/include/srtp2/srtp.h")


def compiled(name: str, *, srtp: bool = False) -> Path:
    """The path of ``bench/NAME.c`` compiled with ``gcc -O2``, for SRTP with libsrtp."""
    source = HERE / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    binary = CACHE / "bench" / f"{name}{'-srtp' if srtp else ''}-{digest}"
    if binary.exists():
        return binary
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Unavailable("no C compiler here: apt-get install gcc libc6-dev")
    if srtp and not SRTP_HEADER.exists():
        raise Unavailable("libsrtp's header is not here: apt-get install libsrtp2-dev")
    before, after = (["-DWITH_SRTP", f"-I{SRTP_HEADER.parent}"], ["-lsrtp2"]) if srtp else ([], [])
    binary.parent.mkdir(parents=True, exist_ok=True)
    partial = binary.with_suffix(".new")
    done = subprocess.run(
        [compiler, "-O2", "-Wall", "-Wextra", *before, "-o", str(partial), str(source), *after],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"{source.name} does not compile:\n{done.stderr[-1500:]}")
    partial.rename(binary)
    return binary
