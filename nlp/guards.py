"""What forbids to take a sentence for an order to call, whatever the model thinks.

The patterns are few and of high precision: refusals, conditions, questions about calls, reports of
what others said, quotations. A wrong dial is worse than a question.
"""

import re

_CALLING = r"(?:call|ring|phone|dial|contact|reach|connect|buzz|telephone)"
_REFUSAL = re.compile(
    rf"\b(?:don't|do not|dont|doesn't|didn't|never|no need to|stop|avoid|quit|not to|nobody|"
    rf"no one|"
    rf"shouldn't|mustn't|must not|should not|cannot|can't|couldn't|won't|will not|not)\s+"
    rf"(?:\w+\s+){{0,2}}?{_CALLING}(?:ing|ed|s)?\b|\bno calls\b"
)
_NEGATIVE_INVITATION = re.compile(
    r"\b(?:why don't|why not|can't|won't|couldn't) you\b|\bif you can't\b"
)
_CONDITION = re.compile(
    r"^\W*(?:if|unless|whenever|every time|each time|in case|suppose|what if)\b"
    r"|^\W*(?:when|once|after|as soon as|before|until|while)\s+(?!you\b|that\b|connected\b|"
    r"(?:they|he|she|it|\w+)\s+(?:answers?|picks?\s+up|is\s+connected))\w"
    r"|\b(?:if|unless|whenever)\s+(?:i|he|she|they|someone|somebody|it|the|my|we|nobody|any)\b"
)
_QUESTION = re.compile(
    r"^\W*(?:who|whom|whose|what|when|why|where|which|did|does|do you|do we|has|"
    r"have (?:you|we|i|they)|"
    r"was|were|is (?:it|there|he|she|this|that)|are (?:they|there|you)|how (?:many|much|long|come|"
    r"often|"
    r"do|did|does|to|can|could|would)|should|shall i|must i|would (?:he|she|they|it)|am i)\b"
)
_REPORT = re.compile(
    r"\b(?:said|told|says|wrote|written|asked (?:me|him|her|us|if|whether|to)|wonder(?:s|ed|ing)?|"
    r"wants\s+(?:to|me)|costs?|thinks?|thought|suggested|claims?|mentioned|forgot|remember(?:ed)?)\b"
    r"|\b(?:i|we|he|she|they|you|who|it)\s+(?:already\s+|just\s+|had\s+)?(?:called|rang|phoned|dialed|"
    r"dialled|was|were|hung)\b"
    r"|(?<!want )(?<!need )(?<!have )(?<!get )\b(?!me\b)(?:CONTACTNAME|[a-z']+)\s+"
    r"(?:just\s+|never\s+|"
    r"already\s+)?(?:called|rang|phoned)\s+(?!on\b|at\b|via\b)"
    r"|\b(?:he|she|they|it|nobody|someone|somebody|CONTACTNAME)(?:'ll|\s+will|\s+would|\s+might|\s+may|\s+should|"
    r"\s+could|'d|\s+is going to)\s+(?:call|ring|phone)\b"
    r"|\b(?!i\b|you\b|we\b|please\b|and\b|then\b)\w+(?:'ll|\s+will|\s+would|\s+might|\s+may|\s+should|"
    r"\s+could|\s+can|\s+is\s+going\s+to)\s+(?:call|ring|phone|reach|contact)\s+(?:me|us|you)\b"
    r"|\b(?:i|we)(?:'ll|\s+will|\s+might|\s+may|'m going to|\s+am going to|\s+was going to)\s+"
    r"(?:\w+\s+)?(?:call|ring|phone|dial)\b"
)
_STATE = re.compile(
    r"\b(?:am|is|are|was|were|be|been|'m|'s|'re)\s+(?:\w+\s+)?on\s+(?:a|the)\s+(?:call|phone)\b"
    r"|^\W*(?:CONTACTNAME|she|he|they|it|my\s+\w+|the\s+\w+)\s+(?:is|was|are|were|has|had|will|would|"
    r"can't|cannot|can|never|always|wants|likes|needs|says|and\s+i)\b(?!.*\b(?:i\s+(?:want|need|would)|"
    r"call\s+(?:him|her|it|me|back)|PHONENUM|EXTNUM)\b)"
)
_QUOTED = re.compile(r'"[^"]*\b(?:call|ring|phone|dial|reach)\w*\b[^"]*"')
_FIGURE = re.compile(
    r"\bcall (?:it|that) (?:a|off|quits|even)\b|\bcalled\s+(?:a|an)\b|\bcall of duty\b"
    r"|\bdial\s+(?:down|it)\b|\bring\s+(?:the\s+changes|a\s+bell|true|hollow)\b"
    r"|\btry\s+(?:the|some|this|it)\b|\bcall me "
    r"(?:maybe|crazy|old[- ]fashioned|ishmael|names|mad|lucky|stupid|paranoid)\b"
    r"|\bcall cent(?:er|re)\b"
)
_PRIZE = re.compile(
    r"\b(?:win|won|winner|prize|congratulations|loans?|casino|earn|claim|limited offer|bonus|"
    r"discount|urgent|dear customer|for (?:more )?(?:info|information|details)|free)\b"
)


def forbids_call(text: str) -> str | None:
    """The reason why a masked `text` is no order to call, or None."""
    bare = _NEGATIVE_INVITATION.sub(" ", text)
    for reason, pattern in (
        ("refusal", _REFUSAL),
        ("condition", _CONDITION),
        ("question", _QUESTION),
        ("report", _REPORT),
        ("statement", _STATE),
        ("quotation", _QUOTED),
        ("figure of speech", _FIGURE),
    ):
        if pattern.search(bare):
            return reason
    if "PASTTIME" in text:
        return "the past"
    if _PRIZE.search(text) and ("PHONENUM" in text or "AMOUNT" in text) and " my " not in text:
        return "advertising"
    return None


_REFUSED = re.compile(
    r"^\W*(?:(?:please|well|no|oh|hey|ok|and|but|so)\W+)*(?:don't|do\s+not|never|you\s+(?:don't|needn't|shouldn't|must\s+not)|"
    r"there's\s+no\s+need|no\s+need\s+to|i\s+(?:don't|do\s+not)\s+(?:want|need)\s+(?:you\s+)?to|i\s+(?:didn't|wouldn't|won't|never|can't|couldn't))\b"
)
_TOLD = re.compile(
    r"^\W*(?:i|we|he|she|they|CONTACTNAME|my\s+\w+|the\s+\w+|someone|somebody|everyone|nobody|it)\s+(?:already\s+|just\s+|had\s+|has\s+|have\s+|never\s+|always\s+|once\s+|usually\s+|often\s+)*"
    r"(?:sent|texted|messaged|told|asked|said|blocked|forwarded|redirected|recorded|reminded|saved|paid|topped|invited|transferred|forgot|"
    r"moved|changed|cancelled|canceled|deleted|removed|muted|hid|missed|spoke|talked|heard|reminds|sends|blocks|says|keeps|was|were|had\s+(?:a|an|the|our|some))\b"
    r"|^\W*(?:it's|it\s+is|it\s+was)\s+(?:\w+\s+)?[a-z]+\s+(?:that|how|when|if)\b"
)
_CANCELS_A_THING = re.compile(
    r"\b(?:cancel|stop)\s+(?:that|this|my|the|our)\s+(?!order\b|request\b|last\b|previous\b|command\b|action\b|question\b|operation\b|one\b|call\b|thing\b|whole\b)\w+"
)
_MAY_REFUSE = frozenset(
    {"do_not_disturb", "redirect", "hide_number", "record", "block", "remind", "reject", "no", "cancel", "cancel_reminder", "calendar", "scenario"}
)  # fmt: skip


def forbids(label: str, text: str) -> bool:
    """Whether a masked `text` asks for the opposite of `label`, or only tells of it."""
    if label not in _MAY_REFUSE and _REFUSED.search(text):
        return True
    if label == "cancel" and _CANCELS_A_THING.search(text):
        return True
    return label not in ("history", "contact_add", "statistics") and _TOLD.search(text) is not None
