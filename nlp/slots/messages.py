"""Messages, contacts, invitations and phones."""

import re

from nlp.commands import AddDevice, ContactAdd, ContactRemove, Contacts, Invite, Message, Party
from nlp.contacts import named
from nlp.cues import plainly
from nlp.labels import TEXT, TO
from nlp.slots.built import Built
from nlp.spans import Kind
from nlp.view import View, trimmed

_SAYING = (
    r"(?:\s*[,:;-]+\s*|\s+)(?:(?:and\s+)?(?:saying|to\s+say|and\s+say|say|that\s+says|which\s+says|reading|with\s+the\s+(?:text|words?|message)|"
    r"(?:and\s+)?(?:tell|telling|to\s+tell|let|letting|inform|ask|asking|to\s+ask)\s+(?:him|her|them|CONTACTNAME)(?:\s+know)?|"
    r"to\s+let\s+(?:him|her|them)\s+know|know)\s*[,:]?\s*)?(?:that\s+(?!'s|is\b|was\b|would\b))?"
)
_NOUN = r"(?:text(?:\s+message)?|sms|message|msg|note|line|dm)"
_NAME = r"(?:(?:my|our|the)\s+)?(?:CONTACTNAME|PHONENUM|EXTNUM|[a-z][\w'.-]*(?:\s+(?:and|&)\s+[a-z][\w'-]*)?)"
_FORMS = tuple(
    re.compile(form)
    for form in (
        rf"(?:send|write|drop|shoot|fire\s+off|compose|type|leave)\s+(?:off\s+)?(?:out\s+)?(?:a\s+|an\s+|the\s+|another\s+)?(?:quick\s+|short\s+|new\s+|text\s+)*"
        rf"{_NOUN}\s+(?:to|for)\s+(?P<who>{_NAME})(?:{_SAYING}(?P<text>.+))?$",
        rf"(?:send|write)\s+(?:a\s+|an\s+|the\s+)?(?:{_NOUN}\s+)?[\"'](?P<text>.+)[\"']\s+to\s+(?P<who>{_NAME})\W*$",
        rf"(?:send|write)\s+(?:a\s+|an\s+|the\s+)?{_NOUN}\s+(?:saying|that|reading)\s+(?P<text>.+?)\s+to\s+(?P<who>CONTACTNAME|PHONENUM|EXTNUM|my\s+\w+)\W*$",
        rf"(?:send|write|drop|shoot)\s+(?P<who>{_NAME})\s+(?:a|an|the|this)\s+(?:quick\s+|short\s+|new\s+)*{_NOUN}(?:{_SAYING}(?P<text>.+))?$",
        rf"(?:send|write)\s+(?:a\s+|an\s+|the\s+)?{_NOUN}\W*$",
        rf"let\s+(?P<who>{_NAME})\s+know(?:\s+that)?\s+(?P<text>.+)$",
        rf"(?:text|sms|message|msg|whatsapp|dm|tell|inform|notify)\s+(?:to\s+)?(?P<who>{_NAME})(?:{_SAYING}(?P<text>.+))?$",
        rf"(?:write|say|send)\s+(?:to\s+)?(?P<who>CONTACTNAME|PHONENUM|EXTNUM|my\s+\w+)(?:{_SAYING}(?P<text>.+))?$",
        r"(?:say|reply|write|send|text)\s+(?P<text>.+?)\s+to\s+(?P<who>CONTACTNAME|PHONENUM|EXTNUM|my\s+\w+)\W*$",
    )
)
_GOES_ON = re.compile(r"[\s,;.]*\b(?:and\s+)?(?:then|also|after\s+that|afterwards)\W*$|[\s,;]+$")
_QUOTED = re.compile(r"^[\"'](?P<text>.+)[\"']\W*$|^[\"'](?P<open>[^\"']+)$")
_CONTACT_FORMS = tuple(
    re.compile(form)
    for form in (
        r"(?:save|store|add|put|keep|enter)\s+(?:my\s+|the\s+)?(?:new\s+)?(?:colleague\s+|friend\s+|contact\s+)?(?P<name>.+?)\s+(?:to|in|into)\s+(?:my\s+|the\s+|your\s+)?(?:contacts?|address\s*-?book|phone\s*-?book)(?:\s+list)?\s*[,:;.(-]?\s*(?:(?:his|her|their|the|he's|she's|with|under|number|extension|phone|mobile|is|on|at|as)\s+)*(?P<address>PHONENUM|EXTNUM)\b.*$",
        r"(?:save|store|add|remember|keep|put|note\s+down|note|register|enter|record|create)\s+(?:down\s+)?(?:this\s+|the\s+|that\s+|a\s+|new\s+)*(?:contact\s+|number\s+)*"
        r"(?P<address>PHONENUM|EXTNUM|LINKTEXT)\s+(?:as|under|for|to\s+(?:my\s+)?contacts\s+(?:as|under)|in\s+(?:my\s+)?contacts\s+(?:as|under))\s+(?:the\s+name\s+|name\s+|my\s+|the\s+)?(?P<name>.+?)\W*(?:\s+please)?\W*$",
        r"(?:new\s+|add\s+(?:a\s+)?(?:new\s+)?|create\s+(?:a\s+)?(?:new\s+)?|save\s+(?:a\s+)?(?:new\s+)?)contact\s*[,:-]?\s*(?:called\s+|named\s+|for\s+)?(?P<name>.+?)[\s,:;-]+(?:(?:with\s+|number\s+|phone\s+|at\s+|on\s+|is\s+|the\s+|as\s+|under\s+|extension\s+)*)(?P<address>PHONENUM|EXTNUM)\b.*$",
        r"(?P<name>(?:my\s+)?[\w.' ]+?)(?:'s|s')?\s+(?:new\s+)?(?:phone\s+|mobile\s+|cell\s+)?(?:number|extension|phone|mobile)\s+(?:is|=|:)\s+(?:now\s+)?(?P<address>PHONENUM|EXTNUM)\b.*$",
        r"(?:save|store|add|remember|keep|put|note\s+down|note|register|enter|record|create)\s+(?:down\s+)?(?:my\s+|the\s+)?(?P<name>.+?)(?:'s)?(?:\s+(?:number|phone|contact|mobile))?\s*(?:\(|,|\b)\s*"
        r"(?:(?:as|under|with|at|on|number|the|is|to|my|contacts?|address|book|in|into|phone|extension|:|-|,|\s|list|mobile)+)\s*(?P<address>PHONENUM|EXTNUM)\b.*$",
        r"(?:save|store|add|remember|keep|put|note\s+down|note|register|enter|record|create)\s+(?:down\s+)?(?:my\s+|the\s+)?(?P<name>.+?)\s*[,:(-]*\s*(?P<address>PHONENUM|EXTNUM)\b.*$",
        r"(?:save|store|add|put|keep|remember)\s+(?:this\s+|that\s+|the\s+|it\s+|last\s+)*(?:number\s+|caller\s+)*(?:as|under)\s+(?:my\s+)?(?P<name>.+?)(?:\s+(?:to|in)\s+(?:my\s+)?contacts)?\W*$",
        r"(?:save|store|add|put|keep|remember)\s+(?:my\s+)?(?P<name>.+?)\s+(?:to|in|into)\s+(?:my\s+|the\s+|your\s+)?(?:contacts?|address\s*-?book|phone\s*-?book)\b.*$",
        r"(?:add\s+(?:a\s+)?|save\s+(?:a\s+)?|create\s+(?:a\s+)?)?(?:new\s+)?contact\s*[:,-]?\s*(?:called\s+|named\s+|for\s+)?(?P<name>.+?)\W*$",
        r"(?:save|store|add|remember)\s+(?:the\s+|this\s+)?(?:number\s+)?(?P<address>PHONENUM|EXTNUM)\b.*$",
    )
)
_REMOVED = re.compile(
    r"(?:remove|delete|erase|forget|drop|take|kick|wipe|clear|get\s+rid\s+of)\s+(?:the\s+|my\s+|that\s+)?(?:contact\s+|entry\s+|number\s+|(?:number\s+)?(?:of|for)\s+)*(?:my\s+|the\s+)?"
    r"(?P<name>.+?)(?:'s)?(?:\s+(?:contact|number|entry|details|mobile))*\s*(?:$|[.,;!?]|\b(?:from|out\s+of|off|in\s+(?:my|the)|please)\b)"
)
_AS_GUEST = re.compile(
    r"\b(?:as|for|invite)\s+an?\s+guest\b|\bguest\s+(?:access|account)\b", re.IGNORECASE
)
_WHOSE = re.compile(
    r"\b(?P<who>(?!what|show|my\b|the\b|is\b|me\b)[a-z][\w-]*(?:\s+[a-z][\w-]*)?)'s\s+(?:phone\s+|mobile\s+)?(?:number|extension|contact|details)"
    r"|\b(?:number|extension|contact|details)\s+(?:of|for)\s+(?:my\s+|the\s+)?(?P<of>[\w' -]{1,30}?)\W*$"
)
_INVITED = re.compile(
    r"\b(?:invite|invitation\s+for|invitation\s+to|invite\s+for|invitation\s+(?:link|code)\s+for|invite\s+(?:link|code)\s+for|guest\s+account\s+for|let|give|add|bring|onboard|sign\s+up)\s+(?:an?\s+)?(?:invite\s+|invitation\s+)?(?:to\s+|for\s+)?"
    r"(?:my\s+|our\s+|the\s+)?(?P<name>.+?)\s*(?:$|[.,;!?]|\b(?:to|join|please|an\s+invit|(?:a\s+)?guest|access|as|so|on|in|into|too|as\s+well|for|and)\b)"
)
_INVITE_OBJECT = re.compile(
    r"\bsend\s+(?:my\s+|our\s+)?(?P<name>.+?)\s+an?\s+invit|\bsend\s+an?\s+invit(?:e|ation)(?:\s+link)?\s+to\s+(?:my\s+|our\s+)?(?P<other>.+?)\W*(?:please)?\W*$"
)
_NOBODY = frozenset(
    {
        "someone",
        "somebody",
        "people",
        "a friend",
        "friend",
        "link",
        "code",
        "new user",
        "user",
        "a new user",
        "me",
        "anyone",
        "him",
        "her",
        "them",
        "a new member",
        "new member",
        "another person",
        "guest",
        "a guest",
        "an",
        "a",
        "one more",
    }
)
_DEVICE = re.compile(
    r"\b(?:set\s*-?up|add|register|connect|configure|install|provision|link|pair|enrol+|hook\s+up|activate|code\s+for|get|log)\s+(?:up\s+)?(?:a\s+|an\s+|my\s+|the\s+|another\s+|this\s+|our\s+|new\s+|second\s+|me\s+)*(?:device\s+(?=\w))?(?P<name>.+?)"
    r"\s*(?:$|[.,;!?]|\b(?:please|for\s+me|on|to|with|so|connected|online|registered|in|as|now|called|named|via|using|and)\b)"
)
_CALLED = re.compile(
    r"\b(?:called|named|call\s+it|name\s+it|as)\s+[\"']?(?P<name>[\w' -]+?)[\"']?\W*$"
)
_ANY_DEVICE = frozenset(
    {
        "phone",
        "device",
        "softphone",
        "mobile",
        "handset",
        "sip phone",
        "telephone",
        "phones",
        "it",
        "qr code",
        "code",
        "app",
        "sip client",
        "client",
        "number",
        "new phone",
        "new device",
        "a qr code",
        "one",
        "mobile phone",
        "smartphone",
        "sip account",
        "account",
    }
)


def message(view: View) -> Built:
    """To whom, and the words."""
    text = plainly(view.text)
    shift = len(view.text) - len(text)
    to, words, pronoun = None, None, False
    for form in _FORMS:
        match = form.match(text)
        if match is None:
            continue
        groups = match.groupdict()
        pronoun = groups.get("who") in ("him", "her", "them")
        if groups.get("who"):
            to = view.party(match.start("who") + shift, match.end("who") + shift)
        if groups.get("text") and view.end < len(view.masked.text):
            end = match.end("text") + shift
            tail = _GOES_ON.search(view.text, match.start("text") + shift, end)
            words = own_words(view.said(match.start("text") + shift, tail.start() if tail else end))
        elif groups.get("text"):
            words = own_words(view.said(match.start("text") + shift, match.end("text") + shift))
        break
    marked_to = [(a, b) for a, b, role in view.marked if role == TO]
    marked_text = [(a, b) for a, b, role in view.marked if role == TEXT]
    if to is None and not pronoun and view.parties():
        to = view.parties()[0][2]
    if to is None and marked_to and not pronoun:
        to = view.party(*marked_to[0])
    if words is None and marked_text and to is not None:
        words = own_words(view.said(marked_text[0][0], len(view.text)))
    return Built(Message(to=to, text=words or None))


def own_words(said: str) -> str:
    """The words of a message, without quotation marks."""
    said = said.strip(" \t,:;")
    quoted = _QUOTED.match(said)
    if quoted:
        return (quoted["text"] or quoted["open"]).strip()
    return said.strip('"').removesuffix(".") if said.count(".") == 1 else said.strip('"')


def contact_add(view: View) -> Built:
    """A name and a number or extension."""
    text = plainly(view.text)
    shift = len(view.text) - len(text)
    for form in _CONTACT_FORMS:
        match = form.match(text)
        if match is None:
            continue
        groups = match.groupdict()
        name = party = None
        if groups.get("name"):
            name = _name(view.said(match.start("name") + shift, match.end("name") + shift))
        if groups.get("address"):
            party = _address(view, match.start("address") + shift)
        if name or party:
            return Built(ContactAdd(name=name, party=party))
    return Built(ContactAdd(party=_address(view, 0)))


def _name(words: str) -> str | None:
    """A name as it was said, without "my", "contact" and marks."""
    name = trimmed(
        re.sub(
            r"^(?:my|our|the|a|contact|new|number|for)\s+|\s+(?:please|thanks|thank you|contact|to my contacts|in my contacts|now)$",
            "",
            trimmed(words),
            flags=re.I,
        )
    )
    plain = name.lower() in (
        "number",
        "contact",
        "this",
        "that",
        "him",
        "her",
        "it",
        "the number",
        "caller",
    )
    return name if not plain and any(map(str.isalnum, name)) and len(name) <= 60 else None


def _address(view: View, start: int) -> Party | None:
    return next(
        (
            Party(number=party.number, extension=party.extension)
            for _, _, party in view.parties(start)
            if party.number or party.extension
            if party.name is None
        ),
        None,
    )


def contact_remove(view: View) -> Built:
    """Whom to forget."""
    contact = next((span.value for _, _, span in view.of(Kind.CONTACT)), None)
    if isinstance(contact, Party):
        return Built(ContactRemove(name=contact.name))
    match = _REMOVED.search(view.text)
    party = (
        named(view.group(match, "name"), view.context.contacts, view.context.region)
        if match
        else None
    )
    return Built(ContactRemove(name=party.name if party else None))


def contacts(view: View) -> Built:
    """Whose, if one is asked for."""
    contact = next((span.value for _, _, span in view.of(Kind.CONTACT)), None)
    if isinstance(contact, Party):
        return Built(Contacts(name=contact.name))
    for match in _WHOSE.finditer(view.text):
        name = _name(view.group(match, "who" if match.start("who") >= 0 else "of"))
        if name and name.lower() not in ("my", "all", "the", "contacts", "everyone"):
            return Built(Contacts(name=name))
    return Built(Contacts())


def invite(view: View) -> Built:
    """Who, if it is said, and as what."""
    return Built(Invite(name=_invited(view), guest=bool(_AS_GUEST.search(view.text))))


def _invited(view: View) -> str | None:
    contact = next((span for _, _, span in view.of(Kind.CONTACT)), None)
    if contact is not None:
        return _name(view.masked.original[contact.start : contact.end])
    text = view.text
    for match in (_INVITE_OBJECT.search(text), _INVITED.search(text)):
        if match is None:
            continue
        for group in match.groupdict():
            name = _name(view.group(match, group)) if match.start(group) >= 0 else None
            if name and name.lower() not in _NOBODY:
                return name
    return None


def add_device(view: View) -> Built:
    """What it is called, if it is more than "a phone"."""
    called = _CALLED.search(view.text)
    if called:
        return Built(AddDevice(name=_name(view.group(called, "name"))))
    for match in _DEVICE.finditer(view.text):
        name = _name(view.group(match, "name"))
        if name and name.lower() not in _ANY_DEVICE and "qr" not in name.lower():
            return Built(AddDevice(name=name))
    return Built(AddDevice())
