"""Scenarios and wallets in the chat."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from bot.ports import Operator, OperatorError, Person, ScenarioShown, only_in_chats
from bot.qr import qr_code
from bot.replies import Button, Reply
from nlp import commands
from nlp.commands import Command, Party, Scenario, SendMoney

NONE = (
    "You have no scenarios. Say, for example: when I call *77 and enter my PIN send 5 WAVES to "
    "3P…, or: when I call *80 and enter my PIN text Bob: I am on my way."
)
_LIST = re.compile(
    r"(?:(?:show|list)(?: me)? (?:all )?)?(?:my|the) (?:scenarios|shortcuts|macros)"
    r"|(?:what|which) (?:scenarios|shortcuts|macros) (?:do i have|are there)",
    re.I,
)
_CHANGE = re.compile(
    r"(?P<what>delete|remove|forget|pause|disable|turn off|switch off|resume|enable|turn on"
    r"|switch on)"
    r" (?:(?:the|my) )?(?:(?P<which>[\w -]{1,40}?|\*\d{1,8}) (?:scenario|shortcut|macro)"
    r"|(?:scenario|shortcut|macro) (?P<named>[\w -]{1,40}|\*\d{1,8}))",
    re.I,
)
_WALLET = re.compile(
    r"(?:show |open |what is in |what's in )?(?:me )?my (?:crypto )?wallet(?: balance| address)?"
    r"|(?:set up|create|make|open|get)(?: me)? a (?:crypto )?wallet",
    re.I,
)
_UNLOCK = re.compile(r"unlock my (?:wallet|pin)", re.I)
_DROP = re.compile(r"(?:delete|remove|forget) my wallet", re.I)
_OFF = ("pause", "disable", "turn off", "switch off")
_ON = ("resume", "enable", "turn on", "switch on")


async def about_scenarios(operator: Operator, person: Person, text: str) -> Reply | None:
    """What set phrases about scenarios and wallets do; None for anything else. Raises
    `OperatorError`."""
    words = " ".join(text.split()).rstrip(".!?")
    if _LIST.fullmatch(words):
        return listed(operator.scenarios.of(person))
    if found := _CHANGE.fullmatch(words):
        which, what = found["which"] or found["named"], found["what"].lower()
        if what in _OFF + _ON:
            one = await operator.scenarios.pause(person, which, on=what in _OFF)
            state = "is paused" if one.paused else "runs again"
            return Reply(text=f"The scenario {one.name} ({one.trigger}) {state}.")
        one = await operator.scenarios.remove(person, which)
        return Reply(text=f"The scenario {one.name} is gone; {one.trigger} does nothing now.")
    if _WALLET.fullmatch(words):
        return await _wallet(operator, person)
    if _UNLOCK.fullmatch(words):
        only_in_chats()
        await operator.wallets.unlock(person)
        return Reply(text="Your wallet takes your PIN again.")
    if _DROP.fullmatch(words):
        only_in_chats()
        await operator.wallets.drop(person)
        return Reply(text="Your wallet is gone; it was empty.")
    return None


async def with_pin(operator: Operator, person: Person, command: SendMoney | Scenario) -> Reply:
    """Send something, have a scenario, or let one rest. Raises `OperatorError`."""
    if isinstance(command, SendMoney):
        return Reply(text=await operator.wallets.send(person, command))
    if not command.on:
        which = command.name or command.trigger
        if which is None:
            return listed(operator.scenarios.of(person))
        one = await operator.scenarios.pause(person, which, on=True)
        return Reply(text=f"The scenario {one.name} ({one.trigger}) is paused.")
    one = await operator.scenarios.add(person, command)
    text = f"When you call {one.trigger} and key your PIN, I {said(one.action)}."
    try:
        await operator.wallets.shown(person)
    except OperatorError:
        text += " You have no PIN yet: your first call there asks you to choose one."
    return Reply(text=text)


def listed(found: Sequence[ScenarioShown]) -> Reply:
    """Somebody's scenarios, with buttons for each."""
    if not found:
        return Reply(text=NONE)
    lines, buttons = ["Your scenarios:"], []
    for one in found:
        paused = " (paused)" if one.paused else ""
        lines.append(f"  {one.trigger} {one.name}{paused}: I {said(one.action)}")
        does = "Resume" if one.paused else "Pause"
        for what in (does, "Delete"):
            says = f"{what.lower()} the scenario {one.trigger}"
            buttons.append(Button(label=f"{what} {one.name}", says=says))
    return Reply(text="\n".join(lines), buttons=tuple(buttons[:8]))


async def _wallet(operator: Operator, person: Person) -> Reply:
    one = await operator.wallets.shown(person)
    holds = one.trouble or f"It holds {' and '.join(one.holds)}."
    if one.trouble:
        holds = f"What it holds cannot be told now: {one.trouble}."
    text = f"Your wallet is\n{one.address}\n{holds} To fill it, scan the picture, or: {one.link}"
    buttons: tuple[Button, ...] = (Button(label="Fill it", link=one.link),)
    if one.locked:
        text += "\nIt is locked, because three wrong PINs were keyed."
        buttons += (Button(label="Unlock", says="unlock my wallet"),)
    picture = await asyncio.to_thread(qr_code, one.link, "wallet.png")
    return Reply(text=text, file=picture, buttons=buttons, private=True)


def said(action: Command) -> str:
    """What an action does, after “I”."""
    match action:
        case SendMoney(money=sum_, to_address=to) if sum_ is not None:
            return f"send {sum_.amount} {sum_.asset} to {to}"
        case commands.Message(to=Party() as to, text=text):
            return f"text {_who(to)}: {text}"
        case commands.Call(to=parties):
            return f"call {_all(parties)} and then you"
        case commands.Conference(participants=parties):
            return f"call {_all(parties)} into a conference with you"
        case commands.Redirect(on=False):
            return "end your redirections"
        case commands.Redirect(to=Party() as to):
            return f"send your calls to {_who(to)}"
        case commands.DoNotDisturb(on=on):
            return "let nobody ring you" if on else "let your phones ring again"
        case commands.HideNumber(on=on):
            return "hide your number" if on else "show your number"
        case commands.Block(party=Party() as whom):
            return f"block {_who(whom)}"
        case commands.Unblock(party=Party() as whom):
            return f"let {_who(whom)} through"
        case commands.Record(on=on):
            return "record your calls" if on else "record your calls no more"
    return action.intent.replace("_", " ")


def _who(party: Party) -> str:
    return party.name or party.number or party.extension or "them"


def _all(parties: Sequence[Party]) -> str:
    return " and ".join(_who(party) for party in parties)
