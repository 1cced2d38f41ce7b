"""What the command line shows of the journal and the directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from encryptotel.config import Config
from encryptotel.control import NotRunning, ask
from encryptotel.ladder import draw
from pbx.calls.numbers import spoken
from pbx.ports import Extension
from pbx.sip.transport import Transport
from pbx.text import printable
from store.database import Database
from store.journal import find_call, recent_calls, trace_of
from store.tables import CallRow, LegRow


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
            _quality(call["legs"]),
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
    parts = [head + (call["cause"] or call["state"]), "", draw(lines, names)]
    for leg in call["legs"]:
        parts.append(
            f"\n{spoken(leg['peer'])}: {leg['codec'] or 'no media'}"
            f"{', SRTP' if leg['srtp'] else ''}, received {leg['received']}, sent {leg['sent']}, "
            f"lost {leg['lost']}, jitter {leg['jitter_ms']} ms; {leg['cause'] or 'going on'}"
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


def settings_text(found: Mapping[str, Any]) -> str:
    """The same for people."""
    servers = found["servers"]
    return "\n".join(
        [
            f"extension {found['extension']} {found['name']}".rstrip(),
            "enter in the softphone:",
            f"  user name       {found['username']}",
            f"  password        {found['password']}",
            f"  domain          {found['domain']}",
            f"  server (proxy)  {servers['tls']} with transport TLS (best),",
            f"                  {servers['tcp']} TCP or {servers['udp']} UDP",
            f"  media           SRTP (SDES), the exchange's policy is “{found['srtp']}”",
            f"  trust           the certificate authority in {found['ca']}",
        ]
    )


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


def _quality(legs: Sequence[Mapping[str, Any]]) -> str:
    heard = sum(leg["received"] for leg in legs)
    if not heard:
        return "—"
    lost = sum(leg["lost"] for leg in legs)
    secure = ", encrypted" if all(leg["srtp"] for leg in legs if leg["received"]) else ""
    return f"{100 * lost / (heard + lost):.1f} % lost{secure}"
