"""The peers against each other, without the exchange: `python -m tests.peers.selfcheck [NAME …]`.

When an interop test fails, this tells whether the tools are to blame.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from . import certs, ports, sipp
from .baresip import Baresip
from .kamailio import Kamailio
from .linphone import Linphone
from .proc import PeerError
from .pyvoip_phone import PyVoipPhone
from .tone import assert_heard

LOW, HIGH = 440, 660
USERS = {"101": "word-1", "102": "word-2", "103": "word-3"}
_checks: list[Callable[[], Awaitable[None]]] = []


def check(function: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    _checks.append(function)
    return function


@contextlib.asynccontextmanager
async def _carrier() -> AsyncIterator[tuple[Kamailio, tuple[str, int], Path]]:
    """Kamailio with TLS, its TLS address, the authority's file."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = await certs.make(Path(folder))
        async with Kamailio(USERS, tls=certificate) as carrier:
            yield carrier, (ports.HOST, carrier.tls_port), certificate.ca


async def _sipp_pair(transport: str, **options: object) -> None:
    callee_options = {key: options.pop(key) for key in ("early", "hangs_up") if key in options}
    async with (
        sipp.callee(
            "102", tone=HIGH, transport=transport, talk=1.5, ring=0.6, **callee_options  # type: ignore[arg-type]
        ) as callee,
        sipp.caller(
            callee.address, "102", number="101", tone=LOW, transport=transport, talk=1.5,
            **options,  # type: ignore[arg-type]
        ) as caller,
    ):  # fmt: skip
        await caller.answered()
        caller.media.send_digits("12#")
        await asyncio.gather(caller.finish(), callee.finish())
        assert_heard(caller.media.pcm(), HIGH)
        assert_heard(callee.media.pcm(), LOW)
        assert callee.media.digits() == "12#"


@check
async def sipp_udp() -> None:
    await _sipp_pair("udp")
    await _sipp_pair("udp", hangs_up=True, callee_hangs_up=True)


@check
async def sipp_tcp() -> None:
    await _sipp_pair("tcp")
    await _sipp_pair("tcp", hangs_up=True, callee_hangs_up=True)


@check
async def sipp_hold_and_early_media() -> None:
    await _sipp_pair("udp", hold=True)
    async with (
        sipp.callee("102", tone=HIGH) as callee,
        sipp.caller(callee.address, "102", number="101", tone=LOW, talk=1, hold=True) as caller,
    ):
        await callee.messages.wait(lambda m: "a=sendonly" in m.sdp, what="hold")
        held = len(caller.media.packets)
        await callee.messages.wait(lambda m: "CSeq: 4 INVITE" in m.text, what="resume")
        resumed = len(caller.media.packets)
        assert resumed - held < 5, f"{resumed - held} packets during hold"
        await asyncio.gather(caller.finish(), callee.finish())
        assert_heard(caller.media.pcm(resumed), HIGH, seconds=0.7)
    await _sipp_pair("udp", early=True)


@check
async def sipp_busy_and_cancel() -> None:
    for there, here, status in (
        ("uas_busy", "uac_refused", 486),
        ("uas_silent", "uac_cancel", 487),
    ):
        for transport in ("udp", "tcp"):
            async with (
                sipp.Sipp(there, number="102", transport=transport) as callee,
                sipp.Sipp(
                    here, callee.address, number="101", to="102", transport=transport,
                    variables={"talk": 200} if here == "uac_cancel" else {},
                ) as caller,
            ):  # fmt: skip
                await asyncio.gather(caller.finish(), callee.finish())
                assert caller.final.status == status


@check
async def sipp_kamailio() -> None:
    """Registration, digest on both, two Record-Routes, a wrong password, OPTIONS."""
    for transport in ("udp", "tcp"):
        async with Kamailio(USERS) as carrier:
            async with (
                sipp.registered_callee(
                    carrier.access, "102", USERS["102"], tone=HIGH, transport=transport
                ) as callee,
                sipp.caller(
                    carrier.access, "102", number="101", password=USERS["101"], tone=LOW,
                    talk=1.5,
                ) as caller,
            ):  # fmt: skip
                await asyncio.gather(caller.finish(), callee.finish())
                assert_heard(caller.media.pcm(), HIGH)
                assert_heard(callee.media.pcm(), LOW)
            async with sipp.Sipp(
                "register_refused", carrier.access, number="102", password="wrong"
            ) as wrong:
                await wrong.finish()
            async with sipp.Sipp(
                "uac_refused", carrier.access, number="101", to="102", password="wrong"
            ) as wrong:
                await wrong.finish()
                assert wrong.final.status == 407
            async with sipp.Sipp("options", carrier.access, to="102") as ask:
                await ask.finish()


@check
async def carrier_both_ways() -> None:
    """A customer calls out to the network side; the network calls the customer's number."""
    async with sipp.callee("network", tone=HIGH) as network:
        users, dids = {"account": "pass"}, {"+12025550100": "account"}
        async with Kamailio(users, network=network.address, dids=dids) as carrier:
            async with sipp.caller(
                carrier.access, "+12025550143", number="account", password="pass", tone=LOW,
                talk=1.5,
            ) as customer:  # fmt: skip
                await asyncio.gather(customer.finish(), network.finish())
                assert_heard(customer.media.pcm(), HIGH)
                assert_heard(network.media.pcm(), LOW)
            port = ports.free_port()
            await sipp.register(carrier.access, "account", "pass", port=port)
            async with (
                sipp.callee("account", tone=LOW, port=port) as phone,
                sipp.caller(
                    carrier.network_side, "+12025550100", number="+12025550143", tone=HIGH, talk=1.5
                ) as outside,
            ):
                await asyncio.gather(outside.finish(), phone.finish())
                assert_heard(outside.media.pcm(), LOW)
                assert_heard(phone.media.pcm(), HIGH)
                assert "+12025550100@" in (await phone.received("INVITE")).start


async def _talk(caller: Baresip | Linphone, callee: Baresip | Linphone, number: str) -> None:
    await caller.dial(number)
    await caller.established()
    await callee.established()
    await caller.hears(HIGH)
    await callee.hears(LOW)
    await caller.hangup()
    assert_heard(await caller.heard(), HIGH, share=0.8)
    assert_heard(await callee.heard(), LOW, share=0.8)


@check
async def baresip_udp() -> None:
    async with (
        _carrier() as (carrier, _, _),
        Baresip("101", USERS["101"], carrier.access, tone=LOW) as caller,
        Baresip("102", USERS["102"], carrier.access, tone=HIGH) as callee,
    ):
        await _talk(caller, callee, "102")


@check
async def baresip_tls_srtp() -> None:
    async with (
        _carrier() as (_, tls, ca),
        Baresip(
            "101", USERS["101"], tls, tone=LOW, transport="tls", srtp="srtp-mand", ca=ca
        ) as caller,
        Baresip(
            "102", USERS["102"], tls, tone=HIGH, transport="tls", srtp="srtp-mand", ca=ca
        ) as callee,
    ):
        await _talk(caller, callee, "102")


@check
async def baresip_controls() -> None:
    """Digits both ways, hold and resume, manual answer."""
    async with (
        _carrier() as (carrier, _, _),
        Baresip("101", USERS["101"], carrier.access, tone=LOW) as caller,
        Baresip("102", USERS["102"], carrier.access, tone=HIGH, auto_answer=False) as callee,
    ):
        await caller.dial("102")
        await callee.wait("CALL_INCOMING")
        await callee.accept()
        await caller.established()
        await callee.established()
        await caller.digits("15#")
        await callee.events.wait(lambda e: e["type"] == "CALL_DTMF_START" and e["param"] == "#")
        got = [e["param"] for e in callee.events.items if e["type"] == "CALL_DTMF_START"]
        assert got == list("15#"), got
        await caller.hears(HIGH, 1)
        await caller.hold()
        await caller.resume()
        await caller.hears(HIGH, 1)
        await callee.hangup()
        await caller.closed()


@check
async def linphone_tls_srtp() -> None:
    async with _carrier() as (_, tls, ca):
        async with (
            Baresip(
                "101", USERS["101"], tls, tone=LOW, transport="tls", srtp="srtp-mand", ca=ca
            ) as caller,
            Linphone("103", USERS["103"], tls, ca=ca, tone=HIGH) as callee,
        ):
            await _talk(caller, callee, "103")
        async with (
            Linphone("103", USERS["103"], tls, ca=ca, tone=LOW) as caller2,
            Baresip(
                "101", USERS["101"], tls, tone=HIGH, transport="tls", srtp="srtp-mand", ca=ca
            ) as callee2,
        ):
            await _talk(caller2, callee2, "101")


@check
async def linphone_refuses_unknown_authority() -> None:
    other = Path("/etc/ssl/certs/ca-certificates.crt")
    async with _carrier() as (_, tls, _):
        phone = Linphone("103", USERS["103"], tls, patience=3, ca=other)
        with contextlib.suppress(PeerError):
            async with phone:
                raise AssertionError("linphonec trusted an unknown authority")
        assert "verification failed" in phone.log(), phone.log()


@check
async def linphone_sha256() -> None:
    """Of all the peers only linphonec can do more than MD5 (README.md)."""
    async with (
        Kamailio(USERS, algorithm="SHA-256") as carrier,
        Linphone("103", USERS["103"], carrier.access, transport="udp", srtp=False),
    ):
        await carrier.registered("103")


@check
async def pyvoip() -> None:
    """Called, and calling."""
    async with Kamailio(USERS, challenge=401) as carrier:  # it cannot answer a 407
        async with (
            PyVoipPhone("102", USERS["102"], carrier.access, tone=HIGH) as phone,
            Baresip("101", USERS["101"], carrier.access, tone=LOW) as other,
        ):
            await other.dial("102")
            await other.established()
            await phone.established()
            await other.hears(HIGH)
            await other.hangup()
            await phone.closed()
            assert_heard(await phone.heard(), LOW, share=0.8)
        async with (
            PyVoipPhone("102", USERS["102"], carrier.access, tone=HIGH) as phone,
            Baresip("101", USERS["101"], carrier.access, tone=LOW) as other,
        ):
            await phone.dial("101")
            await phone.established()
            # it knows no Record-Route: its ACK and BYE get lost in a proxy, not in an exchange
            await other.hears(HIGH)
            assert_heard(await phone.heard(), LOW, share=0.8)


async def _main(names: list[str]) -> int:
    failed = 0
    for function in _checks:
        if names and function.__name__ not in names:
            continue
        start = time.monotonic()
        try:
            async with asyncio.timeout(60):
                await function()
            outcome = "ok"
        except Exception:
            failed += 1
            outcome = "FAILED\n" + traceback.format_exc()
        print(f"{function.__name__}: {time.monotonic() - start:.1f} s {outcome}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(_main(sys.argv[1:])) else 0)
