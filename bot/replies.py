"""What the bot says, as data; a front end only renders it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Button:
    """Something to tap instead of typing: `says` is what that means, or `link` what it opens, where
    a front end can; the text has it as well."""

    label: str
    says: str = ""
    link: str = ""


@dataclass(frozen=True)
class Attachment:
    """A file to keep, look at or listen to; a voice message is Opus in Ogg."""

    name: str
    media_type: str
    content: bytes = field(repr=False)
    drawn: str = field(default="", repr=False)
    "The same as text, for front ends that cannot show it."

    @property
    def is_picture(self) -> bool:
        return self.media_type == "image/png"

    @property
    def is_voice(self) -> bool:
        return self.media_type == "audio/ogg"


@dataclass(frozen=True)
class Letter:
    """Words that somebody wrote to the person: the extension or +E.164 to answer to."""

    sender: str
    words: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One message to the person. `call_id` names the call it tells about, if any.

    `card` is all that is to be seen of that call now: a front end that can change what it sent
    shows it in one message a call, any other shows `text`, if there is any. `keypad` says that
    the buttons are those of a telephone, to be shown in rows of three if at all. With a `letter`
    the text tells of words that a front end may show as written by whoever wrote them. What is
    `private` is for the person alone, even if they asked in a group.
    """

    text: str
    buttons: tuple[Button, ...] = ()
    call_id: str = ""
    card: str = ""
    keypad: bool = False
    file: Attachment | None = None
    letter: Letter | None = None
    private: bool = False
