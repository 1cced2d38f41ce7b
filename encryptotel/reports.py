"""What the command line shows of the journal and the directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.qr import qr_code
from encryptotel.config import Config
from encryptotel.control import NotRunning, ask
from encryptotel.ladder import draw
from pbx.calls.numbers import spoken
from pbx.ports import Account, Extension
from pbx.sip.transport import Transport
from pbx.text import printable
from store.database import Database
from store.journal import find_call, live_bindings, recent_calls, trace_of
from store.tables import CallRow, DeviceRow, LegRow


async def calls_json(database: Database, limit: int) -> list[dict[str, Any]]:
    """The latest calls as plain data."""
    return [_call(call, legs) for call, legs in await recent_calls(database, limit=limit)]


def call_table(calls: Sequence[Mapping[str, Any]]) -> str:
    """Calls as a table for people."""
    if not calls:
        return "no calls yet"
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("id", "started", "from", "to", "length", "how it ended", "quality"):
        table.add_column(title, no_wrap=title != "how it ended")
    for call in calls:
        started = datetime.fromisoformat(call["started"]).astimezone()
        cells = (
            call["id"],
            started.strftime("%d %b %H:%M:%S"),
            spoken(call["from"]),
            spoken(call["to"]),
            _length(call),
            call["cause"] or call["state"],
            _quality(call),
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console = Console(width=130, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip()


@dataclass(frozen=True, kw_only=True)
class _Message:
    at: datetime
    sent: bool
    peer: str
    summary: str
    text: str


async def trace_of_call(database: Database, data: Path, prefix: str) -> dict[str, Any] | None:
    """A call's messages, from the journal or, while it goes on, from the exchange."""
    call = await find_call(database, prefix)
    if call is None:
        return None
    lines = await trace_of(database, call.id)
    if not lines:
        try:
            answer = await ask(data / "control.sock", {"do": "trace", "call": call.id})
            lines = list(answer.get("lines", ()))
        except NotRunning:
            lines = []
    (found,) = [
        _call(row, legs)
        for row, legs in await recent_calls(database, limit=1000)
        if row.id == call.id
    ] or [_call(call, [])]
    return {"call": found, "lines": lines}


def trace_text(found: Mapping[str, Any], *, full: bool) -> str:
    """The ladder, and with `full` every message."""
    call = found["call"]
    names = {leg["device"]: leg["peer"] for leg in call["legs"] if leg["device"]}
    trunks = [leg["trunk"] for leg in call["legs"] if leg["trunk"] and not leg["device"]]
    nameless = {line["peer"] for line in found["lines"]} - set(names)
    if len(trunks) == len(nameless) == 1:
        names[nameless.pop()] = trunks[0]
    lines = [
        _Message(**{**line, "at": datetime.fromisoformat(line["at"])}) for line in found["lines"]
    ]
    head = f"call {call['id']}: {spoken(call['from'])} → {spoken(call['to'])}, "
    parts = [head + (call["cause"] or call["state"])]
    if call["private"]:
        parts.append("private: end to end; the phones agreed on keys that the exchange has not")
    parts += ["", draw(lines, names)]
    for leg in call["legs"]:
        parts.append(
            f"\n{spoken(leg['peer'])}: {leg['codec'] or 'no media'}"
            f"{', SRTP' if leg['srtp'] else ''}, received {leg['received']}, sent {leg['sent']}"
            f"{_heard(leg)}; {leg['cause'] or 'going on'}"
        )
    if full:
        for line in lines:
            arrow = "→" if line.sent else "←"
            parts.append(f"\n{line.at.isoformat()} {arrow} {line.peer}\n{line.text}")
    return "\n".join(parts)


def phone_settings(
    extension: Extension, config: Config, data: Path, addresses: Mapping[str, str]
) -> dict[str, Any]:
    """What to enter in a softphone."""
    section = config.exchange
    fallback: dict[Transport, int] = {
        "udp": section.udp_port,
        "tcp": section.tcp_port,
        "tls": section.tls_port,
    }
    servers = {
        name: addresses.get(name, f"{section.advertise or section.host}:{port}")
        for name, port in fallback.items()
    }
    return {
        "extension": extension.number,
        "name": extension.name,
        "username": extension.number,
        "password": extension.secret,
        "domain": section.domain,
        "servers": servers,
        "srtp": extension.srtp.value,
        "ca": str(data / "tls" / "ca.pem"),
    }


def device_settings(
    account: Account, device: DeviceRow, config: Config, data: Path, addresses: Mapping[str, str]
) -> dict[str, Any]:
    """What to enter in a phone that has an account of its own."""
    return {
        **phone_settings(account.extension, config, data, addresses),
        "name": device.name,
        "authentication": account.username,
        "password": account.secret,
    }


def link_text(link: Mapping[str, Any]) -> str:
    """A link that sets a phone up, to be scanned or opened."""
    return (
        f"{qr_code(link['phone'], '').drawn}\n"
        f"scan this with Linphone to set “{link['name']}” up as {link['extension']}, or open "
        f"{link['page']}\ngood once, and for {link['minutes']} minutes"
    )


async def devices_json(
    database: Database, devices: Sequence[DeviceRow], running: bool
) -> list[dict[str, Any]]:
    """Phones that have an account of their own; none is connected to what does not run."""
    live = await live_bindings(database, datetime.now(UTC)) if running else []
    here = {binding.username: binding for binding in live}
    return [
        {
            "username": device.username,
            "extension": device.extension,
            "name": device.name,
            "set_up": device.since.isoformat(),
            "connected_since": _iso(binding.since) if binding else None,
            "agent": binding.user_agent if binding else "",
        }
        for device in devices
        for binding in [here.get(device.username)]
    ]


def device_lines(devices: Sequence[Mapping[str, Any]]) -> str:
    """The same for people."""
    lines = []
    for device in devices:
        condition = "not connected"
        if device["connected_since"]:
            since = datetime.fromisoformat(device["connected_since"]).astimezone()
            condition = f"connected since {since:%d %b %H:%M}  {printable(device['agent'])}"
        name = printable(device["name"])
        lines.append(f"{device['username']:<12} {name:<40} {condition}".rstrip())
    return "\n".join(lines) or "no phones with an account of their own"


def settings_text(found: Mapping[str, Any]) -> str:
    """The same for people."""
    servers = found["servers"]
    return "\n".join(
        [
            f"extension {found['extension']} {found['name']}".rstrip(),
            "enter in the softphone:",
            f"  user name       {found['username']}",
            *(
                [f"  authentication  {found['authentication']}"]
                if "authentication" in found
                else []
            ),
            f"  password        {found['password']}",
            f"  domain          {found['domain']}",
            f"  server (proxy)  {servers['tls']} with transport TLS (best),",
            f"                  {servers['tcp']} TCP or {servers['udp']} UDP",
            f"  media           SRTP (SDES), the exchange's policy is “{found['srtp']}”",
            f"  trust           the certificate authority in {found['ca']}",
        ]
    )


def condition(status: Mapping[str, Any]) -> str:
    """How the process is doing, of what `encryptotel status` got: addresses, what was dropped,
    and what the owner was told lately."""
    dropped, health = status["dropped"], status["health"]
    lines = ["  ".join(f"{name} {place}" for name, place in status["addresses"].items())]
    lines.append(
        f"dropped: {dropped['strangers']} messages unread, {dropped['refused']} refused as too "
        f"many, {dropped['malformed']} malformed, {dropped['journal']} journal entries"
    )
    if status["journal"]["trouble"]:
        lines.append(
            f"journal: {status['journal']['waiting']} entries wait, {status['journal']['trouble']}"
        )
    lines.append(
        f"loop lag {health['lag_p999_ms']} ms (p99.9), {health['memory_mb']} MB, "
        f"{health['files']} files, {health['tasks']} tasks"
    )
    lines += [f"note: {text}" for text in status["news"]]
    return "\n".join(f"  {line}" for line in lines)


def _call(call: CallRow, legs: Sequence[LegRow]) -> dict[str, Any]:
    state = "ended" if call.ended_at else "answered" if call.answered_at else "ringing"
    return {
        "id": call.id,
        "started": call.started_at.isoformat(),
        "answered": _iso(call.answered_at),
        "ended": _iso(call.ended_at),
        "from": call.caller,
        "to": call.callee,
        "user": call.user,
        "kind": call.kind,
        "state": state,
        "status": call.status,
        "cause": call.cause,
        "private": call.private,
        "legs": [
            {
                "peer": leg.peer,
                "direction": leg.direction,
                "trunk": leg.trunk,
                "device": leg.device,
                "answered": _iso(leg.answered_at),
                "ended": _iso(leg.ended_at),
                "status": leg.status,
                "cause": leg.cause,
                "codec": leg.codec,
                "srtp": leg.srtp,
                "received": leg.received,
                "sent": leg.sent,
                "lost": leg.lost,
                "jitter_ms": leg.jitter_ms,
                "lost_by_peer": leg.lost_by_peer,
                "round_trip_ms": leg.round_trip_ms,
                "mos": leg.mos,
            }
            for leg in legs
        ],
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _length(call: Mapping[str, Any]) -> str:
    if not call["answered"]:
        return "—"
    if not call["ended"]:
        return "going on"
    lasted = datetime.fromisoformat(call["ended"]) - datetime.fromisoformat(call["answered"])
    seconds = round(lasted.total_seconds())
    return f"{seconds // 60}:{seconds % 60:02d}"


def _quality(call: Mapping[str, Any]) -> str:
    """A call's quality in few words: that of the side which was heard worst."""
    heard = [leg for leg in call["legs"] if leg["received"]]
    if not heard:
        return "—"
    worst = min(heard, key=lambda leg: leg["mos"] or 5.0)
    secure = ", encrypted" if all(leg["srtp"] for leg in heard) else ""
    secure = ", private" if call["private"] else secure
    return f"{_word(worst['mos'])}{_share_lost(heard):.1f} % lost{secure}"


def _heard(leg: Mapping[str, Any]) -> str:
    """How well one side was heard, for people and for those who know."""
    if not leg["received"]:
        return ""
    parts = [f", {_word(leg['mos'], ' quality')}"]
    if leg["mos"]:
        parts.append(f"MOS {leg['mos']:.1f}, ")
    parts.append(f"{_share_lost([leg]):.1f} % lost, {leg['jitter_ms']:.0f} ms jitter")
    if leg["sent"] and leg["lost_by_peer"]:
        parts.append(f", {100 * leg['lost_by_peer'] / leg['sent']:.1f} % lost on the way there")
    if leg["round_trip_ms"] is not None:
        parts.append(f", {leg['round_trip_ms']:.0f} ms round trip")
    return "".join(parts)


def _share_lost(legs: Sequence[Mapping[str, Any]]) -> float:
    lost, received = (sum(leg[key] for leg in legs) for key in ("lost", "received"))
    return float(100 * lost / (lost + received))


def _word(mos: float | None, what: str = "") -> str:
    """What people would say (the classes of ITU-T G.109); nothing where it is not known."""
    if not mos:
        return ""
    word = next(word for least, word in _WORDS if mos >= least)
    return f"{word}{what}, "


_WORDS = ((4.0, "good"), (3.6, "fair"), (3.1, "poor"), (0.0, "bad"))
