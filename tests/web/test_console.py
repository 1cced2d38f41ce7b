"""The console page in a real browser: from the link in the chat to a call that is over."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, expect

from encryptotel.demo.phone import Phone, plays
from pbx.events import CallEnded
from pbx.media.tones import tone
from tests.calls.test_callback import telephone_network
from tests.peers.chromium import chromium
from tests.web.site import Site, open_site
from tests.web.test_api import Client, key
from tests.web.test_webhooks import PRIVATE, crm, hook

WHITE_PAPER = "Call the number +1 202 555 0143 from the USA zone number, then call me back on 101"
LINK = re.compile(r"https://\S+/console/#[0-9a-f]{32}")
MOST_BYTES = 150_000
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
IN_DOCS = (
    "console-call", "console-ladder", "console-history-light", "console-redirects-light",
    "console-agenda-dark",
)  # fmt: skip
SERIOUS = ("serious", "critical")


class Seat:
    """Somebody before a browser, with a chat beside it."""

    def __init__(self, site: Site, browser: Browser) -> None:
        self.site, self.office, self.browser = site, site.office, browser
        self.errors: list[str] = []

    async def link(self) -> str:
        (reply,) = await self.office.dialogue().hear("open the console")
        assert reply.private
        found = LINK.search(reply.text)
        assert found, reply.text
        return found[0]

    async def page(self, context: BrowserContext, link: str) -> Page:
        page = await context.new_page()
        page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        await page.goto(link)
        return page

    async def enter(self, **options: Any) -> Page:
        page = await self.page(await self.browser.new_context(**options), await self.link())
        await expect(page.get_by_text("connected", exact=True)).to_be_visible()
        return page


@asynccontextmanager
async def seat(folder: Path, **sections: Any) -> AsyncIterator[Seat]:
    async with open_site(folder, **sections) as site:
        shown = site.office.app.certificates.certificate
        async with chromium(shown) as browser:
            one = Seat(site, browser)
            yield one
            assert not one.errors


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Say to your exchange").fill(text)
    await page.get_by_role("button", name="Say", exact=True).click()


async def serious(page: Page) -> list[str]:
    """What would keep people out who cannot see, or use no mouse."""
    found = await Axe().run(page)
    return [
        f"{one['id']}: {one['nodes'][0]['html']}"
        for one in found.response["violations"]
        if one["impact"] in SERIOUS
    ]


async def picture(page: Page, name: str) -> None:
    """Into the documentation, where it is one of those and somebody wants them renewed."""
    if name in IN_DOCS and os.environ.get("PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        await page.screenshot(path=PICTURES / f"{name}.png")


async def test_the_call_of_the_white_paper_from_the_page(tmp_path: Path) -> None:
    async with seat(tmp_path, language=True) as it:
        await telephone_network(it.office, Phone(plays(tone(1, 620.0)), ring_seconds=0.5))
        await it.office.phone("101", Phone(plays(tone(1, 440.0)), ring_seconds=0.5))
        page = await it.enter()
        assert "#" not in page.url  # what was used is not in the history of the browser either
        await say(page, WHITE_PAPER)
        card = page.locator(".card")
        await expect(card).to_contain_text("ringing")
        await expect(card).to_contain_text("connected")
        await expect(page.get_by_role("log")).to_contain_text("You are connected.")
        await expect_sound(page)
        await picture(page, "console-call")
        await card.get_by_role("link", name="Ladder").click()
        ladder = page.locator("svg.ladder")
        await expect(ladder).to_contain_text("INVITE")
        await expect(ladder).to_contain_text("200 OK")
        await picture(page, "console-ladder")
        await page.get_by_role("link", name="Now").click()
        await card.get_by_role("button", name="Hang up").click()
        await expect(page.get_by_text("No call goes on.")).to_be_visible()
        await it.office.until(lambda: bool(it.office.of(CallEnded)))
        await page.get_by_role("link", name="History").click()
        row = page.get_by_role("row", name="+1 202-555-0143")
        await expect(row).to_contain_text("went out")
        await page.get_by_label("Search").fill("+1202555")
        await expect(row).to_be_visible()
        await page.get_by_label("Search").fill("+44")
        await expect(page.get_by_text("No calls.")).to_be_visible()
        await page.get_by_label("Search").fill("")
        await row.get_by_role("link").click()
        await expect(page.get_by_role("region", name="Quality")).to_contain_text("PCMU")


async def expect_sound(page: Page) -> None:
    """Both sides play a tone: their levels are shown."""
    meters = page.locator(".level meter")
    await expect(meters).to_have_count(2)
    await page.wait_for_function(
        "[...document.querySelectorAll('.level meter')].every(one => one.value > -30)"
    )


async def test_every_view_opens_to_everybody(tmp_path: Path) -> None:
    """Light and dark, wide and small: nothing serious for axe-core, and no error."""
    async with seat(tmp_path, menus={}) as it:
        await fill(it)
        for options in (
            {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
            {"viewport": {"width": 390, "height": 780}, "color_scheme": "dark"},
        ):
            page = await it.enter(**options)
            for name in await page.get_by_role("navigation").get_by_role("link").all_inner_texts():
                await page.get_by_role("link", name=name, exact=True).click()
                await expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
                await expect(page.get_by_text("One moment …")).to_have_count(0)
                assert await serious(page) == [], name
                wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert wide <= 0, name
                await picture(page, f"console-{name.lower()}-{options['color_scheme']}")
            await page.context.close()
        # There are no menus here: the browser notes the 404, and the page says why.
        assert all("404" in error for error in it.errors), it.errors
        it.errors.clear()


async def fill(it: Seat) -> None:
    """Something to see in every view."""
    chat = it.office.dialogue()
    alice = await it.office.phone("101", Phone(plays(tone(1, 440.0))))
    for said in (
        "save Bob as +44 20 7946 0321",
        "send my calls to Bob after 6pm",
        "if I don't answer send my calls to 102",
        "remind me tomorrow at 8 to take my pills",
    ):
        await chat.hear(said)
    leg = await alice.call("600")
    leg.hang_up()
    await it.office.ended()


async def test_a_link_opens_once_and_a_session_ends(tmp_path: Path) -> None:
    async with seat(tmp_path) as it:
        link = await it.link()
        context = await it.browser.new_context()
        page = await it.page(context, link)
        await expect(page.get_by_text("connected", exact=True)).to_be_visible()
        (cookie,) = await context.cookies()
        assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
        (listed,) = await it.office.dialogue().hear("my API keys")
        assert "console" in listed.text
        second = await it.page(await it.browser.new_context(), link)
        await expect(second.get_by_text("this link was used")).to_be_visible()
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_text("You are not logged in.")).to_be_visible()
        (listed,) = await it.office.dialogue().hear("my API keys")
        assert "console" not in listed.text
        headers = {"cookie": f"{cookie['name']}={cookie['value']}"}
        assert (await it.site.client.get("/v1/me", headers=headers)).status_code == 401
        it.errors.clear()  # the refusals above, which browsers note


async def test_no_other_page_acts_for_who_is_logged_in(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        link = (await site.office.app.sessions.offer("101")).url
        token = link.partition("#")[2]
        client = site.client
        assert (await client.post("/console/enter", json={"token": token})).status_code == 403
        page = {"x-console": "1"}
        entered = await client.post("/console/enter", json={"token": token}, headers=page)
        assert entered.status_code == 204
        cookie = {"cookie": entered.headers["set-cookie"].partition(";")[0]}
        client.cookies.clear()
        assert (await client.get("/v1/me", headers=cookie)).status_code == 200
        say = {"text": "status"}
        for more in ({}, {**page, "sec-fetch-site": "cross-site"}):
            forged = await client.post("/v1/say", json=say, headers={**cookie, **more})
            assert forged.json()["id"] == "session.elsewhere"
        done = await client.post("/v1/say", json=say, headers={**cookie, **page})
        assert done.status_code == 200
        wrong = await client.post("/console/enter", json={"token": "0" * 32}, headers=page)
        assert wrong.json()["id"] == "console.link"


async def test_the_page_is_small_and_quick(tmp_path: Path) -> None:
    async with seat(tmp_path) as it:
        page = await it.enter()
        sent = await page.evaluate(
            "performance.getEntries().filter(one => one.encodedBodySize)"
            ".map(one => [one.name, one.encodedBodySize])"
        )
        files = [size for name, size in sent if "/console/" in name]
        assert len(files) >= 10
        assert sum(files) < MOST_BYTES
        for name, _ in sent:
            assert name.startswith(it.site.url)


async def test_a_session_that_ends_elsewhere_ends_here(tmp_path: Path) -> None:
    async with seat(tmp_path) as it:
        page = await it.enter()
        await it.office.dialogue().hear("revoke the console API key")
        await page.get_by_role("link", name="Contacts").click()
        await expect(page.get_by_text("You are not logged in.")).to_be_visible()
        it.errors.clear()  # the refusals, which browsers note


async def test_what_is_said_beside_is_seen_at_once_by_the_persons_clock(tmp_path: Path) -> None:
    async with seat(tmp_path, language=True, owner={"timezone": "Europe/Berlin"}) as it:
        page = await it.enter(timezone_id="Asia/Tokyo", locale="de-DE")
        await page.get_by_role("link", name="Agenda").click()
        await say(page, "remind me every day at 8 to take my pills")
        due = page.locator(".card", has_text="take my pills")
        await expect(due).to_contain_text("08:00")
        await expect(page.locator(".days")).to_contain_text("08:00 take my pills")


async def test_a_webhook_is_tried_with_a_button(tmp_path: Path) -> None:
    async with crm() as receiver, seat(tmp_path, **PRIVATE) as it:
        await hook(Client(it.site, await key(it.office, "events")), receiver.url, "ended")
        page = await it.enter()
        await page.get_by_role("link", name="Programs").click()
        await page.get_by_role("button", name="Test").click()
        await receiver.until(lambda: receiver.got)
        assert receiver.got[0][1]["type"] == "test"
        await page.get_by_role("button", name="Again").first.click()
        await receiver.until(lambda: len(receiver.got) == 2)
        assert receiver.got[0][0] == receiver.got[1][0]  # the same event
        assert await serious(page) == []
        await page.get_by_role("button", name="Remove").click()
        await expect(page.get_by_text("None. A program adds its own")).to_be_visible()


async def test_the_keyboard_stays_where_it_was(tmp_path: Path) -> None:
    async with seat(tmp_path) as it:
        await it.office.phone("102", Phone(plays(tone(1, 620.0))))
        await it.office.phone("101", Phone(plays(tone(1, 440.0))))
        page = await it.enter()
        await page.get_by_label("Call", exact=True).fill("102")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Hold").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Resume")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Hold")).to_be_focused()


@pytest.mark.parametrize("name", ["../bounds.py", "%2e%2e/pages.py", "nothing.js", "vendor/"])
async def test_only_the_page_is_served(tmp_path: Path, name: str) -> None:
    async with open_site(tmp_path) as site:
        assert (await site.client.get(f"/console/{name}")).status_code == 404


async def test_what_did_not_change_is_not_sent_again(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        first = await site.client.get("/console/app.js", headers={"accept-encoding": "gzip"})
        assert first.headers["content-encoding"] == "gzip"
        assert "script-src 'self'" in first.headers["content-security-policy"]
        assert "unsafe" not in first.headers["content-security-policy"]
        again = await site.client.get(
            "/console/app.js", headers={"if-none-match": first.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
