"""Who calls, as a program of the person's knows them: asked before the phones ring, so that the
name is on their displays and the note in the chat."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from bot.ports import Progress, Step
from encryptotel.followers import Followers
from encryptotel.receivers import Receivers
from pbx.calls.call import Call
from pbx.calls.numbers import spoken
from pbx.calls.wishes import ANONYMOUS
from pbx.ports import Extension
from pbx.text import printable
from store.tables import WebhookRow

LOOKUP = "lookup"
"The kind of a webhook that is asked instead of told."
WITHIN = 1.5
"Seconds that a caller waits for it at most."
AT_ONCE = 10
"Callers of one extension that are asked about at the same time; the phones of others ring at once."
MAX_NAME, MAX_NOTE, MAX_SHOWN = 60, 300, 80


class Introductions:
    """Asks the programs of people who it is that calls."""

    def __init__(self, receivers: Receivers, followers: Followers) -> None:
        self._receivers, self._followers = receivers, followers
        self._asking: Counter[str] = Counter()

    async def of(self, call: Call, extension: Extension, hooks: Sequence[WebhookRow]) -> str:
        """What to show as the name of a caller; empty when no program knows them in time."""
        number = extension.number
        wanted = [row for row in hooks if row.extension == number and LOOKUP in row.kinds.split()]
        if not wanted or call.shown == ANONYMOUS or self._asking[number] >= AT_ONCE:
            return ""
        self._asking[number] += 1
        try:
            name, note = await self._asked(wanted[-1], call, number)
        finally:
            self._asking[number] -= 1
            if not self._asking[number]:
                del self._asking[number]
        known = ": ".join(part for part in (name, note) if part)
        if known:
            news = Progress(call_id=call.id, step=Step.NOTICE, text=f"{known}.")
            self._followers.spread(number, news)
        return known[:MAX_SHOWN]

    async def _asked(self, row: WebhookRow, call: Call, number: str) -> tuple[str, str]:
        at = datetime.now(UTC).isoformat()
        data = {"call": call.id, "peer": spoken(call.shown), "back": call.shown, "about": number}
        question = json.dumps({"type": LOOKUP, "timestamp": at, "data": data}).encode()
        id = f"ask_{secrets.token_hex(12)}"
        status, body = await self._receivers.tell(
            row.url, row.secret, id, question, within=WITHIN, read=True, whose=number
        )
        if status != 200:
            return "", ""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return "", ""
        if not isinstance(answer, dict):
            return "", ""
        return _text(answer.get("name"), MAX_NAME), _text(answer.get("note"), MAX_NOTE)


def _text(value: object, most: int) -> str:
    """Words of a program for a display: one line, without what displays might obey."""
    return " ".join(printable(value, most).split()) if isinstance(value, str) else ""
