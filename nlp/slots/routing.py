"""What happens to calls that come in, and how ours are shown and kept."""

import re
from itertools import pairwise

from nlp.commands import (
    Block,
    DoNotDisturb,
    HideNumber,
    Party,
    Record,
    Redirect,
    Unblock,
)
from nlp.slots.built import Built
from nlp.times import bare_hour, lasting
from nlp.view import View
from nlp.windows import find_window

_STOPS = re.compile(
    r"^\W*(?:please\s+|can you\s+|could you\s+|i want to\s+|i'd like to\s+|ok\s+|now\s+|just\s+|you can\s+|"
    r"i want you to\s+|would you\s+)*"
    r"(?:stop|cancel|end|turn\s+off|switch\s+off|disable|deactivate|remove|delete|quit|drop|undo|clear|no\s+more|"
    r"lift|don't|do\s+not|never|pause|kill|get\s+rid\s+of|take\s+off|no\s+longer|unhide|show|reveal|display|"
    r"unmask|expose)\b|\boff\b(?!\s+(?:the\s+hook|line))|\bno\s+longer\b|\bany\s?more\b"
)
_END_OF_PARTY = (
    r"(?=\s*(?:$|[.;!?]|,|\b(?:when(?:ever)?|if|while|after|between|from|during|until|till|before|every|outside|"
    r"unless|only|please|instead|at|on(?!\s+my)|in\s+the|in\s+case|for\s+the|for\s+now|always|straight|as\s+long|"
    r"starting|over|thanks|weekdays|weekends|TIMEEXPR|and\s+(?:then|also)|because|since|tonight|today|all\s+day|"
    r"right|once|through|mornings|evenings|nights)\b|\bTIMEEXPR\b))"
)
_WHO = r"(?:the\s+|my\s+|our\s+)?(?P<who>.+?)"
_TO = re.compile(
    rf"\b(?:to|onto|ring|try)\s+(?:go\s+to\s+|on\s+|at\s+|extension\s+|ext\s+)?(?!me\s+(?:when|if))(?:the\s+|our\s+)?(?P<who>.+?){_END_OF_PARTY}"
)
_FROM = re.compile(
    rf"\bfrom\s+(?!TIMEEXPR|now|\d|NUM|EXTNUM\s+(?:to|till|until)\s+EXTNUM|mon|tue|wed|thu|fri|sat|sun|one|two|"
    rf"three|four|five|six|seven|eight|nine|ten|eleven|twelve|noon){_WHO}"
    r"(?=\s*(?:$|[.;!?,]|\b(?:to|when|if|after|between|should|must|onto|straight|at|on|during|go|until|through|"
    r"while|before|in|always|every)\b))"
)
_CALLER = re.compile(
    r"\b(?:when(?:ever)?|if)\s+(?P<who>CONTACTNAME|PHONENUM|EXTNUM|(?!i\b|my\b|the\b|nobody|no\s+one|someone|it)[a-z][\w'-]*)"
    r"\s+(?:calls|rings|phones|tries|is\s+calling|wants)\b"
    r"|\b(?:send|put|forward|divert|redirect|transfer|pass|route)\s+(?P<direct>CONTACTNAME(?:'s)?|PHONENUM)(?:\s+calls)?\s+"
    r"(?:on\s+|through\s+|straight\s+)*to\b|\b(?P<owner>CONTACTNAME)\s*'s\s+calls\b"
)
_CONDITIONS = (
    ("busy", re.compile(
        r"\b(?:(?:when|if|while|as\s+long\s+as|whenever)\s+(?:i'm|i\s+am|my\s+(?:line|phone|extension)(?:'s|\s+is)?|the\s+line\s+is|"
        r"it's|it\s+is|line\s+is|EXTNUM\s+is|we're)\s+(?:already\s+)?(?:busy|engaged|on\s+(?:a|the|another)\s+(?:call|phone|line)|talking|"
        r"speaking|occupied|in\s+(?:a|another)\s+call|on\s+the\s+phone)|(?:on|when|if|while)\s+busy|busy\s+calls|if\s+engaged)\b")),
    ("offline", re.compile(
        r"\b(?:offline|not\s+reachable|unreachable|can't\s+be\s+reached|cannot\s+be\s+reached|(?:switched|turned|powered)\s+off|"
        r"no\s+(?:signal|reception|network|coverage)|not\s+(?:connected|registered|online)|disconnected|"
        r"phones?(?:'s|\s+is|\s+are)\s+(?:off|dead|down)|out\s+of\s+(?:coverage|range|battery|reach)|unregistered|no\s+phone\s+is)\b")),
    ("no_answer", re.compile(
        r"\b(?:(?:don't|do\s+not|doesn't|can't|cannot|not|didn't|haven't)\s+(?:pick\s+(?:it\s+|them\s+)?up|answer(?:ed)?|take\s+(?:it|them)|get\s+to|"
        r"respond|react|picked\s+up)|no[\s-]?(?:answer|reply|response|one\s+(?:answers|picks)|body\s+(?:answers|picks))|nobody\s+(?:answers|picks)|unanswered|"
        r"i\s+miss|goes\s+unanswered|missed)\b")),
)  # fmt: skip
_LISTED = re.compile(
    r"[\s,&]*(?:(?:and|then|or|also|to|if\s+not|after\s+that|afterwards|next|extension)[\s,]*)*"
)
_THEN = re.compile(r"\b(?:then|if\s+not|after|next)\b")
_IN_TURN = re.compile(
    r"\b(?:in\s+turn|one\s+(?:after|by)\s+(?:the\s+other|another|one)|in\s+this\s+order)\b"
)
RING = 5
"Seconds from one ring to the next, about."
MAX_PATIENCE = 120
_COUNTS = {"five": 5, "ten": 10, "fifteen": 15, "twenty": 20, "thirty": 30, "two": 2, "three": 3,
           "four": 4, "six": 6, "eight": 8}  # fmt: skip
_SECONDS = re.compile(
    rf"\b(?P<n>\d{{1,3}}|{'|'.join(_COUNTS)})\s*-?(?P<unit>seconds?|secs?|s|rings?)\b", re.I
)
_UNTIL = re.compile(r"\b(?:until|till|til|up\s+to|'til|through)\b")
_BEFORE_HOUR = re.compile(
    r"\b(?:until|till|til|before)\s+(?P<hour>(?:half\s+(?:past\s+)?)?[\w:.]+)\W*(?:please\W*)?$",
    re.I,
)
_AGAIN = re.compile(
    r"\b(?:available|reachable|free|back\s+online|here)\b(?!.*\bnot\b)|\bagain\b|\blet\s+(?:my\s+)?calls\s+(?:through|in)\b|\bback\s+on\b"
)
_NOT_AVAILABLE = re.compile(r"\b(?:not|no\s+longer|un)\s*(?:available|reachable|free)\b")
_DND_OFF = re.compile(
    r"\b(?:turn|switch|take|set|put|back|disturb|dnd|mode)\b.{0,30}\boff\b|\b(?:stop|cancel|end|disable|deactivate|remove|out\s+of|lift|no\s+longer\s+(?:need|on)|leave(?!\s+me)|exit|undo|unset|quit|clear)\b"
)
_BLOCKED = re.compile(
    r"\b(?:un-?block(?:ing)?|block|blacklist|blocklist|ban|unban|bar|unbar|whitelist|un-?blacklist|ignore|reject|refuse|decline|"
    r"remove|take|let|allow|add|put|accept|stop(?:\s+blocking)?|no\s+more|delete|through)\s+"
    r"(?:(?:all|any|every|future|calls?|callers?|incoming|the|this|that|number|numbers|phone|from|more|blocking|following|a|contact)\s+)*"
    r"(?P<who>.+?)(?=\s*(?:$|[.,;!?]|\b(?:please|from\s+(?:the|my|calling|ringing)|to\s+(?:the|my)|on\s+(?:the|my)|off|again|call|ring|"
    r"through|forever|for\s+good|permanently|so|because|now|anymore|immediately|right|for|keeps?|is|reach|phone|completely|thanks|"
    r"calls|calling|ringing|number|they|he|she|who)\b))"
)
_SHOWS = re.compile(
    r"\b(?:show|reveal|display|unhide|unmask|expose|visible|public|shown|send|transmit|turn\s+on\s+(?:my\s+|the\s+)?caller|"
    r"caller\s*-?\s*id\s+(?:back\s+)?on|enable\s+(?:my\s+|the\s+)?caller|activate\s+(?:my\s+)?caller)\b"
)
_NOT_SHOWN = re.compile(
    r"\b(?:don't|do\s+not|never|not|no\s+longer|stop|without|quit|nobody|no\s+one|shouldn't|invisible|can't)\s+(?:\w+\s+){0,3}?"
    r"(?:show|showing|reveal|display|displaying|send|sending|give|giving|see|transmit|share|disclose|shown|visible|let)"
)
_NOT_HIDDEN = re.compile(
    r"\b(?:don't|do\s+not|stop|no\s+longer|never|quit|turn\s+off|switch\s+off|disable|deactivate|cancel)\s+(?:\w+\s+){0,2}?"
    r"(?:hide|hiding|withhold|withholding|mask|masking|suppress|suppressing|conceal|concealing|hidden|anonymous|number\s+hiding|privacy|anonymity)"
)
_CALLER_ID_OFF = re.compile(
    r"\b(?:turn|switch)\s+(?:my\s+|the\s+)?caller\s*-?\s*id\s+off|\b(?:turn|switch)\s+off\s+(?:my\s+|the\s+)?caller|\b(?:disable|deactivate)\s+(?:my\s+|the\s+)?caller"
)
_HIDING_OFF = re.compile(r"\b(?:hiding|hidden\s+number|privacy|anonymity|anonymous\s+\w+)\s+off\b")
_NEXT = re.compile(
    r"\b(?:next\s+(?:\w+\s+)?(?:call|time|one|ring)|this\s+(?:one\s+)?time|just\s+(?:this\s+)?once|(?:for|on)\s+(?:just\s+)?(?:one|a\s+single)\s+call|"
    r"one\s+call\s+only|once\s+only|(?:my|the)\s+next|coming\s+call|following\s+call)\b"
)
_ALWAYS = re.compile(
    r"\b(?:always|from\s+now\s+on|every\s+(?:single\s+)?(?:\w+\s+)?(?:call|time|conversation)|all\s+(?:of\s+)?(?:my\s+|the\s+|our\s+|future\s+|outgoing\s+|incoming\s+|phone\s+|conference\s+)*(?:calls?|conversations)|each\s+(?:call|time)|"
    r"permanently|by\s+default|in\s+general|generally|forever|for\s+good|never|my\s+calls|any\s+(?:of\s+my\s+)?calls|calls\s+automatically|"
    r"automatically|everybody|until\s+further\s+notice|all\s+the\s+time|whenever\s+i\s+call|for\s+everyone|(?:outgoing|incoming|future)\s+calls|recording\s+(?:my\s+)?calls)\b"
)
_RECORD_OFF = re.compile(
    r"\b(?:stop|don't|do\s+not|end|pause|no\s+more|turn\s+off|switch\s+off|disable|deactivate|cancel|never|quit|finish|no\s+longer|"
    r"recording\s+off|off)\b"
)


def redirect(view: View) -> Built:
    """Whose calls, to whom, when, on what condition."""
    text = view.text
    on = _STOPS.search(text) is None or _starts_redirecting(text)
    target = _target(view)
    caller = _caller(view, target)
    condition = next((name for name, found in _CONDITIONS if found.search(text)), "always")
    also, in_turn = _further(view, target)
    command = Redirect(
        to=target,
        also=also,
        in_turn=in_turn,
        after=_patience(view) if condition == "no_answer" else None,
        from_=caller,
        window=find_window(_hours_of(view), view.context.local_now()),
        condition=condition,
        on=on,
    )
    return Built(command)


def _further(view: View, target: Party | None) -> tuple[tuple[Party, ...], bool]:
    """Who else is named right behind the target, and whether they come one after the other."""
    parties = view.parties()
    places = [place for place, (_, _, party) in enumerate(parties) if party == target]
    if not places:
        return (), False
    found: list[Party] = []
    joined = ""
    for (_, end, _), (start, _, party) in pairwise(parties[places[0] :]):
        between = view.text[end:start]
        if _LISTED.fullmatch(between) is None:
            break
        joined += between
        found.append(party)
    if not found:
        return (), False
    return tuple(found), bool(_THEN.search(joined) or _IN_TURN.search(view.text))


def _patience(view: View) -> int | None:
    """How long it rings before nobody has answered, in seconds."""
    found = _SECONDS.search(view.words)
    if found is None:
        return None
    count = int(found["n"]) if found["n"].isdecimal() else _COUNTS[found["n"].lower()]
    seconds = count * RING if found["unit"].lower().startswith("ring") else count
    return seconds if 1 <= seconds <= MAX_PATIENCE else None


def _starts_redirecting(text: str) -> bool:
    """ "If my phone is switched off send calls to …", "when I don't answer, forward to …"."""
    ordered = re.search(
        r"\b(?:forward|redirect|divert|send|put|transfer|pass|route|ring|try)\b(?!ing|ion)", text
    )
    stops = re.search(
        r"\b(?:stop|cancel|disable|deactivate|remove|delete|quit|undo|clear|no\s+more|lift|turn\s+off|switch\s+off|no\s+longer|"
        r"anymore|any\s+more|never)\b|\b(?:don't|do\s+not)\s+(?:forward|redirect|divert|send|put|route)|"
        r"\b(?:forwarding|diversion|diverts?|redirect(?:ion)?)\s+off\b", text)  # fmt: skip
    return ordered is not None and stops is None


def _target(view: View) -> Party | None:
    for match in _TO.finditer(view.text):
        party = view.party(*match.span("who"))
        if party is not None:
            return party
    return None


def _caller(view: View, target: Party | None) -> Party | None:
    for pattern in (_FROM, _CALLER):
        for match in pattern.finditer(view.text):
            for name in match.groupdict():
                if match.start(name) < 0:
                    continue
                party = view.party(*match.span(name))
                if party is not None and party != target:
                    return party
    return None


def _hours_of(view: View) -> str:
    """The words without numbers and names, whose digits are no hours."""
    words = list(view.words)
    base = view.masked.offsets[view.start] if view.text else 0
    for _, _, span in view.spans:
        if isinstance(span.value, Party):
            for place in range(span.start - base, span.end - base):
                if 0 <= place < len(words) and not _an_hour(view, span.start, span.end):
                    words[place] = "_"
    return "".join(words)


def _an_hour(view: View, start: int, end: int) -> bool:
    """ "Between 9 and 17": an extension to some, an hour here."""
    before = view.masked.original[:start].rstrip().lower()
    return bool(re.search(r"\b(?:between|after|before|from|until|till|and|to)$", before)) and (
        end - start <= 2
    )


def do_not_disturb(view: View) -> Built:
    """On or off, and until when."""
    text = view.text
    back = _AGAIN.search(text) is not None and _NOT_AVAILABLE.search(text) is None
    off = _DND_OFF.search(text) is not None and not re.search(
        r"\b(?:stop|hold|block|silence)\s+(?:all\s+)?(?:of\s+)?(?:my\s+|the\s+|incoming\s+|phone\s+)*calls\b|\bdo\s+not\s+disturb\s+me\b|\bhang", text
    )  # fmt: skip
    back = back and not re.search(
        r"\b(?:do\s*n[o']t|don't|no)\s+(?:disturb|bother|ring|call|calls)", text
    )
    on = not (off or back)
    until, said = view.when(whole_days=True)
    if until is None and (stretch := lasting(view.words, view.context.local_now())) is not None:
        until, said = stretch, True
    if not on:
        return Built(DoNotDisturb(on=False))
    if until is None and (hour := _BEFORE_HOUR.search(view.words)):
        until = bare_hour(hour["hour"], view.context.local_now())
    unclear = ("until",) if until is None and (said or _UNTIL.search(text)) else ()
    return Built(DoNotDisturb(until=until), unclear)


def block(view: View) -> Built:
    """Whom."""
    return Built(Block(party=_blocked(view)))


def unblock(view: View) -> Built:
    """Whom."""
    return Built(Unblock(party=_blocked(view)))


def _blocked(view: View) -> Party | None:
    exact = view.parties()
    if exact:
        return view.party(exact[0][0], exact[-1][1])
    for match in _BLOCKED.finditer(view.text):
        party = view.party(*match.span("who"))
        if party is not None:
            return party
    return None


def hide_number(view: View) -> Built:
    """On or off, for the next call or always."""
    text = view.text
    hidden = bool(_NOT_SHOWN.search(text) or _CALLER_ID_OFF.search(text))
    off = bool(_NOT_HIDDEN.search(text) or _HIDING_OFF.search(text))
    on = hidden or not (off or _SHOWS.search(text))
    scope = "next" if _NEXT.search(text) else "always" if _ALWAYS.search(text) else None
    if (
        not on
        and scope == "always"
        and not re.search(
            r"\b(?:always|every|all|from\s+now|permanently|in\s+general|by\s+default)\b", text
        )
    ):
        scope = None
    return Built(HideNumber(on=on, scope=scope))


def record(view: View) -> Built:
    """On or off; this call, the next one, or all of them."""
    text = view.text
    scope = "next" if _NEXT.search(text) else "always" if _ALWAYS.search(text) else "current"
    return Built(Record(on=_RECORD_OFF.search(text) is None, scope=scope))
