"""What the exchange answers itself: menus, rooms, feature codes, each under a number."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pbx.calls.cause import Ending

if TYPE_CHECKING:
    from pbx.calls.call import Call
    from pbx.calls.leg import Leg
    from pbx.media.sdp import SessionDescription
    from pbx.sip.message import Request


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A call that somebody takes from its first moment to its end. `dialled` is the number that
    led there, `more` what was dialled behind a code, `name` the caller as their phone names them,
    `offered` what it can speak (None when it leaves the offer to us), `source` its address."""

    call: Call
    leg: Leg
    request: Request
    dialled: str
    more: str = ""
    name: str = ""
    offered: SessionDescription | None = None
    source: str = ""


App = Callable[[Visit], Coroutine[object, object, Ending]]
"A coroutine that owns the caller's leg; raises `CallRefused` before it answers."


@dataclass(frozen=True, kw_only=True)
class Service:
    """An app under a number. `says` is what it does, for people, after “it”."""

    number: str
    says: str
    app: App
    code: bool = False
    "Whether what is dialled behind the number is for the app: *8102."
    at_home: bool = False
    "Whether what is dialled behind it is a number, and it is to be done where that is at home."
    outside: bool = True
    "Whether callers from outside may be led there by a route."


class Services:
    """All of them. Asked for every call."""

    def __init__(self) -> None:
        self._services: dict[str, Service] = {}
        self._codes: list[str] = []
        "Numbers of the codes, the longest first."

    def add(self, service: Service) -> None:
        """Answer a number from now on, instead of whatever answered it before."""
        self._services[service.number] = service
        self._note_codes()

    def remove(self, number: str, app: App | None = None) -> None:
        """Answer a number no more; with `app` only if it is that which answers it."""
        service = self._services.get(number)
        if service is not None and (app is None or service.app == app):
            del self._services[number]
            self._note_codes()

    def find(self, dialled: str) -> tuple[Service, str] | None:
        """What answers a number, and what of it is for the app."""
        service = self._services.get(dialled)
        if service is not None:
            return service, ""
        for code in self._codes:
            if dialled.startswith(code):
                return self._services[code], dialled[len(code) :]
        return None

    def all(self) -> Sequence[Service]:
        """All services, by number."""
        return [self._services[number] for number in sorted(self._services)]

    def _note_codes(self) -> None:
        codes = (service.number for service in self._services.values() if service.code)
        self._codes = sorted(codes, key=len, reverse=True)
