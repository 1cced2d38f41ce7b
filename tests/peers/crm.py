"""A customer system, as somebody else would write it: a program of its own that knows the exchange
by HTTP only, with the client library. What it is to do comes by standard input, a JSON object a
line; what happens goes to standard output, and what it was told is kept in files of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from encryptotel_client import AsyncClient, BadSignature, opened

CUSTOMERS = {"+12025550143": ("Acme Ltd", "three open orders")}


class Crm:
    """Who calls is looked up, what was recorded is fetched, and each event is kept once."""

    def __init__(self, exchange: AsyncClient, folder: Path) -> None:
        self._exchange, self._folder = exchange, folder
        self._secrets: dict[str, str] = _kept(folder / "secrets.json", {})
        self._seen: dict[str, str] = _kept(folder / "seen.json", {})
        "The words of each event by its id, in the order in which they came."

    async def serve(self, port: int) -> int:
        """Listen, on the port of the last run if there was one."""
        app = web.Application()
        app.router.add_post("/{what:lookup|events}", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        return int(runner.addresses[0][1])

    async def join(self, port: int) -> None:
        """Have the exchange ask and tell; once in the life of a customer system."""
        for what, kinds in (("lookup", ["lookup"]), ("events", ["incoming", "recorded", "notice"])):
            if what not in self._secrets:
                url = f"http://127.0.0.1:{port}/{what}"
                made = await self._exchange.add_webhook(url, kinds)
                self._secrets[what] = made["secret"]
        (self._folder / "secrets.json").write_text(json.dumps(self._secrets))

    async def _take(self, request: web.Request) -> web.Response:
        what = request.match_info["what"]
        try:
            event = opened(self._secrets[what], request.headers, await request.read())
        except BadSignature:
            return web.Response(status=403)
        if event.kind == "lookup":
            name, note = CUSTOMERS.get(event.back, ("", ""))
            say(looked_up=event.back)
            return web.json_response({"name": name, "note": note})
        if event.id not in self._seen:
            self._seen[event.id] = event.text
            (self._folder / "seen.json").write_text(json.dumps(self._seen))
            say(event=event.kind, id=event.id, peer=event.peer, text=event.text)
            if event.kind == "recorded":
                await self._fetch()
        else:
            say(again=event.id)
        return web.Response(status=204)

    async def _fetch(self) -> None:
        """Keep the newest recording, which only its owner can open."""
        newest = (await self._exchange.recordings())[0]
        sound = await self._exchange.recording(newest["id"])
        (self._folder / "recording.age").write_bytes(sound)
        say(recording=len(sound))

    async def obey(self, order: dict[str, Any]) -> None:
        """Click to call, and the like."""
        if "call" in order:
            placed = await self._exchange.call(order["call"], line="US", record=order["record"])
            say(placed=placed["id"])
        elif "hang_up" in order:
            await self._exchange.hang_up(order["hang_up"])


def say(**what: Any) -> None:
    """Tell whoever runs us."""
    print(json.dumps(what), flush=True)


def _kept(file: Path, otherwise: Any) -> Any:
    return json.loads(file.read_text()) if file.exists() else otherwise


async def main(url: str, ca: str, folder: str, port: str) -> None:
    """Run until standard input ends."""
    async with AsyncClient(url, os.environ["KEY"], verify=ca) as exchange:
        crm = Crm(exchange, Path(folder))
        serving = await crm.serve(int(port))
        await crm.join(serving)
        say(ready=serving)
        orders = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
        )
        while line := await orders.readline():
            await crm.obey(json.loads(line))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
