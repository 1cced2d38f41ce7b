"""The media of one leg: its ports, its half of offer and answer, and its SRTP keys."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum, auto

from pbx.media.codecs import CODECS, Codec
from pbx.media.negotiate import (
    AudioTerms,
    audio_terms,
    carried,
    names,
    own_audio,
    own_choice,
    widened,
)
from pbx.media.port import RtpPort, RtpPorts
from pbx.media.sdp import Media, NotAcceptable, SdpError, SessionDescription
from pbx.media.srtp import (
    CryptoLine,
    SrtpPolicy,
    choose_crypto,
    new_crypto,
    offered_crypto,
    session,
)
from pbx.media.zrtp import ATTRIBUTE as ZRTP

OF_ONE_HOP = {
    # of this hop, or about transports we end here (ICE, DTLS, multiplexing, bundling)
    "crypto", "rtcp", "rtcp-mux", "rtcp-mux-only", "candidate", "end-of-candidates",
    "remote-candidates", "ice-ufrag", "ice-pwd", "ice-options", "ice-lite", "fingerprint",
    "setup", "mid", "msid", "key-mgmt", "connection", "cryptex",
}  # fmt: skip


class Profile(Enum):
    """How an offer of ours speaks of SRTP."""

    PLAIN = auto()
    OPPORTUNISTIC = auto()
    "RTP/AVP with keys: encrypted if the peer can (RFC 8643)."
    SECURE = auto()
    "RTP/SAVP: encrypted or refused."
    BROWSER = auto()
    "UDP/TLS/RTP/SAVPF, with ICE and DTLS (RFC 8829): by an engine only."


class MediaSession:
    """Ports and descriptions of one leg. `local` and `remote` are what was last agreed or
    offered; stream n of a leg is m= section n."""

    def __init__(
        self,
        ports: RtpPorts,
        advertise: str,
        policy: SrtpPolicy,
        codecs: Sequence[Codec] = CODECS,
    ) -> None:
        self.policy = policy
        self._codecs = codecs
        self.ports: list[RtpPort | None] = []
        self.local: SessionDescription | None = None
        self.remote: SessionDescription | None = None
        self._range = ports
        self._host = advertise
        self._id = secrets.randbits(31)
        self._version = 0
        self._keys: dict[int, tuple[CryptoLine, ...]] = {}
        self._profile = Profile.PLAIN
        self.secured = False
        self.on_agreed: Callable[[], None] = lambda: None
        self._agreed: tuple[tuple[Media, Media, Media], ...] = ()
        self.audio_terms: AudioTerms | None = None
        "How to speak with this leg; None if its codecs are not ours."
        self.signalling_host = ""
        "Where the leg's SIP comes from: behind NAT its sound does too."

    def place(self, host: str) -> None:
        """The address of ours that this peer is told; set before the first offer or answer, and
        again when the next server to be tried is elsewhere."""
        if (":" in host) != (":" in self._host):
            self.close()
            self.ports.clear()
        self._host = host

    # ── offers we make ──────────────────────────────────────────────────────────────────
    async def offer(
        self,
        like: SessionDescription | None = None,
        *,
        profile: Profile,
    ) -> bytes:
        """An SDP offer: another leg's offer carried over, with what we can transcode it to, or
        our own codecs. Raises OSError when no RTP port is free."""
        self._profile = profile
        codecs = self._codecs
        wanted = [widened(one, codecs) for one in like.media] if like else [own_audio(codecs)]
        media: list[Media] = []
        for index, theirs in enumerate(wanted):
            port = await self._port(index) if theirs.is_rtp and theirs.port else None
            if port is None:
                media.append(theirs.refused())
                continue
            keys: tuple[CryptoLine, ...] = ()
            if profile is not Profile.PLAIN:
                keys = self._keys.get(index) or offered_crypto(
                    secret_path=profile is Profile.SECURE
                )
                self._keys[index] = keys
            secure = profile is Profile.SECURE
            relayed = theirs.without(*OF_ONE_HOP, *((ZRTP,) if secure else ()))
            offered = replace(
                relayed, port=port.port, host="", protocol=protocol_of(theirs, secure=secure)
            )
            media.append(offered.having(*(key.attribute() for key in keys)))
        return self._publish(media)

    def take_answer(self, body: bytes) -> SessionDescription:
        """The answer to our offer. Raises `SdpError`, `NotAcceptable`."""
        remote = SessionDescription.parse(body)
        assert self.local is not None
        if len(remote.media) != len(self.local.media):
            raise SdpError("the answer has another number of media")
        kept = list(remote.media)
        for index, media in enumerate(remote.media):
            port = self.ports[index] if index < len(self.ports) else None
            if port is None:
                continue
            if not media.port or (":" in remote.host_of(media)) != (":" in self._host):
                self._refuse(index)
                continue
            theirs = choose_crypto(media) if self._profile is not Profile.PLAIN else None
            ours = next(
                (key for key in self._keys.get(index, ()) if theirs and key.tag == theirs.tag), None
            )
            if theirs is None or ours is None or ours.suite != theirs.suite:
                if self._profile is Profile.SECURE or self.policy is SrtpPolicy.REQUIRE:
                    raise NotAcceptable("the other side does not encrypt its media")
                port.secure(None, None)
            else:
                self._secure(port, theirs, ours)
                kept[index] = media.without(ZRTP)
            self._aim(port, media, remote)
        self.remote = remote = replace(remote, media=tuple(kept))
        if remote.audio is None and not any(media.port for media in remote.media):
            raise NotAcceptable("every medium was refused")
        self._agree(remote)
        return remote

    # ── offers we get ───────────────────────────────────────────────────────────────────
    async def take_offer(self, body: bytes) -> SessionDescription:
        """The peer's offer; what our policy or abilities refuse has port 0 in the result.
        Raises `SdpError`, `NotAcceptable`, OSError."""
        remote = SessionDescription.parse(body)
        wanted = [self._wants(media, remote) for media in remote.media]
        if not any(wanted):  # nothing was touched: a call that goes on goes on
            encrypted = self.policy is SrtpPolicy.REQUIRE
            raise NotAcceptable(
                "encrypted media (SDES-SRTP) is required" if encrypted else "no usable media"
            )
        kept: list[Media] = []
        for index, (media, good) in enumerate(zip(remote.media, wanted, strict=True)):
            if not good:
                self._refuse(index)
                kept.append(media.refused())
                continue
            self._aim(await self._port(index), media, remote)
            # A stream that is encrypted between the phone and us is not from phone to phone.
            kept.append(media.without(ZRTP) if self._keyed_by(media) else media)
        self.remote = replace(remote, media=tuple(kept))
        return self.remote

    def restore(self, remote: SessionDescription | None) -> None:
        """Go on as agreed before: the other side did not want the change."""
        self.remote = remote
        if remote is None:
            return
        for media, port in zip(remote.media, self.ports, strict=False):
            if port is not None and media.port:
                self._aim(port, media, remote)

    def answer(self, like: SessionDescription | None = None) -> bytes:
        """Our answer to the offer taken: what it has in common with another leg's answer, or
        our own choice of a codec. Raises `NotAcceptable` when there is nothing in common."""
        assert self.remote is not None
        chosen = [
            self._choose(index, offered, like) for index, offered in enumerate(self.remote.media)
        ]
        if not any(chosen):
            raise NotAcceptable("no codec in common")
        media: list[Media] = []
        for index, (offered, choice) in enumerate(zip(self.remote.media, chosen, strict=True)):
            port = self.ports[index] if index < len(self.ports) else None
            if choice is None or port is None:
                self._refuse(index)
                media.append(offered.refused())
                continue
            answer = replace(choice, port=port.port, host="", protocol=offered.protocol)
            theirs = self._keyed_by(offered)
            if theirs is not None:
                ours = self._answer_key(index, theirs)
                self._secure(port, theirs, ours)
                answer = answer.without(ZRTP).having(ours.attribute())
            else:
                port.secure(None, None)
            media.append(answer)
        body = self._publish(media)
        assert self.local is not None
        self._agree(self.local)
        return body

    def _choose(self, index: int, offered: Media, like: SessionDescription | None) -> Media | None:
        """What to answer to one offered section; None refuses it."""
        if not offered.port or index >= len(self.ports) or self.ports[index] is None:
            return None
        if like is None:
            return own_choice(offered.without(*OF_ONE_HOP), self._codecs)
        given = like.media[index] if index < len(like.media) else None
        if given is None or not given.port or given.kind != offered.kind:
            return None
        return carried(offered.without(*OF_ONE_HOP), given.without(*OF_ONE_HOP), self._codecs)

    # ── what was agreed ─────────────────────────────────────────────────────────────────
    def _agree(self, answer: SessionDescription) -> None:
        """An offer has been answered: until the next answer, this is what is spoken."""
        assert self.local is not None
        assert self.remote is not None
        self._agreed = tuple(zip(self.local.media, self.remote.media, answer.media, strict=False))
        self.audio_terms = next((audio_terms(*sections) for sections in self._audio), None)
        self.on_agreed()

    @property
    def agreed_audio(self) -> Media | None:
        """The answer's audio section, whichever side gave it: its formats are what is spoken."""
        return next((answer for _, _, answer in self._audio), None)

    @property
    def _audio(self) -> list[tuple[Media, Media, Media]]:
        return [one for one in self._agreed if one[0].kind == "audio" and all(m.port for m in one)]

    def described(self, index: int) -> tuple[Media, Media, Media] | None:
        """How we and the peer described stream number `index`, and which of that was the answer;
        None if it is not in use."""
        found = self._agreed[index] if index < len(self._agreed) else None
        return found if found and all(media.port for media in found) else None

    @property
    def announces_zrtp(self) -> bool:
        """The peer means to agree on keys with the other phone, not with us (RFC 6189 §8)."""
        port = self.audio_port
        keyed = port is None or port.inbound is not None
        return not keyed and any(remote.values(ZRTP) for _, remote, _ in self._audio[:1])

    @property
    def codec(self) -> Codec | None:
        """The codec to send, the first agreed one that we speak; None if there is none."""
        terms = self.audio_terms
        return terms.codec if terms else None

    @property
    def codec_name(self) -> str:
        """The first agreed audio codec as written in SDP, for people."""
        audio = self.agreed_audio
        wanted = names(audio)[:1] if audio else []
        written = [audio.codec(payload) for payload in audio.formats] if audio else []
        return next((name for name in written if name.upper().removesuffix("/1") in wanted), "")

    @property
    def event_type(self) -> int | None:
        """The payload type of telephone events, if agreed."""
        terms = self.audio_terms
        return terms.event_type if terms else None

    @property
    def profile(self) -> Profile:
        """How the media now agreed are protected, for an offer that changes nothing."""
        if self.local is None or not any(port.inbound for port in self.ports if port is not None):
            return Profile.PLAIN
        demanded = any(media.is_secure for media in self.local.media)
        return Profile.SECURE if demanded else Profile.OPPORTUNISTIC

    @property
    def audio_port(self) -> RtpPort | None:
        """The port of the first audio stream."""
        if self.local is None:
            return None
        for media, port in zip(self.local.media, self.ports, strict=False):
            if media.kind == "audio" and port is not None:
                return port
        return None

    def close(self) -> None:
        """Give all ports back."""
        for port in self.ports:
            if port is not None:
                port.close()

    # ── parts ───────────────────────────────────────────────────────────────────────────
    async def _port(self, index: int) -> RtpPort:
        while len(self.ports) <= index:
            self.ports.append(None)
        port = self.ports[index]
        if port is None:
            port = self.ports[index] = await RtpPort.open(self._range, self._host)
        return port

    def _refuse(self, index: int) -> None:
        if index < len(self.ports) and (port := self.ports[index]) is not None:
            port.close()
            self.ports[index] = None

    def _wants(self, media: Media, remote: SessionDescription) -> bool:
        """Whether an offered section can be taken at all."""
        reachable = (":" in remote.host_of(media)) == (":" in self._host)
        return bool(media.port) and media.is_rtp and reachable and self._crypto_fits(media)

    def _crypto_fits(self, media: Media) -> bool:
        if self.policy is SrtpPolicy.OFF:
            return not media.is_secure
        usable = choose_crypto(media) is not None
        return usable or (not media.is_secure and self.policy is not SrtpPolicy.REQUIRE)

    def _keyed_by(self, offered: Media) -> CryptoLine | None:
        """The line of an offer that we encrypt with; None if we do not."""
        return choose_crypto(offered) if self.policy is not SrtpPolicy.OFF else None

    def _answer_key(self, index: int, theirs: CryptoLine) -> CryptoLine:
        """Our key for a line of theirs: the one in use when the suite stays (re-INVITE)."""
        for key in self._keys.get(index, ()):
            if key.suite == theirs.suite:
                return replace(key, tag=theirs.tag)
        key = new_crypto(theirs.tag, theirs.suite)
        self._keys[index] = (key,)
        return key

    def _secure(self, port: RtpPort, theirs: CryptoLine, ours: CryptoLine) -> None:
        """Use a pair of keys. A direction whose key stays keeps its session, which goes on
        counting: a new one would use the same key stream again."""
        self.secured = True
        before = port.keys or (b"", b"")
        inbound = port.inbound if before[0] == theirs.key else session(theirs, inbound=True)
        outbound = port.outbound if before[1] == ours.key else session(ours, inbound=False)
        port.secure(inbound, outbound)
        port.keys = (theirs.key, ours.key)

    def _aim(self, port: RtpPort, media: Media, remote: SessionDescription) -> None:
        host = remote.host_of(media)
        port.sending = media.direction in ("sendrecv", "recvonly") and host != "0.0.0.0"  # noqa: S104
        port.clock_rate = _clock_rate(media)
        if host == "0.0.0.0":  # noqa: S104
            return
        rtcp = next(iter(media.values("rtcp")), "").split()
        rtcp_port = int(rtcp[0]) if rtcp and rtcp[0].isdigit() and int(rtcp[0]) < 65_536 else None
        port.aim((host, media.port), (host, rtcp_port) if rtcp_port else None, self.signalling_host)

    def _publish(self, media: list[Media]) -> bytes:
        if self.local is not None and self.local.media == tuple(media):
            return self.local.encode()  # unchanged, and so is its version (RFC 3264 §8)
        self._version += 1
        self.local = SessionDescription(
            media=tuple(media), host=self._host, session_id=self._id, version=self._version
        )
        return self.local.encode()


def protocol_of(media: Media, *, secure: bool) -> str:
    """The RTP profile of a section: with or without keys, with feedback if it has it."""
    feedback = "F" if media.protocol.endswith("F") else ""
    return ("RTP/SAVP" if secure else "RTP/AVP") + feedback


def _clock_rate(media: Media) -> int:
    rates = [media.codec(payload).split("/") for payload in media.formats[:1]]
    return int(rates[0][1]) if rates and len(rates[0]) > 1 and rates[0][1].isdigit() else 8000
