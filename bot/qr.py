"""Links as QR codes (ISO/IEC 18004): as a picture, and drawn with characters for terminals."""

from __future__ import annotations

import io

import segno

from bot.replies import Attachment

PICTURE = "image/png"
_SCALE, _QUIET = 8, 4
"Pixels of a module, and modules of white around (ISO/IEC 18004 §5.3.8)."
_BLOCKS = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
"Two modules above each other, dark or not; terminals write light on dark."


def qr_image(link: str) -> str:
    """The same as the address of an image (RFC 2397), for pages."""
    address: str = segno.make(link, error="m", micro=False).svg_data_uri(border=_QUIET, scale=4)
    return address


def qr_code(link: str, name: str) -> Attachment:
    """A link to be scanned; takes some 15 ms."""
    code = segno.make(link, error="m", micro=False)
    picture = io.BytesIO()
    code.save(picture, kind="png", scale=_SCALE, border=_QUIET)
    rows = [[bool(module) for module in row] for row in code.matrix_iter(border=_QUIET)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    pairs = zip(rows[::2], rows[1::2], strict=True)
    lines = ("".join(_BLOCKS[two] for two in zip(*pair, strict=True)) for pair in pairs)
    return Attachment(name, PICTURE, picture.getvalue(), drawn="\n".join(lines))
