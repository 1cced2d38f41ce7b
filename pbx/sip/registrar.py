"""The registrar (RFC 3261 §10.3): which devices an extension has, and how to reach them.

A binding keeps the flow its REGISTER came through. Requests to the device take that flow,
because a phone behind NAT, or one whose TLS Contact has no certificate, has no other door.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from sipmessage import Address as NameAddress

from pbx.sip.message import ParseError, Request, bare_uri, checked, parse_address, parse_uri
from pbx.sip.reliable import option_tags
from pbx.sip.transaction import ServerTransaction
from pbx.sip.transport import Address as Remote
from pbx.sip.transport import Flow
from pbx.text import printable

MAX_DEVICES = 10
"Devices an extension may register."
MAX_CONTACT = 512
MAX_PATH, MAX_PATH_LENGTH = 5, 2900
"Proxies between a device and us."
PATH, OUTBOUND = "path", "outbound"
"Option tags of RFC 3327 and RFC 5626."
FLOW_TIMER = 110
"Seconds after which a phone must have sent a keep-alive (RFC 5626 §4.4)."
MIN_EXPIRES, MAX_EXPIRES = 30, 3600
"Seconds; shorter wishes are answered 423, longer ones shortened."


@dataclass(kw_only=True, slots=True)
class Binding:
    """One device of an extension."""

    extension: str
    contact: str
    flow: Flow
    expires: datetime
    call_id: str
    cseq: int
    username: str
    "The account it proved itself with."
    since: datetime
    "When it came; refreshing changes nothing about that."
    user_agent: str = ""
    path: tuple[str, ...] = ()
    "The proxies to go through, as a Route (RFC 3327)."
    instance: str = ""
    "The phone itself, whatever its address (RFC 5626 §4.1); its flows ring as one."
    reg_id: int = 0
    copy: bool = False
    "Whether another program of this exchange looks after it; here it is only known."

    @property
    def door(self) -> tuple[str, bool]:
        """The address of a device behind a proxy of ours, and whether it is reached by TLS from
        there, as the proxy wrote it into its Path; empty where there is none."""
        found = next((match for hop in self.path if (match := _RECEIVED.search(hop))), None)
        if found is None:
            return "", False
        where = unquote(found[1]).lower()
        return where.partition(";")[0].rpartition(":")[0].strip("[]"), "transport=tls" in where

    @property
    def is_browser(self) -> bool:
        """Whether it is reached by WebSocket (RFC 7118 §5)."""
        return bool(_WEBSOCKET.search(self.contact))

    @property
    def key(self) -> str:
        """What a newer registration of the same thing replaces."""
        return _key(self.contact, self.instance, self.reg_id)


@dataclass(frozen=True)
class _Wish:
    """One Contact of a REGISTER."""

    uri: str
    seconds: int
    instance: str = ""
    reg_id: int = 0

    @property
    def key(self) -> str:
        return _key(self.uri, self.instance, self.reg_id)


def _key(contact: str, instance: str, reg_id: int) -> str:
    """One flow of a phone that names itself (RFC 5626 §6), else a Contact."""
    return f"{instance};{reg_id}" if instance else contact


_RECEIVED = re.compile(r";received=sips?:([^;>]{1,200})", re.IGNORECASE)
"Of a Path, what Kamailio's `path` module writes there."
_WEBSOCKET = re.compile(r";transport=wss?\b", re.IGNORECASE)

BindingHook = Callable[[Binding, bool], None]
"Called with (binding, refreshed) when a device registered."
RemovalHook = Callable[[Binding, str], None]
"Called with (binding, reason) when a device is gone."


class Registrar:
    """Bindings by extension, in memory; hooks let the owner persist them."""

    def __init__(
        self,
        on_bound: BindingHook,
        on_unbound: RemovalHook,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._on_bound = on_bound
        self._on_unbound = on_unbound
        self._bindings: dict[str, dict[str, Binding]] = {}
        self._expiries: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._hosts: dict[str, int] = {}
        self._at: dict[Remote, dict[tuple[str, str], Binding]] = {}
        "Bindings by the address and port their flow leads to."

    def bindings(self, extension: str) -> list[Binding]:
        """The live devices of an extension, the latest registered last."""
        return list(self._bindings.get(extension, {}).values())

    def phones(self, extension: str) -> list[list[Binding]]:
        """The live devices with the ways to each, the latest first (RFC 5626 §5.3)."""
        phones: dict[str, list[Binding]] = {}
        for binding in reversed(self.bindings(extension)):
            phones.setdefault(binding.instance or binding.contact, []).append(binding)
        return list(phones.values())[::-1]

    def all(self) -> list[Binding]:
        """Every live binding."""
        return [binding for devices in self._bindings.values() for binding in devices.values()]

    @property
    def count(self) -> tuple[int, int]:
        """How many devices are registered, and of how many extensions."""
        return sum(map(len, self._bindings.values())), len(self._bindings)

    def holds(self, host: str) -> bool:
        """Whether a device at this address is registered."""
        return host in self._hosts

    def holds_at(self, remote: Remote) -> bool:
        """Whether a device at this very address and port is registered."""
        return remote in self._at

    def handle(self, transaction: ServerTransaction, extension: str, username: str) -> None:
        """Answer a REGISTER for `extension` that has been authenticated as `username`."""
        request = transaction.request
        try:
            self._apply(transaction, request, extension, username)
        except ParseError as error:
            transaction.reply(400, f"Bad Request - {error}")

    def restore(self, binding: Binding) -> None:
        """Take in a binding from before a restart, unless it has expired."""
        if binding.expires > self._clock():
            self._insert(binding)

    def learn(
        self, extension: str, found: Sequence[Binding], keep: Callable[[Binding], bool]
    ) -> bool:
        """Know the devices of an extension as another program of this exchange wrote them down, but
        for those of ours to `keep`; whether others are there now than before."""
        before = set(self._bindings.get(extension, {}))
        now = {binding.key: binding for binding in found if binding.expires > self._clock()}
        for binding in self.bindings(extension):
            if binding.key not in now and not keep(binding):
                self._forget(binding)
        for key, binding in now.items():
            old = self._bindings.get(extension, {}).get(key)
            if old is not None and (keep(old) or (old.cseq == binding.cseq and not old.copy)):
                continue
            if old is not None:
                self._forget(old)
            self._insert(binding)
        return set(self._bindings.get(extension, {})) != before

    def drop(self, extension: str, reason: str, *, username: str = "") -> None:
        """Forget the devices of an extension that is gone, or only those of an account that is
        gone or has another password now."""
        for binding in self.bindings(extension):
            if username in ("", binding.username):
                self._lapse(binding, reason)

    def flow_closed(self, flow: Flow) -> None:
        """A connection broke: its devices cannot be reached until they connect again."""
        for binding in list(self._at.get(flow.remote, {}).values()):
            if binding.flow is flow:
                self._remove(binding, "connection closed")

    def close(self) -> None:
        """Stop the timers; bindings stay valid for the next start."""
        for timer in self._expiries.values():
            timer.cancel()
        self._expiries.clear()

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _apply(
        self, transaction: ServerTransaction, request: Request, extension: str, username: str
    ) -> None:
        contacts, call_id = request.elements("contact"), printable(request.call_id, 255)
        default = _seconds(request.get("expires"), MAX_EXPIRES)
        if contacts == ["*"]:
            if default != 0:
                raise ParseError("Contact * needs Expires 0")
            for binding in self.bindings(extension):
                if binding.call_id != call_id or binding.cseq < request.cseq.sequence:
                    self._remove(binding, "unregistered")
            contacts = []
        outbound = OUTBOUND in option_tags(request, "supported")
        wishes: list[_Wish] = []
        for value in contacts:
            if value == "*" or len(value) > MAX_CONTACT:
                raise ParseError("bad Contact")
            address = checked(parse_address, value, "Contact")
            uri = bare_uri(value)
            checked(parse_uri, uri, "Contact")
            seconds = _seconds(address.parameters.get("expires") or "", default)
            if 0 < seconds < MIN_EXPIRES:
                transaction.reply(423, "Interval Too Brief", min_expires=str(MIN_EXPIRES))
                return
            instance, reg_id = _instance(address) if outbound else ("", 0)
            wishes.append(_Wish(uri, min(seconds, MAX_EXPIRES), instance, reg_id))
        path = request.elements("path")
        if path and PATH not in option_tags(request, "supported"):
            transaction.reply(420, unsupported=PATH)  # the phone must know of it (RFC 3327 §5.3)
            return
        whole = ", ".join(path)
        if len(path) > MAX_PATH or len(whole) > MAX_PATH_LENGTH or not whole.isascii():
            raise ParseError("bad Path")
        for hop in path:
            checked(parse_uri, bare_uri(hop), "Path")
        through_proxy = len(request.elements("via")) > 1
        if through_proxy and any(wish.instance for wish in wishes) and ";ob" not in whole:
            transaction.reply(439, "First Hop Lacks Outbound Support")  # RFC 5626 §6
            return
        known = self._bindings.get(extension, {})
        for wish in wishes:
            old = known.get(wish.key)
            same_source = old is not None and old.call_id == call_id
            if old is not None and same_source and request.cseq.sequence <= old.cseq:
                transaction.reply(500, retry_after="1")  # out of order, §10.3 step 7
                return
        added = sum(wish.seconds > 0 and wish.key not in known for wish in wishes)
        if len(known) + added > MAX_DEVICES:
            transaction.reply(403, f"More than {MAX_DEVICES} devices")
            return
        for wish in wishes:
            self._bind(request, transaction.flow, extension, username, wish, tuple(path))
        self._confirm(transaction, extension)

    def _bind(
        self,
        request: Request,
        flow: Flow,
        extension: str,
        username: str,
        wish: _Wish,
        path: tuple[str, ...],
    ) -> None:
        old = self._bindings.get(extension, {}).get(wish.key)
        if wish.seconds == 0:
            if old is not None:
                self._remove(old, "unregistered")
            return
        if old is not None:
            self._forget(old)
        elif not wish.instance:
            self._drop_predecessor(request, extension, flow)
        now = self._clock()
        same = old is not None and old.username == username
        binding = Binding(
            extension=extension,
            username=username,
            since=old.since if old is not None and same else now,
            contact=wish.uri,
            flow=flow,
            expires=now + timedelta(seconds=wish.seconds),
            call_id=printable(request.call_id, 255),
            cseq=request.cseq.sequence,
            user_agent=printable(request.get("user-agent"), 80),
            path=path,
            instance=wish.instance,
            reg_id=wish.reg_id,
        )
        self._insert(binding)
        if old is not None and old.contact != binding.contact:
            self._on_unbound(old, "replaced")
        self._on_bound(binding, old is not None and old.contact == binding.contact)

    def _drop_predecessor(self, request: Request, extension: str, flow: Flow) -> None:
        """A phone that came back on a new port registers with the Call-ID it had before; its
        old door is closed."""
        call_id, sequence = printable(request.call_id, 255), request.cseq.sequence
        for binding in self.bindings(extension):
            same_phone = binding.call_id == call_id and binding.flow.remote == flow.remote
            if same_phone and binding.cseq < sequence:  # not a second Contact of this request
                self._remove(binding, "replaced")

    def _insert(self, binding: Binding) -> None:
        self._bindings.setdefault(binding.extension, {})[binding.key] = binding
        host = binding.flow.remote[0]
        self._hosts[host] = self._hosts.get(host, 0) + 1
        at = self._at.setdefault(binding.flow.remote, {})
        at[binding.extension, binding.contact] = binding
        delay = max(0.0, (binding.expires - self._clock()).total_seconds())
        self._expiries[binding.extension, binding.key] = asyncio.get_running_loop().call_later(
            delay, self._lapse, binding, "expired"
        )

    def _forget(self, binding: Binding) -> bool:
        devices = self._bindings.get(binding.extension, {})
        if devices.get(binding.key) is not binding:
            return False
        del devices[binding.key]
        if not devices:
            del self._bindings[binding.extension]
        timer = self._expiries.pop((binding.extension, binding.key), None)
        if timer is not None:
            timer.cancel()
        host = binding.flow.remote[0]
        self._hosts[host] -= 1
        if self._hosts[host] <= 0:
            del self._hosts[host]
        at = self._at[binding.flow.remote]
        at.pop((binding.extension, binding.contact), None)
        if not at:
            del self._at[binding.flow.remote]
        return True

    def _remove(self, binding: Binding, reason: str) -> None:
        """A device said that it is gone, or is seen to be; also one that registered elsewhere."""
        if self._forget(binding):
            self._on_unbound(binding, reason)

    def _lapse(self, binding: Binding, reason: str) -> None:
        """The same for what all programs of an exchange see, and whoever looks after it tells."""
        if binding.copy:
            self._forget(binding)
        else:
            self._remove(binding, reason)

    def _confirm(self, transaction: ServerTransaction, extension: str) -> None:
        """200 with every binding and its remaining seconds (§10.3 step 8)."""
        now = self._clock()
        response = transaction.request.response(200, to_tag=transaction.local_tag)
        response.set(
            "contact",
            [
                f"<{binding.contact}>;expires={round((binding.expires - now).total_seconds())}"
                for binding in self.bindings(extension)
            ],
        )
        path = transaction.request.get_all("path")
        if path:
            response.set("path", path)
        response.set("supported", f"{PATH}, {OUTBOUND}")
        if any(binding.instance for binding in self.bindings(extension)):
            response.set("require", OUTBOUND)
            response.set("flow-timer", str(FLOW_TIMER))
        response.set("date", now.strftime("%a, %d %b %Y %H:%M:%S GMT"))
        transaction.respond(response)


def _instance(address: NameAddress) -> tuple[str, int]:
    """The `+sip.instance` and `reg-id` of a Contact; both or neither (RFC 5626 §4.2)."""
    instance = (address.parameters.get("+sip.instance") or "").strip('"')
    number = address.parameters.get("reg-id") or ""
    if not instance or not (number.isascii() and number.isdigit()):
        return "", 0
    return printable(instance, 200), int(number[:9])


def _seconds(text: str, default: int) -> int:
    """An Expires value; malformed ones count as the default (§20.19)."""
    return int(text[:9]) if text.isascii() and text.isdigit() else default
