"""What happens to the person, out of a stream of server-sent events (WHATWG HTML §9.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import httpx

from encryptotel_client.refused import refusal
from encryptotel_client.trying import (
    CUT_OFF,
    TRIES,
    for_good,
    least_pause,
    pause,
    said,
    short_pause,
)

SILENCE = 45.0
"Seconds without anything after which the line is dead; the exchange says something every 15."
LONGEST_PAUSE = 60.0


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened, or `gap`: more happened before than is known any more."""

    id: str
    "In a stream for `events(after=…)`; in a webhook the same however often it is told."
    kind: str
    "`incoming`, `ringing`, `answered`, `joined`, `ended`, `missed`, `text`, `voicemail` …"
    call: str = ""
    peer: str = ""
    text: str = ""
    seconds: int = 0
    back: str = ""
    "What to dial to reach them; empty if nobody knows."
    about: str = ""
    words: str = ""
    "The same for people; empty in a webhook."
    at: datetime | None = None
    "When; None in a stream."


def event_of(data: Mapping[str, Any], **more: Any) -> Event:
    """An event of its data; what this version does not know of is left out."""
    known = {field.name for field in fields(Event)}
    return Event(**{name: data[name] for name in known & data.keys()} | more)


class Ear:
    """What was heard so far over any number of connections. Nothing is heard twice: an event counts
    when it is whole, and the next connection begins behind it."""

    def __init__(self, after: str) -> None:
        self.why = CUT_OFF
        self._last, self._again, self._least = after, 3.0, 0.0
        self._tries, self._connected = 0, False
        self._rest, self._fields = b"", dict[str, str]()

    def begins(self) -> dict[str, str]:
        """The headers of a new connection. Half an event of the one before is forgotten."""
        self._rest, self._fields, self._least = b"", {}, 0.0
        headers = {"accept": "text/event-stream"}
        return headers | ({"last-event-id": self._last} if self._last else {})

    def connected(self, answer: httpx.Response) -> bool:
        """Whether there is something to hear; if not, it may be tried again. Raises `Refused`."""
        if answer.is_success:
            self._connected = True
            return True
        least = least_pause(answer)
        # Our own connection that was cut may still count among those that listen.
        awaited = self._connected and (answer.status_code == 409 or answer.status_code >= 500)
        if least is None and not awaited:
            raise refusal(answer)
        self.why, self._least = str(refusal(answer)), least or 0.0
        return False

    def failed(self, error: httpx.RequestError) -> None:
        """The connection was cut, or there was none."""
        self.why = said(error)
        if for_good(error):
            self._tries = TRIES

    def pause(self) -> float | None:
        """Seconds until the next connection. Who was never connected gives up: None."""
        self._tries += 1
        if not self._connected:
            return None if self._tries >= TRIES else max(self._least, short_pause(self._tries))
        return max(self._least, pause(min(self._tries, 10), self._again, LONGEST_PAUSE))

    def take(self, chunk: bytes) -> list[Event]:
        """The events that are whole with some more bytes. Lines end where bytes say so: what ends
        a line in Unicode may be within a text."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        found = (self._line(line.removesuffix(b"\r").decode("utf-8", "replace")) for line in lines)
        return [event for event in found if event is not None]

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._whole()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:  # a sign of life
            self._tries = 0
        elif name == "retry" and value.isdecimal():
            self._again = int(value) / 1000
        elif name == "data" and "data" in self._fields:
            self._fields["data"] += f"\n{value}"
        else:
            self._fields[name] = value
        return None

    def _whole(self) -> Event | None:
        found, self._fields = self._fields, {}
        self._last = found.get("id", self._last)
        if "data" not in found:
            return None
        self._tries = 0
        data = json.loads(found["data"])
        return event_of(data, id=self._last, kind=found.get("event", "message"))
