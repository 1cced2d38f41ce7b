"""Digest authentication, both sides (RFC 7616, RFC 8760, RFC 3261 §22).

SHA-256 is offered first and MD5 after it, for the phones that know nothing else; qop is always
"auth". Nonces carry their own time and signature, so a flood of challenges costs no memory.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from pbx.sip.message import Request, Response

ALGORITHMS: Mapping[str, Callable[[bytes], hashlib._Hash]] = {
    "SHA-256": hashlib.sha256,
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False),
}
PATIENCE = 2.0
"Seconds after which a phone that starts anew has not been able to answer a challenge."
NONCE_LIFETIME = 300.0
"Seconds before a nonce is stale; the client retries by itself with a new one."
MAX_UNANSWERED = 5_000
MAX_HEADER = 4096
"Characters of a challenge or an answer that are looked at."
MAX_PARAMETERS = 32
_MD5_ONLY_AGENT = re.compile(r"baresip v[01]\.", re.IGNORECASE)
_MD5_ONLY_BRANCH = re.compile(r"z9hG4bK-\d+-\d+-")  # SIPp before 3.7, which names itself nowhere
"Programs that give up on a challenge they do not know instead of taking the next one."
MAX_NONCES = 20_000
"Used nonces whose count is remembered, to refuse replays."

_PARAMETER = re.compile(r'\s*+([A-Za-z0-9_\-]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"|[^",\s]*+)\s*+(?:,|$)')


def parse_parameters(value: str) -> dict[str, str] | None:
    """`Digest a=b, c="d"` as a dict with lower-case keys; None for anything else.

    `sipmessage` splits inside quotes (qop="auth,auth-int"), which real servers send.
    """
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest" or len(value) > MAX_HEADER:
        return None
    found: dict[str, str] = {}
    position = 0
    rest = rest.strip()
    for _ in range(MAX_PARAMETERS):  # repeats of a name count as well
        match = _PARAMETER.match(rest, position)
        if not match:
            break
        text = match[2]
        if text.startswith('"'):
            pieces = text[1:-1].split("\\\\")
            text = "\\".join(piece.replace("\\", "") for piece in pieces)
        found[match[1].lower()] = text
        position = match.end()
    return found if position == len(rest) else None


def _digest(algorithm: str, *parts: str) -> str:
    return ALGORITHMS[algorithm](_octets(":".join(parts))).hexdigest()


def _octets(text: str) -> bytes:
    """The bytes as they came; what no wire can bring is replaced."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def response_value(
    algorithm: str,
    ha1: str,
    method: str,
    uri: str,
    nonce: str,
    cnonce: str = "",
    nc: str = "",
    qop: str = "",
) -> str:
    """The `response` parameter (RFC 7616 §3.4.1); the short form of RFC 2069 without qop."""
    ha2 = _digest(algorithm, method, uri)
    if qop:
        return _digest(algorithm, ha1, nonce, nc, cnonce, qop, ha2)
    return _digest(algorithm, ha1, nonce, ha2)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A user name and secret, to answer challenges with."""

    username: str
    secret: str

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, …)"


class Verdict(Enum):
    """What came of checking a request."""

    MISSING = auto()
    GOOD = auto()
    STALE = auto()
    BAD = auto()


class DigestServer:
    """Challenges requests and checks their answers for one realm."""

    def __init__(self, realm: str, clock: Callable[[], float] = time.time) -> None:
        self.realm = realm
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._unanswered: OrderedDict[str, float] = OrderedDict()

    def share(self, secret: str) -> None:
        """Take the challenges of all who share a secret as one's own: whoever is at home elsewhere
        before they have answered need not be asked again."""
        self._key = hashlib.sha256(f"nonces {secret}".encode()).digest()

    def challenge(
        self, request: Request, source: str, *, stale: bool = False, proxy: bool = False
    ) -> Response:
        """A 401 (or, as a proxy, 407) with one challenge an algorithm (RFC 8760 §2.4).

        `source` is the address it came from: the nonce is good from there only. A phone that
        did not answer such a choice of algorithms last time gets MD5 alone.
        """
        response = request.response(407 if proxy else 401)
        name = "Proxy-Authenticate" if proxy else "WWW-Authenticate"
        nonce = self._new_nonce(source)
        for algorithm in self._algorithms_for(request):
            value = (
                f'Digest realm="{self.realm}", nonce="{nonce}", algorithm={algorithm}, qop="auth"'
            )
            response.add(name, value + (", stale=true" if stale else ""))
        return response

    def username(self, request: Request, *, proxy: bool = False) -> str | None:
        """The user a request claims to come from, unchecked."""
        found = self._answer(request, proxy)
        return found.get("username") if found else None

    def check(self, request: Request, secret: str, source: str, *, proxy: bool = False) -> Verdict:
        """Check a request from an address against the secret of the user it names.

        For a user that does not exist give any secret: the work, and so the time, is the same.
        """
        answer = self._answer(request, proxy)
        if answer is None:
            return Verdict.MISSING
        self._unanswered.pop(_asker(request), None)
        algorithm = answer.get("algorithm", "MD5").upper()
        if algorithm not in ALGORITHMS:
            return Verdict.BAD
        nonce, nc, qop = answer.get("nonce", ""), answer.get("nc", ""), answer.get("qop", "")
        ha1 = _digest(algorithm, answer.get("username", ""), self.realm, secret)
        expected = response_value(
            algorithm,
            ha1,
            request.method,
            answer.get("uri", ""),
            nonce,
            answer.get("cnonce", ""),
            nc,
            qop,
        )
        given = _octets(answer.get("response", "").lower())
        right = hmac.compare_digest(expected.encode(), given)
        age = self._nonce_age(nonce, source)
        if not right or age is None or qop not in ("", "auth"):
            return Verdict.BAD if age is not None else Verdict.STALE
        if age > NONCE_LIFETIME or not self._count(nonce, nc):
            return Verdict.STALE
        return Verdict.GOOD

    def _algorithms_for(self, request: Request) -> tuple[str, ...]:
        own = request.get_all("via")[-1]  # the phone's, whatever proxies wrote before it
        if _MD5_ONLY_AGENT.match(request.get("user-agent")) or _MD5_ONLY_BRANCH.search(own):
            return ("MD5",)
        asker, now = _asker(request), self._clock()
        challenged = self._unanswered.setdefault(asker, now)
        self._unanswered.move_to_end(asker)
        if len(self._unanswered) > MAX_UNANSWERED:
            self._unanswered.popitem(last=False)
        return ("MD5",) if now - challenged > PATIENCE else tuple(ALGORITHMS)

    def _answer(self, request: Request, proxy: bool) -> dict[str, str] | None:
        for value in request.get_all("Proxy-Authorization" if proxy else "Authorization"):
            found = parse_parameters(value)
            if found and found.get("realm") == self.realm:
                return found
        return None

    def _new_nonce(self, source: str) -> str:
        stamp = f"{int(self._clock() * 1000):x}.{secrets.token_hex(8)}"
        return f"{stamp}.{self._sign(stamp, source)}"

    def _sign(self, stamp: str, source: str) -> str:
        about = f"{stamp} {source}".encode("utf-8", "replace")
        return hmac.new(self._key, about, "sha256").hexdigest()[:32]

    def _nonce_age(self, nonce: str, source: str) -> float | None:
        """Seconds since we made this nonce; None if we did not, not for this address, or did
        before a restart."""
        stamp, _, signature = nonce.rpartition(".")
        good = hmac.compare_digest(self._sign(stamp, source).encode(), _octets(signature))
        return self._clock() - int(stamp.partition(".")[0], 16) / 1000 if good else None

    def _count(self, nonce: str, nc: str) -> bool:
        """Whether this nonce count is new, so the request is no replay (RFC 7616 §3.4)."""
        if not nc:  # RFC 2069 clients count nothing; the nonce's age bounds a replay
            return True
        try:
            count = int(nc, 16)
        except ValueError:
            return False
        if count <= self._counts.get(nonce, 0):
            return False
        self._counts[nonce] = count
        self._counts.move_to_end(nonce)
        if len(self._counts) > MAX_NONCES:
            self._counts.popitem(last=False)
        return True


class DigestClient:
    """Answers challenges with one set of credentials, counting uses of a nonce."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._nonce = ""
        self._uses = 0

    def authorise(self, request: Request, challenged: Response) -> bool:
        """Put the answer to a 401 or 407 on the request; False when no challenge is usable."""
        proxy = challenged.status == 407
        offered = [
            parsed
            for value in challenged.get_all("Proxy-Authenticate" if proxy else "WWW-Authenticate")
            if (parsed := parse_parameters(value)) is not None
            and parsed.get("algorithm", "MD5").upper() in ALGORITHMS
        ]
        if not offered:
            return False
        strongest = list(ALGORITHMS)
        offered.sort(key=lambda found: strongest.index(found.get("algorithm", "MD5").upper()))
        request.set(
            "Proxy-Authorization" if proxy else "Authorization", self._answer(request, offered[0])
        )
        return True

    def _answer(self, request: Request, challenge: dict[str, str]) -> str:
        algorithm = challenge.get("algorithm", "MD5").upper()
        realm, nonce = challenge.get("realm", ""), challenge.get("nonce", "")
        qops = [item.strip() for item in challenge.get("qop", "").split(",")]
        qop = "auth" if "auth" in qops else ""
        if nonce != self._nonce:
            self._nonce, self._uses = nonce, 0
        self._uses += 1
        nc, cnonce = f"{self._uses:08x}", secrets.token_hex(8)
        name = self._credentials.username
        ha1 = _digest(algorithm, name, realm, self._credentials.secret)
        answer = response_value(algorithm, ha1, request.method, request.uri, nonce, cnonce, nc, qop)
        value = (
            f'Digest username="{_quoted(name)}", realm="{_quoted(realm)}", '
            f'nonce="{_quoted(nonce)}", uri="{request.uri}", response="{answer}"'
        )
        if "algorithm" in challenge:
            value += f", algorithm={algorithm}"
        if qop:
            value += f', qop=auth, nc={nc}, cnonce="{cnonce}"'
        if "opaque" in challenge:
            value += f', opaque="{_quoted(challenge["opaque"])}"'
        return value


def _asker(request: Request) -> str:
    """Who asks, before they have proven anything."""
    agent = request.get("user-agent")
    return f"{request.via.host} {request.from_.uri.user} {agent}"[:200]


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
