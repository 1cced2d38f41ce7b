"""What was: calls, messages on the answerphone, recordings, figures."""

import re

from nlp import roles
from nlp.commands import History, Party, Recordings, Statistics, TrackingNumber, Voicemail
from nlp.cues import plainly
from nlp.periods import find_period, period_of
from nlp.slots.built import Built
from nlp.view import View, trimmed

_MISSED = re.compile(
    r"\b(?:miss(?:ed|ing)?|unanswered|didn't\s+(?:pick\s+up|answer|take)|did\s+not\s+(?:pick\s+up|answer)|not\s+answered)\b"
)
_WITH = re.compile(
    r"\b(?:from|with|by|of|to|for|about)\s+(?:calls?\s+)?(?P<who>.+?)(?=\s*(?:$|[.,;!?]|\b(?:PASTTIME|TIMEEXPR|yesterday|today|last|this|on|in|from|since|during|"
    r"please|again|recently|ever|at|over|tonight|for|about|before|after|when|left|and|to)\b))"
)
_DID = re.compile(
    r"\b(?:did|has|have|when\s+did|what\s+time\s+did|how\s+often\s+did|how\s+many\s+times\s+did|what\s+did)\s+(?P<who>.+?)\s+(?:just\s+|ever\s+|last\s+|already\s+|try\s+to\s+|tried\s+to\s+|been\s+|leave|say)*"
    r"(?:call|called|ring|rung|rang|phone|phoned|reach|reached|calling|tried|leave|say|left|a\s+message|me)\b"
)
_I_SPOKE = re.compile(
    r"\bi\s+(?:last\s+|ever\s+|already\s+)?(?:call|called|ring|rang|phone|phoned|dial|dialled|speak\s+(?:to|with)|spoke\s+(?:to|with)|talk(?:ed)?\s+(?:to|with)|miss(?:ed)?(?:\s+(?:a\s+|any\s+)?calls?\s+from)?)\s+(?P<who>.+?)(?=\s*(?:$|[.,;!?]|\b(?:PASTTIME|yesterday|today|last|this|on|in|since|at|ever|before)\b))"
)
_OWNER = re.compile(
    r"(?P<who>CONTACTNAME|\b[a-z][\w-]*)\s*(?:'s)\s+(?:\w+\s+)?(?:voice\s*-?mails?|messages?|recordings?|calls?|recorded)"
)
_NOBODY = frozenset(
    {"anyone", "anybody", "someone", "somebody", "who", "whom", "i", "me", "we", "you", "my phone", "everyone", "people", "he", "she", "they", "it", "him", "her", "them",
     "customers", "callers", "strangers", "calls", "all", "the", "last", "voicemail", "history", "number"}
)  # fmt: skip
_WHICH = re.compile(
    r"\b(?P<which>last\s+(?:two|three|four|five|\d+)|latest|last(?!\s+(?:night|week|month|year|\w+day))|newest|new|first|next|previous|oldest|unheard|unread|unplayed|saved|second|third|NUM|"
    r"most\s+recent|all|every)\b(?!\s+(?:calls\s+i\s+missed))"
)
_VM = r"(?:voice\s*-?mails?|voice\s+messages?|answer\w*\s*-?(?:phone|machine)?\s*(?:messages?)?|messages?|recordings?|recorded\s+calls?|vms?|calls?|ones?)"
_FORMAT = re.compile(r"\b(?:csv|spreadsheet|excel|table\s+file|download)\b")
_FOR = re.compile(
    r"\b(?:numbers?|line|did)(?:\s+(?:on|from|in)\s+(?:the\s+)?ZONENAME(?:\s+(?:line|trunk|zone))?)?\s+(?:(?:to|that)\s+(?:track|measure|put\s+on|use\s+(?:on|in|for)|tracks?)|for\s+tracking|for|on)\s+(?:the\s+|our\s+|my\s+|a\s+|an\s+|this\s+|calls\s+from\s+(?:the\s+|our\s+|my\s+)?)?(?P<label>.+?)"
    r"(?=\s*(?:$|[.,;!?]|\b(?:please|on\s+the\s+(?:ZONENAME|\w+)\s+(?:line|trunk)|from\s+the|via|using|over\s+the|with\s+a|in\s+ZONENAME|through|thanks)\b|(?:\bon\s+)?(?:the\s+)?ZONENAME\s+(?:line|trunk|zone|number)))"
)
_TRACK = re.compile(
    r"\b(?:track(?:ing)?|measure)\s+(?:the\s+)?(?:calls\s+|responses\s+|number\s+)*(?:from|for|to|of)?\s*(?:the\s+|our\s+|my\s+|a\s+)?(?P<label>.+?)(?=\s*(?:$|[.,;!?]|\b(?:please|with|on\s+(?:the\s+)?ZONENAME|via|using|over)\b))"
)
_ASSIGNED = re.compile(
    r"\bnumber\s+to\s+(?:the\s+|our\s+|my\s+)(?P<label>.+?)(?=\s*(?:$|[.,;!?]|\b(?:so|please|to\s+track)\b))"
)
_LABELLED = re.compile(
    r"\b(?:label(?:led|ed)?|called|named|call\s+it|name\s+it)\s+(?:it\s+)?[\"']?(?P<label>.+?)[\"']?\W*$"
)
_DID_NUMBER = re.compile(
    r"\b(?:did|is|was|has|are|have|were|does|do)\s+(?:the\s+|my\s+|our\s+|that\s+)?(?P<label>.+?)\s+(?:numbers?|line)\s*(?:'s)?\s*(?:do|doing|perform\w*|get|got|bring|brought|run|going|done|work\w*|receive\w*|generate\w*|been|fare|faring|go|come)?\b"
)
_DID_AD = re.compile(
    r"\b(?:did|is|was|has|are|have|were|does|do)\s+(?:the\s+|my\s+|our\s+|that\s+)?(?P<label>.+?)\s+(?:do|doing|perform\w*|get|got|bring|brought|run|going|done|work\w*|receive\w*|generate\w*|been|fare|faring|go|come|produce\w*)\b"
)
_STATS_FOR = re.compile(
    r"\b(?:statistics|stats|figures|chart|graph|report|csv|analytics|performance|numbers|data|volume|calls)\b\s*(?:as\s+(?:a\s+)?csv\s+)?(?:for|of|on|from|about|to)\s+(?:the\s+|my\s+|our\s+|all\s+)?(?P<label>.+?)"
    r"(?=\s*(?:$|[.,;!?]|'s\b|\b(?:numbers?|PASTTIME|last|this|yesterday|today|in|for|from|over|as|please|since|during|on|by|between|so|line)\b))"
)
_STATS_OF = re.compile(
    r"(?:\b(?:the|my|our|show|give|me|get|draw|plot|send|download|export)\s+)+(?P<label>(?!call|calls|me|a\b|an\b|as\b|last|this|yesterday|today|weekly|monthly|daily|full|the\b|my\b|our\b|all\b|some\b|latest)[\w'&-]+(?:\s+[\w'&-]+){0,2}?)\s+(?:number\s+)?(?:statistics|stats|figures|chart|graph|report|numbers|analytics|performance|campaign's)\b"
)
_NO_LABEL = re.compile(
    r"^(?:the|my|our|all|calls?|phone|call|everything|week|month|it|things?|business|me|we|i|you|number|numbers|tracking|line|last|\W)*$"
)


def history(view: View) -> Built:
    """When, with whom, and whether only what was missed."""
    missed = _MISSED.search(view.text) is not None
    return Built(History(period=period_of(view.words), party=_party(view), missed=missed))


def _party(view: View) -> Party | None:
    exact = view.parties()
    if exact:
        return exact[0][2]
    for pattern in (_I_SPOKE, _DID, _OWNER, _WITH):
        for match in pattern.finditer(view.text):
            words = view.group(match, "who")
            if trimmed(words).lower() in _NOBODY or find_period(words) is not None:
                continue
            party = view.party(*match.span("who"))
            name = (party.name or "").lower() if party is not None else ""
            thing = re.search(
                r"\b(?:me|us|voicemails?|messages?|recordings?|calls?|mailbox)$", name
            )
            if party is not None and name not in _NOBODY and not thing:
                return party
    return None


def voicemail(view: View) -> Built:
    """Which, from whom, of when."""
    return Built(Voicemail(which=_which(view), party=_party(view), period=period_of(view.words)))


def recordings(view: View) -> Built:
    """Which, with whom, of when."""
    return Built(Recordings(which=_which(view), party=_party(view), period=period_of(view.words)))


def _which(view: View) -> str | None:
    for match in _WHICH.finditer(view.text):
        rest = view.text[match.end() :]
        period = find_period(view.said(match.start(), len(view.text)))
        if period is not None and period.start() == 0:
            continue
        if re.match(
            rf"\s+(?:(?:[\w']+|CONTACTNAME(?:'s)?)\s+){{0,3}}?{_VM}\b", rest
        ) or not rest.strip(" .!?"):
            which = view.group(match, "which")
            return None if which.lower() in ("every",) else which
    return None


def tracking_number(view: View) -> Built:
    """What for, and on which line."""
    label = None
    for pattern in (_LABELLED, _FOR, _ASSIGNED, _TRACK):
        match = pattern.search(view.text)
        if match is None:
            continue
        label = _label(view.group(match, "label"))
        if label:
            break
    found = roles.lines(view.masked, view.roles, view.start, view.end)
    codes = {code for code, _ in found}
    if not codes:
        near = re.search(
            r"(?P<zone>ZONENAME)\s+(?:tracking\s+|phone\s+)?number|\b(?:on|from|in)\s+(?:the\s+)?(?P<other>ZONENAME)",
            view.text,
        )
        if near:
            place = near.start("zone") if near.start("zone") >= 0 else near.start("other")
            codes = {
                span.value
                for a, _, span in view.spans
                if a == place and isinstance(span.value, str)
            }
    return Built(
        TrackingNumber(label=label, line=codes.pop() if len(codes) == 1 else None),
        ("line",) if len(codes) > 1 else (),
    )


def _label(words: str) -> str | None:
    words = trimmed(words)
    words = re.sub(
        r"^(?:(?:the|our|my|a|an|this|new|to)\s+)+|\s+(?:please|thanks)$", "", words, flags=re.I
    )
    words = words.strip("\"' ")
    return (
        words
        if len(words) > 1 and words.lower() != "please" and not _NO_LABEL.match(words.lower())
        else None
    )


def statistics(view: View) -> Built:
    """Of which number, of when, and how."""
    text = plainly(view.text)
    shift = len(view.text) - len(text)
    label = None
    for pattern in (_DID_NUMBER, _DID_AD, _STATS_FOR, _STATS_OF):
        match = pattern.search(text)
        if match is None:
            continue
        words = view.said(match.start("label") + shift, match.end("label") + shift)
        if find_period(f"for {words}") is not None and find_period(words) is None:
            continue
        period = find_period(words)
        if period is not None:
            words = words[: period.start()] + words[period.end() :]
        words = re.sub(r"\s+(?:number|line)$", "", trimmed(words))
        label = _label(words)
        if label:
            break
    chosen = "csv" if _FORMAT.search(view.text) else "chart"
    return Built(Statistics(period=period_of(view.words), label=label, format=chosen))
