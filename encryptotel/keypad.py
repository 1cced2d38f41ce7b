"""Feature codes: what can be done from the keypad of any phone of ours. Each is done as if it were
said in the chat, and what came of it is said in words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bot.card import sentence
from bot.ports import OperatorError, Person
from bot.reminders import agenda
from encryptotel.operator import Operator
from encryptotel.ringing import AGENDA
from encryptotel.when_free import WhenFree
from nlp.commands import DoNotDisturb, Party, Redirect
from pbx.calls.apps.excuse import MOMENT
from pbx.calls.apps.park import pick_up, take_parked
from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.numbers import to_e164
from pbx.calls.parking import ANYWHERE, PLACES
from pbx.calls.router import HIDE, SHOW, route_from_extension
from pbx.calls.services import Service, Services, Visit
from pbx.exchange import Exchange
from pbx.ports import CallRefused
from pbx.vocabulary import CallState

LIST, PICK_UP = "*00", "*1"
OF_DIALLING = (
    (HIDE, "before a number: hides yours for this call"),
    (SHOW, "before a number: shows yours for this call"),
    (ANYWHERE, "transfer a call there: parks it"),
)
"Codes that are dialled for something else than themselves."

Do = Callable[[Person, Visit], Awaitable[str]]
"Does something for a person, given the call with what was keyed behind the code; what to say."
Whom = Callable[[Person], Awaitable[str]]
"Whom a code stands for. Raises `OperatorError` when that is nobody."


class Keypad:
    """`person_of` gives the person of an extension, or somebody like a person for one that is
    nobody's; `vet` whether a phone may have its calls sent to a number."""

    def __init__(
        self,
        exchange: Exchange,
        operator: Operator,
        when_free: WhenFree,
        person_of: Callable[[str], Awaitable[Person]],
        vet: Callable[[str, str, str], None],
    ) -> None:
        self._exchange = exchange
        self._operator = operator
        self._when_free = when_free
        self._person_of = person_of
        self._vet = vet

    def add_to(self, services: Services) -> None:
        """Answer all codes."""
        handling = self._operator.handling
        for code, says, does in (
            ("*78", "do not disturb", lambda who, _: handling.do_not_disturb(who, _QUIET)),
            ("*79", "ring again", lambda who, _: handling.do_not_disturb(who, _LOUD)),
            ("*73", "end all redirections", lambda who, _: handling.redirect(who, _NO_MORE)),
            ("*43", "call waiting on", lambda who, _: handling.wait(who, on=True)),
            ("*44", "call waiting off", lambda who, _: handling.wait(who, on=False)),
            (AGENDA, "hear what is on today", self._read_agenda),
            ("*60", "block who called last", self._block_last),
            (LIST, "hear this list", self._read_list),
        ):
            self._add(services, code, says, self._doing(does))
        for code, says, condition in (
            ("*72", "and a number: send all calls there", "always"),
            ("*90", "and a number: send calls there when you are busy", "busy"),
            ("*92", "and a number: send calls there when you do not answer", "no_answer"),
        ):
            self._add(services, code, says, self._doing(self._redirecting(condition)), more=True)
        self._add(
            services,
            "*37",
            "and an extension: call it once it is free",
            self._doing(self._later),
            more=True,
        )
        self._add(services, "*66", "call again whom you called last", self._calling(self._redial))
        self._add(services, "*69", "call back who called last", self._calling(self._last_caller))
        self._add(services, PICK_UP, "and an extension, or nothing: take a call that rings there",
                  self._pick_up, more=True, at_home=True)  # fmt: skip
        for place in PLACES:
            self._add(services, place, "take the call that is parked there", self._unpark)

    def codes(self, services: Services) -> Sequence[tuple[str, str]]:
        """All codes with what they do, for people."""
        places = PLACES[0], f"to {PLACES[-1]}: take the call that is parked there"
        found = [(one.number, one.says) for one in services.all() if one.number.startswith("*")]
        return sorted([*OF_DIALLING, places, *(one for one in found if one[0] not in PLACES)])

    def _add(
        self,
        services: Services,
        code: str,
        says: str,
        app: Callable[[Visit], Awaitable[Ending]],
        *,
        more: bool = False,
        at_home: bool = False,
    ) -> None:
        async def answer(visit: Visit) -> Ending:
            return await app(visit)

        services.add(
            Service(number=code, says=says, app=answer, code=more, at_home=at_home, outside=False)
        )

    # ── what they do ────────────────────────────────────────────────────────────────────
    def _doing(self, does: Do) -> Callable[[Visit], Awaitable[Ending]]:
        """Does something and says what came of it."""

        async def app(visit: Visit) -> Ending:
            person = await self._person_of(visit.call.user)
            try:
                words = await does(person, visit)
            except OperatorError as error:
                words = sentence(error.message)
            return await self._say(visit, words)

        return app

    def _calling(self, whom: Whom) -> Callable[[Visit], Awaitable[Ending]]:
        """Calls somebody as if they had been dialled."""

        async def app(visit: Visit) -> Ending:
            person = await self._person_of(visit.call.user)
            try:
                number = await whom(person)
            except OperatorError as error:
                return await self._say(visit, sentence(error.message))
            directory, settings = self._exchange.directory, self._exchange.settings
            plan = route_from_extension(number, directory, settings.region)
            visit.call.meant(number)
            return await self._exchange.courses.serve(visit, plan)

        return app

    async def _say(self, visit: Visit, words: str) -> Ending:
        sound = await self._exchange.speaker.say(words)
        await visit.leg.answer()
        visit.call.answered()
        await visit.leg.play(MOMENT + sound + MOMENT)
        return Ending(status=200, reason="")

    def _redirecting(self, condition: str) -> Do:
        async def redirect(person: Person, visit: Visit) -> str:
            party = self._party(person, visit.more)
            if party.number:
                try:
                    self._vet(person.extension, party.number, visit.source)
                except CallRefused as refused:
                    raise OperatorError("keypad.refused", refused.reason) from refused
            command = Redirect(to=party, condition=condition)
            return await self._operator.handling.redirect(person, command)

        return redirect

    def _party(self, person: Person, keyed: str) -> Party:
        """Whom somebody keyed. Raises `OperatorError`."""
        if self._exchange.directory.extension(keyed) is not None:
            return Party(extension=keyed)
        number = to_e164(keyed, person.region)
        if number is None:
            raise OperatorError("keypad.number", "key an extension or a phone number behind it")
        return Party(number=number)

    async def _later(self, person: Person, visit: Visit) -> str:
        return self._when_free.wait(person, visit.more)

    async def _redial(self, person: Person) -> str:
        (party,) = (await self._operator.last_called(person)).to
        return party.number or party.extension or ""

    async def _last_caller(self, person: Person) -> str:
        for past in await self._operator.past.calls(person):
            if past.incoming:
                if not past.back:
                    raise OperatorError("keypad.hidden", "whoever called last hides their number")
                return past.back
        raise OperatorError("keypad.nobody", "nobody has called you yet")

    async def _block_last(self, person: Person, _: Visit) -> str:
        last = await self._last_caller(person)
        inside = self._exchange.directory.extension(last) is not None
        party = Party(extension=last) if inside else Party(number=last)
        who = await self._operator.handling.block(person, party, on=True)
        return f"{who} cannot call you any more."

    async def _read_list(self, person: Person, _: Visit) -> str:
        codes = self._operator.codes()
        return " ".join(f"{' '.join(code.replace('*', 'star '))}: {does}." for code, does in codes)

    async def _read_agenda(self, person: Person, _: Visit) -> str:
        return await agenda(self._operator, person)

    # ── calls of others ─────────────────────────────────────────────────────────────────
    async def _pick_up(self, visit: Visit) -> Ending:
        found = self._ringing(visit.more, visit.call)
        if found is None:
            return await self._say(visit, "Nothing rings there.")
        call, rung = found
        return await pick_up(visit, call, rung)

    def _ringing(self, at: str, own: Call) -> tuple[Call, str] | None:
        """A call that rings at an extension's phones, or at anybody's; the oldest, and where."""
        for call in self._exchange.calls.values():
            if call is own or call.state is not CallState.RINGING:
                continue
            if call.kind in ("callback", "conference", "reminder"):  # which are for them alone
                continue
            for leg in call.legs:
                rings = leg.direction == "out" and not leg.answered and leg.ending is None
                if rings and not leg.trunk and at in ("", leg.peer):
                    return call, leg.peer
        return None

    async def _unpark(self, visit: Visit) -> Ending:
        try:
            return await take_parked(visit, self._exchange.parking)
        except CallRefused as refused:
            return await self._say(visit, sentence(refused.reason))


_QUIET, _LOUD, _NO_MORE = DoNotDisturb(), DoNotDisturb(on=False), Redirect(on=False)
