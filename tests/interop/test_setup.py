"""Phones that are set up by a link or have an account of their own: other people's programs."""

from __future__ import annotations

import pytest

from tests.peers import sipp
from tests.peers.baresip import Baresip
from tests.peers.exchange import WEB, Config, Exchange, check_journal
from tests.peers.linphone import Linphone
from tests.peers.proc import PeerError
from tests.peers.tone import assert_heard

from .common import LOW, SECRET, plain, secure

pytestmark = pytest.mark.interop
NEEDS = ("linphonec", "baresip", "sipp")


async def test_linphone_is_set_up_by_the_code_it_scans() -> None:
    """Account, TLS with its check, SRTP and realm: all from the link, to an encrypted call."""
    async with Exchange(Config(secure("101"), extra=WEB)) as exchange:
        link = await exchange.cli("device add", "101", "--name", "Alice's desk", "--link")
        async with Linphone(
            "101", "", exchange.tls, ca=exchange.ca, tone=LOW, fetches=link["phone"]
        ) as soft:
            (device,) = (await exchange.cli("device list"))["devices"]
            assert device["name"] == "Alice's desk"
            assert device["agent"].startswith("Linphone")
            await soft.dial("sip:600@encryptotel.local")
            await soft.established()
            await soft.hears(LOW, rate=48_000)
            await soft.hangup()
            assert_heard(await soft.heard(), LOW, share=0.8)
        call = await exchange.ended_call()
        check_journal(call, "101", "600", legs=1)
        assert call["legs"][0]["device"].startswith("tls:")
        assert call["legs"][0]["srtp"]
        with pytest.raises(PeerError, match="does not register"):  # used up
            async with Linphone(
                "101", "", exchange.tls, ca=exchange.ca, fetches=link["phone"], patience=3
            ):
                pass


async def test_a_revoked_phone_is_out_at_once_and_the_others_stay() -> None:
    async with Exchange(Config(plain("101", "102"), extra=WEB)) as exchange:
        desk = await exchange.cli("device add", "101", "--name", "desk")
        lost = await exchange.cli("device add", "101", "--name", "lost")
        async with (
            Baresip(
                "101", desk["password"], exchange.tls, user=desk["authentication"],
                transport="tls", ca=exchange.ca, tone=LOW,
            ) as phone,
            Baresip("102", SECRET["102"], exchange.udp) as other,
        ):  # fmt: skip
            await sipp.register(
                exchange.udp, "101", lost["password"], user=lost["authentication"], expires=600
            )
            here = {d["name"]: d for d in (await exchange.cli("device list"))["devices"]}
            assert here["desk"]["connected_since"]
            assert here["lost"]["connected_since"]
            await phone.dial("102")
            await phone.established()
            await exchange.cli("device revoke", lost["authentication"])
            (left,) = (await exchange.cli("device list"))["devices"]
            assert left["name"] == "desk"
            assert left["connected_since"]
            status = await exchange.cli("status")
            assert {p["extension"]: p["devices"] for p in status["phones"]} == {"101": 1, "102": 1}
            async with sipp.Sipp(
                "register_refused", exchange.udp, number="101", user=lost["authentication"],
                password=lost["password"],
            ) as refused:  # fmt: skip
                await refused.finish()
                assert refused.final.status == 403
            await exchange.cli("device revoke", desk["authentication"])
            status = await exchange.cli("status")
            assert {p["extension"]: p["devices"] for p in status["phones"]} == {"101": 0, "102": 1}
            await other.hears(LOW)  # the call goes on
            await phone.hangup()
            await other.closed()
        await sipp.register(exchange.udp, "101", SECRET["101"])  # the extension's own
