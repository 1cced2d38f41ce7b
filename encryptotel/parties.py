"""Whom people mean: a name, a number or “me” to an extension or +E.164."""

from __future__ import annotations

from collections.abc import Mapping

from bot.ports import OperatorError, Person, Role, UnclearName
from encryptotel.contacts import Contacts, similar
from nlp.commands import Party
from pbx.calls.numbers import spoken, to_e164
from pbx.calls.router import ECHO
from pbx.ports import Directory

_EMERGENCY = frozenset(("110", "111", "112", "118", "119", "911", "999", "000"))


class Parties:
    """Everybody whom people may call."""

    def __init__(self, directory: Directory, contacts: Contacts) -> None:
        self._directory = directory
        self._contacts = contacts

    def resolve(self, party: Party, person: Person) -> str:
        """An extension or +E.164 for a party. Raises `OperatorError`."""
        if party.me:
            return person.extension
        if party.extension:
            return self._known_extension(party.extension)
        if party.number:
            number = to_e164(party.number, person.region)
            if number is None:
                raise OperatorError("party.bad_number", f"{party.number} is not a phone number")
            return number
        name = party.name or ""
        exact = {known.casefold(): number for known, number in self._names(person).items()}
        if name.casefold() in exact:
            return exact[name.casefold()]
        if candidates := similar(self._names(person), name):
            raise UnclearName(name, [(party_of(known, n), spoken(n)) for known, n in candidates])
        raise OperatorError(
            "party.unknown_name", f"I have no number for {name}; tell me the number itself"
        )

    def _names(self, person: Person) -> Mapping[str, str]:
        """Everybody whom the person may call by name."""
        extensions = {one.name: one.number for one in self._directory.extensions()}
        return {name: n for name, n in {**extensions, **self._contacts.of(person)}.items() if name}

    def _known_extension(self, number: str) -> str:
        """Raises `OperatorError` for one that does not exist or cannot be called from here."""
        found = self._directory.extension(number)
        if found is not None and found.script:
            raise OperatorError(
                "party.script", f"{number} is a script; call it from one of your phones"
            )
        if found is None and number in _EMERGENCY:
            raise OperatorError(
                "party.emergency",
                f"{number} cannot be called through this exchange; use a telephone that can",
            )
        if found is None and number != ECHO and not self._stands_for_somebody(number):
            raise OperatorError("party.no_such_extension", f"there is no extension {number}")
        return number

    def _stands_for_somebody(self, number: str) -> bool:
        """Whether it is a relay number; the exchange knows for whom."""
        return len(number) == 4 and self._directory.service(number) is not None

    def reachable(self, person: Person, party: Party) -> str:
        """Somebody else, whom the person may call. Raises `OperatorError`."""
        number = self.resolve(party, person)
        if number in (ECHO, person.extension):
            raise OperatorError("party.not_another", f"{number} is nobody else")
        if person.role is Role.GUEST and number.startswith("+"):
            raise OperatorError("role.guest", "guests can call inside the exchange only")
        return number


def party_of(name: str | None, number: str) -> Party:
    """Somebody by +E.164 or extension."""
    if number.startswith("+"):
        return Party(name=name, number=number)
    return Party(name=name, extension=number)


def named(party: Party, number: str) -> str:
    """Somebody for people: with the name they were called by."""
    return f"{party.name} ({spoken(number)})" if party.name else spoken(number)
