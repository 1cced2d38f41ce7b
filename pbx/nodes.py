"""Calls between the programs of one exchange: a number that is at home at another is called there,
and its wishes, its money and its chats are looked after there.

Such a call is an ordinary SIP call from a server that proves itself by digest with the secret all
of them share. It tells who calls as between servers that trust each other (RFC 3325), in To
what was dialled (§8.1.1.2 of RFC 3261), and in headers of our own which call it belongs to, so that
both programs write one call in the journal, and whether only phones shall ring.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, unquote

from pbx.calls.call import Call
from pbx.calls.leg import Target, only
from pbx.calls.wishes import ANONYMOUS
from pbx.sip.digest import Credentials
from pbx.sip.message import Request, bare_uri
from pbx.sip.stack import Stack
from pbx.sip.transport import Address, Flow, bracketed
from pbx.sip.uri import PLAIN_USER, dialled_user
from pbx.text import printable
from pbx.trunks import NOBODY, is_private

USER = "node"
"By which programs prove themselves to each other; no extension can have this name."
CALL, TRUNK, ONLY = "x-encryptotel-call", "x-encryptotel-trunk", "x-encryptotel-only"
PHONES = "phones"
NOT_THERE = (408, 500, 503)
"What comes of a call for a program that is leaving, or has died."
LONGEST = 600.0
"Seconds until nobody answers there: how long to ring is the home's to say."


async def _never(number: str, device: str) -> bool:
    return False


def device_of(address: Address) -> str:
    """What a program is called as the other end of a leg."""
    return f"udp:{address[0]}:{address[1]}"


@dataclass(frozen=True, kw_only=True)
class Passed:
    """What a call that another program passed on says of itself."""

    call_id: str
    caller: str
    name: str
    hidden: bool
    dialled: str
    trunk: str
    only_phones: bool

    @classmethod
    def of(cls, request: Request) -> Passed:
        """Read an INVITE that was proven to come from one of us."""
        asserted = bare_uri(request.get("p-asserted-identity"))
        user = unquote(asserted.partition(":")[2].rpartition("@")[0])
        return cls(
            call_id=printable(request.get(CALL), 10),
            caller=printable(user, 80) or ANONYMOUS,
            name=printable(request.from_.name or "", 80),
            hidden=is_private(request),
            dialled=printable(dialled_user(request.to.uri), 80),
            trunk=printable(request.get(TRUNK), 40),
            only_phones=request.get(ONLY) == PHONES,
        )


class Nodes:
    """The others. `where` gives the address of the program where a number is at home, None where
    that is here; `has_moved` looks whether it is still at a device; `secret` is what all of them
    share, empty while there is only one."""

    def __init__(self, stack: Stack, domain: str) -> None:
        self._stack, self._domain = stack, domain
        self.where: Callable[[str], Address | None] = lambda number: None
        self.has_moved: Callable[[str, str], Awaitable[bool]] = _never
        self.secret = ""

    def target(
        self,
        number: str,
        call: Call,
        name: str,
        *,
        asked: str = "",
        dialled: str = "",
        only_phones: bool = False,
    ) -> Target | None:
        """How to reach a number at its home, or what is `asked` for there; None when that is here,
        and for a call that was passed on already."""
        address = None if call.passed else self.where(number)
        if address is None:
            return None
        trunk = next((leg.trunk for leg in call.legs if leg.direction == "in"), "")
        caller, there = quote(call.caller, safe=PLAIN_USER), quote(asked or number, safe=PLAIN_USER)
        headers = {CALL: call.id, "p-asserted-identity": f"<sip:{caller}@{self._domain}>"}
        if call.hidden:
            headers["privacy"] = "id"
        if trunk:
            headers[TRUNK] = trunk
        if only_phones:
            headers[ONLY] = PHONES
        return Target(
            peer=number,
            uri=f"sip:{there}@{bracketed(address[0])}:{address[1]}",
            to_uri=f"sip:{quote(dialled or number, safe=PLAIN_USER)}@{self._domain}",
            from_uri=NOBODY if call.hidden else f"sip:{caller}@{self._domain}",
            from_name="Anonymous" if call.hidden else name,
            ways=only(partial(self._flow, address)),
            credentials=Credentials(username=USER, secret=self.secret),
            direct=True,
            device=device_of(address),
            secure=True,  # programs of one exchange always can
            inner=True,
            headers=headers,
        )

    async def _flow(self, address: Address) -> Flow:
        return self._stack.transports.udp_flow(address)
