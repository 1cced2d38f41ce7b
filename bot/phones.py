"""The person's phones: setting one up by a link, looking at them, and shutting one out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from bot.moments import moment
from bot.ports import Operator, OperatorError, Person, Phone
from bot.qr import qr_code
from bot.replies import Button, Reply

# What the buttons say: that of the list, and the one that means it.
_PRESSED = re.compile(r"revoke phone #(\d{2,6}\.\w{4})( for good)?", re.ASCII)
_REVOKE = re.compile(r"revoke (?:my |the )?(.{1,60})", re.I)
_SCAN = """\
Scan this with Linphone to set “{name}” up as number {extension}, or open the link on the phone:
{page}
It is good once, and for {minutes} minutes."""
SURE = "“{name}” could not call or be called any more and would have to be set up anew. Sure?"
REVOKED = "“{name}” is revoked. Calls that it has go on."
NONE = "You have no phones yet. Say “set up my phone”."
SHARED = (
    "Phones with the extension's own password cannot be revoked alone: change that, and all of "
    "them are out."
)


async def set_up(operator: Operator, person: Person, name: str) -> Reply:
    """A link for one phone, to be scanned or opened."""
    link = await operator.set_up_phone(person, name)
    text = _SCAN.format(
        name=link.name, extension=link.extension, page=link.page, minutes=link.minutes
    )
    picture = await asyncio.to_thread(qr_code, link.phone, "phone.png")
    return Reply(text=text, file=picture, private=True)


async def heard(operator: Operator, person: Person, text: str) -> Reply | None:
    """What the buttons of the list do, or a person types to the same end; None for anything
    else. Raises `OperatorError`."""
    pressed = _PRESSED.fullmatch(text)
    if pressed and pressed[2]:
        return Reply(text=REVOKED.format(name=await operator.revoke_phone(person, pressed[1])))
    typed = _REVOKE.fullmatch(" ".join(text.split()).rstrip(".!"))
    if pressed is None and typed is None:
        return None
    phones = [phone for phone in await operator.phones(person) if phone.id]
    if pressed:
        fitting = [phone for phone in phones if phone.id == pressed[1]]
    else:
        assert typed is not None
        wanted = typed[1].casefold()
        fitting = [phone for phone in phones if phone.name.casefold() == wanted]
    if not fitting:
        raise OperatorError("phone.unknown", "none of your phones is called that; say “my phones”")
    if len(fitting) > 1:
        return await listed(operator, person)
    (phone,) = fitting
    button = Button(label="Revoke it", says=f"revoke phone #{phone.id} for good")
    return Reply(text=SURE.format(name=phone.name), buttons=(button,))


async def listed(operator: Operator, person: Person) -> Reply:
    """All of them, each that can be with a button to revoke it."""
    phones = await operator.phones(person)
    if not phones:
        return Reply(text=NONE)
    lines = [f"  {n}. {_line(phone, person)}" for n, phone in enumerate(phones, 1)]
    if any(not phone.id for phone in phones):
        lines.append(SHARED)
    buttons = tuple(
        Button(label=label, says=f"revoke phone #{phone.id}") for label, phone in _labels(phones)
    )
    text = "\n".join([f"Your phones (number {person.extension}):", *lines])
    return Reply(text=text, buttons=buttons)


def _labels(phones: Sequence[Phone]) -> list[tuple[str, Phone]]:
    return [(f"Revoke {n}", phone) for n, phone in enumerate(phones, 1) if phone.id]


def _line(phone: Phone, person: Person) -> str:
    name = phone.name or "with the extension's own password"
    if phone.since is None:
        ago = f", set up {moment(phone.set_up, person)}" if phone.set_up else ""
        return f"{name}: not connected{ago}"
    agent = f", {phone.agent}" if phone.agent else ""
    return f"{name}: connected since {moment(phone.since, person)}{agent}"
