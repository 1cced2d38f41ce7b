"""The answerphone by telephone: listen to one's messages, delete them, speak the greeting."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from zoneinfo import ZoneInfo

from encryptotel.mailbox import Mailbox
from encryptotel.pins import LONGEST, matches
from encryptotel.wishes import WishBook
from pbx.calls.apps.answerphone import BEEP, heard_out
from pbx.calls.apps.excuse import MOMENT
from pbx.calls.cause import Ending
from pbx.calls.leg import Leg
from pbx.calls.services import Service, Visit
from pbx.exchange import Exchange
from pbx.media import ogg
from pbx.media.speech import Speaker
from pbx.ports import Extension
from pbx.reach import aloud
from store.tables import VoicemailRow

LISTEN, LISTEN_ELSEWHERE = "*97", "*98"
MAX_HEARD = 50
"Messages told of in one call."
TRIES = 3
"PINs tried in one call …"
MAX_WRONG, WITHIN = 10, 3600.0
"… and wrong ones of one mailbox within so many seconds."
TO_KEY = 8.0
"Seconds to press a key."
GREETING_SECONDS = 60.0
GREETING = "{name} cannot take your call now. Please leave a message after the tone."
KEYS = "Press 1 to hear it again, 2 for the next, 3 to delete it, or star to end."
MENU = "Press 1 to listen, 9 to speak your greeting, or star to end."


class AnswerphoneByPhone:
    """`zone_of` gives the clocks of an extension's person."""

    def __init__(
        self,
        exchange: Exchange,
        mailbox: Mailbox,
        book: WishBook,
        zone_of: Callable[[str], ZoneInfo],
    ) -> None:
        self._exchange = exchange
        self._mailbox = mailbox
        self._book = book
        self._zone_of = zone_of
        self._wrong: dict[str, deque[float]] = {}
        "When PINs of a mailbox were wrong."
        exchange.courses.greet = self.greet

    def services(self) -> tuple[Service, ...]:
        """What to dial."""
        return (
            Service(
                number=LISTEN, says="lets you hear your messages", app=self._own, outside=False
            ),
            Service(
                number=LISTEN_ELSEWHERE,
                says="lets you hear your messages from any telephone, with your PIN",
                app=self._any,
            ),
        )

    async def greet(self, extension: Extension) -> bytes:
        """What callers hear: the person's own greeting, spoken or written, or the usual one."""
        rest = self._book.rest(extension.number)
        if rest.greeting_sound:
            return await asyncio.to_thread(ogg.decoded, rest.greeting_sound)
        name = extension.name or "We"
        return await self._say(rest.greeting or GREETING.format(name=name))

    # ── calls ───────────────────────────────────────────────────────────────────────────
    async def _own(self, visit: Visit) -> Ending:
        """From one's own phone; a PIN is asked for if there is one."""
        extension = visit.call.user
        await self._answer(visit)
        if self._book.rest(extension).pin and not await self._pin(
            visit.leg, extension, f"own {extension}"
        ):
            return await self._goodbye(visit.leg, "Sorry. Goodbye.")
        return await self._desk(visit.leg, extension)

    async def _any(self, visit: Visit) -> Ending:
        """From any phone, for whoever knows an extension and its PIN."""
        leg = visit.leg
        await self._answer(visit)
        await leg.play(await self._say("Please key your extension, then hash."))
        extension = await self._number(leg, 6)
        if not await self._pin(leg, extension):
            return await self._goodbye(leg, "Sorry. Goodbye.")
        return await self._desk(leg, extension)

    async def _desk(self, leg: Leg, extension: str) -> Ending:
        new, old = self._mailbox.count(extension)
        await leg.play(await self._say(f"You have {_count(new, 'new')} and {_count(old, 'old')}."))
        while leg.ending is None:
            key = await self._ask(leg, MENU)
            if key == "1":
                await self._listen(leg, extension)
            elif key == "9":
                await self._record_greeting(leg, extension)
            else:
                break
        return await self._goodbye(leg, "Goodbye.")

    async def _listen(self, leg: Leg, extension: str) -> None:
        rows = await self._mailbox.latest(extension, MAX_HEARD)
        for row in sorted(rows, key=lambda row: (row.heard, row.at)):
            if leg.ending is not None or not await self._hear(leg, row):
                return
        await leg.play(await self._say("There are no more messages."))

    async def _hear(self, leg: Leg, row: VoicemailRow) -> bool:
        """Play one message, and do what is keyed; False to end."""
        when = row.at.astimezone(self._zone_of(row.extension))
        who = f"From {aloud(row.caller)}, {when:%A} {when:%H:%M}."
        if row.sealed:
            who += (
                " This message is sealed for your key and can only be opened by you, in the chat."
            )
        sound = b"" if row.sealed else await asyncio.to_thread(ogg.decoded, row.sound)
        while True:
            await self._mailbox.listened(row.extension, [row.id])
            leg.audio.play(await self._say(who) + sound)
            key = await leg.interruption()
            key = key or await self._ask(leg, KEYS)
            if key == "3":
                await self._mailbox.remove(row.extension, row.id)
                await leg.play(await self._say("Deleted."))
            if key != "1":
                return key not in ("*", "")

    async def _record_greeting(self, leg: Leg, extension: str) -> None:
        await leg.play(await self._say("Speak your greeting after the tone, then press hash."))
        await leg.play(BEEP)
        said = await heard_out(leg, GREETING_SECONDS)
        if not said:
            await leg.play(await self._say("I heard nothing. Your greeting is as it was."))
            return
        sound = await asyncio.to_thread(ogg.encoded, said)
        await self._book.change(extension, greeting_sound=sound, greeting="")
        await leg.play(await self._say("This is your greeting now.") + said)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    async def _answer(self, visit: Visit) -> None:
        await visit.leg.answer()
        visit.call.answered()
        await visit.leg.play(MOMENT)

    async def _pin(self, leg: Leg, extension: str, key: str = "") -> bool:
        """Whether somebody knows a mailbox's PIN. It takes as long when there is no such
        mailbox, and says the same. Wrong ones are counted by `key`: who guesses from elsewhere
        does not lock the owner's own phone out."""
        key = key or extension
        kept = self._book.rest(extension).pin
        for _ in range(TRIES):
            await leg.play(await self._say("Please key your PIN, then hash."))
            pin = await self._number(leg, LONGEST)
            good = await matches(pin, kept or _NOBODYS) and bool(kept)
            wrong = self._wrong_of(key)
            if len(wrong) < MAX_WRONG:
                if good:
                    wrong.clear()
                    return True
                wrong.append(time.monotonic())
            if leg.ending is not None:
                break
            await leg.play(await self._say("That is not right."))
        return False

    def _wrong_of(self, key: str) -> deque[float]:
        wrong = self._wrong.setdefault(key[:12], deque(maxlen=MAX_WRONG))
        while wrong and time.monotonic() - wrong[0] > WITHIN:
            wrong.popleft()
        return wrong

    async def _number(self, leg: Leg, longest: int) -> str:
        """Digits up to a hash."""
        number = ""
        while len(number) < longest and leg.ending is None:
            key = await leg.digits(1, within=TO_KEY)
            if key in ("#", ""):
                break
            number += key
        return number

    async def _ask(self, leg: Leg, words: str) -> str:
        """Say what can be keyed, and wait for it; empty when nothing is."""
        leg.audio.play(await self._say(words))
        return await leg.interruption() or await leg.digits(1, within=TO_KEY)

    async def _goodbye(self, leg: Leg, words: str) -> Ending:
        if leg.ending is None:
            await leg.play(await self._say(words) + MOMENT)
        return leg.ending or Ending(status=200, reason="")

    async def _say(self, words: str) -> bytes:
        speaker: Speaker = self._exchange.speaker
        return await speaker.say(words)


_NOBODYS = "00" * 16 + ":" + "00" * 64
"Of a mailbox that does not exist."


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what} {'message' if number == 1 else 'messages'}"
