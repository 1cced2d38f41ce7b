"""Prosody 0.12 as a Jabber server for one domain, with STARTTLS required, and clients for it."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from slixmpp import ClientXMPP

from .certs import Certificate
from .ports import HOST, free_port, wait_bound
from .proc import Feed, PeerError, Process

DOMAIN = "xmpp.test"
_CONFIG = """
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
certificates = "{folder}"
run_as_root = true
log = {{ info = "*console" }}
interfaces = {{ "{host}" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ {direct} }}
s2s_ports = {{}}
modules_enabled = {{
    "roster", "saslauth", "tls", "disco", "ping", "smacks", "carbons", "pep", "offline",
}}
modules_disabled = {{ "s2s" }}
c2s_require_encryption = true
smacks_hibernation_time = 30
authentication = "internal_hashed"
VirtualHost "{domain}"
    ssl = {{ certificate = "{certificate}", key = "{key}" }}
"""


class Prosody:
    """`async with Prosody(certificate) as server:`"""

    def __init__(self, certificate: Certificate) -> None:
        self._certificate = certificate
        self._folder = tempfile.TemporaryDirectory(prefix="prosody-")
        self.port, self.direct_port = free_port(), free_port()
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        folder = Path(self._folder.name)
        (folder / "data").mkdir()
        self.config = folder / "prosody.cfg.lua"
        self.config.write_text(
            _CONFIG.format(
                folder=folder,
                host=HOST,
                port=self.port,
                direct=self.direct_port,
                domain=DOMAIN,
                certificate=self._certificate.certificate,
                key=self._certificate.key,
            )
        )
        await self.start()
        return self

    async def start(self) -> None:
        """Start it, again after `stop`."""
        self._process = await Process.start(
            "prosody", ["prosody", "--config", str(self.config), "-F"]
        )
        await wait_bound(self.port, "tcp")

    async def stop(self) -> None:
        assert self._process is not None
        await self._process.stop()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self._folder.cleanup()

    async def register(self, name: str, password: str) -> str:
        """A new account; its address."""
        child = await Process.start(
            "prosodyctl",
            ["prosodyctl", "--config", str(self.config), "register", name, DOMAIN, password],
        )
        if await child.wait() != 0:
            raise PeerError(f"prosodyctl could not register {name}\n{child.lines.tail()}")
        return f"{name}@{DOMAIN}"


class Talker(ClientXMPP):
    """Somebody with a Jabber client that shows corrections in place."""

    def __init__(self, jid: str, password: str, bot: str, ca: Path) -> None:
        super().__init__(jid, password)
        self.bot = bot
        self.ca_certs = ca
        self.enable_direct_tls = False
        for plugin in ("xep_0030", "xep_0184", "xep_0199", "xep_0308"):
            self.register_plugin(plugin)
        self.feed: Feed[str] = Feed("jabber")
        "Every text as it came or was corrected."
        self.shown: dict[str, str] = {}
        "Messages of the bot by id, as they read now."
        self.corrections = 0
        self.receipts: list[str] = []
        self.online = asyncio.Event()
        self.add_event_handler("session_start", self._on_session)
        self.add_event_handler("message", self._on_message)
        self.add_event_handler("receipt_received", lambda m: self.receipts.append(m["receipt"]))

    async def _on_session(self, _: Any) -> None:
        self.send_presence()
        await self.get_roster()
        self.online.set()

    def _on_message(self, message: Any) -> None:
        if message["from"].bare != self.bot or not message["body"]:
            return
        replaced = message["replace"]["id"]
        if replaced:
            if replaced not in self.shown:
                raise PeerError(f"a correction of {replaced}, which was never sent")
            self.corrections += 1
        self.shown[replaced or message["id"]] = message["body"]
        self.feed.push(message["body"])

    def says(self, text: str) -> None:
        message = self.make_message(mto=self.bot, mbody=text, mtype="chat")
        message["id"] = self.new_id()
        message.send()

    def taps(self, label: str) -> None:
        """Type the digit of the newest button with that label."""
        for text in reversed(list(self.shown.values())):
            found = re.search(rf"(\d+) {re.escape(label)}(?: ·| \])", text)
            if found:
                self.says(found[1])
                return
        raise PeerError(f"no button {label!r} in {list(self.shown.values())}")

    async def sees(self, wanted: Callable[[str], bool], within: float = 20) -> str:
        return await self.feed.wait(wanted, within)
