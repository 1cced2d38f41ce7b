"""What people say about themselves rather than about calls: their time zone, what is known of
them, and that it be forgotten. Set phrases, because a guess would be worse than none."""

from __future__ import annotations

import re
from datetime import datetime

from bot.moments import moment
from bot.ports import Operator, OperatorError, Person, Talk, Understand, only_in_chats
from bot.replies import Attachment, Button, Reply
from nlp.commands import DoNotDisturb
from nlp.times import zone_of

_ZONE = re.compile(r"(?:(?:set )?my )?time ?zone (?:is |to )?([A-Za-z_+/-]{3,40}\d{0,2})", re.I)
_AWAY = re.compile(
    r"i(?:'m| am|'ll be| will be)(?: now| going to be)? in (?P<place>[A-Za-z][A-Za-z ,.'-]{1,40}?)"
    r"(?: (?P<until>(?:until|till|til|for|through) .{1,60}))?",
    re.I,
)
_HOME = re.compile(r"i(?:'m| am) (?:back(?: home| again)?|home again)", re.I)
_KEY = re.compile(
    r"(?:set )?my (?:recording |waves |age |public )*key (?:is |to )?(\w{40,100})", re.I
)
_EXPORT = re.compile(
    r"(?:export|send|give|show)(?: me)? (?:all )?my (?:personal )?data|/export", re.I
)
_FORGET = re.compile(r"(?:please )?forget (?:about )?me|delete my (?:account|data)|/forget", re.I)
_FORGET_REALLY = "forget me for good"
SURE = (
    "That deletes your contacts, our conversation, the list of your calls, the phones you set up "
    "and your accounts here{extension}.{credit} It cannot be undone. To go on, tap the button or "
    "write "
    f"“{_FORGET_REALLY}”."
)
KEY_SET = (
    "Recordings of your calls are sealed for {key} from now on. Only whoever has the seed or "
    "secret key that belongs to it can open them; I cannot."
)
FORGOTTEN = "I have forgotten you. Goodbye."
EXPORTED = "This is all I know about you."


async def about_oneself(
    operator: Operator, person: Person, text: str, understand: Understand
) -> tuple[Person, Reply] | None:
    """The person as they are then, and the answer; None when the text is about something else.
    Raises `OperatorError`."""
    words = " ".join(text.split()).rstrip(".!")
    if zone := _ZONE.fullmatch(words):
        person = await operator.set_timezone(person, zone[1])
        return person, Reply(text=f"Your time zone is {person.timezone} from now on.")
    if (away := _AWAY.fullmatch(words)) and (zone_there := zone_of(away["place"])):
        until = await _until(away["until"] or "", person, understand)
        person = await operator.reminding.travel(person, zone_there, until)
        back = f" until {moment(until, person)}" if until else "; say “I'm back” when you are"
        text = f"Your clock is {person.timezone}{back}. What comes again rings at the same hours."
        return person, Reply(text=text)
    if _HOME.fullmatch(words):
        person = await operator.reminding.come_home(person)
        return person, Reply(text=f"Welcome back. Your clock is {person.timezone} again.")
    if key := _KEY.fullmatch(words):
        only_in_chats()
        person = await operator.set_key(person, key[1])
        return person, Reply(text=KEY_SET.format(key=person.key))
    if _EXPORT.fullmatch(words):
        content = await operator.export(person)
        file = Attachment("my-data.json", "application/json", content)
        return person, Reply(text=EXPORTED, file=file)
    if words.lower() == _FORGET_REALLY:
        only_in_chats()
        await operator.forget(person)
        return person, Reply(text=FORGOTTEN)
    if _FORGET.fullmatch(words):
        extension = f", and your extension {person.extension}" if person.id != "owner" else ""
        pays = operator.accounts.pays(person)
        credit = f" {operator.accounts.balance(person)} That is lost as well." if pays else ""
        button = Button(label="Forget me", says=_FORGET_REALLY)
        return person, Reply(
            text=SURE.format(extension=extension, credit=credit), buttons=(button,)
        )
    return None


async def _until(words: str, person: Person, understand: Understand) -> datetime | None:
    """When a journey ends: the language knows how people say times."""
    if not words:
        return None
    understood = await understand(f"do not disturb me {words}", person, Talk())
    found = [one.until for one in understood.commands if isinstance(one, DoNotDisturb)]
    if not found or found[0] is None:
        raise OperatorError("travel.until", "until when? Say “I'm in Tokyo until Friday”")
    return found[0].at


async def at_place(operator: Operator, latitude: float, longitude: float) -> Reply:
    """Offer the time zone of a place."""
    zone = await operator.zone_at(latitude, longitude)
    if not zone:
        return Reply(text="I do not know the time zone of that place.")
    button = Button(label=f"Use {zone}", says=f"time zone {zone}")
    return Reply(text=f"The time zone there is {zone}. Shall I use it for you?", buttons=(button,))
