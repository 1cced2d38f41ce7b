"""A throw-away certificate authority for peers that speak TLS, made with openssl."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from .proc import PeerError


@dataclass(frozen=True)
class Certificate:
    """PEM files: the authority, and one server certificate for 127.0.0.1 and some names."""

    ca: Path
    certificate: Path
    key: Path


async def _openssl(folder: Path, *arguments: str) -> None:
    child = await asyncio.create_subprocess_exec(
        "openssl", *arguments, cwd=folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await child.communicate()
    if child.returncode:
        raise PeerError(f"openssl {arguments[0]}: {output.decode(errors='replace')}")


async def make(folder: Path, *names: str) -> Certificate:
    """Write ca.pem, cert.pem and key.pem into `folder`."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    alternatives = ",".join(f"DNS:{name}" for name in ("localhost", *names))
    (folder / "san").write_text(f"subjectAltName=IP:127.0.0.1,{alternatives}\n")
    await _openssl(
        folder, "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem",
        "-subj", "/CN=test authority",
    )  # fmt: skip
    await _openssl(
        folder, "req", "-new", *curve[:5], "-keyout", "key.pem", "-out", "cert.csr",
        "-subj", "/CN=127.0.0.1",
    )  # fmt: skip
    await _openssl(
        folder, "x509", "-req", "-in", "cert.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-CAcreateserial", "-days", "2", "-extfile", "san", "-out", "cert.pem",
    )  # fmt: skip
    return Certificate(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
