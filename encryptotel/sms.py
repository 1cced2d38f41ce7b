"""SMS through a provider's web interface, described in the configuration.

Providers differ in the names of a few fields and in nothing else that matters here, so one class
serves them: it fills in `{to}`, `{from}` and `{text}` and posts a form or JSON.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout

from encryptotel.config import SmsSection
from pbx.texts import Delivery, Text

log = logging.getLogger(__name__)

ANSWER_WITHIN = 20.0
"Seconds."
_SLOT = re.compile(r"\{(to|from|text)\}")


class SmsGateway:
    """One provider."""

    def __init__(self, section: SmsSection) -> None:
        self._section = section

    async def send(self, text: Text) -> Delivery:
        """Send words to +E.164. A refusal by the provider is final; only when no connection
        came about is it certain that nothing was sent."""
        section = self._section
        values = {"to": text.recipient, "from": section.sender, "text": text.words}
        filled = {name: _filled(pattern, values) for name, pattern in section.fields.items()}
        headers = {"Authorization": section.authorization} if section.authorization else {}
        body: dict[str, Any] = {"json" if section.format == "json" else "data": filled}
        timeout = ClientTimeout(total=ANSWER_WITHIN, connect=ANSWER_WITHIN / 2)
        try:
            async with (
                ClientSession(timeout=timeout) as session,
                session.post(
                    section.url, headers=headers, allow_redirects=False, **body
                ) as response,
            ):
                return Delivery(response.status, response.reason or "")
        except ClientError as error:
            sent = not isinstance(error, ClientConnectorError)
            log.warning("the SMS provider cannot be reached: %s", type(error).__name__)
            words = "the SMS provider cannot be reached"
            return Delivery(408 if sent else 0, words, unseen=not sent)
        except TimeoutError:
            return Delivery(408, "the SMS provider does not answer")


def _filled(pattern: str, values: dict[str, str]) -> str:
    """In one pass: a message that says “{to}” stays as it is."""
    return _SLOT.sub(lambda slot: values[slot[1]], pattern)
