"""The bot's menu as ad-hoc commands (XEP-0050): forms that become sentences.

What a form asks for is put into a sentence that could as well be typed, and what the conversation
answers is shown in the client's dialog; its buttons are a list to choose from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from slixmpp import JID, ClientXMPP
from slixmpp.exceptions import XMPPError

from bot.replies import Reply

MAX_VALUE = 200
"Characters of one field."

Ask = Callable[[JID, str], Awaitable[Sequence[Reply]]]
"What the conversation answers to a sentence of somebody."


@dataclass(frozen=True)
class Item:
    """A command of the menu: `sentence` is a pattern of the fields' names."""

    node: str
    title: str
    sentence: str
    fields: tuple[tuple[str, str], ...] = ()
    "Names and labels; all but those in `optional` must be filled in."
    optional: tuple[str, ...] = ()


MENU = (
    Item("status", "Phones, lines and calls", "status"),
    Item(
        "call",
        "Call somebody",
        "call {to}{ from the |line| line}{, then call me back on |back}",
        (("to", "Number, extension or name"), ("line", "Line"), ("back", "Call me back on")),
        optional=("line", "back"),
    ),
    Item("hang-up", "Hang up", "hang up"),
    Item("hold", "Hold the call", "put the call on hold"),
    Item("resume", "Resume the call", "take the call off hold"),
    Item("mute", "Mute me", "mute me"),
    Item("unmute", "Unmute me", "unmute me"),
    Item("missed", "Missed calls", "any missed calls"),
    Item("calls", "My calls today", "show my calls today"),
    Item("today", "What is on today", "what's on today"),
    Item("reminders", "My reminders", "my reminders"),
    Item(
        "remind",
        "Remind me",
        "remind me {when} to {what}",
        (("when", "When"), ("what", "What of")),
    ),
    Item("calendars", "My calendars", "my calendars"),
    Item("calendar-follow", "Follow a calendar", "sync my calendar {url}", (("url", "Address"),)),
    Item("contacts", "My contacts", "show my contacts"),
    Item(
        "contact-add",
        "Add a contact",
        "save {name} as {number}",
        (("name", "Name"), ("number", "Number")),
    ),
    Item("contact-remove", "Remove a contact", "remove contact {name}", (("name", "Name"),)),
    Item("invite", "Invite somebody", "invite {name}", (("name", "Name"),)),
    Item("export", "What is known of me", "export my data"),
    Item("help", "What I can say", "help"),
)


class Menu:
    """Offers `MENU` to those whom `may` lets in; `ask` says their sentences."""

    def __init__(self, client: ClientXMPP, may: Callable[[JID], Awaitable[bool]], ask: Ask) -> None:
        self._client = client
        self._may = may
        self._ask = ask

    def offer(self) -> None:
        """Tell the network of the commands; once the session's address is known."""
        adhoc = self._client.plugin["xep_0050"]
        for item in MENU:
            begin = self._with_form if item.fields else self._at_once
            adhoc.add_command(node=item.node, name=item.title, handler=begin)

    async def _at_once(self, _: Any, session: dict[str, Any]) -> dict[str, Any]:
        await self._check(session)
        return await self._answer(session, _item(session).sentence)

    async def _with_form(self, _: Any, session: dict[str, Any]) -> dict[str, Any]:
        await self._check(session)
        item = _item(session)
        form = self._form(item.title)
        for name, label in item.fields:
            required = name not in item.optional
            form.add_field(var=name, ftype="text-single", label=label, required=required)
        session |= {"payload": form, "next": self._filled_in, "has_next": True}
        return session

    async def _filled_in(self, form: Any, session: dict[str, Any]) -> dict[str, Any]:
        await self._check(session)
        item, values = _item(session), _values(form)
        lacking = [label for name, label in item.fields
                   if name not in item.optional and not values.get(name)]  # fmt: skip
        if lacking:
            raise XMPPError("bad-request", text=f"Please fill in: {', '.join(lacking)}")
        return await self._answer(session, sentence_of(item, values))

    async def _chosen(self, form: Any, session: dict[str, Any]) -> dict[str, Any]:
        await self._check(session)
        return await self._answer(session, _values(form).get("answer", ""))

    async def _answer(self, session: dict[str, Any], sentence: str) -> dict[str, Any]:
        """Say a sentence and show what comes back, with its buttons as the next form."""
        replies = await self._ask(session["from"], sentence)
        text = "\n".join(reply.card or reply.text for reply in replies) or "Done."
        last = replies[-1].buttons if replies and not replies[-1].keypad else ()
        buttons = [button for button in last if button.says]
        session |= {"payload": None, "next": None, "notes": [("info", text)]}
        if buttons:
            form = self._form(text[:1000])
            options = [{"label": button.label, "value": button.says} for button in buttons]
            form.add_field(var="answer", ftype="list-single", label="Answer", options=options)
            session |= {"payload": form, "next": self._chosen, "has_next": True}
        return session

    def _form(self, title: str) -> Any:
        return self._client.plugin["xep_0004"].make_form("form", title)  # type: ignore[no-untyped-call]

    async def _check(self, session: dict[str, Any]) -> None:
        if not await self._may(session["from"]):
            raise XMPPError("forbidden", text="This is somebody's private telephone exchange.")


def sentence_of(item: Item, values: dict[str, str]) -> str:
    """The pattern with what was filled in; a part in braces with bars is left out where its
    field is empty: ``{ from the |line| line}``."""
    said = ""
    for part in item.sentence.split("{"):
        slot, brace, rest = part.partition("}")
        if not brace:
            said += part
            continue
        before, bar, after = slot.partition("|")
        name, _, behind = after.partition("|") if bar else (slot, "", "")
        value = values.get(name, "")
        said += (before * bool(bar) + value + behind if value else "") + rest
    return said


def _item(session: dict[str, Any]) -> Item:
    return next(item for item in MENU if item.node == session["node"])


def _values(form: Any) -> dict[str, str]:
    """What was filled in, one line each; a client may send anything, or nothing."""
    try:
        values = form["values"]
    except (KeyError, TypeError):
        return {}
    return {
        str(name): " ".join(str(value).split())[:MAX_VALUE]
        for name, value in values.items()
        if value is not None
    }
