"""Session timers (RFC 4028): a call whose other side is gone without a word ends by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pbx.sip.message import Message, Request, Response
from pbx.sip.reliable import option_tags

OPTION = "timer"
SESSION_EXPIRES = 1800
"Seconds a call may go on without a refresh, as we ask for it."
MIN_SE = 90
"The shortest interval there may be (§5)."


def too_brief(request: Request) -> bool:
    """Whether a request asks for more frequent refreshes than we grant (answer 422, §6)."""
    asked, _ = _session_expires(request)
    return 0 < asked < MIN_SE and OPTION in option_tags(request, "supported")


class SessionTimer:
    """The timer of one dialog: our turn to refresh, or the end when the peer does not."""

    def __init__(self, refresh: Callable[[], None], expire: Callable[[], None]) -> None:
        self._refresh = refresh
        self._expire = expire
        self._interval = SESSION_EXPIRES
        self._floor = MIN_SE
        self._ours: bool | None = None
        self._timers: list[asyncio.TimerHandle] = []

    def ask(self, request: Request) -> None:
        """Put what we want on an INVITE or UPDATE of ours (§7.1); who refreshes stays (§7.4)."""
        roles = {True: ";refresher=uac", False: ";refresher=uas", None: ""}
        request.set("session-expires", f"{self._interval}{roles[self._ours]}")
        request.set("min-se", str(self._floor))

    def raise_to(self, refusal: Response) -> bool:
        """Take the longer interval a 422 demands; False when it names none (§7.3)."""
        floor = refusal.get("min-se").partition(";")[0].strip()
        if not floor.isdigit() or not self._floor < int(floor[:9]) <= 86_400:
            return False
        self._floor = int(floor)
        self._interval = max(self._interval, self._floor)
        return True

    def grant(self, request: Request, response: Response) -> None:
        """Answer the peer's wish in a 2xx of ours (§9)."""
        asked, refresher = _session_expires(request)
        if not asked or OPTION not in option_tags(request, "supported"):
            self.stop()
            return
        self._interval = max(asked, MIN_SE)
        ours = refresher == "uas"
        response.set("require", OPTION)
        response.set("session-expires", f"{self._interval};refresher={'uas' if ours else 'uac'}")
        self._start(ours=ours)

    def granted(self, response: Response) -> None:
        """Take what a 2xx of the peer says (§7.2)."""
        given, refresher = _session_expires(response)
        if not given:
            self.stop()
            return
        self._interval = max(given, MIN_SE)
        self._start(ours=refresher != "uas")

    def stop(self) -> None:
        """The call may go on without refreshes, or is over."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def close(self) -> None:
        """The dialog is over, and hears nothing any more."""
        self.stop()
        self._refresh = self._expire = lambda: None

    def _start(self, *, ours: bool) -> None:
        self.stop()
        self._ours = ours
        loop = asyncio.get_running_loop()
        # §10: the side that waits gives up a little before the end, the other at the end.
        patience = self._interval if ours else self._interval - min(32, self._interval / 3)
        self._timers.append(loop.call_later(patience, self._expire))
        if ours:
            self._timers.append(loop.call_later(self._interval / 2, self._refresh))


def _session_expires(message: Message) -> tuple[int, str]:
    """Seconds and refresher of a Session-Expires header; 0 when there is none."""
    value = message.get("session-expires")
    if not value:
        return 0, ""
    seconds, *parameters = (part.strip().lower() for part in value.split(";"))
    if not (seconds.isascii() and seconds.isdigit()):
        return 0, ""
    role = next((p.partition("=")[2].strip() for p in parameters if p.startswith("refresher")), "")
    return min(int(seconds[:9]), 86_400), role
