"""Feeds and CalDAV accounts: what changed is fetched, and servers may be as bad as they like."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from encryptotel.calendars import dav, sources
from encryptotel.calendars.entries import CalendarError, Source, SourceError, cleaned
from encryptotel.calendars.reading import read
from encryptotel.calendars.sources import fetch
from tests.calendars.shapes import BERLIN, SHAPES, event
from tests.peers.certs import make
from tests.peers.radicale import PASSWORD, USER, radicale

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=35)
FEED = SHAPES["google: a single one in UTC"].content


@asynccontextmanager
async def server(handler: object, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A web server of the test's own."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/cal.ics"
    finally:
        await runner.cleanup()


async def got(url: str, etag: str = "", **what: str) -> sources.Fetched:
    return await asyncio.to_thread(fetch, Source(url=url, private=True, **what), etag)


async def test_a_feed_is_fetched_once_and_then_only_if_it_changed() -> None:
    async def feed(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304)
        headers = {"ETag": '"1"', "Last-Modified": "Sun, 01 Mar 2026 12:00:00 GMT"}
        return web.Response(body=FEED, headers=headers, content_type="text/calendar")

    async with server(feed) as url:
        first = await got(url)
        assert (first.content, first.etag) == (FEED, '"1"')
        assert (await got(url, first.etag)).content is None


async def test_passwords_go_to_the_calendars_own_host_only() -> None:
    seen: list[str | None] = []

    async def other(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(body=FEED)

    async with server(other) as elsewhere:

        async def moved(request: web.Request) -> web.Response:
            seen.append(request.headers.get("Authorization"))
            raise web.HTTPFound(elsewhere)

        async with server(moved) as url:
            assert (await got(url, user="alice", password="secret")).content == FEED
    assert seen[0] is not None
    assert seen[1] is None


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "wants a user and a password"),
        (403, "wants a user and a password"),
        (404, "no calendar at that address any more"),
        (500, "says 500"),
        (429, "says 429"),
    ],
)
async def test_a_refusal_is_said_without_the_address(status: int, why: str) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status)

    async with server(refuse) as url:
        with pytest.raises(SourceError, match=why) as failed:
            await got(url + "?token=secret")
        assert "secret" not in str(failed.value)
        assert failed.value.__cause__ is None


async def test_what_is_too_large_is_given_up() -> None:
    """Plain, packed to a thousandth, and without an end."""

    async def plain(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 10_000_001)

    async def bomb(_: web.Request) -> web.Response:
        packed = gzip.compress(b"\0" * 300_000_000, 9)
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    for handler in (plain, bomb, endless):
        async with server(handler) as url:
            with pytest.raises(SourceError, match="larger than 10 MB"):
                await got(url)


async def test_servers_that_misbehave_get_a_clear_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "TIMEOUT", sources.httpx.Timeout(0.5))

    async def hangs(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async def loops(request: web.Request) -> web.Response:
        raise web.HTTPFound(str(request.url))

    async def strange(_: web.Request) -> web.Response:
        return web.Response(body=b"x", headers={"Content-Encoding": "br"})

    async def torn(_: web.Request) -> web.Response:
        return web.Response(body=b"no gzip at all", headers={"Content-Encoding": "gzip"})

    for handler, why in (
        (hangs, "does not answer"), (loops, "redirects too often"), (strange, "packed in a way"),
        (torn, "answers strangely"),
    ):  # fmt: skip
        async with server(handler) as url:
            with pytest.raises(SourceError, match=why):
                await got(url)
    with pytest.raises(SourceError, match="cannot be reached"):
        await got("http://127.0.0.1:9/cal.ics")


async def test_private_networks_are_closed_unless_the_owner_says_so() -> None:
    async def feed(_: web.Request) -> web.Response:
        return web.Response(body=FEED)

    async with server(feed) as url:
        for address in (
            url.replace("http:", "https:"), "https://localhost/x", "https://[::1]/", "https://10.0.0.1/",
            "https://169.254.169.254/latest/meta-data", "https://192.168.1.1/cal.ics",
        ):  # fmt: skip
            with pytest.raises(SourceError, match="private network"):
                await asyncio.to_thread(fetch, Source(url=address))
        with pytest.raises(SourceError, match="by https"):
            await asyncio.to_thread(fetch, Source(url=url))


@pytest.mark.parametrize(
    "url", ["", "ftp://x/y", "https://", "javascript:alert(1)", "file:///etc/passwd", "https://a b",
            "https://" + "x" * 3000]
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(SourceError, match="no address"):
        cleaned(url)
    assert cleaned("webcal://example.com/a.ics") == "https://example.com/a.ics"


# ── CalDAV ──────────────────────────────────────────────────────────────────────────────────
def meeting(uid: str, day: str, title: str, *more: str) -> str:
    at = f"DTSTART;TZID=Europe/Berlin:{day}T090000", f"DTEND;TZID=Europe/Berlin:{day}T100000"
    return event(f"UID:{uid}", "DTSTAMP:20260201T000000Z", *at, f"SUMMARY:{title}", *more)


async def test_an_account_is_found_and_only_what_changed_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    whole = dav.request

    def counted(*args: object, **what: object) -> object:
        content = what.get("content") or b""
        kind = "multiget" if b"calendar-multiget" in content else str(args[2])  # type: ignore[operator]
        asked.append(kind)
        return whole(*args, **what)  # type: ignore[arg-type]

    monkeypatch.setattr(dav, "request", counted)
    async with radicale(tmp_path) as server:
        await server.calendar("Work")
        await server.calendar("Home")
        await server.put("work", "a", BERLIN + meeting("a", "20260310", "Plans"))
        weekly = meeting("w", "20260302", "Weekly", "RRULE:FREQ=WEEKLY;COUNT=3")
        moved = meeting(
            "w", "20260311", "Weekly moved", "RECURRENCE-ID;TZID=Europe/Berlin:20260309T090000"
        )
        await server.put("work", "w", BERLIN + weekly + moved)
        await server.put("home", "far", BERLIN + meeting("far", "20270310", "Next year"))
        source = Source(url=server.url, user=USER, password=PASSWORD, private=True)

        async def look(kept: dict[str, dav.Kept]) -> dict[str, dav.Kept]:
            asked.clear()
            return await asyncio.to_thread(dav.sync, source, kept, BEGIN, END)

        def on(kept: dict[str, dav.Kept]) -> list[str]:
            found = read(dav.together(kept), BEGIN, END, "Europe/Berlin").entries
            return [f"{one.start:%d} {one.title}" for one in found]

        first = await look({})
        assert on(first) == ["02 Weekly", "10 Plans", "11 Weekly moved", "16 Weekly"]
        assert sorted(one.name for one in first.values()) == ["Home", "Work"]
        again = await look(first)
        assert again == first
        assert not {"REPORT", "multiget"} & set(asked), "the tags said that nothing changed"
        await server.put("work", "a", BERLIN + meeting("a", "20260312", "Plans later"))
        await server.delete("work", "w")
        changed = await look(again)
        assert on(changed) == ["12 Plans later"]
        assert asked.count("multiget") == 1
        wrong = Source(url=server.url, user=USER, password="wrong", private=True)
        with pytest.raises(SourceError, match="user and a password"):
            await asyncio.to_thread(dav.sync, wrong, {}, BEGIN, END)
        itself = next(url for url, one in first.items() if one.name == "Work")
        only = await asyncio.to_thread(
            dav.sync, Source(url=itself, user=USER, password=PASSWORD, private=True), {}, BEGIN, END
        )
        assert list(only) == [itself]


async def test_servers_that_are_none_or_lie_get_a_clear_word() -> None:
    bodies = [
        (200, b"<html></html>"), (207, b"<not-closed"), (207, b"<multistatus xmlns='DAV:'/>"),
        (207, b"<!DOCTYPE x [" + b"<!ENTITY a 'aaaaaaaaaa'>" + b"]><x>&b;</x>"), (500, b""),
    ]  # fmt: skip
    for status, body in bodies:

        async def lies(_: web.Request, status: int = status, body: bytes = body) -> web.Response:
            return web.Response(status=status, body=body)

        async with server(lies) as url:
            source = Source(url=url, user="a", password="b", private=True)
            with pytest.raises(CalendarError):
                await asyncio.to_thread(dav.sync, source, {}, BEGIN, END)


async def test_a_certificate_that_changes_is_trusted_no_more(tmp_path: Path) -> None:
    """First one of an authority that the owner named, then one of another."""

    async def feed(_: web.Request) -> web.Response:
        return web.Response(body=FEED)

    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    trusted, other = [await make(tmp_path / name) for name in ("one", "other")]
    for certificate in (trusted, other):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        async with server(feed, context) as url:
            source = Source(url=url, private=True, ca_file=str(trusted.ca))
            if certificate is trusted:
                assert (await asyncio.to_thread(fetch, source)).content == FEED
                continue
            with pytest.raises(SourceError, match="shows a certificate I do not trust"):
                await asyncio.to_thread(fetch, source)
