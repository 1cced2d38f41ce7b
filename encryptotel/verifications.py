"""Second factors: codes that are sent by call, text or chat, and checked once.

Only a keyed digest of a code is kept, and each check is counted before it is looked at: a hundred
at once are as many as a hundred in turn. Against pumping (calls to numbers that pay whoever has
them called) a sender is limited by number, by block of numbers, by country, and by how many of its
codes are ever entered.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, delete, func, select

from bot.ports import OperatorError, Person, Progress, Step, asking_program
from bot.wishes import party_said
from encryptotel.approvals import Approvals, one_line
from encryptotel.followers import Followers
from encryptotel.parties import Parties
from encryptotel.spoken_codes import voices, words
from encryptotel.texts import Texts
from pbx.calls.apps.excuse import MOMENT
from pbx.calls.leg import Leg, LegOver
from pbx.calls.numbers import region_of
from pbx.media.speech import Voice
from pbx.orders import Orders
from pbx.ports import CallRefused
from store.database import Database
from store.secret import secret_in
from store.tables import VerificationRow
from web.ports import Verification

TRIES = 5
"Codes that may be tried for one that was sent."
OF_NUMBER, OF_BLOCK, OF_COUNTRY = 5, 10, 60
"""Codes an hour of one sender to the same number, to numbers that differ in their last three
digits, and to the same country."""
LOOKED_AT, LEAST = 20, 2
"Of so many codes to a country so many must have been entered, or no more are sent there …"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
"… within a day."
TIMES = 2
"So often a code is said."


class Verifications:
    """Implements `web.ports.Verifications`. `secret` is a file of this machine's own."""

    def __init__(
        self,
        database: Database,
        secret: Path,
        parties: Parties,
        orders: Orders,
        voice: Voice,
        texts: Texts,
        followers: Followers,
        approvals: Approvals,
        later: Callable[..., None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database, self._secret, self._parties = database, secret, parties
        self._orders, self._voices, self._texts = orders, voices(voice), texts
        self._followers, self._approvals = followers, approvals
        self._later, self._now = later, now

    async def begin(
        self, person: Person, to: str, by: str, length: int, minutes: int, approve: str = ""
    ) -> Verification:
        """Send somebody a code by call, sms or chat, or ask them to approve something by call or
        chat. Raises `OperatorError`."""
        party = party_said(to)
        number = self._parties.resolve(party, person)
        if number != person.extension:
            self._parties.reachable(person, party)
        if by == "chat" and not self._followers.has(number):
            raise OperatorError("verification.no_chat", f"{number} has no chat with us")
        if by == "sms" and not number.startswith("+"):
            raise OperatorError(
                "verification.no_sms",
                "an SMS goes to telephone numbers only; call, or use the chat",
            )
        if approve and not one_line(approve):
            raise OperatorError("verification.empty", "say what is to be approved")
        if by == "sms" and approve:
            raise OperatorError("verification.no_sms", "an SMS has no buttons; call, or use a chat")
        code = "".join(secrets.choice("0123456789") for _ in range(length))
        now, id = self._now(), secrets.token_hex(10)
        row = VerificationRow(
            id=id,
            extension=person.extension,
            to=number[:20],
            country=region_of(number) or "",
            by=by,
            digest="" if approve else await asyncio.to_thread(self._digest, id, code),
            made=now,
            expires=now + timedelta(minutes=minutes),
        )
        async with self._database.writing() as session:
            await self._check_limits(session, row)
            session.add(row)
            shown = _shown(row, now)
        if approve:
            program = asking_program.get()
            who = f"{person.name} ({program})" if program else person.name
            if program and number == person.extension:
                who = f"Your program {program}"
            about = f"{who} asks: {one_line(approve).rstrip('.')}"
            self._later(self._ask(person, row, by, about))
        else:
            self._later(self._send(person, row.id, number, by, code, minutes))
        return shown

    async def check(self, person: Person, id: str, code: str) -> Verification:
        """Whether that was the code; approved once. Raises `OperatorError`."""
        given = await asyncio.to_thread(self._digest, id[:24], code)  # its secret is in a file
        async with self._database.writing() as session:
            row = await session.get(VerificationRow, id[:24], with_for_update=True)
            if row is None or row.extension != person.extension:
                raise OperatorError("verification.unknown", "there is no such verification")
            if not row.digest:
                raise OperatorError(
                    "verification.no_code", "they were not sent a code but asked to approve"
                )
            now = self._now()
            if row.state != "sent" or row.expires <= now:
                state = "expired" if row.state == "sent" else row.state
                why = "was used" if state == "approved" else f"is {state}"
                raise OperatorError("verification.over", f"that code {why}; send another")
            row.tries += 1
            if hmac.compare_digest(given, row.digest):
                row.state = "approved"
            elif row.tries >= TRIES:
                row.state = "failed"
            return _shown(row, now)

    async def find(self, person: Person, id: str) -> Verification:
        """How one stands. Raises `OperatorError`."""
        async with self._database.reading() as session:
            row = await session.get(VerificationRow, id[:24])
        if row is None or row.extension != person.extension:
            raise OperatorError("verification.unknown", "there is no such verification")
        return _shown(row, self._now())

    async def forget_old(self) -> None:
        """Forget codes that count for nothing any more."""
        old = col(VerificationRow.made) < self._now() - 2 * DAY

        async def forget(session: AsyncSession) -> None:
            await session.execute(delete(VerificationRow).where(old))

        await self._database.together(forget)

    # ── limits ──────────────────────────────────────────────────────────────────────────
    async def _check_limits(self, session: AsyncSession, row: VerificationRow) -> None:
        """Raises `OperatorError` when there were too many of the kind."""
        mine = col(VerificationRow.extension) == row.extension
        lately = mine & (col(VerificationRow.made) > row.made - HOUR)
        same = col(VerificationRow.to) == row.to
        block = col(VerificationRow.to).startswith(row.to[:-3], autoescape=True)
        country = col(VerificationRow.country) == row.country
        outside = row.to.startswith("+")
        several = (block, OF_BLOCK, "numbers like that"), (country, OF_COUNTRY, "that country")
        for which, most, what in ((same, OF_NUMBER, "them"), *(several if outside else ())):
            count = select(func.count()).where(lately, which)
            if (await session.execute(count)).scalar_one() >= most:
                raise OperatorError(
                    "verification.limit", f"{most} codes an hour to {what} are the most"
                )
        if not outside:
            return
        query = (
            select(VerificationRow.state)
            .where(mine, country, col(VerificationRow.made) > row.made - DAY)
            .order_by(col(VerificationRow.made).desc())
            .limit(LOOKED_AT)
        )
        states = list((await session.execute(query)).scalars())
        if len(states) == LOOKED_AT and states.count("approved") < LEAST:
            raise OperatorError(
                "verification.limit",
                "hardly any code to that country was entered today: that looks like fraud",
            )

    # ── sending ─────────────────────────────────────────────────────────────────────────
    async def _send(
        self, person: Person, id: str, number: str, by: str, code: str, minutes: int
    ) -> None:
        """Send a code; one that cannot be sent has failed."""
        good = f"It is good for {minutes} minute{'s' if minutes > 1 else ''}."
        try:
            if by == "call":
                await self._call(person, number, code)
            elif by == "sms":
                await self._texts.say(
                    person.extension, person.name, number, f"{code} is your code. {good}"
                )
            else:
                written = f"{code} is your code for {person.name}. {good}"
                self._followers.spread(number, Progress(call_id="", step=Step.CODE, text=written))
        except CallRefused:
            await self._settle(person, id, "failed")

    async def _ask(self, person: Person, row: VerificationRow, by: str, about: str) -> None:
        """Ask somebody to approve something."""
        id, number, until = row.id, row.to, row.expires

        def decided(yes: bool) -> None:
            self._later(self._settle(person, id, "approved" if yes else "denied"))

        if by == "chat":
            self._approvals.write(number, about, decided, lambda: self._now() < until)
            return
        try:
            await self._approvals.ring(number, about, decided, payer=person.extension)
        except CallRefused:
            await self._settle(person, id, "failed")

    async def _settle(self, person: Person, id: str, state: str) -> None:
        """Note how one ended, if it is open still, and tell the person's programs."""
        async with self._database.writing() as session:
            row = await session.get(VerificationRow, id, with_for_update=True)
            if row is None or row.state != "sent" or row.expires <= self._now():
                return
            row.state = state
        news = Progress(call_id="", step=Step.DECIDED, text=state, about=id)
        self._followers.tell_programs(person.extension, news)

    async def _call(self, person: Person, number: str, code: str) -> None:
        """Say it digit by digit, twice."""
        text, language = words(number, code)
        sound = await self._voices(language).say(text)

        async def talk(leg: Leg) -> str:
            with contextlib.suppress(LegOver):
                await leg.play(MOMENT + (sound + MOMENT) * TIMES)
            return ""

        await self._orders.announce(
            number, user=person.extension, shown=person.extension, talk=talk
        )

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _digest(self, id: str, code: str) -> str:
        """Who has the database alone cannot try all codes."""
        key = secret_in(self._secret, make=True)
        return hmac.new(key, f"{id}:{code}".encode(), hashlib.sha256).hexdigest()


def _shown(row: VerificationRow, now: datetime) -> Verification:
    state = "expired" if row.state == "sent" and row.expires <= now else row.state
    return Verification(
        id=row.id,
        to=row.to,
        by=row.by,
        state=state,
        expires=row.expires,
        tries_left=max(0, TRIES - row.tries),
    )
