"""Who is written to encrypted, and whose devices may read along (OMEMO, XEP-0384).

The first devices of a person are trusted when they are met; a later one must be let in with a
word from a trusted one. Who once wrote encrypted is never answered in the clear, nor obeyed when
something in their name comes in the clear, unless they allow it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from omemo.storage import Just, Maybe, Nothing, Storage
from omemo.types import DeviceInformation, JSONType
from slixmpp import JID, ClientXMPP, Message
from slixmpp.plugins import register_plugin
from slixmpp_omemo import XEP_0384, TrustLevel

from bot.ports import Shelf

log = logging.getLogger(__name__)

MAX_DEVICES = 20
"Of one person, that are shown."
IN_THE_CLEAR = (
    "We talk encrypted (OMEMO), and that came in the clear, so I did nothing. From a device that "
    "I trust, say “plain text is fine” to change that."
)
UNKNOWN_DEVICE = (
    "That came from a device of yours that I do not trust yet, so I did nothing. From one that I "
    "trust, say “trust {short}” if it is yours."
)
NEW_DEVICE = (
    "A new device of yours appeared, and I do not encrypt for it yet. If it is yours, say "
    "“trust {short}”."
)
CANNOT_ENCRYPT = "an answer could not be encrypted and was not sent"
_TRUST = re.compile(r"(trust|distrust) ([0-9a-f]{8})", re.IGNORECASE)


class _Kept(Storage):
    """python-omemo's keys and sessions, and what people wish. In memory, because the library
    reads, changes and writes as if nobody else did meanwhile; `flush` before anything leaves that
    depends on it, so that no key is used twice after a crash."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(True)
        self._shelf = shelf
        self._kept: dict[str, dict[str, Any]] = {}
        self._changed: dict[str, dict[str, Any] | None] = {}

    async def load_all(self) -> None:
        """Read what the last run left."""
        self._kept = await self._shelf.all()

    async def flush(self) -> None:
        """Write what changed; returns when it is on the disk."""
        changed, self._changed = self._changed, {}
        try:
            await self._shelf.keep(changed)
        except Exception:
            self._changed = {**changed, **self._changed}
            raise

    def wishes(self, bare: str) -> dict[str, Any]:
        """How somebody wants to be written to."""
        return self._kept.get(f"person {bare}", {})

    def wish(self, bare: str, **wishes: bool) -> None:
        """Somebody wants to be written to otherwise."""
        self._set(f"person {bare}", {**self.wishes(bare), **wishes})

    def _set(self, key: str, value: dict[str, Any]) -> None:
        self._kept[key] = self._changed[key] = value

    async def _load(self, key: str) -> Maybe[JSONType]:
        found = self._kept.get(key)
        return Just(found["value"]) if found is not None else Nothing()

    async def _store(self, key: str, value: JSONType) -> None:
        self._set(key, {"value": value})

    async def _delete(self, key: str) -> None:
        self._kept.pop(key, None)
        self._changed[key] = None


class _Omemo(XEP_0384):
    """The plugin, with our storage and our way to trust."""

    default_config = {  # noqa: RUF012
        "fallback_message": "This message is encrypted with OMEMO.",
        "kept": None,
        "tell": None,
    }

    @property
    def storage(self) -> Storage:
        kept: Storage = self.kept
        return kept

    @property
    def _btbv_enabled(self) -> bool:
        return False

    async def _prompt_manual_trust(
        self, manually_trusted: frozenset[DeviceInformation], identifier: str | None
    ) -> None:
        for device in manually_trusted:
            if not await self.meet(device):
                self.tell(device.bare_jid, NEW_DEVICE.format(short=_short(device)))

    async def meet(self, device: DeviceInformation) -> bool:
        """Whether a device is trusted. When somebody's first is met, all that they have then
        are; ours always are."""
        if device.trust_level_name != TrustLevel.UNDECIDED.value:
            return bool(device.trust_level_name == TrustLevel.TRUSTED.value)
        manager = await self.get_session_manager()
        theirs = {*await manager.get_device_information(device.bare_jid), device}
        known = any(one.trust_level_name != TrustLevel.UNDECIDED.value for one in theirs)
        trusted = not known or device.bare_jid == self.xmpp.boundjid.bare
        level = TrustLevel.TRUSTED if trusted else TrustLevel.DISTRUSTED
        for one in {device} if known else theirs:
            await manager.set_trust(one.bare_jid, one.identity_key, level.value)
        return trusted


class Privacy:
    """Encrypts and decrypts for one client. `tell` gets what a person must be told."""

    def __init__(self, client: ClientXMPP, shelf: Shelf, tell: Callable[[str, str], None]) -> None:
        self._client = client
        self._kept = _Kept(shelf)
        register_plugin(_Omemo)
        client.register_plugin("xep_0384", {"kept": self._kept, "tell": tell})
        self._omemo: _Omemo = client.plugin["xep_0384"]  # type: ignore[typeddict-item]

    async def load(self) -> None:
        """Read what the last run left; before the client connects."""
        await self._kept.load_all()

    # ── in ──────────────────────────────────────────────────────────────────────────────
    def is_encrypted(self, message: Message) -> bool:
        """Whether a message has to be opened first."""
        return bool(self._omemo.is_encrypted(message))

    async def opened(self, message: Message) -> tuple[str, str]:
        """The words of an encrypted message, and why they must not be obeyed, or ""."""
        bare = message["from"].bare
        plain, device = await self._omemo.decrypt_message(message)
        self._kept.wish(bare, encrypted=True)
        trusted = await self._omemo.meet(device)
        await self._kept.flush()
        if not trusted:
            return "", UNKNOWN_DEVICE.format(short=_short(device))
        return str(plain["body"]), ""

    def refuses_clear(self, bare: str) -> bool:
        """Whether words in the clear from somebody must not be obeyed."""
        wishes = self._kept.wishes(bare)
        return bool(wishes.get("encrypted")) and not wishes.get("clear")

    # ── out ─────────────────────────────────────────────────────────────────────────────
    def encrypts_for(self, bare: str) -> bool:
        """Whether somebody is written to encrypted."""
        return bool(self._kept.wishes(bare).get("encrypted"))

    async def sealed(self, message: Message) -> Message | None:
        """A message as its reader alone can read it; None when that cannot be done."""
        bare, replaces = message["to"].bare, message["replace"]["id"]
        try:
            closed, errors = await self._omemo.encrypt_message(message, JID(bare))
        except Exception as error:  # the library raises what its parts raise
            log.warning("%s: %s", CANNOT_ENCRYPT, type(error).__name__)
            return message if self._kept.wishes(bare).get("clear") else None
        for trouble in errors:
            log.info("a device of somebody on Jabber is left out: %s", type(trouble).__name__)
        if closed is not None and replaces:
            closed["replace"]["id"] = replaces
        await self._kept.flush()
        return closed

    # ── words ───────────────────────────────────────────────────────────────────────────
    async def about(self, bare: str, text: str) -> str:
        """The answer to words about encryption; empty when they are about something else."""
        words = " ".join(text.lower().split()).rstrip(".!")
        if words in ("omemo", "encryption", "my devices", "fingerprints"):
            return await self._described(bare)
        if words in ("plain text is fine", "encrypt always"):
            clear = words == "plain text is fine"
            self._kept.wish(bare, clear=clear)
            await self._kept.flush()
            if clear:
                return (
                    "From now on I also read what comes in the clear. “encrypt always” ends that."
                )
            return "From now on I read and write encrypted messages only."
        if found := _TRUST.fullmatch(words):
            return await self._decide(bare, found[2].lower(), trusted=found[1].lower() == "trust")
        return ""

    async def _decide(self, bare: str, short: str, *, trusted: bool) -> str:
        manager = await self._omemo.get_session_manager()
        for device in await manager.get_device_information(bare):
            if _short(device) == short:
                level = TrustLevel.TRUSTED if trusted else TrustLevel.DISTRUSTED
                await manager.set_trust(bare, device.identity_key, level.value)
                await self._kept.flush()
                return f"Device {short} is {'trusted' if trusted else 'not trusted'} from now on."
        return f"I know no device {short} of yours; “omemo” lists them."

    async def _described(self, bare: str) -> str:
        manager = await self._omemo.get_session_manager()
        own, _ = await manager.get_own_device_information()
        lines = ["My fingerprint:", f"  {_fingerprint(own)}", "Your devices:"]
        devices = sorted(await manager.get_device_information(bare), key=_short)
        for device in devices[:MAX_DEVICES]:
            trusted = device.trust_level_name == TrustLevel.TRUSTED.value
            state = "trusted" if trusted else "not trusted"
            lines.append(f"  {_short(device)} {state}: {_fingerprint(device)}")
        if not devices:
            lines.append("  none that encrypts")
        lines.append("Say “trust 1a2b3c4d” or “distrust 1a2b3c4d” to change that.")
        return "\n".join(lines)


def _short(device: DeviceInformation) -> str:
    return device.identity_key.hex()[:8]


def _fingerprint(device: DeviceInformation) -> str:
    key = device.identity_key.hex()
    return " ".join(key[at : at + 8] for at in range(0, len(key), 8))
