"""REFER as phones send it, and as nobody should."""

from __future__ import annotations

import pytest

from pbx.sip.message import ParseError, Request
from pbx.sip.refer import Replaces, fragment, read_refer


def refer(*targets: str, **headers: str) -> Request:
    request = Request("REFER", "sip:101@pbx")
    request.set("refer-to", targets)
    for name, value in headers.items():
        request.set(name.replace("_", "-"), value)
    return request


def test_to_somebody() -> None:
    read = read_refer(refer('"Carol <x>" <sip:103@pbx;user=phone>', refer_sub="false"))
    assert (read.target.user, read.replaces, read.silent) == ("103", None, True)


@pytest.mark.parametrize(
    "target",
    [
        "<sip:103@pbx?Replaces=a%40h%3bto-tag%3d1%3bfrom-tag%3d2>",
        "<sip:103@pbx?Require=replaces&replaces=a%40h%3Bfrom-tag%3D2%3Bto-tag%3D1%3Bearly-only>",
    ],
)
def test_in_place_of_a_call(target: str) -> None:
    assert read_refer(refer(target)).replaces == Replaces("a@h", "1", "2")


@pytest.mark.parametrize(
    "targets",
    [
        (),
        ("sip:1@a", "sip:2@a"),
        ("<>",),
        ("<sip:103@pbx?Replaces=>",),
        ("<sip:103@pbx?Replaces=a%3bto-tag%3d1>",),
        ("<sip:103@pbx?Replaces=" + "%61" * 1000 + ">",),
        ("\udcff<sip:\udcff@>",),
    ],
)
def test_nonsense_is_refused(targets: tuple[str, ...]) -> None:
    with pytest.raises((ParseError, ValueError)):
        read_refer(refer(*targets))


def test_what_a_notify_says() -> None:
    assert fragment(486) == b"SIP/2.0 486 Busy Here\r\n"
