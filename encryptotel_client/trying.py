"""Where requests go, and how often one is tried: what both clients have in common."""

from __future__ import annotations

import random
import re
import ssl
import time
import uuid
from collections.abc import Collection, Generator, Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import httpx

from encryptotel_client.refused import refusal

TRIES = 5
PAUSE, LONGEST_PAUSE = 0.25, 8.0
"Seconds before the second try; twice as long before each that follows."
PATIENCE = 60.0
"Seconds that are waited at most where the exchange says when to come again."
LIMITS = httpx.Limits(keepalive_expiry=3.0)
"Connections are given up before the exchange does it, after five seconds, in the middle of a try."
BUSY, UNDONE = (429, 503), "idempotency.running"
CUT_OFF = "there was no answer"


class Key(httpx.Auth):
    """Shows a key with each request. Raises ValueError, which does not have it."""

    def __init__(self, key: str) -> None:
        if not re.fullmatch(r"[!-~]+", key):
            raise ValueError("that is no key: it has only letters, digits and signs")
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["authorization"] = f"Bearer {self._key}"
        yield request


class Trying:
    """A request and its tries. With `once` it is done once within a day for that word; `fine` are
    answers besides 2xx that are no refusals."""

    def __init__(self, method: str, once: str | None, fine: Collection[int] = ()) -> None:
        self.headers = {"idempotency-key": once or str(uuid.uuid4())} if method == "POST" else {}
        self.why, self.pause = CUT_OFF, 0.0
        self._deletes, self._fine, self._tries, self._unsure = method == "DELETE", fine, 0, False

    def failed(self, error: httpx.RequestError) -> bool:
        """After a try without an answer: whether to try again, in `pause` seconds; if not, `why`
        says what is wrong."""
        self.why = said(error)
        self._unsure = self._unsure or not isinstance(error, httpx.ConnectError)
        return not for_good(error) and self._again(0.0)

    def answered(self, answer: httpx.Response) -> bool:
        """After an answer: whether to try again, in `pause` seconds."""
        if answer.status_code in self._fine:
            return False
        least = least_pause(answer)
        return least is not None and self._again(least)

    def is_good(self, answer: httpx.Response) -> bool:
        """Whether the last answer is what was asked for, and no refusal."""
        gone = self._deletes and self._unsure and answer.status_code == 404  # by the try before
        return answer.is_success or gone or answer.status_code in self._fine

    def _again(self, least: float) -> bool:
        self._tries += 1
        self.pause = max(least, short_pause(self._tries))
        return self._tries < TRIES and least <= PATIENCE


def pause(tries: int, first: float, longest: float) -> float:
    """Seconds before the next try, not the same for all who were cut off together."""
    return min(longest, first * 2.0 ** (tries - 1)) * random.uniform(1.0, 1.5)


def short_pause(tries: int) -> float:
    """The same for somebody who waits for an answer."""
    return pause(tries, PAUSE, LONGEST_PAUSE)


def least_pause(answer: httpx.Response) -> float | None:
    """Seconds until it is worth asking again; None if it is not. 429 that does not say when is a
    limit of another kind, as of codes in an hour."""
    if answer.status_code == 409 and refusal(answer).id == UNDONE:  # the try before is being done
        return 0.0
    if answer.status_code not in BUSY:
        return None
    told = answer.headers.get("retry-after", "")
    if told.isdecimal():
        return float(told)
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except ValueError:
        return 0.0 if answer.status_code == 503 else None


def for_good(error: BaseException | None) -> bool:
    """Whether another try cannot help: who answers is not who was meant."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def said(error: httpx.RequestError) -> str:
    """What went wrong, in words."""
    return str(error) or f"{CUT_OFF}: {type(error).__name__}"


def base_of(url: str) -> httpx.URL:
    """Where the API is at an exchange. Raises ValueError: a key is not sent unencrypted."""
    base = httpx.URL(url.rstrip("/").removesuffix("/v1") + "/v1/")
    if base.scheme != "https" or not base.host:
        raise ValueError("an exchange is at https://…")
    return base.copy_with(userinfo=b"")


def trusted(verify: ssl.SSLContext | str | bool) -> ssl.SSLContext | bool:
    """Whom to trust: a context, or the file of an authority. Raises OSError."""
    return ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify


def path(template: str, *parts: str) -> str:
    """A path with names and ids in the places of `{}`. Dots as well, for `..` leads elsewhere."""
    return template.format(*(quote(part, safe="").replace(".", "%2E") for part in parts))


def query(**asked: str | int | None) -> Mapping[str, str | int]:
    """What is asked for, without what is not."""
    return {name: value for name, value in asked.items() if value is not None}
