"""Radicale, a CalDAV server, with one account."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.peers.ports import free_port, wait_bound

USER, PASSWORD = "alice", "app-password-1"
_MAKE = """<?xml version="1.0"?>
<mkcol xmlns="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav"><set><prop>
<resourcetype><collection/><c:calendar/></resourcetype><displayname>{name}</displayname>
<c:supported-calendar-component-set><c:comp name="VEVENT"/><c:comp name="VTODO"/>
</c:supported-calendar-component-set></prop></set></mkcol>"""


@dataclass
class Radicale:
    """A running server."""

    url: str
    client: httpx.AsyncClient

    async def calendar(self, name: str) -> None:
        """Make a calendar."""
        body = _MAKE.format(name=name).encode()
        answer = await self.client.request(
            "MKCOL", f"{self.url}{USER}/{name.lower()}/", content=body
        )
        assert answer.status_code == 201, answer.text

    async def put(self, calendar: str, name: str, lines: str) -> None:
        """Write an object, whole."""
        text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Test//EN\n{lines}END:VCALENDAR\n"
        place = f"{self.url}{USER}/{calendar}/{name}.ics"
        headers = {"Content-Type": "text/calendar; charset=utf-8"}
        content = text.replace("\n", "\r\n").encode()
        answer = await self.client.put(place, content=content, headers=headers)
        assert answer.status_code in (201, 204), answer.text

    async def fill(self, calendar: str, events: str) -> None:
        """Make a calendar of very many events at once."""
        text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Test//EN\n{events}END:VCALENDAR\n"
        place = f"{self.url}{USER}/{calendar}/"
        headers = {"Content-Type": "text/calendar; charset=utf-8"}
        content = text.replace("\n", "\r\n").encode()
        answer = await self.client.put(place, content=content, headers=headers, timeout=300)
        assert answer.status_code == 201, answer.text

    async def names(self) -> str:
        """What the account has, as the server tells it; the first time it reads every event."""
        body = "<propfind xmlns='DAV:'><prop><displayname/><sync-token/></prop></propfind>"
        answer = await self.client.request(
            "PROPFIND", f"{self.url}{USER}/", headers={"Depth": "1"}, content=body, timeout=300
        )
        assert answer.status_code == 207, answer.text
        return answer.text

    async def delete(self, calendar: str, name: str) -> None:
        """Delete an object."""
        answer = await self.client.delete(f"{self.url}{USER}/{calendar}/{name}.ics")
        assert answer.status_code in (200, 204), answer.text

    async def objects(self, calendar: str) -> str:
        """All of a calendar as one file."""
        return (await self.client.get(f"{self.url}{USER}/{calendar}/")).text


@asynccontextmanager
async def radicale(folder: Path) -> AsyncIterator[Radicale]:
    """The server, with its files in a folder."""
    port = free_port()
    users = folder / "users"
    users.write_text(f"{USER}:{PASSWORD}\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "radicale", "--config", "", "--server-hosts", f"127.0.0.1:{port}",
        "--auth-type", "htpasswd", "--auth-htpasswd-filename", str(users),
        "--auth-htpasswd-encryption", "plain", "--storage-filesystem-folder", str(folder / "col"),
        "--logging-level", "warning", stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with httpx.AsyncClient(auth=(USER, PASSWORD), timeout=10) as client:
            url = f"http://127.0.0.1:{port}/"
            await wait_bound(port, "tcp", 20)
            yield Radicale(url, client)
    finally:
        process.terminate()
        await process.wait()
