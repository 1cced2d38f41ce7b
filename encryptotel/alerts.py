"""Tells the owner of what strangers do, without becoming one more way to annoy them."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path

from pbx.events import HandshakeFailed, LoginFailed, PinsGuessed

AGAIN = 86_400.0
"Seconds until the same source is worth telling of again."
MAX_SOURCES = 1_000
MAX_PER_HOUR = 5
HOUR = 3_600.0


class Alerts:
    """`tell` gets one sentence a source and a day, and not more than a few an hour; then one
    that says there are more."""

    def __init__(
        self, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._sources: OrderedDict[str, float] = OrderedDict()
        self._told: deque[float] = deque(maxlen=MAX_PER_HOUR)
        self._muted_until = 0.0
        self.muted = 0
        "Sources that were not told of."

    def failed_login(self, event: LoginFailed) -> None:
        """Tell of a wrong password. One for a user that there is not takes as long, and is told
        of to nobody."""
        text = wrong_password(event)
        self.once(f"password {event.host}", text, wanted=bool(event.extension))

    def once(self, source: str, text: str, *, wanted: bool = True) -> None:
        """Tell of a source unless that was done within the day."""
        now = self._clock()
        if now - self._sources.get(source, -AGAIN) < AGAIN or not wanted:
            return
        self._sources[source] = now
        self._sources.move_to_end(source)
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        if now < self._muted_until:
            self.muted += 1
            return
        self._told.append(now)
        if len(self._told) == MAX_PER_HOUR and now - self._told[0] < HOUR:
            self._muted_until = self._told[0] + HOUR
            text += " There is more of this; I will be silent about it for up to an hour."
        self._tell(text)


def wrong_password(event: LoginFailed) -> str:
    """What to tell of a wrong password."""
    return (
        f"Somebody at {event.host} tried extension {event.extension} with a wrong password and "
        f"was refused. If that is your phone, compare its password with "
        f"`encryptotel extension show {event.extension}`."
    )


def guessed_pins(event: PinsGuessed) -> str:
    """What to tell of wrong PINs at the door of a room."""
    return (
        f"Somebody calling from {event.source} tried many wrong PINs for the room {event.room} and "
        f"is not asked any more for up to an hour. If you fear for it, choose a longer PIN."
    )


def failed_handshake(event: HandshakeFailed, ca: Path) -> str:
    """What to tell of a TLS handshake that failed; empty for what scanners do all day."""
    if any(word in event.reason for word in _DISTRUST):
        return (
            f"A phone at {event.host} hung up because it does not trust our TLS certificate. "
            f"Let it trust the authority in {ca}."
        )
    if ipaddress.ip_address(event.host.partition("%")[0]).is_global:
        return ""
    return (
        f"A phone at {event.host} could not connect over TLS ({event.reason}). It needs TLS 1.2 "
        f"or newer."
    )


_DISTRUST = ("UNKNOWN_CA", "CERTIFICATE_UNKNOWN", "BAD_CERTIFICATE", "CERTIFICATE_EXPIRED")
