"""What of a changed configuration can be taken up while calls go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from encryptotel.config import Config
from pbx.ports import Account

AT_START = (
    "exchange", "database", "cluster", "network", "web", "demo", "owner", "menus", "waves",
    "wallet", "tariff", "telegram", "xmpp", "chat", "calendars", "reminders", "recording", "sms",
)  # fmt: skip
"Sections that sockets, dialogs and conversations were made with …"
LIVE = {"exchange": ("certificate", "certificate_key"), "chat": ("confirm_contacts",)}
"… but for these options of them;"
ALSO_AT_START = {
    "answerphone": ("keep_days",),
    "log": ("format",),
    "media": ("rtp_ports", "piper_voice"),
    "money": ("unit", "decimals"),
    "network": ("nameserver", "public_address", "stun_server", "local_networks"),
}
"and single options of other sections."


def blended(running: Config, wanted: Config) -> tuple[Config, list[str]]:
    """The configuration to go on with, and the options in `wanted` that need a restart."""
    later: list[str] = []
    sections: dict[str, Any] = {}
    for name in type(running).model_fields:
        old, new = getattr(running, name), getattr(wanted, name)
        if isinstance(old, tuple):  # of tables, such as [[tariff]]
            sections[name] = old if name in AT_START else new
            later += [f"[[{name}]]"] if sections[name] != new else []
            continue
        kept = {
            option: getattr(old, option)
            for option in _fixed(name, type(old))
            if getattr(old, option) != getattr(new, option)
        }
        later += [f"[{name}] {option}" for option in kept]
        sections[name] = new.model_copy(update=kept) if kept else new
    return running.model_copy(update=sections), later


def _fixed(section: str, model: type) -> list[str]:
    """The options of a section that stay until the next start."""
    if section in AT_START:
        options = list(getattr(model, "model_fields", ()))
        return [option for option in options if option not in LIVE.get(section, ())]
    return list(ALSO_AT_START.get(section, ()))


def locked_out(
    before: Mapping[str, Account], after: Mapping[str, Account]
) -> list[tuple[Account, str]]:
    """Accounts whose phones must not stay registered, and why: it is gone, or somebody who knew
    the old password may be among them."""
    found = []
    for username, old in before.items():
        new = after.get(username)
        if new is None:
            found.append((old, "its account was removed"))
        elif new.secret != old.secret:
            found.append((old, "the password was changed"))
    return found
