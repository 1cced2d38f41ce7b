"""What people say about the calls that come for them, in set phrases and by buttons; the orders
that the language knows (redirect, do not disturb …) come through the dialogue."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

from bot.ports import Handling, Operator, Person, Redirection, only_in_chats
from bot.replies import Button, Reply
from nlp.commands import DoNotDisturb, Party

MAX_LISTED = 20
NONE = "No calls of yours are redirected."
TOO_LATE = "There is no such redirection any more."

_RULES = (
    r"(?:call )?(?:redirect(?:ion)?s?|diversions?|forwardings?|forwards|forwarding rules|rules)"
)
_LIST = re.compile(
    rf"(?:show |list |what are |what |which )?(?:me )?(?:all )?(?:my |the )?{_RULES}(?: do i have| are there)?",
    re.I,
)
_ONE = re.compile(
    r"(pause|resume|remove|delete) (?:rule|redirection|redirect|diversion|forwarding) #?([0-9a-f]{8}|\d{1,3})",
    re.I,
)
_ALL = re.compile(rf"(pause|suspend|resume|continue) (?:all )?(?:of )?(?:my |the )?{_RULES}", re.I)
_CALLERS = r"(?:callers?|calls?|numbers?|people)"
_HIDDEN = r"anonymous|hidden|withheld|private"
_KIND = rf"(?P<kind>(?:{_HIDDEN}|unknown)(?: (?:and|or) (?:{_HIDDEN}|unknown))?)"
_TREATMENTS = (
    ("refuse", re.compile(rf"(?:block|reject|refuse|bar) (?:all )?{_KIND} {_CALLERS}", re.I)),
    (
        "answerphone",
        re.compile(
            rf"(?:send|forward|put) (?:all )?{_KIND} {_CALLERS} (?:straight )?to (?:the |my )?"
            r"(?:voice ?mail|answerphone|mailbox|answering machine)",
            re.I,
        ),
    ),
    (
        "ask",
        re.compile(
            rf"(?:ask|screen) (?:all )?{_KIND} {_CALLERS}(?: (?:who they are|who is calling|"
            r"(?:for|to say) (?:their|a) names?))?",
            re.I,
        ),
    ),
    (
        "ring",
        re.compile(
            rf"(?:let|allow) (?:all )?{_KIND} {_CALLERS}(?: (?:through|in|again))*|"
            rf"(?:stop (?:asking|screening|blocking|refusing)|unblock) (?:all )?(?P<kind2>"
            rf"(?:{_HIDDEN}|unknown)(?: (?:and|or) (?:{_HIDDEN}|unknown))?) {_CALLERS}",
            re.I,
        ),
    ),
)
_ALLOW = re.compile(
    r"(?:always let (?P<a>.{1,60}?) (?:through|in|ring(?: me)?|call(?: me)?)|"
    r"let (?P<b>.{1,60}?) (?:always )?through(?: always)?|"
    r"(?P<c>.{1,60}?) (?:can|may) always (?:ring|call|reach)(?: me)?)",
    re.I,
)
_DISALLOW = re.compile(
    r"(?:do not|don't|no longer|stop) (?:always )?let(?:ting)? (?P<a>.{1,60}?) through(?: always)?|"
    r"(?P<b>.{1,60}?) (?:can|may) no longer always (?:ring|call|reach)(?: me)?",
    re.I,
)
_RECORD = re.compile(
    r"(?P<off>do not |don't |stop )?(?:always )?record(?:ing)? (?:all )?(?:my |the )?calls (?:from|with|of|to|by) (?P<who>.{1,60})",
    re.I,
)
_WAITING = re.compile(
    r"(?:turn |switch |set )?(?P<a>on |off )?call waiting(?: (?P<b>on|off))?", re.I
)
_GREETING = re.compile(
    r"(?:set |make )?my (?:answerphone |voice ?mail |mailbox )?greeting (?:is|to|says)?:? ?[“\"]?(.{1,600}?)[”\"]?",
    re.I | re.S,
)
_USUAL = re.compile(r"(?:use the|back to the) (?:usual|standard|normal) greeting", re.I)
_PIN = re.compile(
    r"(?:set )?my (?:answerphone |voice ?mail |mailbox )?pin (?:is|to|code is)?:? ?(\d{1,20})", re.I
)
_SETTINGS = re.compile(
    r"(?:show |what are )?(?:me )?my (?:call )?settings|how are my calls handled", re.I
)
_WHEN_FREE = re.compile(
    r"(?:call|ring|phone) (?:back )?(?P<who>.{1,60}?) (?:back )?(?:when|as soon as|once|if) (?:(?:he|she|they|it|the line)(?:'s| is|'re| are) )?(?:free|available|reachable|there|off the phone)(?: again)?",
    re.I,
)
# Left to the language, which knows whom the conversation was about.
_NOBODY_CERTAIN = re.compile(
    r"(?:him|her|them|it|me|us|this|that|everybody|everyone|anybody|anyone|all|(?:all |my |the |all my |all the )?(?:calls?|callers))(?: back)?",
    re.I,
)
_PARTY = re.compile(r"\+?[\d ()/.-]{2,24}")


async def about_calls(operator: Operator, person: Person, text: str) -> list[Reply] | None:
    """What set phrases about one's calls do; None for anything else. Raises `OperatorError`."""
    words = " ".join(text.split()).rstrip(".!?")
    if (found := _WHEN_FREE.fullmatch(words)) and not _NOBODY_CERTAIN.fullmatch(found["who"]):
        return [Reply(text=operator.wait_for(person, party_said(found["who"])))]
    for heard in _HEARD:
        replies = await heard(operator.handling, person, words)
        if replies is not None:
            return replies
    return None


async def _redirections(handling: Handling, person: Person, words: str) -> list[Reply] | None:
    if _LIST.fullmatch(words):
        return [_listed(handling.redirections(person))]
    if found := _ONE.fullmatch(words):
        return [await _change(handling, person, found[1].lower(), found[2].lower())]
    if found := _ALL.fullmatch(words):
        on = found[1].lower() in ("pause", "suspend")
        rules = handling.redirections(person)
        for one in rules:
            await handling.pause(person, one.id, on=on)
        return [_listed(handling.redirections(person))]
    return None


async def _change(handling: Handling, person: Person, what: str, which: str) -> Reply:
    """Pause, resume or remove one redirection, by its id or its place in the list."""
    rules = handling.redirections(person)
    if which.isdecimal() and len(which) < 4:
        found = rules[int(which) - 1 : int(which)]
    else:
        found = [one for one in rules if one.id == which]
    if not found:
        return Reply(text=TOO_LATE)
    if what in ("remove", "delete"):
        await handling.remove(person, found[0].id)
        return Reply(text=f"No longer: {found[0].what}.")
    await handling.pause(person, found[0].id, on=what == "pause")
    done = "Paused" if what == "pause" else "Holds again"
    return Reply(text=f"{done}: {found[0].what}.")


def _listed(rules: Sequence[Redirection]) -> Reply:
    if not rules:
        return Reply(text=NONE)
    shown = rules[:MAX_LISTED]
    lines = [
        f"  {n}. {one.what}{' (paused)' if one.paused else ''}" for n, one in enumerate(shown, 1)
    ]
    if len(rules) > MAX_LISTED:
        lines.append(f"… and {len(rules) - MAX_LISTED} more")
    buttons: list[Button] = []
    for n, one in enumerate(shown, 1):
        word = "Resume" if one.paused else "Pause"
        buttons.append(Button(label=f"{word} {n}", says=f"{word.lower()} rule #{one.id}"))
        buttons.append(Button(label=f"Remove {n}", says=f"remove rule #{one.id}"))
    return Reply(text="\n".join(["Redirections:", *lines]), buttons=tuple(buttons))


async def _treatments(handling: Handling, person: Person, words: str) -> list[Reply] | None:
    for how, pattern in _TREATMENTS:
        if found := pattern.fullmatch(words):
            kind = (found["kind"] or found.groupdict().get("kind2") or "").lower()
            unknown = "unknown" in kind
            anonymous = kind != "unknown"
            text = await handling.treat(person, anonymous=anonymous, unknown=unknown, how=how)
            return [Reply(text=text)]
    return None


async def _allowed(handling: Handling, person: Person, words: str) -> list[Reply] | None:
    for on, pattern in ((False, _DISALLOW), (True, _ALLOW)):
        if found := pattern.fullmatch(words):
            name = next(group for group in found.groups() if group)
            if _NOBODY_CERTAIN.fullmatch(name):
                return None
            return [Reply(text=await handling.allow(person, party_said(name), on=on))]
    return None


async def _others(handling: Handling, person: Person, words: str) -> list[Reply] | None:
    if (found := _WAITING.fullmatch(words)) and (found["a"] or found["b"]):
        on = (found["a"] or found["b"]).strip().lower() == "on"
        return [Reply(text=await handling.wait(person, on=on))]
    if re.fullmatch(r"unblock hidden callers", words, re.I):
        return [Reply(text=await handling.unblock_hidden(person))]
    if found := _RECORD.fullmatch(words):
        party = party_said(found["who"])
        return [Reply(text=await handling.record(person, party, on=not found["off"]))]
    if found := _PIN.fullmatch(words):
        only_in_chats()
        return [Reply(text=await handling.set_pin(person, found[1]))]
    if _USUAL.fullmatch(words):
        return [Reply(text=await handling.set_greeting(person, ""))]
    if found := _GREETING.fullmatch(words):
        return [Reply(text=await handling.set_greeting(person, found[1].strip()))]
    if _SETTINGS.fullmatch(words):
        return [Reply(text=handling.settings(person))]
    return None


_DISTURB = re.compile(
    r"(?:(?:you|people|they|everybody|everyone) (?:can|may) )?(?:please )?disturb me(?: again| now)?"
    r"|ring (?:me )?again|let (?:it|my phones?) ring again",
    re.I,
)


async def _disturbed(handling: Handling, person: Person, words: str) -> list[Reply] | None:
    if not _DISTURB.fullmatch(words):
        return None
    return [Reply(text=await handling.do_not_disturb(person, DoNotDisturb(on=False)))]


_HEARD: tuple[Callable[[Handling, Person, str], Awaitable[list[Reply] | None]], ...] = (
    _disturbed,
    _redirections,
    _treatments,
    _allowed,
    _others,
)


def party_said(said: str) -> Party:
    """Somebody as they were said: a number, an extension or a name."""
    if not _PARTY.fullmatch(said):
        return Party(name=said)
    digits = "".join(key for key in said if key.isdecimal() or key == "+")
    return Party(extension=digits) if len(digits) <= 6 else Party(number=said)
