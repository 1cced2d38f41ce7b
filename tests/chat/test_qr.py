"""QR codes: what is seen of them is read by a scanner we did not write."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bot.console import Console
from bot.qr import qr_code
from bot.replies import Reply
from tests.peers.proc import missing
from tests.peers.zbar import scanned

pytestmark = pytest.mark.skipif(bool(missing("zbarimg")), reason="zbarimg is not installed")
LINK = "https://pbx.example.org:8443/tel/linphone/0123456789abcdef0123456789abcdef"
_DOTS = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}
MODULE = 6


def photographed(drawn: list[str]) -> bytes:
    """What a terminal shows of blocks, light on dark, as a PGM picture."""
    rows = []
    for line in drawn:
        for half in (0, 1):
            row = b"".join(bytes([_DOTS[block][half]]) * MODULE for block in line)
            rows += [row] * MODULE
    return b"P5 %d %d 255\n" % (len(rows[0]), len(rows)) + b"".join(rows)


@pytest.mark.parametrize("link", [LINK, LINK + "x" * 200, "https://a"])
async def test_the_picture_leads_to_the_link(link: str) -> None:
    assert await scanned(qr_code(link, "phone.png").content) == link


async def test_a_terminal_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    Console().show(Reply(text="Scan this:", file=qr_code(LINK, "phone.png")))
    first, *drawn = capsys.readouterr().out.splitlines()
    assert first == "bot> Scan this:"
    assert await scanned(photographed([line.removeprefix("bot> ") for line in drawn])) == LINK
    assert max(len(line) for line in drawn) <= 80


def test_it_is_loaded_only_where_it_is_drawn() -> None:
    """The command line starts as fast as before."""
    code = "import sys, encryptotel.cli; print('segno' in sys.modules, 'fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
