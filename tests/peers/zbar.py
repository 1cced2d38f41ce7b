"""zbarimg reads QR codes, as a phone's camera does."""

from __future__ import annotations

import asyncio
import tempfile


async def scanned(picture: bytes) -> str:
    """What is in the one code of a picture (PNG or PGM)."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(picture)
        file.flush()
        process = await asyncio.create_subprocess_exec(
            "zbarimg", "--quiet", "--raw", "--nodbus", file.name, stdout=asyncio.subprocess.PIPE
        )
        found, _ = await process.communicate()
    (text,) = found.decode().splitlines()
    return text
