"""The wider SRTP suites, with programs that have them: baresip AES-GCM (RFC 7714), linphonec
AES-CM with 256 bits (RFC 6188)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.peers.baresip import Baresip
from tests.peers.exchange import Config, Exchange, check_journal
from tests.peers.linphone import Linphone
from tests.peers.tone import assert_heard

from .common import HIGH, LOW, SECRET, secure

pytestmark = pytest.mark.interop
NEEDS = ("linphonec", "baresip")


def suites(trace: dict[str, Any], begin: str, *, sent: bool) -> list[list[str]]:
    """The suites in the messages that begin so, of those we sent or got."""
    texts = [line["text"] for line in trace["lines"] if line["sent"] is sent]
    found = [re.findall(r"a=crypto:\d+ (\S+)", text) for text in texts if text.startswith(begin)]
    return [each for each in found if each]


@pytest.mark.parametrize(
    ("callee", "chosen"),
    [("baresip", "AEAD_AES_256_GCM"), ("linphonec", "AES_256_CM_HMAC_SHA1_80")],
)
async def test_the_best_both_can_is_spoken(callee: str, chosen: str) -> None:
    async with Exchange(Config(secure("101", "102"))) as exchange:
        baresip, linphone = ("102", "101") if callee == "baresip" else ("101", "102")
        async with (
            Linphone(
                linphone, SECRET[linphone], exchange.tls, ca=exchange.ca, tone=LOW
            ) as soft,
            Baresip(
                baresip, SECRET[baresip], exchange.tls, tone=HIGH, transport="tls",
                srtp="srtp-mand", ca=exchange.ca,
            ) as phone,
        ):  # fmt: skip
            await (soft if callee == "baresip" else phone).dial("102")
            await soft.established()
            await phone.established()
            await soft.hears(HIGH)
            await phone.hears(LOW)
            await soft.hangup()
            assert_heard(await soft.heard(), HIGH, share=0.8)
            assert_heard(await phone.heard(), LOW, share=0.8)
        check_journal(await exchange.ended_call(), "101", "102")
        trace = await exchange.trace()
        assert suites(trace, "INVITE", sent=True)[0][0] == "AEAD_AES_256_GCM"
        assert suites(trace, "SIP/2.0 200", sent=False) == [[chosen]]
