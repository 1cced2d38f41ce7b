"""A phone in Chromium, by SIP.js over a WebSocket: its media come by ICE and DTLS-SRTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, Route

HERE = Path(__file__).parent / "browser"
LIBRARY = HERE / "node_modules" / "sip.js" / "lib"
READY = LIBRARY.is_dir()
PAGE = "https://phone.example"
"Where nothing is: all of it is read from here."
_TYPES = {".js": "text/javascript", ".html": "text/html"}


class BrowserPhone:
    """One that has registered. It takes whatever call comes."""

    def __init__(self, page: Page, domain: str) -> None:
        self.page = page
        self._domain = domain
        self.said: list[str] = []
        "What it wrote to its console."
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))

    async def call(self, number: str, *, video: bool = False) -> None:
        """Dial."""
        await self.page.evaluate(
            "([number, domain, video]) => phone.call(number, domain, video)",
            [number, self._domain, video],
        )

    async def hang_up(self) -> None:
        await self.page.evaluate("phone.ended()")

    async def hold(self, held: bool = True) -> None:
        """Put the other side on hold, or go on with them; what they answered has been taken."""
        async with asyncio.timeout(20):
            await self.page.evaluate("held => phone.hold(held).then(() => {})", held)

    async def press(self, key: str) -> None:
        """As an event beside the sound (RFC 4733)."""
        assert await self.page.evaluate("key => phone.press(key)", key)

    async def reached(self, state: str, within: float = 20.0) -> None:
        """Wait for a state of its call, by SIP.js's names."""
        await self._until(f"phone.states.includes('{state}')", within)

    async def hears(self, hertz: float, within: float = 20.0) -> None:
        """Wait until nearly all that it hears is one tone."""
        await self._until(f"phone.share({hertz}) > 0.8", within)

    async def forget(self) -> None:
        """What it heard and saw so far."""
        await self.page.evaluate("() => { phone.heard.samples = []; phone.heard.pictures = 0; }")

    async def sees(self, pictures: int, within: float = 30.0) -> None:
        """Wait for so many pictures."""
        await self._until(f"phone.heard.pictures >= {pictures}", within)

    async def _until(self, said: str, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                await self.page.wait_for_function(said, timeout=0)
        except TimeoutError:
            told = await self.page.evaluate("phone.told()")
            raise AssertionError(f"not {said}: {told}\n" + "\n".join(self.said[-60:])) from None


@asynccontextmanager
async def browser_phone(
    browser: Browser,
    server: str,
    number: str,
    hertz: float,
    *,
    domain: str = "encryptotel.local",
    video: bool = False,
) -> AsyncIterator[BrowserPhone]:
    """`server` is where its WebSocket goes to, `hertz` what it says."""
    page = await browser.new_page(permissions=["local-network-access"])
    await page.route(f"{PAGE}/**", _read)
    await page.goto(f"{PAGE}/phone.html")
    phone = BrowserPhone(page, domain)
    await page.wait_for_function("window.phone")
    try:
        await page.evaluate(
            "given => phone.start(given)",
            {
                "server": server, "number": number, "secret": f"secret-{number}", "domain": domain,
                "hertz": hertz, "video": video,
            },
        )  # fmt: skip
        yield phone
    except BaseException as error:
        error.add_note("--- browser\n" + "\n".join(phone.said[-60:]))
        raise
    finally:
        await page.close()


async def _read(route: Route) -> None:
    path = route.request.url.removeprefix(f"{PAGE}/").partition("?")[0]
    library = path.startswith("sip.js/")
    file = LIBRARY / path.removeprefix("sip.js/") if library else HERE / path
    if file.is_file():
        await route.fulfill(path=file, content_type=_TYPES[file.suffix])
    else:
        await route.fulfill(status=404)
