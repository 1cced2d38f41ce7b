"""How a call ended, in words people use. SIP statuses are for machines."""

from __future__ import annotations

from dataclasses import dataclass

DECLINED = "declined"
"How a call ended that somebody did not want to take."
_WORDS = {
    200: "hung up",
    400: "the other side did not understand the call",
    401: "the password was not accepted",
    403: "not allowed",
    404: "no such number",
    407: "the password was not accepted",
    408: "no answer",
    410: "the number is no longer in use",
    415: "no media in common",
    480: "not available",
    481: "the call was lost",
    482: "the call went in a loop",
    483: "the call went in a loop",
    484: "the number is incomplete",
    486: "busy",
    487: "cancelled",
    488: "no media in common",
    500: "the other side had a fault",
    502: "the other side had a fault",
    503: "the way there is down or full",
    504: "the way there is down",
    580: "no media in common",
    600: "busy",
    603: DECLINED,
    604: "no such number",
    606: "no media in common",
}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a leg or call ended. `status` 200 is a normal end after an answer."""

    status: int
    reason: str
    by_peer: bool = False

    @property
    def words(self) -> str:
        """For people: the words of the status, or our own reason where we gave one."""
        if self.by_peer and self.status != 200:
            return words(self.status)
        return self.reason or words(self.status)


def words(status: int) -> str:
    """What a SIP status means for the person who called."""
    return _WORDS.get(status, f"failed ({status})")
