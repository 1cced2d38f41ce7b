"""How text messages leave: implements `encryptotel.texts.Ways` on an exchange."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from sqlalchemy.ext.asyncio import AsyncSession

from encryptotel.gatekeeper import Gatekeeper
from encryptotel.metering import Metering
from encryptotel.sms import SmsGateway
from encryptotel.unread import Unread
from pbx.calls.numbers import spoken
from pbx.calls.router import Refuse, dial_out
from pbx.ports import CallRefused, Directory, Trunk
from pbx.post import Post
from pbx.texts import Delivery, Text

ALONE, PAGE = 160, 153
"Characters of an SMS, and of each of several, in the alphabet of GSM (3GPP TS 23.038) …"
ALONE_WIDE, PAGE_WIDE = 70, 67
"… and in any other, where an emoji counts twice."
_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWICE = frozenset("^{}\\[~]|€\f")
_NO_WAY = "no line of ours carries text messages ([sms], or texts = true of a trunk)"


def pages_of(words: str) -> int:
    """SMS that a text takes."""
    if all(sign in _GSM or sign in _GSM_TWICE for sign in words):
        size, alone, page = len(words) + sum(sign in _GSM_TWICE for sign in words), ALONE, PAGE
    else:
        size, alone, page = len(words.encode("utf-16-le")) // 2, ALONE_WIDE, PAGE_WIDE
    return 1 if size <= alone else -(-size // page)


def _key_of(text: Text) -> str:
    """Names what was paid for: not by what a phone calls it alone."""
    about = "\0".join((text.id, text.sender, text.recipient, text.words))
    return f"text:{hashlib.sha256(about.encode()).hexdigest()[:40]}"


class Postman:
    """`blocks` says whether an extension does not want to hear of a sender; `excuse` reaches
    people's chats."""

    def __init__(
        self,
        post: Post,
        directory: Directory,
        gatekeeper: Gatekeeper,
        blocks: Callable[[str, str], bool],
        unread: Unread,
        excuse: Callable[[str, str], None],
    ) -> None:
        self._post = post
        self._directory = directory
        self._gatekeeper = gatekeeper
        self._blocks = blocks
        self._excuse = excuse
        self.sms: SmsGateway | None = None
        self.metering: Metering | None = None
        "Where texts to outside are paid for."
        self._unread = unread
        self._excusing: set[asyncio.Task[object]] = set()

    def way_out(self, number: str) -> Trunk | None:
        """The trunk for a message to +E.164; None for the SMS provider. Raises `CallRefused`
        when there is neither."""
        if self.sms is not None:
            return None
        able = [trunk for trunk in self._directory.trunks() if trunk.texts]
        plan = dial_out(number, able, None)
        if isinstance(plan, Refuse):
            raise CallRefused(plan.status, _NO_WAY)
        return plan.trunk

    def admit(self, text: Text) -> None:
        """Raises `CallRefused` where somebody may not write to somebody, or not so much."""
        if text.recipient.startswith("+"):
            trunk = self.way_out(text.recipient)
            pages = pages_of(text.words)
            self._gatekeeper.admit_text(text.sender, trunk, text.recipient, text.source, pages)
        elif self._blocks(text.recipient, text.sender):
            raise CallRefused(403, "they do not take messages from you")

    def holding(self, text: Text) -> AbstractContextManager[None]:
        """While it is paid for, its price pays for nothing else."""
        if self.metering is None:
            return nullcontext()
        return self.metering.holding_text(text.sender, pages_of(text.words))

    async def charge(self, session: AsyncSession, text: Text) -> Callable[[], None] | None:
        """Take the price of a text to outside, with what keeps it; what to do then, or None when it
        was paid for before. Raises `CallRefused` where its sender cannot pay."""
        if self.metering is None:
            return lambda: None
        pages, to = pages_of(text.words), spoken(text.recipient)
        return await self.metering.pay_text(session, text.sender, _key_of(text), pages, to)

    async def give_back(self, text: Text) -> None:
        """A text came to nothing: it costs nothing."""
        if self.metering is not None:
            await self.metering.charging.give_back(_key_of(text))

    async def to_chats(self, session: AsyncSession, text: Text) -> Callable[[], None]:
        """Keep for the chats of whose extension it is for; what shows it there."""
        return await self._unread.keep_text(session, text)

    async def to_phones(self, text: Text) -> Sequence[Delivery]:
        """Send to all phones of an extension."""
        return await self._post.to_phones(text)

    async def outside(self, text: Text) -> Delivery:
        """Send to +E.164."""
        try:
            trunk = self.way_out(text.recipient)
        except CallRefused as refused:
            return Delivery(0, refused.reason, unseen=True)
        if self.sms is not None:
            return await self.sms.send(text)
        assert trunk is not None
        return await self._post.outside(text, trunk)

    def failed(self, text: Text, reason: str) -> None:
        """Tell its sender that it did not arrive: in their chats and on their phones."""
        words = f"Your message to {spoken(text.recipient)} was not sent: {reason}."
        self._excuse(text.sender, words)
        back = Text(id=text.id, sender=text.recipient, recipient=text.sender, words=words)
        task: asyncio.Task[object] = asyncio.ensure_future(self._post.to_phones(back))
        self._excusing.add(task)
        task.add_done_callback(self._excusing.discard)
