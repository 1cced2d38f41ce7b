"""Programs that are told or asked something by HTTP, signed as standardwebhooks.com has it:
HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit

import httpx

from encryptotel.outbound import Forbidden, Why, addresses_of, by_number
from wallet.https import authorities

log = logging.getLogger(__name__)

MAX_URL = 500
MAX_ANSWER = 4_096
"Bytes of an answer that are read; what is longer is none."
NAMES_AT_ONCE, NAMES_OF_ONE, NAMED_WITHIN = 32, 5, 5.0
SECRET = "whsec_"  # noqa: S105 - what secrets begin with


class Receivers:
    """Reaches programs; with `private` also in private networks."""

    def __init__(self, *, private: bool, now: Callable[[], datetime]) -> None:
        self._private, self._now = private, now
        self._asking = ThreadPoolExecutor(NAMES_AT_ONCE, "names")
        "Name servers may be slow, and others wait for the usual threads."
        self._looking: dict[str, asyncio.Future[list[str]]] = {}
        "Names that are being looked up, by scheme, host and port."
        self._of: Counter[str] = Counter()
        "How many of whom."
        nothing_kept = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._client = httpx.AsyncClient(
            follow_redirects=False, cookies=nothing_kept, verify=authorities()
        )

    async def close(self) -> None:
        """Reach nobody any more."""
        await self._client.aclose()
        self._asking.shutdown(wait=False, cancel_futures=True)

    async def addresses(self, url: str, whose: str = "") -> list[str]:
        """Where a program of somebody's is. Raises `Forbidden`."""
        place = "/".join(url.split("/")[:3])
        looking = self._looking.get(place)
        if looking is None:
            if self._of[whose] >= NAMES_OF_ONE:  # theirs are slow, and keep those of others waiting
                raise Forbidden(Why.UNKNOWN)
            looking = self._look(url, place, whose)
        try:
            async with asyncio.timeout(NAMED_WITHIN):
                return await asyncio.shield(looking)
        except TimeoutError:
            raise Forbidden(Why.UNKNOWN) from None

    def _look(self, url: str, place: str, whose: str) -> asyncio.Future[list[str]]:
        """Ask the name server, which may take longer than anybody waits."""
        work = partial(addresses_of, url, private=self._private)
        looking = asyncio.get_running_loop().run_in_executor(self._asking, work)
        self._looking[place] = looking
        self._of[whose] += 1

        def done(found: asyncio.Future[list[str]]) -> None:
            self._looking.pop(place, None)
            self._of[whose] -= 1
            if not self._of[whose]:
                del self._of[whose]
            if not found.cancelled():
                found.exception()  # if nobody waited for it

        looking.add_done_callback(done)
        return looking

    async def tell(
        self,
        url: str,
        secret: str,
        id: str,
        body: bytes,
        *,
        within: float,
        read: bool = False,
        whose: str = "",
    ) -> tuple[int, bytes]:
        """The status of a program's answer, 0 when there is none within so many seconds, and with
        `read` its body."""
        try:
            async with asyncio.timeout(within):
                return await self._told(url, secret, id, body, within, read, whose)
        except Exception as error:  # whatever a receiver does is a try that failed
            log.info("a webhook is not reached: %s", type(error).__name__)
        return 0, b""

    async def _told(
        self, url: str, secret: str, id: str, body: bytes, within: float, read: bool, whose: str
    ) -> tuple[int, bytes]:
        parts = urlsplit(url)
        stamp = str(int(self._now().timestamp()))
        headers = {
            "accept-encoding": "identity",
            "content-type": "application/json",
            "host": parts.netloc.rpartition("@")[2],
            "user-agent": "EncryptoTel",
            "webhook-id": id,
            "webhook-timestamp": stamp,
            "webhook-signature": signature(secret, id, stamp, body),
        }
        for address in await self.addresses(url, whose):
            with contextlib.suppress(httpx.ConnectError):  # another may be reached
                async with self._client.stream(
                    "POST",
                    by_number(url, address),
                    content=body,
                    headers=headers,
                    extensions={"sni_hostname": parts.hostname},
                    timeout=within,
                ) as answer:
                    return answer.status_code, await _beginning(answer) if read else b""
        return 0, b""


async def _beginning(answer: httpx.Response) -> bytes:
    body = b""
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > MAX_ANSWER:
            return b""
    return body


def in_ascii(url: str) -> str:
    """A URL whose host is written as the wire has it. Raises `Forbidden`."""
    try:
        parts = httpx.URL(url[:MAX_URL])
        there = str(parts.copy_with(host=parts.raw_host.decode("ascii"), userinfo=b""))
    except (httpx.InvalidURL, ValueError, UnicodeError):
        raise Forbidden(Why.NO_ADDRESS) from None
    if not there.isascii() or ("[" in url.partition("//")[2] and "]" not in url):
        raise Forbidden(Why.NO_ADDRESS)
    return there


def signature(secret: str, id: str, stamp: str, body: bytes) -> str:
    """What the receiver computes as well (standardwebhooks.com)."""
    key = base64.b64decode(secret.removeprefix(SECRET))
    signed = hmac.new(key, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"
