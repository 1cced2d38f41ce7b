"""The log: where it goes, how its lines look, and what may never be in them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from encryptotel.config import Config
from pbx.about import call_at_hand

MAX_LOG = 5_000_000
"Bytes of one file; two older ones are kept."
MASKED = "•••"
# What libraries log at their usual levels holds statements, addresses with tokens, stanzas.
_QUIET = (
    "alembic", "aiosqlite", "sqlalchemy", "httpx", "httpcore", "telegram", "tornado", "slixmpp",
    "slixmpp_omemo", "omemo", "websockets",
)  # fmt: skip
_SHORTEST = 6
"A secret shorter than this would mask ordinary words."


class Masking(logging.Formatter):
    """Formats lines, tracebacks included, without the secrets of the configuration. A line about
    a call begins with its id."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(about)s%(message)s")
        self._secrets: list[str] = []
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Mask these as well from now on."""
        known = {*self._secrets, *(one for one in secrets if len(one) >= _SHORTEST)}
        self._secrets = sorted(known, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        call = call_at_hand()
        record.about = f"call {call}: " if call else ""
        return self._masked(super().format(record))

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASKED)
        return text


class JsonLines(Masking):
    """The same for programs: an object a line. What is masked is the text before it becomes JSON,
    where a quote in a secret would be written otherwise."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._masked(record.getMessage()),
        }
        if call := call_at_hand():
            line["call"] = call
        if record.exc_info:
            line["error"] = self._masked(self.formatException(record.exc_info))
        return json.dumps(line)


def secrets_of(config: Config) -> list[str]:
    """Every secret the configuration has."""
    found = [config.telegram.token, config.xmpp.password, config.xmpp.component_secret]
    found += [config.sms.authorization, config.sms.url, config.waves.prices_url]
    found += [config.database.password]
    found += [extension.secret for extension in config.extension]
    return found + [trunk.password for trunk in config.trunk]


def mask(config: Config) -> None:
    """Mask the secrets of a changed configuration as well."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, Masking):
            handler.formatter.learn(secrets_of(config))


def log_to(file: Path | None, config: Config) -> None:
    """Log to a file, which a console chat is not disturbed by, or to standard error."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if file is not None:
        handler = RotatingFileHandler(file, maxBytes=MAX_LOG, backupCount=2)
    form = JsonLines if config.log.format == "json" else Masking
    handler.setFormatter(form(secrets_of(config)))
    logging.basicConfig(level=config.log.level.upper(), handlers=[handler])
    for library in _QUIET:
        logging.getLogger(library).setLevel("WARNING")
    logging.getLogger("uvicorn").setLevel("ERROR")  # it warns of each request that is none
