"""Browsers as phones: SIP over Kamailio's WebSocket, media by an rtpengine (ICE, DTLS-SRTP)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from encryptotel.demo.phone import Phone, plays
from pbx.media.tones import tone
from pbx.ports import CallRefused
from tests.calls.test_extensions import hears
from tests.calls.test_rtpengine import patched, the_call
from tests.cluster.nodes import home_of, until
from tests.cluster.test_edge import city, phone
from tests.cluster.test_nodes import apart
from tests.office import Office
from tests.peers.browser_phone import BrowserPhone, browser_phone
from tests.peers.chromium import chromium
from tests.peers.edge import HOST, Edge
from tests.peers.postgres import Postgres
from tests.peers.rtpengine import Rtpengine
from tests.peers.several import certificate_of


@dataclass
class Town:
    offices: list[Office]
    edge: Edge
    browser: Browser
    stack: AsyncExitStack = field(repr=False)

    async def in_browser(self, number: str, hertz: float, **kinds: Any) -> BrowserPhone:
        """A browser's phone that everybody knows of."""
        server = f"wss://{HOST}:{self.edge.ports['tls']}"
        found = await self.stack.enter_async_context(
            browser_phone(self.browser, server, number, hertz, **kinds)
        )
        await self.known(number)
        return found

    async def at_desk(self, number: str, hertz: float) -> Phone:
        """A phone of the usual kind."""
        found = await phone(self.edge, number, Phone(plays(tone(1, hertz))))
        self.stack.push_async_callback(found.stop)
        await self.known(number)
        return found

    async def known(self, number: str) -> None:
        for office in self.offices:
            await until(lambda one=office: bool(one.app.exchange.registrar.bindings(number)))

    def home(self, number: str) -> Office:
        return home_of(number, self.offices)


@asynccontextmanager
async def town(
    folder: Path, postgres: Postgres, *engines: Rtpengine, count: int = 2
) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        media = {"rtpengines": [one.asked for one in engines]}
        offices, edge = await stack.enter_async_context(city(folder, postgres, count, media=media))
        shown = certificate_of(offices[0].app.data).certificate
        browser = await stack.enter_async_context(chromium(shown))
        yield Town(offices, edge, browser, await stack.enter_async_context(AsyncExitStack()))


async def talk(alice: BrowserPhone, bob: Phone) -> None:
    """Both hear the other from now on."""
    await alice.forget()
    bob.heard.clear()
    await alice.hears(620.0)
    await hears(bob, 440.0)


async def test_a_browser_calls_a_phone(
    tmp_path: Path, postgres: Postgres, rtpengine: Rtpengine
) -> None:
    async with town(tmp_path, postgres, rtpengine) as here:
        one, other = apart(here.offices)
        bob = await here.at_desk(other, 620.0)
        alice = await here.in_browser(one, 440.0)
        await alice.call(other)
        await alice.hears(620.0)
        await hears(bob, 440.0)
        call = the_call(here.home(one))
        await patched(call)
        assert call.legs[0].secured
        await talk(alice, bob)
        keyed = asyncio.Event()
        assert call.bridge is not None
        call.bridge.on_stars = lambda who: keyed.set()
        for _ in range(2):
            await alice.press("*")
        async with asyncio.timeout(5):
            await keyed.wait()
        await alice.hang_up()
        await here.home(one).ended()


async def test_a_phone_calls_a_browser(
    tmp_path: Path, postgres: Postgres, rtpengine: Rtpengine
) -> None:
    async with town(tmp_path, postgres, rtpengine) as here:
        one, other = apart(here.offices)
        alice = await here.in_browser(one, 440.0)
        bob = await here.at_desk(other, 620.0)
        leg = await bob.call(one)
        await talk(alice, bob)
        leg.hang_up()
        await alice.reached("Terminated")


async def test_two_browsers_see_each_other(
    tmp_path: Path, postgres: Postgres, rtpengine: Rtpengine
) -> None:
    async with town(tmp_path, postgres, rtpengine) as here:
        one, other = apart(here.offices)
        alice = await here.in_browser(one, 440.0, video=True)
        bob = await here.in_browser(other, 620.0, video=True)
        await alice.call(other, video=True)
        await asyncio.gather(alice.hears(620.0), bob.hears(440.0))
        await asyncio.gather(alice.sees(20), bob.sees(20))
        await patched(the_call(here.home(one)))
        for each in (alice, bob):
            await each.forget()
        await asyncio.gather(alice.hears(620.0), bob.hears(440.0), alice.sees(20), bob.sees(20))
        await alice.hang_up()
        await bob.reached("Terminated")


async def test_a_browser_hears_what_we_play(
    tmp_path: Path, postgres: Postgres, rtpengine: Rtpengine
) -> None:
    async with town(tmp_path, postgres, rtpengine) as here:
        alice = await here.in_browser("101", 440.0)
        await alice.call("600")  # which gives everything back
        await alice.hears(440.0)
        await alice.hang_up()


async def test_a_browser_follows_to_another_engine(tmp_path: Path, postgres: Postgres) -> None:
    async with (
        Rtpengine() as first,
        Rtpengine() as second,
        town(tmp_path, postgres, first, second) as here,
    ):
        one, other = apart(here.offices)
        alice = await here.in_browser(one, 440.0)
        bob = await here.at_desk(other, 620.0)
        await alice.call(other)
        await talk(alice, bob)
        anchor = the_call(here.home(one)).legs[0].anchor
        assert anchor is not None
        used = first if str(anchor.engine).endswith(first.asked) else second
        await used.kill()
        left = second if used is first else first
        for office in here.offices:
            call = the_call(office)
            await until(
                lambda call=call: all(
                    leg.anchor is not None and str(leg.anchor.engine).endswith(left.asked)
                    for leg in call.legs
                )
            )
        await talk(alice, bob)
        await alice.hang_up()


async def test_without_an_engine_a_browser_is_told_so(tmp_path: Path, postgres: Postgres) -> None:
    async with town(tmp_path, postgres) as here:
        one, other = apart(here.offices)
        alice = await here.in_browser(one, 440.0)
        bob = await here.at_desk(other, 620.0)
        await alice.call(other)
        await alice.reached("488")
        with pytest.raises(CallRefused) as refused:
            await bob.call(one)
        assert refused.value.status == 488


async def test_a_browser_puts_a_call_on_hold_and_goes_on(
    tmp_path: Path, postgres: Postgres, rtpengine: Rtpengine
) -> None:
    async with town(tmp_path, postgres, rtpengine) as here:
        one, other = apart(here.offices)
        bob = await here.at_desk(other, 620.0)
        alice = await here.in_browser(one, 440.0)
        await alice.call(other)
        await talk(alice, bob)
        (held,) = bob.legs
        await alice.hold()
        assert held.media.remote is not None
        assert held.media.remote.on_hold
        await alice.hold(False)
        assert held.media.remote.two_way
        await talk(alice, bob)
        held.hang_up()  # and it is still reached
        await alice.reached("Terminated")
