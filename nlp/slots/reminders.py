"""Reminders and calendars."""

import re
from dataclasses import replace
from datetime import timedelta

from nlp.commands import Calendar, CancelReminder, EditReminder, Party, Remind, Reminders, When
from nlp.cues import plainly
from nlp.slots.built import Built
from nlp.spans import Kind, Span
from nlp.times import minutes_of
from nlp.view import View, trimmed

_BY_CALL = re.compile(
    r"\b(?:by\s+(?:a\s+)?(?:phone|call|telephone|voice)(?:\s+call)?|(?:with|via|through|over)\s+(?:a\s+|the\s+)?(?:phone\s+)?(?:call|phone)|"
    r"on\s+the\s+phone|phone\s+(?:call\s+)?reminder|call\s+reminder|reminder\s+call|alarm|wake|wake-?\s?up|rouse|get\s+me\s+up|"
    r"give\s+me\s+a\s+(?:call|ring|buzz)|^\W*(?:\w+\s+){0,3}?(?:call|ring|phone)\s+(?:me|CONTACTNAME|EXTNUM|PHONENUM)\b)"
)
_BY_MESSAGE = re.compile(
    r"\b(?:by|with|via|as|through|in)\s+(?:a\s+|an\s+)?(?:text(?:\s+message)?|message|sms|chat|chat\s+message)\b"
)
_MANNER = re.compile(
    r"\s*\b(?:by|with|via|through|over|as|in)\s+(?:a\s+|an\s+|the\s+)?(?:phone(?:\s+call)?|call|telephone|voice(?:\s+call)?|text(?:\s+message)?|message|sms|chat|chat\s+message)\b\s*"
)
_OPENERS = tuple(
    re.compile(opener)
    for opener in (
        r"(?:TIMEEXPR[\s,:-]+)?give\s+me\s+a\s+(?:call|ring|buzz|shout)\b.{0,30}?\b(?:to|and)\s+remind\s+me\b",
        r"(?:call|ring|phone|ping|nudge)\s+(?P<who>.+?)\s+(?:.*?\b)?(?:to|and)\s+remind\s+(?:me|him|her|them|us|CONTACTNAME)\b",
        r"(?:TIMEEXPR[\s,:-]+)?(?:please\s+)?remind\s+(?P<who>me|us|myself|CONTACTNAME(?:\s+and\s+me)?|PHONENUM|EXTNUM|my\s+[a-z'-]+|(?:the\s+)?[a-z][\w'-]*)\b",
        r"(?:TIMEEXPR[\s,:-]+)?(?:wake|rouse)\s+(?P<who>me|us|CONTACTNAME|my\s+[a-z'-]+)(?:\s+up)?\b",
        r"get\s+me\s+up\b",
        r"(?:don't|do\s+not|never)\s+let\s+me\s+forget\b",
        r"make\s+sure\s+(?:that\s+)?i\s+(?:don't\s+forget|remember)\b",
        r"(?:nudge|ping|poke|alert|notify|tell)\s+me\b",
        r"(?:i\s+|we\s+)?(?:set|create|make|add|schedule|new|give|book|arrange|put|have|order|need|want|start|plan)\s+(?:in\s+|up\s+|me\s+|us\s+)*(?:a\s+|an\s+|another\s+|the\s+|my\s+|me\s+|new\s+)*"
        r"(?P<kind>(?:[\w'-]+\s+){0,2}?)(?:reminder\s+call|phone\s+reminder|reminder|alarm\s+call|alarm\s+clock|alarm|wake-?\s?up(?:\s+call)?)s?(?:\s+(?:to\s+go\s+off|to\s+ring))?(?:\s+for\s+(?:me|myself)\b)?",
        r"(?:an?\s+)?(?:wake-?\s?up\s+call|alarm|reminder)\b",
    )
)
_LEAD = re.compile(
    r"(?:\s|[,:;.-]|to\b(?!\s+do\b)|about\b|that\b(?!\s+one)|of\b|for\b|regarding\b|saying\b|which\s+says\b|called\b|not\s+to\s+forget\s+(?:to\s+|about\s+)?|it's\s+time\s+to\b|please\b|i\s+(?:need|have|'ve\s+got|must|should|want)\s+(?:to\b)?|so\s+i\s+can\b|so\s+(?:that\s+)?i\s+(?:don't|do\s+not|won't)\s+forget\s+(?:to\s+|about\s+)?|i\s+(?:don't|do\s+not)\s+want\s+to\s+forget\s+(?:to\s+|about\s+)?|remind\s+me\s+(?:to|about|of|that)\b|remember\s+to\b|and\b)+"
)
_TAIL = re.compile(
    r"(?:[\s,;.!:-]|\bplease|\bpls|\bthanks|\bthank\s+you|\bthx|\bat|\bon|\bfor|\bbefore|\bby|\bok|\band|\bthen)+$"
)
_REPEATS_EVERY = re.compile(
    r"^(?:daily|weekly|monthly|phone|call|recurring|quick|new|another|one|single|little|repeating)\s*$"
)
_WAKING = re.compile(r"\b(?:wake|wake-?\s?up|rouse|get\s+me\s+up)\b")
_WAKE_ME = re.compile(r"(?:call|ring|phone) me (?:to|and) wake me(?: up)?", re.I)
_NO_MORNING = re.compile(
    r"\b(?:\d+\s?[ap]\.?m|pm|am|afternoon|evening|tonight|night|noon|minutes?|hours?|nap)\b"
)
_ALARM = re.compile(r"\balarm\b")

_NOUN = r"(?:reminders?(?:\s+calls?)?|alarms?|wake-?\s?up\s+calls?|wake-?ups?)"
_ABOUT = re.compile(
    rf"\b{_NOUN}\s+(?:(?:that\s+(?:i|you)\s+(?:have|set)\s+)|(?:i\s+(?:have|set|made)\s+)|(?:do\s+i\s+have|have\s+i(?:\s+got)?|are\s+(?:there|set)|did\s+i\s+set)\s*|(?:that\s+)?(?:is\s+|are\s+)?set\s+|(?:that\s+|which\s+)?(?:says?|saying)\s+)*"
    r"(?:about|for|to|of|on|regarding|with|that|called|named|in|saying|at)?\s*(?P<which>.+)$"
)
_BEFORE = re.compile(rf"^(?P<which>.*?)\s*\b{_NOUN}\b")
_THE_ONE = re.compile(r"\b(?:the|my|that)\s+(?P<which>(?:[\w':]+\s+){1,4}?)one\b")
_STOP_REMINDING = re.compile(
    r"\b(?:remind(?:ing)?|nagging|nag|waking|wake)\s+(?:me|us)(?:\s+up)?\s*(?:about|to|of|for|that|with)?\s*(?P<which>.+)$"
)
_VERB = re.compile(
    r"^(?:cancel|delete|remove|clear|drop|erase|get\s+rid\s+of|forget(?:\s+about)?|kill|scrap|take\s+off|turn\s+off|switch\s+off|dismiss|disable|stop|"
    r"undo|discard|wipe|i\s+(?:don't|no\s+longer)\s+need|i\s+don't\s+want|move|change|shift|reschedule|push(?:\s+back)?|update|edit|postpone|delay|bring\s+forward|put|set|adjust|"
    r"rename|make|modify|snooze|alter|correct|switch|reword|show(?:\s+me)?|list|display|tell\s+me(?:\s+about)?|what(?:'s|\s+are|\s+is)?|which|read(?:\s+me)?|find|check|give\s+me|any|get|see|"
    r"do\s+i\s+have|are\s+there|how\s+many|when\s+is|when's|what\s+time\s+is|bring\s+up|pull\s+up|view|open|have\s+i\s+got|let\s+me\s+see)\b\s*"
)
_FILLERS = re.compile(
    r"^(?:(?:text\s+of(?:\s+the)?|mention(?:s|ing)?|the|my|a|an|that|this|our|for|about|to|of|on|me|any|one|please|i|have|set|upcoming|pending|active|current|time|with|from|out|again|there|up|now|off|back|and)\b\s*|[\s,.;:!?\"'-]+)+"
    r"|(?:[\s,.;:!?\"'-]|\b(?:please|one|again|anymore|any\s+more|now|set|me|thanks|thank\s+you|do\s+i\s+have|have|i|got|at\s+all|coming\s+up|of\s+mine|entirely|instead|for|to|from|are\s+there|is|call|earlier|later)\b)+$"
)
_ALL = re.compile(
    rf"\ball\s+(?:of\s+)?(?:my\s+|the\s+|our\s+)?(?P<what>[\w' -]*?)\s*{_NOUN}\b|\b(?:every|each)\s+{_NOUN}|\b{_NOUN}\s*,?\s*all\s+of\s+them|\bclear\s+(?:my\s+|the\s+)?{_NOUN}$"
)
_NOTHING_MORE = re.compile(rf"(?:and|or|all|any|the|my|\s|{_NOUN})+")
_TO_WHEN = re.compile(
    r"\b(?:to|for|until|till|at|by|from\s+.{1,20}?\s+to|instead|say)\b[\s,]*(?:say\s+)?$"
)
_RENAMED = re.compile(
    rf"(?:rename|reword|change|make|update|edit|set|modify|alter|correct)\s+(?:the\s+|my\s+)?(?P<which>.+?)\s*\b{_NOUN}\s*(?:text\s+|title\s+|name\s+)?(?:to|to\s+say|say|read|so\s+(?:that\s+)?it\s+says|into|as)\s+(?:say\s+|read\s+)?[\"']?(?P<text>.+?)[\"']?\W*$"
    rf"|(?:rename|reword|change)\s+(?:the\s+|my\s+)?(?:text\s+of\s+)?(?:the\s+|my\s+)?{_NOUN}\s+(?:about|for|to|of)\s+(?P<which2>.+?)\s+(?:to|into)\s+(?:say\s+)?[\"']?(?P<text2>.+?)[\"']?\W*$"
    rf"|remind\s+me\s+(?:of|about|to)\s+(?P<text3>.+?)\s+instead(?:\s+of\s+(?P<which3>.+?))?\W*$"
)
_SHOULD_SAY = re.compile(
    rf"(?:the|my)\s+(?P<which>.+?)\s+{_NOUN}\s+should\s+(?:say|read)\s+[\"']?(?P<text>.+?)[\"']?\W*$"
)
_SHOULD_BE = re.compile(rf"^(?:the|my)\s+(?P<which>.+?)\s+{_NOUN}\s+should\s+be\b")
_LEAD_MINUTES = re.compile(
    r"\b(?P<span>(?:an?\s+|half\s+an?\s+|\d+\s*|[a-z-]+\s+)(?:quarter\s+of\s+an\s+)?(?:min(?:ute)?s?|hours?|hrs?|h|m)(?:\s+and\s+a\s+half)?)\s+(?:before|ahead|prior|in\s+advance|early|earlier)\b",
    re.I,
)
_CALENDAR_OFF = re.compile(
    r"\b(?:stop|unsubscribe|disconnect|unlink|remove|don't|do\s+not|no\s+more|turn\s+off|switch\s+off|disable|cancel|forget|detach|quit|off|no\s+longer|delete)\b"
)


def _in_the_morning(when: When, view: View) -> When:
    """People are woken in the morning, if they do not say otherwise."""
    words, hour = view.words.lower(), when.at.hour - 12
    said = re.search(rf"\b0?{hour or 12}\b(?!\s*h)", words)
    if hour < 0 or said is None or _NO_MORNING.search(words):
        return when
    at = when.at - timedelta(hours=12)
    if at <= view.context.local_now() and not when.rrule:  # a rule goes on from there
        at += timedelta(days=1)
    return replace(when, at=at)


def remind(view: View) -> Built:
    """When, what of, how, and whom."""
    text = plainly(view.text)
    shift = len(view.text) - len(text)
    opener = next((match for form in _OPENERS if (match := form.match(text))), None)
    to = _reminded(view, opener, shift)
    start = shift + (opener.end() if opener else 0)
    words, used = _words(view, start)
    kind = ""
    if opener and "kind" in opener.groupdict() and opener["kind"]:
        kind = trimmed(view.said(opener.start("kind") + shift, opener.end("kind") + shift))
        kind = "" if _REPEATS_EVERY.match(kind.lower()) else kind
    by = "call" if _BY_CALL.search(view.text) and not _BY_MESSAGE.search(view.text) else "message"
    when, said = view.when(
        skip=[span for _, _, span in view.of(Kind.TIME) if span not in used and used]
    )
    text_said = words or kind or None
    if _WAKING.search(view.text) and (text_said is None or _WAKE_ME.fullmatch(text_said)):
        text_said = "wake up"
    if text_said is None and _ALARM.search(view.text):
        text_said = "alarm"
    if when is not None and _WAKING.search(view.text):
        when = _in_the_morning(when, view)
    command = Remind(when=when, text=text_said, by=by, to=to)
    return Built(command, ("when",) if said and when is None else ())


def _reminded(view: View, opener: re.Match[str] | None, shift: int) -> Party | None:
    if opener is None or "who" not in opener.groupdict() or opener.start("who") < 0:
        return None
    who = opener["who"]
    if who.split()[0] in ("me", "us", "myself"):
        return None
    return view.party(opener.start("who") + shift, opener.end("who") + shift)


def _words(view: View, start: int) -> tuple[str | None, list[Span]]:
    """The words of a reminder: the rest without the times at its edges, and those times. Where
    the edges have none, a time within counts and is taken out."""
    end = len(view.text)
    used: list[Span] = []
    times = [(a, b, span) for a, b, span in view.of(Kind.TIME)]
    before = [span for a, b, span in times if b <= start]
    used += before
    changed = True
    while changed:
        changed = False
        for pattern in (_LEAD, _MANNER):
            match = pattern.match(view.text, start, end)
            if match and match.end() > start:
                start, changed = match.end(), True
        tail = _TAIL.search(view.text, start, end)
        if tail and tail.end() == end and tail.start() < end:
            end, changed = tail.start(), True
        for manner in _MANNER.finditer(view.text, start, end):
            if manner.end() == end:
                end, changed = manner.start(), True
        for a, b, span in times:
            if span in used:
                continue
            if a == start and b <= end:
                start, changed = b, True
                used.append(span)
            elif b == end and a >= start:
                end, changed = a, True
                used.append(span)
    inner = [(a, b, span) for a, b, span in times if span not in used and start <= a and b <= end]
    if not used and len(inner) == 1:
        a, b, span = inner[0]
        used.append(span)
        first, second = view.said(start, a), view.said(b, end)
        first = trimmed(re.sub(r"\b(?:at|on|for)\s*$", "", first))
        second = trimmed(re.sub(r"^\W*(?:to|about|that)\s+", "", second)) if not first else second
        said = f"{trimmed(first)} {trimmed(second)}".strip()
    else:
        said = view.said(start, end) if start < end else ""
    said = said.strip(' \t,;:"-').rstrip(".!?")
    return said or None, used


def reminders(view: View) -> Built:
    """Which ones, in the person's words."""
    which = _which(view, plural=True)
    return Built(Reminders(which=which))


def cancel_reminder(view: View) -> Built:
    """Which one, in the person's words."""
    if _ALL.search(view.text):
        return Built(CancelReminder(which=_which(view, plural=True) or "all"))
    return Built(CancelReminder(which=_which(view, plural=False)))


def _which(view: View, *, plural: bool) -> str | None:
    text = plainly(view.text)
    shift = len(view.text) - len(text)
    for pattern in (_STOP_REMINDING, _THE_ONE, _ABOUT, _BEFORE):
        match = pattern.search(text)
        if match is None:
            continue
        a, b = match.span("which")
        which = _bare(text[a:b])
        if which[0] < which[1]:
            said = view.said(shift + a + which[0], shift + a + which[1])
            if _NOTHING_MORE.fullmatch(said.lower()):
                continue
            if (
                said.lower()
                not in ("all", "any", "every", "all the", "all my", "all of my", "all of")
                or plural is False
            ):
                return (
                    re.sub(
                        r"^(?:all\s+(?:of\s+)?(?:my\s+|the\s+)?|any\s+)", "", said, flags=re.I
                    ).removesuffix("'s")
                    or None
                )
            if said.lower().startswith("all"):
                return "all" if not plural else None
    return None


def _bare(text: str) -> tuple[int, int]:
    """Where the telling words are, within a piece."""
    start, end = 0, len(text)
    changed = True
    while changed and start < end:
        changed = False
        for pattern in (_VERB, _FILLERS):
            match = pattern.match(text[start:end])
            if match and match.end():
                start, changed = start + match.end(), True
        for match in _FILLERS.finditer(text[start:end]):
            if match.end() == end - start and match.start() < match.end():
                end, changed = start + match.start(), True
                break
    return start, max(start, end)


def edit_reminder(view: View) -> Built:
    """Which one, and its new time or words."""
    text = plainly(view.text)
    shift = len(view.text) - len(text)
    times = view.of(Kind.TIME)
    renamed = _RENAMED.search(text) or _SHOULD_SAY.match(text)
    if renamed is not None and not times:
        groups = renamed.groupdict()
        key = next(n for n in ("", "2", "3") if groups.get(f"text{n}"))
        words = view.said(renamed.start("text" + key) + shift, renamed.end("text" + key) + shift)
        which = None
        if groups.get("which" + key):
            a, b = renamed.span("which" + key)
            c, d = _bare(text[a:b])
            which = view.said(a + c + shift, a + d + shift) or None
        return Built(EditReminder(which=which, text=trimmed(words) or None))
    new, which_end = None, len(view.text)
    skipped: list[Span] = []
    if times:
        last = times[-1]
        skipped = [span for a, b, span in times[:-1]]
        apart = view.text[times[-2][1] : last[0]] if len(times) > 1 else ""
        if len(times) > 1 and not re.search(r"\b(?:to|until|till|into)\b", apart):
            skipped = []
        new, _ = view.when(skip=skipped)
        which_end = times[-1][0] if skipped or len(times) == 1 else times[0][0]
        to = _TO_WHEN.search(view.text, 0, which_end)
        which_end = to.start() if to else which_end
    piece = view.text[shift:which_end]
    which = None
    for pattern in (_SHOULD_BE, _THE_ONE, _ABOUT, _BEFORE):
        match = pattern.search(piece)
        if match is None:
            continue
        a, b = match.span("which")
        c, d = _bare(piece[a:b])
        if c < d:
            which = view.said(shift + a + c, shift + a + d)
            break
    else:
        a, b = _bare(piece)
        which = view.said(shift + a, shift + b) if a < b else None
    if which is not None:
        which = re.sub(r"\s+(?:from|back|forward)$", "", which.removesuffix("'s"))
    unclear = ("when",) if times and new is None else ()
    return Built(EditReminder(which=which, when=new), unclear)


def calendar(view: View) -> Built:
    """Where it is, and how long before."""
    url = view.value(Kind.LINK, str)
    lead = _LEAD_MINUTES.search(view.words)
    on = _CALENDAR_OFF.search(plainly(view.text)) is None
    return Built(Calendar(url=url, lead=minutes_of(lead["span"]) if lead else None, on=on))
