"""Where an rtpengine carries the media of a leg.

The engine stands between the far side (a phone, a carrier) and the near one, which is us. What the
far side is told stays the same for as long as the leg lives: its ports, its keys. Only what is
near changes: our own ports, where sound is made, heard, mixed or recorded; or the near side of
another leg's anchor, and then it never comes by us.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pbx.media.bencode import Value
from pbx.media.browsers import (
    BROWSER,
    BY_ENGINE,
    OF_BROWSERS,
    OF_BROWSERS_SOUND,
    as_answer,
    has_ice,
    is_browser,
    lowered,
    phones_profile,
    with_browser,
)
from pbx.media.counted import Traffic, counted, places
from pbx.media.negotiate import is_sound, narrowed
from pbx.media.port import Address
from pbx.media.rtpengine import EngineError, Rtpengine
from pbx.media.sdp import Media, NotAcceptable, SdpError, SessionDescription
from pbx.media.session import OF_ONE_HOP, Profile, protocol_of
from pbx.media.srtp import OFFERED_ELSEWHERE, OFFERED_IN_SECRET, SUITES, SrtpPolicy, choose_crypto
from pbx.media.zrtp import ATTRIBUTE as ZRTP

log = logging.getLogger(__name__)

FAR, NEAR = "far", "near"


@dataclass(frozen=True, kw_only=True)
class Outlet:
    """What is near for a while: where each stream goes to, as an SDP says it."""

    description: SessionDescription
    transcode: tuple[str, ...] = ()
    "Codecs of the far side which the description has not."


def anchored(call: str, leg: str) -> str:
    """By which id engines know a leg of a call."""
    return f"{call}.{leg}"


class Anchor:
    """One leg's place at one engine. Descriptions go through it on their way, in their order:
    `inward` those of the far side, `outward` ours. Raises `EngineError`."""

    def __init__(self, engine: Rtpengine, id: str, inside: str, policy: SrtpPolicy) -> None:
        """`inside` is our address as engines see it."""
        self.engine = engine
        self.id = id
        self.inside = inside
        self.keyed = False
        "Whether the far side's media are encrypted on the way."
        self.profile = Profile.PLAIN
        self.far_host = ""
        "The address of ours that the far side would be told; it tells of the family."
        self.signalling_host = ""
        self.traffic = Traffic()
        self.on_key: Callable[[str], None] = lambda key: None
        "Told of keys of the far side that pass as events."
        self.on_gone: Callable[[], None] = lambda: None
        self.policy = policy
        self._far: SessionDescription | None = None
        self._near: SessionDescription | None = None
        self._agreed: tuple[SessionDescription, SessionDescription] | None = None
        self._reached: tuple[Address | None, ...] = ()
        self._said: SessionDescription | None = None
        self._version = 0
        self._turn = asyncio.Lock()
        self._outlet: Outlet | None = None
        self.closed = False
        "Whether the leg is over."
        engine.carried[id] = self

    # ── descriptions on their way ───────────────────────────────────────────────────────
    async def inward(self, body: bytes, *, offer: bool) -> bytes:
        """The far side's description, as if the engine were the far side. Raises `SdpError`,
        `NotAcceptable`, `EngineError`."""
        said = lowered(SessionDescription.parse(body))
        taken = replace(said, media=tuple(self._admitted(one, offer=offer) for one in said.media))
        if not any(one.port for one in taken.media):
            demanded = self.policy is SrtpPolicy.REQUIRE
            raise NotAcceptable("encrypted media is required" if demanded else "no usable media")
        async with self._turn:
            seen = await self._tell(FAR, _as_keyed(taken), offer=offer)
        self.keyed = any(_is_keyed(one) for one in taken.media if one.port)
        self._far = taken
        if not offer:
            self._agree()
        self._reached = tuple(
            (seen.host_of(one), one.port) if one.port else None for one in seen.media
        )
        media = tuple(map(self._inner, taken.media, seen.media))
        return replace(said, media=media, host=seen.host).encode()

    async def outward(self, body: bytes, *, offer: bool, profile: Profile = Profile.PLAIN) -> bytes:
        """Our description as the far side gets it; the first offer says by `profile` what it
        means of keys. Raises `EngineError`."""
        ours = SessionDescription.parse(body)
        if self._far is None:
            self.profile = profile
        async with self._turn:
            seen = await self._tell(NEAR, ours, offer=offer)
        self._near = ours
        if not offer:
            self._agree()
        known: list[Media | None] = [*self._far.media] if self._far is not None else []
        known += [None] * (len(ours.media) - len(known))
        mids = (str(number) for number in range(len(known)))
        media = tuple(map(self._outer, ours.media, seen.media, known, mids))
        said = self._said
        if said is None or said.media != media or said.host != seen.host:
            self._version += 1
        self._said = replace(ours, media=media, host=seen.host, version=self._version)
        return self._said.encode()

    @property
    def begun(self) -> bool:
        """Whether either side was described by way of the engine."""
        return self._far is not None or self._said is not None

    @property
    def offers(self) -> bool:
        """Whether we offered first, and the far side has not answered."""
        return self._said is not None and self._far is None

    @property
    def agreed(self) -> bool:
        """Whether both sides were described by way of the engine."""
        return self._agreed is not None

    @property
    def profile_now(self) -> Profile:
        """How the far side's media are protected, for an offer by another way."""
        if not self.keyed:
            return Profile.PLAIN
        if self._is_browser:
            return Profile.BROWSER
        demanded = self._far is not None and any(one.is_secure for one in self._far.media)
        return Profile.SECURE if demanded else Profile.OPPORTUNISTIC

    async def restore(self) -> None:
        """Go on as agreed before: an offer of the far side's was refused."""
        if self._agreed is None:
            return
        far, near = self._agreed
        async with self._turn:
            await self._tell(FAR, _as_keyed(far), offer=True)
            await self._tell(NEAR, near, offer=False)
        self._far, self._near = far, near

    # ── what is near ────────────────────────────────────────────────────────────────────
    @property
    def reached(self) -> tuple[Address | None, ...]:
        """Where what is for the far side is to be sent to, by streams."""
        return self._reached

    def outlet(
        self, other: Anchor, transcode: Sequence[str] = (), spoken: str = ""
    ) -> Outlet | None:
        """The far side of another leg as what is near here, None where that cannot be: sound in
        the codec `spoken` there where ours of `transcode` are to be made of it."""
        near, theirs = self._near, other._near
        if near is None or theirs is None or len(near.media) > len(other.reached):
            return None
        media = []
        for own, its, place in zip(near.media, theirs.media, other.reached, strict=False):
            if not own.port:
                media.append(own)
            elif place is None or not its.port:
                return None
            else:
                said = _spoken(its, spoken) if transcode and own.kind == "audio" else own
                host, port = place
                media.append(replace(said, host=host, port=port, direction=own.direction))
        return Outlet(description=replace(near, media=tuple(media)), transcode=tuple(transcode))

    async def plug(self, outlet: Outlet | None) -> None:
        """Let something else be near; None: us again. Raises `EngineError`."""
        async with self._turn:
            far, near = self._far, self._near
            if outlet == self._outlet or self.closed or far is None or near is None:
                return
            there = await self._found(_as_keyed(far))
            description = outlet.description if outlet is not None else near
            codecs: list[Value] = [*outlet.transcode] if outlet is not None else []
            self._outlet = outlet  # also when it fails halfway: then it is to be told anew
            await self._tell(NEAR, description, offer=True, transcode=codecs)
            await self._tell(FAR, as_answer(there), offer=False)

    @property
    def plugged(self) -> bool:
        """Whether something else than us is near."""
        return self._outlet is not None

    async def measure(self) -> None:
        """Bring `traffic` up to date. Raises `EngineError`."""
        self.traffic = counted(await self.engine.ask("query", call_id=self.id), FAR, NEAR)

    def close(self, measured: Callable[[], None] = lambda: None) -> None:
        """The leg is over; `traffic` is what it was when `measured` is told."""
        if self.closed:
            return
        self.closed = True
        self.on_key, self.on_gone = (lambda key: None), (lambda: None)
        if self.engine.carried.pop(self.id, None) is self:
            with_end = asyncio.ensure_future(self._delete(measured))
            _ENDING.add(with_end)
            with_end.add_done_callback(_ENDING.discard)

    async def _delete(self, measured: Callable[[], None]) -> None:
        try:
            async with self._turn:
                await self.measure()
                await self.engine.ask("delete", call_id=self.id, delete_delay=0)
        except EngineError as error:
            log.info("%s", error)
        measured()

    # ── what the engine tells ───────────────────────────────────────────────────────────
    def pressed(self, key: str, side: str) -> None:
        if side == FAR and self.plugged:  # else it comes by us anyway
            self.on_key(key)

    def gone(self) -> None:
        self.on_gone()

    # ── parts ───────────────────────────────────────────────────────────────────────────
    async def _tell(
        self,
        side: str,
        said: SessionDescription,
        *,
        offer: bool,
        transcode: Sequence[Value] = (),
    ) -> SessionDescription:
        """Let the engine know what one side said, and what it would have the other see."""
        if self.closed:
            raise EngineError("the leg is over")
        flags: list[Value] = ["port latching", "no-rtcp-attribute"]
        if side == FAR:
            flags.append("strict source")
        browser = is_browser(said) if side == FAR else self._is_browser
        if side == NEAR or self._is_where_it_says(said):
            flags.append("endpoint-learning-off")
        else:  # behind NAT: the first packet tells
            flags.append("endpoint-learning-immediate")
        values: dict[str, Value] = {
            "call_id": self.id,
            "sdp": said.encode().decode(),
            "flags": flags,
            "replace": ["origin", "session-connection", "zero-address"],
            "transport_protocol": self._protocol(side, said),
            "ICE": "force" if browser and side == NEAR and self._wants_ice else "remove",
            "SDES": ["pad", *self._unwanted(side, offer=offer)],
        }
        if browser:
            values |= with_browser(far=side == FAR, offer=offer)
        elif offer:
            values["DTLS"] = "off"
        if transcode:
            values["codec"] = {"transcode": list(transcode)}
        if offer:
            inward = side == FAR
            values["from_tag"] = side
            if self._far is not None and self._near is not None:
                values["to_tag"] = NEAR if inward else FAR
            values["direction"] = ["outside", "inside"] if inward else ["inside", "outside"]
            family = "IP6" if ":" in (self.inside if inward else self.far_host) else "IP4"
            values["address_family"] = family
        else:
            values["from_tag"], values["to_tag"] = (NEAR, FAR) if side == FAR else (FAR, NEAR)
        answer = await self.engine.ask("offer" if offer else "answer", **values)
        try:
            seen = SessionDescription.parse(str(answer.get("sdp", "")).encode())
        except SdpError as error:
            raise EngineError(f"{self.engine} gave no SDP: {error}") from error
        if len(seen.media) != len(said.media):
            raise EngineError(f"{self.engine} gave another number of media")
        return seen

    def _unwanted(self, side: str, *, offer: bool) -> list[str]:
        """The suites that an offer of ours shall not have, of those that engines know."""
        if side == FAR or not offer:
            return []
        secret = self.profile is Profile.SECURE
        wanted = OFFERED_IN_SECRET if secret else OFFERED_ELSEWHERE
        return [f"no-{suite}" for suite in _SUITES if suite not in wanted]

    async def _found(self, said: SessionDescription) -> SessionDescription:
        """The far side where it was found to be, behind its NAT, so that nobody can be first there
        once more."""
        if self._is_where_it_says(said):
            return said
        there = places(await self.engine.ask("query", call_id=self.id), FAR)
        media = tuple(
            replace(one, host=place[0], port=place[1]) if one.port and place else one
            for one, place in zip(said.media, there, strict=False)
        )
        return replace(said, media=media) if len(media) == len(said.media) else said

    def _is_where_it_says(self, said: SessionDescription) -> bool:
        """Whether the far side's signalling comes from where it listens for its media; browsers
        prove where they are (ICE)."""
        if has_ice(said):
            return True
        hosts = {said.host_of(one) for one in said.media if one.port}
        return hosts == {self.signalling_host}

    def _protocol(self, side: str, said: SessionDescription) -> str:
        """What the other side is to get: no keys inside; outside as it asked, or as we offer."""
        if side == NEAR and self._is_browser:
            return BROWSER
        secure = side == NEAR and (
            self.profile is not Profile.PLAIN if self._far is None else self.keyed
        )
        feedback = any(phones_profile(one).endswith("F") for one in said.media if one.port)
        return ("RTP/SAVP" if secure else "RTP/AVP") + ("F" if feedback else "")

    def _admitted(self, media: Media, *, offer: bool) -> Media:
        """A section of the far side's, refused where the policy forbids it."""
        keyed, secure = _is_keyed(media), media.is_secure or media.is_dtls
        if self.policy is SrtpPolicy.OFF and not secure:
            return media.without("crypto")
        demanded = self.policy is SrtpPolicy.REQUIRE or (
            not offer and self.profile is Profile.SECURE
        )
        rtp = media.is_rtp or media.is_dtls
        fits = rtp and not (media.is_secure and self.policy is SrtpPolicy.OFF)
        fits = fits and (keyed or not (demanded or secure))
        if not offer and media.port and not fits:
            raise NotAcceptable("the other side does not encrypt its media")
        return media if fits else media.refused()

    def _inner(self, said: Media, seen: Media) -> Media:
        """A section of the far side's, by the engine's address."""
        if not said.port or not seen.port:
            return said.refused()
        hop = (*OF_ONE_HOP, ZRTP) if _is_keyed(said) else OF_ONE_HOP
        if said.is_dtls:
            hop = (*hop, *(OF_BROWSERS_SOUND if said.kind == "audio" else OF_BROWSERS))
        return replace(
            said.without(*hop), port=seen.port, host=seen.host, protocol=phones_profile(said)
        )

    def _outer(self, said: Media, seen: Media, known: Media | None, mid: str) -> Media:
        """A section of ours, by the engine's address and with its keys, in the protocol that is
        `known` from the far side."""
        browser = self._is_browser
        if not said.port or not seen.port:
            protocol = known.protocol if known is not None else BROWSER
            return replace(said.refused(), protocol=protocol) if browser else said.refused()
        wanted = BY_ENGINE if browser else ("crypto",)
        keys = [item for item in seen.attributes if item[0] in wanted]
        secure = self.profile is Profile.SECURE or self.keyed
        protocol = known.protocol if known is not None else protocol_of(said, secure=secure)
        if browser:
            protocol = known.protocol if known is not None else BROWSER
            keys.append(("mid", next(iter(known.values("mid") if known is not None else ()), mid)))
        hop = (*OF_ONE_HOP, ZRTP) if keys and secure else OF_ONE_HOP
        return replace(
            said.without(*hop), port=seen.port, host=seen.host, protocol=protocol
        ).having(*keys)

    @property
    def _is_browser(self) -> bool:
        """Whether the far side is one, or is about to be offered what one wants."""
        if self._far is None:
            return self.profile is Profile.BROWSER
        return is_browser(self._far)

    @property
    def _wants_ice(self) -> bool:
        """Phones know of DTLS that know nothing of ICE."""
        return self._far is None or has_ice(self._far)

    def _agree(self) -> None:
        if self._far is not None and self._near is not None:
            self._agreed = self._far, self._near
            self._outlet = None  # an answer says what is near


_ENDING: set[asyncio.Task[None]] = set()
"Anchors that are being given back."
_SUITES = (
    "AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32",
    "AES_192_CM_HMAC_SHA1_80", "AES_192_CM_HMAC_SHA1_32", "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32", "F8_128_HMAC_SHA1_80", "F8_128_HMAC_SHA1_32", "NULL_HMAC_SHA1_80",
    "NULL_HMAC_SHA1_32",
)  # fmt: skip
"What rtpengine knows; two of these encrypt nothing."
_KEPT_OF_HOP = frozenset(("crypto", "rtcp"))
_ENDED_HERE = tuple(name for name in OF_ONE_HOP if name not in _KEPT_OF_HOP)
"What engines would take up and we do not offer: ICE, DTLS, multiplexing."


def _spoken(media: Media, codec: str) -> Media:
    """A section with one codec of it, and keys: more was offered, and the engine would take what
    comes for the first of it."""
    kept = [number for number, name in media.named if name == codec or not is_sound(name)]
    return narrowed(media, kept)


def _is_keyed(media: Media) -> bool:
    return choose_crypto(media) is not None or (media.is_dtls and bool(media.values("fingerprint")))


def _encrypts(line: str | None) -> bool:
    return not SUITES.isdisjoint((line or "").split()[1:2])


def _as_keyed(said: SessionDescription) -> SessionDescription:
    """What an engine is told of the far side: media with keys as what they are, for it looks for
    keys only where the profile has them; and no keys for what encrypts nothing."""
    media = []
    for one in said.media:
        if one.is_dtls:
            media.append(one.without("crypto"))
            continue
        plain = one.without(*_ENDED_HERE)
        kept = (item for item in plain.attributes if item[0] != "crypto" or _encrypts(item[1]))
        plain = replace(plain, attributes=tuple(kept))
        keyed = plain.protocol.replace("RTP/AVP", "RTP/SAVP")
        media.append(replace(plain, protocol=keyed) if _is_keyed(one) else plain)
    return replace(said, media=tuple(media))
