"""Fetching what a chat gave the address of, which is distrusted: bounded in size, few redirects,
and only to the Internet, if the configuration does not allow more.

Runs in the process that also reads calendars.
"""

from __future__ import annotations

import contextlib
import ssl
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from encryptotel.calendars.entries import MAX_BYTES, MAX_URL, CalendarError, Source, SourceError
from encryptotel.outbound import Forbidden, Why, addresses_of, by_number

TIMEOUT = httpx.Timeout(20.0, connect=10.0)
THINKS = httpx.Timeout(60.0, connect=10.0)
"For an account: a server with twenty thousand events thinks before it answers."
MAX_REDIRECTS = 5
AGENT = "EncryptoTel"


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What came; `content` is None when it is as before."""

    content: bytes | None
    etag: str = ""
    modified: str = ""


@contextlib.contextmanager
def connected(source: Source) -> Iterator[httpx.Client]:
    """A client for one source. Raises `SourceError` for whatever fails within."""
    context = ssl.create_default_context(cafile=source.ca_file or None)
    with (
        _said(),
        httpx.Client(
            timeout=THINKS if source.user else TIMEOUT, verify=context, follow_redirects=False
        ) as client,
    ):
        yield client


def request(
    client: httpx.Client, source: Source, method: str, url: str, **what: Any
) -> tuple[httpx.Response, bytes, str]:
    """What a server answers, its body, and where that was in the end; user and password go to the
    source's own host only. Raises `SourceError`."""
    headers = {"User-Agent": AGENT, "Accept-Encoding": "gzip", **what.pop("headers", {})}
    auth = httpx.BasicAuth(source.user, source.password) if source.user else None
    for _ in range(MAX_REDIRECTS + 1):
        own = urlsplit(url).netloc == urlsplit(source.url).netloc
        what["auth"] = auth if own else None
        with _answering(client, method, url, headers, source.private, what) as response:
            if response.is_redirect and "location" in response.headers:
                url = urljoin(url, response.headers["location"])[:MAX_URL]
                continue
            if response.status_code in (401, 403):
                raise SourceError("the calendar wants a user and a password, or others than these")
            return response, b"".join(_bounded(response)), url
    raise SourceError("the calendar redirects too often")


@contextlib.contextmanager
def _answering(
    client: httpx.Client,
    method: str,
    url: str,
    headers: Mapping[str, str],
    private: bool,
    what: Mapping[str, Any],
) -> Iterator[httpx.Response]:
    """Ask the address that was looked at, by its number: a name may lead elsewhere a moment
    later."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    addresses = _addresses(url, private)
    for number, address in enumerate(addresses, 1):
        place = by_number(url, address)
        name = {"sni_hostname": parts.hostname}
        try:
            with client.stream(
                method, place, headers={**headers, "Host": host}, extensions=name, **what
            ) as response:
                yield response
                return
        except httpx.ConnectError:
            if number == len(addresses):
                raise


def fetch(source: Source, etag: str = "", modified: str = "") -> Fetched:
    """A feed, or nothing new. Raises `SourceError`."""
    headers = {"Accept": "text/calendar, */*;q=0.1"}
    headers |= {"If-None-Match": etag} if etag else {}
    headers |= {"If-Modified-Since": modified} if modified else {}
    with connected(source) as client:
        response, body, _ = request(client, source, "GET", source.url, headers=headers)
    if response.status_code == 304:
        return Fetched(content=None)
    if response.status_code in (404, 410):
        raise SourceError("there is no calendar at that address any more")
    if response.status_code != 200:
        raise SourceError(f"the calendar's server says {response.status_code}")
    return Fetched(
        content=body,
        etag=response.headers.get("etag", "")[:200],
        modified=response.headers.get("last-modified", "")[:100],
    )


def _bounded(response: httpx.Response) -> Iterator[bytes]:
    """The body, unpacked a little at a time, so that nothing small becomes huge."""
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise SourceError(f"the calendar is packed in a way I do not know ({encoding[:20]})")
    unpack = None if encoding in ("identity", "") else zlib.decompressobj(wbits=47)
    left = MAX_BYTES
    for chunk in response.iter_raw(65_536):
        data = chunk
        while data:
            piece = data if unpack is None else unpack.decompress(data, 65_536)
            data = b"" if unpack is None else unpack.unconsumed_tail
            left -= len(piece)
            if left < 0:
                raise SourceError(f"the calendar is larger than {MAX_BYTES // 1_000_000} MB")
            yield piece
        if unpack is not None and unpack.eof:
            return


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Failures of the network, in words without addresses."""
    try:
        yield
    except CalendarError:
        raise
    except httpx.TimeoutException:
        raise SourceError("the calendar's server does not answer") from None
    except (httpx.ConnectError, ssl.SSLError) as error:
        distrusted = "certificate" in str(error).lower()
        why = "shows a certificate I do not trust" if distrusted else "cannot be reached"
        raise SourceError(f"the calendar's server {why}") from None
    except (httpx.HTTPError, httpx.InvalidURL, zlib.error, ValueError):
        raise SourceError("the calendar's server answers strangely") from None


def _addresses(url: str, private: bool) -> list[str]:
    """Where a host is. Raises `SourceError` for what leads elsewhere than to the Internet."""
    try:
        return addresses_of(url, private=private)
    except Forbidden as error:
        raise SourceError(_FORBIDDEN[error.why]) from None


_FORBIDDEN = {
    Why.NO_ADDRESS: "that is no address of a calendar; it begins with https://",
    Why.NOT_HTTPS: "the calendar must be had by https",
    Why.UNKNOWN: "the calendar's server cannot be found",
    Why.PRIVATE: "that calendar is in a private network; the owner can allow those: private = true "
    "in [calendars]",
}
