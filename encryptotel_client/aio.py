"""A client of the exchange for programs with asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, TypeVar, cast

import httpx

from encryptotel_client.events import SILENCE, Ear, Event
from encryptotel_client.refused import Unreachable, refusal
from encryptotel_client.shapes import (
    Answer,
    Balance,
    Brought,
    By,
    Code,
    Condition,
    Contact,
    Delivered,
    Due,
    Entry,
    Health,
    InvoiceShown,
    Keys,
    LiveCall,
    Me,
    NewCall,
    NewConference,
    NewInvoice,
    NewMessage,
    NewNumber,
    NewPhone,
    NewRedirect,
    NewReminder,
    NewVerification,
    NewWebhook,
    Number,
    NumberOf,
    OldCall,
    Order,
    PageOldCall,
    PhoneShown,
    PlacedCall,
    Recorded,
    Redirected,
    Reminded,
    Said,
    Sentence,
    SetUp,
    To,
    Verified,
    VoiceMail,
    Way,
    WebhookMade,
    WebhookShown,
    What,
    WholeCall,
)
from encryptotel_client.trying import LIMITS, Key, Trying, base_of, path, query, trusted

T = TypeVar("T")


class AsyncClient:
    """What a program can do at an exchange with a key. `verify` is the file of the authority that
    the exchange's certificate is from, or a context; `timeout` are seconds for each step of a try.

    Whom to call, to write to or to redirect to (`to` and the like) is a number, an extension or the
    name of a contact. What is asked is asked again after a cut, and when the exchange is busy. A
    method with `once` does something: under the same word it is done once within a day, whoever
    asks how often; without one that holds for the tries of this one call.

    All methods raise `Refused`, and `Unreachable` when there is no answer."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        verify: ssl.SSLContext | str | bool = True,
        timeout: float = 30.0,
    ) -> None:
        """Nothing is sent yet. Raises ValueError for what is no https:// or no key, OSError for a
        file that cannot be read."""
        self._http = httpx.AsyncClient(
            base_url=base_of(url),
            auth=Key(key),
            verify=trusted(verify),
            timeout=timeout,
            limits=LIMITS,
            headers={"user-agent": "encryptotel-client"},
        )

    def __repr__(self) -> str:
        return f"AsyncClient({str(self._http.base_url)!r})"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    # ── calls ───────────────────────────────────────────────────────────────────────────
    async def call(
        self,
        to: str,
        *,
        line: str | None = None,
        callback: str | None = None,
        hide_number: bool = False,
        record: bool = False,
        once: str | None = None,
    ) -> PlacedCall:
        """Call somebody, and the person (or `callback`) back, and join both."""
        order = NewCall(to=to, line=line, callback=callback, hide_number=hide_number, record=record)
        return await self._read(PlacedCall, "POST", "/calls", order, once=once)

    async def calls(self) -> list[LiveCall]:
        """Calls that go on."""
        return await self._read(list[LiveCall], "GET", "/calls")

    async def hang_up(self, id: str) -> None:
        """End a call."""
        await self._ask("DELETE", path("/calls/{}", id))

    async def control(self, id: str, do: What, *, once: str | None = None) -> Said:
        """Hold, mute, record, answer and the like."""
        where = path("/calls/{}/control", id)
        return await self._read(Said, "POST", where, Order(do=do), once=once)

    async def transfer(self, id: str, to: str, *, once: str | None = None) -> Said:
        """Give the person's place in a call to somebody."""
        where = path("/calls/{}/transfer", id)
        return await self._read(Said, "POST", where, To(to=to), once=once)

    async def press(self, id: str, keys: str, *, once: str | None = None) -> Said:
        """Press keys for the other side: 0–9, A–D, * and #."""
        where = path("/calls/{}/keys", id)
        return await self._read(Said, "POST", where, Keys(keys=keys), once=once)

    async def confer(
        self, participants: Sequence[str], *, line: str | None = None, once: str | None = None
    ) -> PlacedCall:
        """Call several together."""
        order = NewConference(participants=list(participants), line=line)
        return await self._read(PlacedCall, "POST", "/conferences", order, once=once)

    async def history(
        self, q: str = "", *, missed: bool = False, page: int = 50
    ) -> AsyncGenerator[OldCall]:
        """Calls that were, newest first, each page (of up to 200) when it is come to. `q` is a
        part of a name, or how a number begins."""
        cursor: str | None = None
        while True:
            asked = query(q=q, missed=str(missed).lower(), limit=page, cursor=cursor)
            found = await self._read(PageOldCall, "GET", "/history", asked=asked)
            for one in found["items"]:
                yield one
            cursor = found.get("next")
            if cursor is None:
                return

    async def past_call(self, id: str) -> WholeCall:
        """One call, also one that goes on: how good it was, and its SIP messages."""
        return await self._read(WholeCall, "GET", path("/history/{}", id))

    async def menus(self) -> bytes:
        """The menus that answer callers, as a picture (SVG)."""
        return (await self._ask("GET", "/menus/picture")).content

    # ── people ──────────────────────────────────────────────────────────────────────────
    async def me(self) -> Me:
        """Whom the key acts for, and what it is for."""
        return await self._read(Me, "GET", "/me")

    async def leave(self) -> None:
        """End the session of a console page; keys are not ended by it."""
        await self._ask("DELETE", "/session")

    async def contacts(self) -> list[Contact]:
        """The person's contacts, by name."""
        return await self._read(list[Contact], "GET", "/contacts")

    async def save_contact(self, name: str, number: str) -> Contact:
        """Keep somebody's number under a name, in the place of another."""
        where = path("/contacts/{}", name)
        return await self._read(Contact, "PUT", where, Number(number=number))

    async def forget_contact(self, name: str) -> None:
        """Forget a contact."""
        await self._ask("DELETE", path("/contacts/{}", name))

    async def message(self, to: str, text: str, *, once: str | None = None) -> Said:
        """Send words to somebody's phones and chats, or as an SMS."""
        order = NewMessage(to=to, text=text)
        return await self._read(Said, "POST", "/messages", order, once=once)

    async def say(self, text: str, *, once: str | None = None) -> list[Answer]:
        """Say something as the person would in a chat: whatever they can do there is done."""
        return await self._read(list[Answer], "POST", "/say", Sentence(text=text), once=once)

    # ── redirections ────────────────────────────────────────────────────────────────────
    async def redirects(self) -> list[Redirected]:
        """Where the person's calls go, the oldest wish first."""
        return await self._read(list[Redirected], "GET", "/redirects")

    async def redirect(
        self,
        to: str,
        *,
        caller: str | None = None,
        condition: Condition = "always",
        after: int | None = None,
        once: str | None = None,
    ) -> Said:
        """Send calls elsewhere, or only those of a caller, in the place of a wish for the very same
        calls; `after` are seconds that it rings before."""
        order: NewRedirect = {"to": to, "from": caller, "condition": condition, "after": after}
        return await self._read(Said, "POST", "/redirects", order, once=once)

    async def drop_redirect(self, id: str) -> None:
        """Let calls come again."""
        await self._ask("DELETE", path("/redirects/{}", id))

    # ── reminders ───────────────────────────────────────────────────────────────────────
    async def reminders(self) -> list[Reminded]:
        """What the person is reminded of, the next first."""
        return await self._read(list[Reminded], "GET", "/reminders")

    async def agenda(self, day: date) -> list[Due]:
        """What there is to think of on a day of the person's clock: reminders and calendars."""
        return await self._read(list[Due], "GET", "/agenda", asked=query(day=day.isoformat()))

    async def remind(
        self,
        text: str,
        at: datetime,
        *,
        rule: str | None = None,
        by: By = "call",
        to: str | None = None,
        once: str | None = None,
    ) -> Reminded:
        """Remind the person, or somebody who has allowed it, at a moment with a time zone. `rule`
        is how it comes again (RFC 5545), as `FREQ=DAILY`."""
        order = NewReminder(text=text, at=at.isoformat(), rule=rule, by=by, to=to)
        return await self._read(Reminded, "POST", "/reminders", order, once=once)

    async def drop_reminder(self, id: str) -> None:
        """Remind of it no more."""
        await self._ask("DELETE", path("/reminders/{}", id))

    # ── numbers for advertisements ──────────────────────────────────────────────────────
    async def numbers(self) -> list[NumberOf]:
        """The person's numbers for advertisements."""
        return await self._read(list[NumberOf], "GET", "/numbers")

    async def take_number(
        self, label: str, *, line: str | None = None, once: str | None = None
    ) -> Said:
        """A number from the pool for something."""
        order = NewNumber(label=label, line=line)
        return await self._read(Said, "POST", "/numbers", order, once=once)

    async def give_back(self, label: str) -> Said:
        """Give a number back to the pool."""
        return await self._read(Said, "DELETE", path("/numbers/{}", label))

    async def figures(self, label: str | None = None, period: str | None = None) -> Brought:
        """What numbers brought, by day, hour and source; `period` as one says it: `last week`."""
        asked = query(label=label, period=period)
        return await self._read(Brought, "GET", "/numbers/figures", asked=asked)

    async def statistics(self, label: str | None = None, period: str | None = None) -> bytes:
        """The same as CSV, a call a line."""
        asked = query(label=label, period=period)
        return (await self._ask("GET", "/numbers/statistics", asked=asked)).content

    # ── phones ──────────────────────────────────────────────────────────────────────────
    async def devices(self) -> list[PhoneShown]:
        """The person's phones, the oldest first."""
        return await self._read(list[PhoneShown], "GET", "/devices")

    async def set_up(self, name: str, *, once: str | None = None) -> SetUp:
        """A link that gives a phone an account of its own; good once, and not long."""
        return await self._read(SetUp, "POST", "/devices", NewPhone(name=name), once=once)

    async def revoke(self, id: str) -> Said:
        """Shut a phone out, at once."""
        return await self._read(Said, "DELETE", path("/devices/{}", id))

    # ── what was kept of calls ──────────────────────────────────────────────────────────
    async def voicemail(self) -> list[VoiceMail]:
        """The latest voice messages, newest first."""
        return await self._read(list[VoiceMail], "GET", "/voicemail")

    async def voice(self, id: str) -> bytes:
        """What was said: Opus in Ogg, or sealed for the person's key."""
        return (await self._ask("GET", path("/voicemail/{}/sound", id))).content

    async def delete_voicemail(self, id: str) -> None:
        """Delete a message."""
        await self._ask("DELETE", path("/voicemail/{}", id))

    async def recordings(self) -> list[Recorded]:
        """The latest recordings, newest first."""
        return await self._read(list[Recorded], "GET", "/recordings")

    async def recording(self, id: str) -> bytes:
        """A recording as it is kept: only its owner can open it."""
        return (await self._ask("GET", path("/recordings/{}/sound", id))).content

    # ── money ───────────────────────────────────────────────────────────────────────────
    async def balance(self) -> Balance:
        """What the person has."""
        return await self._read(Balance, "GET", "/balance")

    async def statement(self) -> list[Entry]:
        """The latest of the person's account, newest first."""
        return await self._read(list[Entry], "GET", "/statement")

    async def invoice(
        self, amount: str, coin: Literal["WAVES", "ETT"], *, once: str | None = None
    ) -> InvoiceShown:
        """An invoice to pay in with a wallet."""
        order = NewInvoice(amount=amount, coin=coin)
        return await self._read(InvoiceShown, "POST", "/invoices", order, once=once)

    # ── second factors ──────────────────────────────────────────────────────────────────
    async def verify(
        self,
        to: str,
        *,
        by: Way = "call",
        length: int = 6,
        minutes: int = 10,
        approve: str = "",
        once: str | None = None,
    ) -> Verified:
        """Send somebody a code of 4 to 8 digits, good for some minutes; or, with `approve`, ask
        them that, by call or chat."""
        order = NewVerification(to=to, by=by, length=length, minutes=minutes, approve=approve)
        return await self._read(Verified, "POST", "/verifications", order, once=once)

    async def check(self, id: str, code: str, *, once: str | None = None) -> Verified:
        """Whether that was the code: `approved` once, and never again."""
        where = path("/verifications/{}/check", id)
        return await self._read(Verified, "POST", where, Code(code=code), once=once)

    async def verification(self, id: str) -> Verified:
        """How a code stands."""
        return await self._read(Verified, "GET", path("/verifications/{}", id))

    # ── what happens ────────────────────────────────────────────────────────────────────
    async def events(self, after: str = "") -> AsyncGenerator[Event]:
        """What happens to the person from when the first is asked for, or all behind an event that
        was heard. After a cut it goes on where it was, and waits for the exchange as long as it
        takes; only who was never connected is told `Unreachable`."""
        ear = Ear(after)
        while True:
            try:
                async with self._http.stream(
                    "GET", "/events", headers=ear.begins(), timeout=SILENCE
                ) as answer:
                    if not answer.is_success:
                        await answer.aread()
                    if ear.connected(answer):
                        async for chunk in answer.aiter_bytes():
                            for event in ear.take(chunk):
                                yield event
            except httpx.RequestError as error:
                ear.failed(error)
            wait = ear.pause()
            if wait is None:
                raise Unreachable(ear.why)
            await asyncio.sleep(wait)

    async def webhooks(self) -> list[WebhookShown]:
        """The person's webhooks, the oldest first."""
        return await self._read(list[WebhookShown], "GET", "/webhooks")

    async def add_webhook(
        self, url: str, kinds: Sequence[str] = (), *, once: str | None = None
    ) -> WebhookMade:
        """Tell a program at an address what happens, all or some kinds. The secret in the answer,
        for `opened`, is shown once."""
        order = NewWebhook(url=url, kinds=list(kinds))
        return await self._read(WebhookMade, "POST", "/webhooks", order, once=once)

    async def remove_webhook(self, id: str) -> None:
        """Tell it nothing more."""
        await self._ask("DELETE", path("/webhooks/{}", id))

    async def test_webhook(self, id: str, *, once: str | None = None) -> Said:
        """Tell it something harmless, to see whether it arrives."""
        return await self._read(Said, "POST", path("/webhooks/{}/test", id), once=once)

    async def deliveries(self, id: str) -> list[Delivered]:
        """What was told lately or is to be told, newest first."""
        return await self._read(list[Delivered], "GET", path("/webhooks/{}/deliveries", id))

    async def replay(self, id: str, event: str, *, once: str | None = None) -> Said:
        """Tell it something again, under its own id."""
        where = path("/webhooks/{}/deliveries/{}/replay", id, event)
        return await self._read(Said, "POST", where, once=once)

    # ── the exchange ────────────────────────────────────────────────────────────────────
    async def health(self) -> Health:
        """Whether the program lives."""
        return await self._read(Health, "GET", "/health")

    async def ready(self) -> bool:
        """Whether calls can be placed and taken."""
        return (await self._ask("GET", "/ready", fine=(503,))).is_success

    # ── requests ────────────────────────────────────────────────────────────────────────
    async def _read(
        self,
        shape: type[T],
        method: str,
        where: str,
        body: Mapping[str, Any] | None = None,
        *,
        asked: Mapping[str, str | int] | None = None,
        once: str | None = None,
    ) -> T:
        """An answer of a shape, which is for those who check types."""
        answer = await self._ask(method, where, body, asked=asked, once=once)
        try:
            return cast(T, answer.json())
        except ValueError:
            why = "what answers there is no exchange"
        raise Unreachable(why)

    async def _ask(
        self,
        method: str,
        where: str,
        body: Mapping[str, Any] | None = None,
        *,
        asked: Mapping[str, str | int] | None = None,
        once: str | None = None,
        fine: Collection[int] = (),
    ) -> httpx.Response:
        trying = Trying(method, once, fine)
        again = True
        while again:
            try:
                answer = await self._http.request(
                    method, where, json=body, params=asked, headers=trying.headers
                )
            except httpx.RequestError as error:
                again = trying.failed(error)
            else:
                again = trying.answered(answer)
                if not again and not trying.is_good(answer):
                    raise refusal(answer)
                if not again:
                    return answer
            if again:
                await asyncio.sleep(trying.pause)
        # Out of reach of the error, which has the request and with it the key.
        raise Unreachable(trying.why)
