"""SIPp as caller, callee and trunk; UDP and TCP; with and without digest."""

from __future__ import annotations

import asyncio

import pytest

from tests.peers import ports, sipp
from tests.peers.exchange import Config, Exchange, Trunk, check_journal
from tests.peers.tone import assert_heard

from .common import HIGH, LOW, OUTSIDE, SECRET, US, plain

pytestmark = pytest.mark.interop
NEEDS = ("sipp",)
both_transports = pytest.mark.parametrize("transport", ["udp", "tcp"])


def trunk(port: int) -> Trunk:
    """A carrier that knows us by address."""
    return Trunk("static", ports.HOST, port, [US])


@both_transports
async def test_registers_and_hears_its_echo(transport: str) -> None:
    async with Exchange(Config(plain("101"))) as exchange:
        server = exchange.address(transport)
        answer = await sipp.register(server, "101", SECRET["101"], transport=transport)
        assert answer.header("Contact"), answer
        async with sipp.caller(
            server, "600", number="101", password=SECRET["101"], tone=LOW, talk=2,
            transport=transport,
        ) as caller:  # fmt: skip
            await caller.finish()
            assert_heard(caller.media.pcm(), LOW)
        check_journal(await exchange.ended_call(), "101", "600", legs=1)


@both_transports
async def test_wrong_password_is_refused(transport: str) -> None:
    async with Exchange(Config(plain("101"))) as exchange, sipp.Sipp(
        "register_refused", exchange.address(transport), number="101", password="wrong",
        transport=transport,
    ) as phone:  # fmt: skip
        await phone.finish()
        assert phone.final.status in (401, 403)


async def test_unknown_user_looks_like_a_known_one() -> None:
    async with Exchange(Config(plain("101"))) as exchange:
        seen = []
        for number in ("101", "199"):
            async with sipp.Sipp(
                "register_refused", exchange.udp, number=number, password="wrong"
            ) as phone:
                await phone.finish()
                seen.append([m.start for m in phone.messages.items if m.received])
        assert seen[0] == seen[1]


async def test_invite_without_credentials_is_challenged() -> None:
    async with (
        Exchange(Config(plain("101", "102"))) as exchange,
        sipp.Sipp("uac_refused", exchange.udp, number="101", to="600", password="wrong") as caller,
    ):
        await caller.finish()
        first = next(m for m in caller.messages.items if m.received and m.status >= 200)
        assert first.status in (401, 407)
        assert caller.final.status in (401, 403, 407)


async def test_options_is_answered() -> None:
    async with (
        Exchange(Config(plain("101"))) as exchange,
        sipp.Sipp("options", exchange.udp, number="101", to="101") as phone,
    ):
        await phone.finish()


@both_transports
@pytest.mark.parametrize("callee_hangs_up", [False, True])
async def test_extension_calls_extension(transport: str, callee_hangs_up: bool) -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        server = exchange.address(transport)
        async with (
            sipp.registered_callee(
                server, "102", SECRET["102"], transport=transport, tone=HIGH, talk=2,
                hangs_up=callee_hangs_up,
            ) as callee,
            sipp.caller(
                server, "102", number="101", password=SECRET["101"], transport=transport,
                tone=LOW, talk=2, callee_hangs_up=callee_hangs_up,
            ) as caller,
        ):  # fmt: skip
            await asyncio.gather(caller.finish(), callee.finish())
            assert_heard(caller.media.pcm(), HIGH)
            assert_heard(callee.media.pcm(), LOW)
        check_journal(await exchange.ended_call(), "101", "102")


async def test_udp_calls_tcp() -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        async with (
            sipp.registered_callee(
                exchange.tcp, "102", SECRET["102"], transport="tcp", tone=HIGH
            ) as callee,
            sipp.caller(
                exchange.udp, "102", number="101", password=SECRET["101"], tone=LOW, talk=2
            ) as caller,
        ):
            await asyncio.gather(caller.finish(), callee.finish())
            assert_heard(caller.media.pcm(), HIGH)
            assert_heard(callee.media.pcm(), LOW)
        check_journal(await exchange.ended_call(), "101", "102")


async def test_trunk_calls_extension_without_credentials() -> None:
    port = ports.free_port()
    config = Config(plain("101"), [trunk(port)], {US: "101"})
    async with Exchange(config) as exchange:
        async with (
            sipp.registered_callee(exchange.udp, "101", SECRET["101"], tone=HIGH) as phone,
            sipp.caller(exchange.udp, US, number=OUTSIDE, tone=LOW, talk=2, port=port) as outside,
        ):
            await asyncio.gather(outside.finish(), phone.finish())
            assert not [m for m in outside.messages.items if m.status in (401, 407)]
            assert_heard(outside.media.pcm(), HIGH)
            assert_heard(phone.media.pcm(), LOW)
            assert OUTSIDE.lstrip("+") in (await phone.received("INVITE")).header("From")
        check_journal(await exchange.ended_call(), OUTSIDE.lstrip("+"), US.lstrip("+"))


async def test_a_stranger_is_not_taken_for_the_trunk() -> None:
    config = Config(plain("101"), [trunk(ports.free_port())], {US: "101"})
    async with (
        Exchange(config) as exchange,
        sipp.Sipp(
            "uac_refused", exchange.udp, host="127.0.0.2", number=OUTSIDE, to=US, password="none"
        ) as stranger,
    ):
        await stranger.finish()
        assert stranger.final.status in (401, 403, 407)


@pytest.mark.parametrize("early", [False, True])
async def test_extension_calls_out_through_the_trunk(early: bool) -> None:
    async with (
        sipp.callee("network", tone=HIGH, ring=1.5 if early else 0.1, early=early) as outside,
        Exchange(Config(plain("101"), [trunk(outside.port)])) as exchange,
    ):
        async with sipp.caller(
            exchange.udp, OUTSIDE, number="101", password=SECRET["101"], tone=LOW, talk=2
        ) as caller:
            if early:
                await caller.received(183)
                await caller.media.wait_packets(40)
                assert_heard(caller.media.pcm(), HIGH, seconds=0.5)
                assert not [m for m in caller.messages.items if m.status == 200]
            await asyncio.gather(caller.finish(), outside.finish())
            assert_heard(caller.media.pcm(), HIGH)
            assert_heard(outside.media.pcm(), LOW)
            invite = await outside.received("INVITE")
            assert invite.start.startswith(f"INVITE sip:{OUTSIDE}@"), invite.start
            assert US.lstrip("+") in invite.header("From")
        check_journal(await exchange.ended_call(), "101", OUTSIDE.lstrip("+"))


async def test_busy() -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        async with (
            sipp.registered_callee(exchange.udp, "102", SECRET["102"], answer="uas_busy") as callee,
            sipp.Sipp(
                "uac_refused", exchange.udp, number="101", to="102", password=SECRET["101"]
            ) as caller,
        ):
            await asyncio.gather(caller.finish(), callee.finish())
            assert caller.final.status == 486
        check_journal(await exchange.ended_call(), "101", "102", answered=False, cause="busy")


async def test_caller_gives_up() -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        async with (
            sipp.registered_callee(
                exchange.udp, "102", SECRET["102"], answer="uas_silent"
            ) as callee,
            sipp.Sipp(
                "uac_cancel", exchange.udp, number="101", to="102", password=SECRET["101"],
                variables={"talk": 300},
            ) as caller,
        ):  # fmt: skip
            await asyncio.gather(caller.finish(), callee.finish())
            assert caller.final.status == 487
            await callee.received("CANCEL")
        check_journal(
            await exchange.ended_call(),
            "101",
            "102",
            answered=False,
            cause="cancel|terminat|gave up",
        )


async def test_nobody_answers() -> None:
    async with Exchange(Config(plain("101", "102"), ring_timeout=2)) as exchange:
        async with (
            sipp.registered_callee(
                exchange.udp, "102", SECRET["102"], answer="uas_silent"
            ) as callee,
            sipp.Sipp(
                "uac_refused", exchange.udp, number="101", to="102", password=SECRET["101"]
            ) as caller,
        ):
            await asyncio.gather(caller.finish(), callee.finish())
            assert caller.final.status in (408, 480, 487)
            await callee.received("CANCEL")
        check_journal(
            await exchange.ended_call(), "101", "102", answered=False,
            cause="answer|timeout|timed out|unavailable",
        )  # fmt: skip


async def test_nobody_registered() -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        async with sipp.Sipp(
            "uac_refused", exchange.udp, number="101", to="102", password=SECRET["101"]
        ) as caller:
            await caller.finish()
            assert caller.final.status == 480
        check_journal(await exchange.ended_call(), "101", "102", legs=1, answered=False)


async def test_hold_and_resume() -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        async with (
            sipp.registered_callee(exchange.udp, "102", SECRET["102"], tone=HIGH) as callee,
            sipp.caller(
                exchange.udp, "102", number="101", password=SECRET["101"], tone=LOW, talk=1.5,
                hold=True,
            ) as caller,
        ):  # fmt: skip
            await _re_invited(caller, 1)
            held = len(caller.media.packets)
            assert_heard(caller.media.pcm(), HIGH, seconds=0.8)
            await _re_invited(caller, 2)
            resumed = len(caller.media.packets)
            assert resumed - held < 15, "the holding side was sent sound"
            since = len(callee.media.packets)
            await asyncio.gather(caller.finish(), callee.finish())
            assert_heard(caller.media.pcm(resumed), HIGH)
            assert_heard(callee.media.pcm(since), LOW)
        check_journal(await exchange.ended_call(), "101", "102")


async def _re_invited(caller: sipp.Sipp, count: int) -> None:
    """Wait for the 200 to its re-INVITE number `count`."""
    await caller.messages.wait(
        lambda m: m.received and m.status == 200 and m.header("CSeq").startswith(f"{2 + count} "),
        what=f"200 to re-INVITE {count}",
    )


async def test_digits_pass_between_extensions() -> None:
    async with Exchange(Config(plain("101", "102"))) as exchange:
        async with (
            sipp.registered_callee(exchange.udp, "102", SECRET["102"], tone=HIGH) as callee,
            sipp.caller(
                exchange.udp, "102", number="101", password=SECRET["101"], tone=LOW, talk=2
            ) as caller,
        ):
            await caller.answered()
            caller.media.send_digits("17*#")
            await asyncio.gather(caller.finish(), callee.finish())
            assert callee.media.digits() == "17*#"
        check_journal(await exchange.ended_call(), "101", "102")
