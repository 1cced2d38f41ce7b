"""What a message means in the middle of a conversation: pronouns, answers, corrections, "again".

The conversation is data: the last commands, oldest first, and the slot that was asked for. A
message that is complete in itself is left as it is; a bare one completes or corrects the last.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from nlp import commands
from nlp.commands import Command, Party, When
from nlp.contacts import named
from nlp.context import Context
from nlp.periods import period_of
from nlp.slots.messages import own_words
from nlp.slots.money import money_in
from nlp.spans import Kind
from nlp.times import bare_hour
from nlp.view import View, trimmed
from nlp.windows import find_window

PRONOUNS = frozenset(
    {
        "him",
        "her",
        "them",
        "that number",
        "this number",
        "the number",
        "he",
        "she",
        "they",
        "that person",
        "this person",
        "that caller",
        "the caller",
        "that guy",
        "it",
        "his",
        "that one",
    }
)
_PRONOUN = re.compile(
    r"\b(?:call|ring|phone|dial|text|message|sms|tell|block|unblock|save|from|to|with|remind|try|reach|for|add|invite|let|buzz)\s+(?P<who>him|her|them|that\s+number|this\s+number|"
    r"the\s+(?:same\s+)?number|that\s+(?:person|caller|guy|one)|it)\b(?!\s+(?:know\s+)?off\b)"
)
_CALL_PRONOUN = re.compile(
    r"^\W*(?:(?:and|ok|okay|please|now|then|can\s+you|could\s+you|just|so)\s+)*(?:call|ring|phone|dial|buzz|try|reach)\s+(?P<who>him|her|them|that\s+number|this\s+number|the\s+(?:same\s+)?number|that\s+(?:person|caller|one))"
    r"(?:\s+(?:back|again|now|please|up))*(?P<rest>.*)$"
)
_HIS_CALLS = re.compile(r"\b(?:his|her|their)\s+calls\b|\bcalls\s+from\s+(?:him|her|them)\b")
_SHE = re.compile(r"\b(?:she|he|they|him|her|them)\b")
_AGAIN = re.compile(
    r"^\W*(?:(?:and|please|do|once|one|ok|the)\s+)*(?:again|once\s+more|one\s+more\s+time|same\s+again|do\s+(?:it|that)\s+again|repeat(?:\s+(?:it|that))?|another\s+one|send\s+it\s+again|try\s+again|the\s+same(?:\s+again)?)\W*(?:please)?\W*$"
)
_CORRECTION = re.compile(
    r"^\W*(?:(?:no|nope|sorry|wait|oops|actually|hang\s+on|hmm|wrong|er|uh|i\s+mean|i\s+meant|not\s+that)\b[\s,.!:-]*)+(?:i\s+(?:meant|mean|said)\s+|make\s+(?:it|that)\s+|it's\s+|to\s+|rather\s+)*(?P<what>.+?)(?:\s*,?\s+(?:instead|please|i\s+meant))*\W*$"
)
_NOT_BUT = re.compile(r"^\W*not\s+(?P<old>.+?)\s*[,;]\s*(?:but\s+)?(?P<what>.+?)\W*$")
_INSTEAD = re.compile(
    r"^\W*(?:(?:can\s+you\s+|please\s+|could\s+you\s+)*(?:make|change|set|do|move|use|put|take|try|have)\s+(?:it|that|this)?\s*)?(?:to\s+|for\s+|rather\s+|at\s+)?(?P<what>.+?)\s+(?:instead|rather)\W*(?:please)?\W*$"
)
_MAKE_IT = re.compile(
    r"^\W*(?:(?:and|ok|please|no|actually|can\s+you|could\s+you)[\s,]+)*(?:make|change|set|move|push|shift|put)\s+(?:it|that|this)\s+(?:to\s+|at\s+|for\s+|on\s+|till\s+|until\s+)?(?P<what>.+?)\W*$"
)
_ALSO = re.compile(
    r"^\W*(?:and|also|plus|add)\s+(?:also\s+)?(?P<what>.+?)(?:\s+(?:too|as\s+well|also|to\s+it|in))*\W*$|^\W*(?P<too>.+?)\s+(?:too|as\s+well)\W*$"
)
_OFF = re.compile(
    r"^\W*(?:(?:please|now|ok|and)\s+)*(?:turn|switch|take)\s+(?:it|that|this)\s+off(?:\s+again)?\W*$|^\W*(?:stop|undo|cancel|disable)\s+(?:it|that)\W*(?:please)?\W*$"
)
_ORDINAL = re.compile(
    r"^\W*(?:the\s+)?(?P<which>first|second|third|fourth|last|other|1st|2nd|3rd|\d)(?:\s+(?:one|number|contact|person))?\W*(?:please)?\W*$"
)
_PLAIN_ANSWER = re.compile(
    r"^\W*(?:(?:it's|its|that's|is|to|at|the|for|on|my|say|called|name\s+it|call\s+it|with|as|make\s+it|please|use|about|that|just|maybe|ok|well|um)\s+)*(?P<what>.+?)(?:\s+(?:please|thanks|thank\s+you))*\W*$",
    re.I,
)

_FEW_WORDS = 6
_PARTY_SLOTS = ("to", "party", "participants", "from_", "callback")


@dataclass(frozen=True)
class Said:
    """A message as it was understood alone."""

    view: View
    commands: tuple[Command, ...]


def complete(said: Said, context: Context) -> tuple[Command, ...] | None:
    """The commands a message means after what went before; None where that changes nothing."""
    text = said.view.text
    if context.asked and (answered := _answer(said, context)) is not None:
        return (answered,)
    history = context.history
    if not history:
        return None
    last = history[-1]
    for pattern, change in _HOW:
        if pattern.match(text) and (told := change(last)) is not None:
            return (told,)
    if (match := _NOT_BUT.match(text)) and len(text.split()) <= 8:
        changed = _changed(last, said.view, *match.span("what"))
        if changed is not None:
            return (changed,)
    short = len(text.split()) <= _FEW_WORDS and _VERB.search(text) is None
    if short and (told := _added(last, said.view) or _by_line(last, said.view)) is not None:
        return (told,)
    if _is_about_the_same(said.commands, last) and (asked := _asked_further(last, said.view)):
        return (asked,)
    calls = any(isinstance(command, commands.Call) for command in said.commands)
    if said.commands and not _is_bare(said.commands) and (calls or not _CALL_PRONOUN.match(text)):
        filled = tuple(with_pronouns(command, said.view, history) for command in said.commands)
        return filled if filled != said.commands else None
    if _CALL_PRONOUN.match(text) and (party := last_party(history)):
        when, _ = said.view.when()
        return (commands.Call(to=(party,), at=when),)
    if _AGAIN.match(text):
        return (last,)
    if _OFF.match(text) and hasattr(last, "on"):
        return (_switched_off(last),)
    for pattern in (_INSTEAD, _MAKE_IT, _CORRECTION):
        match = pattern.match(text)
        if match is not None:
            changed = _changed(last, said.view, *match.span("what"))
            if changed is not None:
                return (changed,)
    added = _added(last, said.view)
    if added is not None:
        return (added,)
    narrowed = _narrowed(last, said.view)
    return (narrowed,) if narrowed is not None else None


def _added(last: Command, view: View) -> Command | None:
    """ "And Alice too": the last command with one more."""
    match = _ALSO.match(view.text)
    if match is None:
        return None
    group = "what" if match.start("what") >= 0 else "too"
    return _extended(last, view, *match.span(group))


def _by_line(last: Command, view: View) -> Command | None:
    """ "Via the German number": the last command over another line."""
    if not (_LINE.match(view.text) and hasattr(last, "line")):
        return None
    code = _value("line", view, view.context)
    return replace(last, line=code) if code else None  # type: ignore[call-arg]


def _is_about_the_same(found: tuple[Command, ...], last: Command) -> bool:
    """Whether a message asks once more what was asked last, and says nothing else of it."""
    return len(found) == 1 and type(found[0]) is type(last) and found[0] == type(last)()


def _is_bare(found: Iterable[Command]) -> bool:
    """Whether nothing but an agreement, a refusal or a repetition was understood."""
    return all(
        isinstance(c, commands.No | commands.Yes | commands.Redial | commands.Cancel) for c in found
    )


def last_party(history: Iterable[Command]) -> Party | None:
    """Who was spoken of last."""
    for command in reversed(list(history)):
        if isinstance(command, commands.ContactAdd) and command.party:
            return replace(command.party, name=command.name)
        for slot in _PARTY_SLOTS:
            value = getattr(command, slot, None)
            if isinstance(value, tuple) and value:
                value = value[-1]
            if isinstance(value, Party) and not value.me:
                return value
    return None


def with_pronouns(command: Command, view: View, history: tuple[Command, ...]) -> Command:
    """ "Text her I'm late": she is whom the conversation was about."""
    changes: dict[str, Any] = {}
    last = history[-1]
    if isinstance(command, commands.CancelReminder | commands.EditReminder) and not command.which:
        which = getattr(last, "text", None) or getattr(last, "which", None)
        if isinstance(last, commands.Remind | commands.EditReminder) and which:
            return replace(command, which=which)
    party = last_party(history)
    if party is None:
        return command
    if (
        isinstance(command, commands.Redirect)
        and command.from_ is None
        and _HIS_CALLS.search(view.text)
    ):
        return replace(command, from_=party)
    if isinstance(command, commands.History | commands.Voicemail | commands.Recordings):
        meant = command.party is None or _is_pronoun(command.party)
        return replace(command, party=party) if meant and _SHE.search(view.text) else command
    if _PRONOUN.search(view.text) is None:
        return command
    if isinstance(command, commands.ContactAdd) and command.name is None and party.name:
        changes["name"] = party.name
    for slot in _PARTY_SLOTS:
        if not hasattr(command, slot):
            continue
        value = getattr(command, slot)
        if isinstance(value, tuple):
            if not value or all(_is_pronoun(one) for one in value):
                changes[slot] = (party,)
        elif (value is None and slot in command.asks) or _is_pronoun(value):
            changes[slot] = party
    if isinstance(command, commands.ContactAdd) and command.party is None and party.number:
        changes["party"] = Party(number=party.number)
    return replace(command, **changes) if changes else command


def _is_pronoun(party: object) -> bool:
    return (
        isinstance(party, Party)
        and not (party.number or party.extension)
        and (party.name or "").lower() in PRONOUNS
    )


_VERB = re.compile(
    r"\b(?:call|ring|phone|dial|text|message|send|remind|block|unblock|forward|hang|cancel|what|who|how|show|"
    r"list|stop|record|hide|transfer|save|top|pay|invite|play|mute|hold)\b"
)


# ── the answer to a question ────────────────────────────────────────────────────────────────
def _answer(said: Said, context: Context) -> Command | None:
    intent, _, slot = context.asked.partition(".")
    asked = next((c for c in reversed(context.history) if c.intent == intent), None)
    kind = commands.COMMANDS.get(intent)
    if kind is None:
        return None
    asked = asked or kind()
    field = "from_" if slot == "from" else slot
    if not hasattr(asked, field):
        return None
    others = [c for c in said.commands if not _is_bare((c,))]
    listed = (
        slot in ("to", "participants", "party", "callback")
        and not _VERB.search(said.view.text)
        and all(isinstance(c, commands.Call | commands.Conference) for c in others)
    )
    if (
        others
        and slot != "text"
        and not listed
        and not (slot in ("name", "label", "which") and not _orders(said))
    ):
        return None  # a new order, not an answer
    if others and slot == "text" and _orders_something_else(others):
        return None
    if any(isinstance(c, commands.Cancel) for c in said.commands):
        return None
    value = _value(field, said.view, context)
    if value is None:
        return None
    changes: dict[str, Any] = {field: value}
    return replace(asked, **changes)


def _orders(said: Said) -> bool:
    return len(said.view.text.split()) > 3


def _orders_something_else(found: list[Command]) -> bool:
    """After "What shall I write?" nearly everything is the text; a question of ours is not."""
    return all(
        isinstance(
            c,
            commands.Balance
            | commands.Status
            | commands.Help
            | commands.Hangup
            | commands.Reminders
            | commands.Contacts,
        )
        for c in found
    )


def _value(field: str, view: View, context: Context) -> object:
    """What a bare answer gives for a slot; None if it gives nothing."""
    match = _PLAIN_ANSWER.match(view.words)
    words = match["what"] if match else view.words
    if field in ("to", "party", "callback", "from_"):
        party = _party_in(view, 0, len(view.text))
        if party is None:
            return None
        return (party,) if context.asked == "call.to" else party
    if field == "participants":
        return tuple(_parties_in(view, 0, len(view.text))) or None
    if field in ("when", "at", "until"):
        when, _ = view.when(whole_days=field == "until")
        return when or _bare_hour(view, context)
    if field == "money":
        return money_in(view)
    if field == "to_address":
        return view.value(Kind.ADDRESS, str)
    if field == "text":
        words = own_words(view.words)
        if context.asked.startswith("remind"):
            words = re.sub(r"^(?:(?:to|about|that|of)\s+)+", "", words, flags=re.I)
        return words or None
    if field in ("name", "label", "which", "plan"):
        said = trimmed(words)
        return said if 0 < len(said) <= 60 else None
    if field == "line":
        codes = {span.value for _, _, span in view.of(Kind.ZONE) if isinstance(span.value, str)}
        return codes.pop() if len(codes) == 1 else None
    return None


def _bare_hour(view: View, context: Context) -> When | None:
    """ "9", where a time was asked for or is corrected."""
    words = re.sub(r"^\W*(?:(?:to|at|it|for)\s+)+", "", view.words, flags=re.IGNORECASE)
    return bare_hour(words, context.local_now())


def _party_in(view: View, start: int, end: int) -> Party | None:
    exact = view.parties(start, end)
    if exact:
        return exact[0][2]
    words = view.said(start, end)
    match = _PLAIN_ANSWER.match(words)
    name = match["what"] if match else words
    if len(name.split()) > 4:
        return None
    return named(name, view.context.contacts, view.context.region)


def _parties_in(view: View, start: int, end: int) -> list[Party]:
    exact = [party for _, _, party in view.parties(start, end)]
    if exact:
        return exact
    found = [
        named(piece, view.context.contacts, view.context.region)
        for piece in re.split(r",|\band\b", view.said(start, end))
    ]
    return [party for party in found if party is not None]


# ── corrections ─────────────────────────────────────────────────────────────────────────────
def _changed(last: Command, view: View, start: int, end: int) -> Command | None:
    """The last command with what was corrected: a time, a sum, a line, else a party."""
    piece = replace(view, start=view.start + start, end=view.start + end)
    when, said = piece.when()
    if when is None and not said:
        when = (
            _bare_hour(piece, view.context)
            if hasattr(last, "when") or getattr(last, "at", None)
            else None
        )
    if when is not None:
        return _retimed(last, when)
    if isinstance(last, commands.TopUp | commands.SendMoney):
        money = money_in(piece) or _part_of_money(piece.words, last.money)
        return replace(last, money=money) if money is not None else None
    zone = _value("line", piece, view.context)
    if zone is not None and hasattr(last, "line"):
        return replace(last, line=zone)  # type: ignore[call-arg]
    party = _party_in(piece, 0, len(piece.text))
    if party is None:
        return None
    if isinstance(last, commands.Call):
        return replace(last, to=(party,))
    if isinstance(last, commands.Conference) and last.participants:
        return replace(last, participants=(*last.participants[:-1], party))
    if isinstance(last, commands.Remind) or not any(
        hasattr(last, slot) for slot in ("to", "party")
    ):
        return None
    return replace(last, **{"to" if hasattr(last, "to") else "party": party})


def _part_of_money(words: str, before: commands.Money | None) -> commands.Money | None:
    """ "No, 15", "no, WAVES": the other half stays."""
    if before is None:
        return None
    figure = re.fullmatch(r"\W*(\d+(?:\.\d+)?)\W*", words)
    if figure:
        return replace(before, amount=figure[1])
    asset = re.fullmatch(r"\W*(?:in\s+|with\s+)?(waves?|ett)\W*", words, re.IGNORECASE)
    return replace(before, asset="ETT" if asset[1].lower() == "ett" else "WAVES") if asset else None


def _at_that_time(before: When, when: When) -> When:
    """A series goes on at another time of day, in the same half of it."""
    hour, minute = when.at.hour, when.at.minute
    if hour >= 12 > before.at.hour and hour - 12 >= 5:
        hour -= 12
    return When(at=before.at.replace(hour=hour, minute=minute), rrule=before.rrule)


def _retimed(last: Command, when: When) -> Command | None:
    rule = getattr(getattr(last, "when", None), "rrule", None)
    if isinstance(last, commands.Remind):
        if last.missing():
            return replace(last, when=when)
        if rule and last.when is not None and not when.rrule:
            when = _at_that_time(last.when, when)
        return commands.EditReminder(which=last.text, when=when)
    if isinstance(last, commands.EditReminder):
        return replace(last, when=when)
    if isinstance(last, commands.Call | commands.Conference):
        return replace(last, at=when)
    if isinstance(last, commands.DoNotDisturb):
        return replace(last, until=when)
    return None


def _extended(last: Command, view: View, start: int, end: int) -> Command | None:
    """ "And Alice too": one more of the same."""
    piece = replace(view, start=view.start + start, end=view.start + end)
    narrowed = _narrowed(last, piece)
    if narrowed is not None:
        return narrowed
    if isinstance(last, commands.Call | commands.Conference):
        more = tuple(_parties_in(piece, 0, len(piece.text)))
        if not more or len(piece.text.split()) > 6:
            return None
        if isinstance(last, commands.Call):
            return replace(last, to=(*last.to, *more))
        return replace(last, participants=(*last.participants, *more))
    if isinstance(last, commands.Block | commands.Unblock | commands.Message):
        party = _party_in(piece, 0, len(piece.text))
        slot = "to" if isinstance(last, commands.Message) else "party"
        changes: dict[str, Any] = {slot: party}
        return replace(last, **changes) if party is not None else None
    return None


_LINE = re.compile(
    r"^\W*(?:(?:and|but|please|ok)\s+)*(?:on|via|from|over|using|with|through|use)\s+(?:the\s+|my\s+)?ZONENAME(?:\s+(?:line|trunk|number|zone|one))?\W*(?:please)?\W*$"
)
_HOW: tuple[tuple[re.Pattern[str], Callable[[Command], Command | None]], ...] = (
    (re.compile(r"^\W*(?:and\s+)?(?:as|in)\s+(?:a\s+)?csv(?:\s+file)?(?:\s+please)?\W*$"), lambda c: replace(c, format="csv") if isinstance(c, commands.Statistics) else None),
    (re.compile(r"^\W*(?:and\s+)?(?:as|in)\s+(?:a\s+)?chart\W*$"), lambda c: replace(c, format="chart") if isinstance(c, commands.Statistics) else None),
    (re.compile(r"^\W*(?:but\s+|and\s+)?(?:only\s+|just\s+)?(?:when|if)\s+(?:i'm\s+|i\s+am\s+)?busy\W*$"), lambda c: replace(c, condition="busy") if isinstance(c, commands.Redirect) else None),
    (re.compile(r"^\W*(?:but\s+|and\s+)?(?:only\s+|just\s+)?(?:when|if)\s+i\s+don't\s+(?:answer|pick\s+up)\W*$"), lambda c: replace(c, condition="no_answer") if isinstance(c, commands.Redirect) else None),
    (re.compile(r"^\W*(?:and\s+)?(?:by\s+(?:phone|call)|with\s+a\s+call)\W*(?:please)?\W*$"), lambda c: replace(c, by="call") if isinstance(c, commands.Remind) else None),
    (re.compile(r"^\W*(?:and\s+)?(?:with\s+|on\s+)?video\W*$"), lambda c: replace(c, video=True) if isinstance(c, commands.Call) else None),
    (re.compile(r"^\W*(?:and\s+)?(?:please\s+)?record\s+(?:it|that|this)\W*$"), lambda c: replace(c, record=True) if isinstance(c, commands.Call) else None),
    (re.compile(r"^\W*(?:and\s+)?(?:please\s+)?hide\s+my\s+number\W*$"), lambda c: replace(c, hide_number=True) if isinstance(c, commands.Call) else None),
    (re.compile(r"^\W*(?:always|every\s+time|for\s+all\s+calls|from\s+now\s+on)\W*$"), lambda c: replace(c, scope="always") if isinstance(c, commands.HideNumber | commands.Record) else None),
    (re.compile(r"^\W*(?:only\s+|just\s+)?(?:on|for)\s+(?:the\s+)?next\s+(?:one|call)\W*$"), lambda c: replace(c, scope="next") if isinstance(c, commands.HideNumber | commands.Record) else None),
)  # fmt: skip


def _narrowed(last: Command, view: View) -> Command | None:
    """The last command with a detail that a message consists of."""
    text = view.text
    if (by_line := _by_line(last, view)) is not None:
        return by_line
    for pattern, change in _HOW:
        if pattern.match(text):
            return change(last)
    if isinstance(last, commands.Redirect) and len(text.split()) <= 6 and not view.parties():
        window = find_window(view.words)
        if window is not None:
            return replace(last, window=window)
    if isinstance(
        last, commands.History | commands.Voicemail | commands.Recordings | commands.Statistics
    ):
        return _asked_further(last, view)
    whole = [b - a for a, b, _ in view.of(Kind.TIME)]
    if whole and sum(whole) >= len(text.strip(" .!?")) - 8:
        when, _ = view.when(whole_days=isinstance(last, commands.DoNotDisturb))
        return _retimed(last, when) if when is not None else None
    return None


_FURTHER = re.compile(
    r"^\W*(?:(?:and|only|just|what|how|about|or|the|those|ones|from|of|for|by|with|play|show|me|in|ok|please|but)\b[\s,]*)*(?P<what>.*?)\W*$"
)


def _asked_further(last: Command, view: View) -> Command | None:
    """ "And yesterday?", "only from Alice", "the second one": the same question about something else."""
    if len(view.text.split()) > 7:
        return None
    changes: dict[str, Any] = {}
    period = period_of(view.words)
    exact = view.parties()
    ordinal = _ORDINAL.match(re.sub(r"^\W*(?:play|show|give|send)\s+(?:me\s+)?", "", view.text))
    if period is not None:
        changes["period"] = period
    if exact and hasattr(last, "party"):
        changes["party"] = exact[0][2]
    if ordinal and hasattr(last, "which"):
        changes["which"] = ordinal["which"]
    match = _FURTHER.match(view.text)
    if not changes and isinstance(last, commands.Statistics) and match and match["what"]:
        changes["label"] = trimmed(view.said(*match.span("what")))
    return replace(last, **changes) if changes else None


def _switched_off(last: Command) -> Command:
    kind = type(last)
    if isinstance(last, commands.HideNumber | commands.Record):
        return replace(last, on=False)
    return kind(on=False)  # type: ignore[call-arg]  # those that come here have one
