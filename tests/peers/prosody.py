"""Prosody 0.12 as a Jabber server for one domain, with STARTTLS required, and clients for it."""

from __future__ import annotations

import asyncio
import re
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from aiohttp import ClientSession
from omemo.session_manager import MessageNotForUs
from omemo.storage import Just, Maybe, Nothing, Storage
from slixmpp import JID, ClientXMPP
from slixmpp.plugins import register_plugin
from slixmpp_omemo import XEP_0384

from .certs import Certificate
from .ports import HOST, free_port, wait_bound
from .proc import Feed, PeerError, Process

DOMAIN = "xmpp.test"
NUMBERS, SECRET = "pbx.xmpp.test", "component-secret"
"The component that numbers are addresses of."
_CONFIG = """
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
certificates = "{folder}"
run_as_root = true
log = {{ info = "*console" }}
interfaces = {{ "{host}" }}
component_ports = {{ {component} }}
component_interfaces = {{ "{host}" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ {direct} }}
s2s_ports = {{}}
http_ports = {{}}
https_interfaces = {{ "{host}" }}
https_ports = {{ {https} }}
https_ssl = {{ certificate = "{certificate}", key = "{key}" }}
modules_enabled = {{
    "roster", "saslauth", "tls", "disco", "ping", "smacks", "carbons", "pep", "offline",
}}
modules_disabled = {{ "s2s" }}
c2s_require_encryption = true
smacks_hibernation_time = 30
authentication = "internal_hashed"
VirtualHost "{domain}"
    ssl = {{ certificate = "{certificate}", key = "{key}" }}
Component "upload.{domain}" "http_file_share"
    http_external_url = "https://localhost:{https}/"
    http_host = "localhost"
Component "rooms.{domain}" "muc"
    modules_enabled = {{ }}
    restrict_room_creation = false
    muc_room_locking = false
    muc_room_default_public_jids = true
Component "{numbers}"
    component_secret = "{secret}"
"""


class Prosody:
    """`async with Prosody(certificate) as server:`"""

    def __init__(self, certificate: Certificate) -> None:
        self._certificate = certificate
        self.ca = certificate.ca
        self._folder = tempfile.TemporaryDirectory(prefix="prosody-")
        self.port, self.direct_port, self.https = free_port(), free_port(), free_port()
        self.component = free_port()
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
                https=self.https,
                component=self.component,
                numbers=NUMBERS,
                secret=SECRET,
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
        for plugin in (
            "xep_0004", "xep_0030", "xep_0045", "xep_0050", "xep_0066", "xep_0184", "xep_0199",
            "xep_0249", "xep_0308",
        ):  # fmt: skip
            self.register_plugin(plugin)
        self.feed: Feed[str] = Feed("jabber")
        "Every text as it came or was corrected."
        self.shown: dict[str, str] = {}
        "Messages of the bot by id, as they read now."
        self.corrections = 0
        self.receipts: list[str] = []
        self.room: Feed[str] = Feed("room")
        "What the bot says in rooms."
        self.letters: Feed[tuple[str, str, str]] = Feed("letters")
        "What came from numbers: whose, the words, and why they came back."
        self.files: list[str] = []
        "Addresses of files that the bot sent."
        self.online = asyncio.Event()
        self.add_event_handler("session_start", self._on_session)
        self.add_event_handler("message", self._on_message)
        self.add_event_handler("groupchat_message", self._on_room_message)
        self.add_event_handler("receipt_received", lambda m: self.receipts.append(m["receipt"]))

    async def _on_session(self, _: Any) -> None:
        self.send_presence()
        await self.get_roster()
        self.online.set()

    def _on_message(self, message: Any) -> None:
        if message["from"].host == NUMBERS:
            self.letters.push((message["from"].user, message["body"], message["error"]["text"]))
        elif message["from"].bare == self.bot and message["body"]:
            self.take(message)

    def _on_room_message(self, message: Any) -> None:
        if message["from"].resource == "pbx":
            self.room.push(message["body"])

    def take(self, message: Any) -> None:
        """Show a message that is not encrypted, or no more."""
        replaced = message["replace"]["id"]
        if replaced:
            if replaced not in self.shown:
                raise PeerError(f"a correction of {replaced}, which was never sent")
            self.corrections += 1
        if message["oob"]["url"] or message["body"].startswith("aesgcm://"):
            self.files.append(message["body"])
        self.shown[replaced or message["id"]] = message["body"]
        self.feed.push(message["body"])

    async def fetched(self, address: str) -> bytes:
        """A file that the bot sent, from where it says."""
        trusting = ssl.create_default_context(cafile=str(self.ca_certs))
        async with ClientSession() as session, session.get(address, ssl=trusting) as got:
            return await got.read()

    def says(self, text: str) -> None:
        message = self.make_message(mto=self.bot, mbody=text, mtype="chat")
        message["id"] = self.new_id()
        message.send()

    def sends(self, url: str) -> None:
        """A file that was uploaded."""
        message = self.make_message(mto=self.bot, mbody=url, mtype="chat")
        message["id"] = self.new_id()
        message["oob"]["url"] = url
        message.send()

    def writes(self, number: str, words: str) -> str:
        """Write to a number; the message's id."""
        message = self.make_message(mto=f"{number}@{NUMBERS}", mbody=words, mtype="chat")
        message["id"] = self.new_id()
        message["request_receipt"] = True
        message.send()
        return str(message["id"])

    async def gets(self, number: str, words: str, why: str = "") -> None:
        """Wait for a letter of a number."""
        await self.letters.wait(lambda one: one == (number, words, why), 10)

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

    async def executes(self, node: str, **fields: str) -> tuple[str, list[tuple[str, str]]]:
        """Use one of the bot's ad-hoc commands, filling in its form: what it says, and what can
        be chosen then, as labels and values."""
        iq = await self.plugin["xep_0050"].send_command(self.bot_jid, node)
        if iq["command"]["form"]["fields"] and fields:
            return await self.fills_in(iq, **fields)
        return _shown_in(iq)

    async def fills_in(self, iq: Any, **fields: str) -> tuple[str, list[tuple[str, str]]]:
        """Send a form's values."""
        form = self.plugin["xep_0004"].make_form("submit")
        for name, value in fields.items():
            form.add_field(var=name, value=value)
        self.last_form = await self.plugin["xep_0050"].send_command(
            self.bot_jid,
            iq["command"]["node"],
            action="next",
            sessionid=iq["command"]["sessionid"],
            payload=form,
        )
        return _shown_in(self.last_form)

    @property
    def bot_jid(self) -> str:
        """Where the bot is online."""
        (resource,) = self.client_roster[self.bot].resources
        return f"{self.bot}/{resource}"


def _shown_in(iq: Any) -> tuple[str, list[tuple[str, str]]]:
    command = iq["command"]
    notes = "\n".join(text for _, text in command["notes"])
    options = [
        (option["label"], option["value"])
        for field in command["form"]["fields"]
        for option in field["options"] or ()
    ]
    return notes, options


class InMemory(Storage):
    """A client's keys."""

    def __init__(self) -> None:
        super().__init__(True)
        self._kept: dict[str, Any] = {}

    async def _load(self, key: str) -> Maybe[Any]:
        return Just(self._kept[key]) if key in self._kept else Nothing()

    async def _store(self, key: str, value: Any) -> None:
        self._kept[key] = value

    async def _delete(self, key: str) -> None:
        self._kept.pop(key, None)


class _BlindOmemo(XEP_0384):
    default_config = {"fallback_message": "encrypted", "kept": None}  # noqa: RUF012

    @property
    def storage(self) -> Storage:
        return self.kept

    @property
    def _btbv_enabled(self) -> bool:
        return True

    async def _prompt_manual_trust(self, manually_trusted: Any, identifier: Any) -> None:
        raise PeerError("a client that trusts blindly is never asked")


class SecretTalker(Talker):
    """Somebody whose client encrypts with OMEMO (slixmpp-omemo's own plugin, trusting blindly)."""

    def __init__(
        self, jid: str, password: str, bot: str, ca: Path, keys: InMemory | None = None
    ) -> None:
        super().__init__(jid, password, bot, ca)
        self.keys = keys or InMemory()
        register_plugin(_BlindOmemo)
        self.register_plugin("xep_0384", {"kept": self.keys})
        self.can_encrypt = asyncio.Event()
        self.in_the_clear: list[str] = []
        "What the bot wrote so that the server could read it."
        self._opening: set[asyncio.Task[None]] = set()
        self.add_event_handler("omemo_initialized", lambda _: self.can_encrypt.set())

    def _on_message(self, message: Any) -> None:
        if message["from"].bare != self.bot:
            return
        if not self.plugin["xep_0384"].is_encrypted(message):
            if message["body"]:
                self.in_the_clear.append(message["body"])
                self.feed.push(message["body"])
            return
        self._spawn(self._open(message))

    async def _open(self, message: Any) -> None:
        replaced = message["replace"]["id"]
        try:
            plain, _ = await self.plugin["xep_0384"].decrypt_message(message)
        except MessageNotForUs:  # every device gets it, not every one can read it
            return
        plain["replace"]["id"] = replaced
        self.take(plain)

    def says(self, text: str) -> None:
        self._spawn(self._say(text))

    async def _say(self, text: str) -> None:
        message = self.make_message(mto=self.bot, mbody=text, mtype="chat")
        message["id"] = self.new_id()
        closed, _ = await self.plugin["xep_0384"].encrypt_message(message, JID(self.bot))
        assert text not in str(closed)
        closed.send()

    def says_in_the_clear(self, text: str) -> None:
        super().says(text)

    def _spawn(self, job: Any) -> None:
        task = asyncio.ensure_future(job)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
