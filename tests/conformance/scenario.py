"""SIPp scenarios written as steps: `Side` turns them into the XML that SIPp runs.

A step is a message sent or a message expected. What is expected is checked by SIPp itself: the
kind of message, the transaction a response belongs to, and patterns that must or must not be in
it (POSIX regular expressions over the whole message).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.sax.saxutils import quoteattr

SERVER = "[remote_ip]:[remote_port]"
HERE = "[local_ip]:[local_port]"
CONTACT = f"Contact: <sip:[from_user]@{HERE};transport=[transport]>"
_COMPACT = {
    "Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Contact": "m", "Content-Type": "c",
    "Content-Length": "l", "Supported": "k",
}  # fmt: skip


def sdp(direction: str = "sendrecv", version: int = 1, formats: str = "0 101") -> str:
    """A G.711 offer or answer."""
    return "\n".join((
        "v=0",
        f"o=sipp 1 {version} IN IP[media_ip_type] [media_ip]",
        "s=-",
        "c=IN IP[media_ip_type] [media_ip]",
        "t=0 0",
        f"m=audio [rtp_port] RTP/AVP {formats}",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        f"a={direction}",
    ))  # fmt: skip


class Side:
    """One SIPp scenario. Methods add steps and give the side back, to be chained."""

    _opening = False

    def __init__(self, *, compact: bool = False, auth: bool = True) -> None:
        self._steps: list[str] = []
        self._variables: list[str] = []
        self._compact = compact
        self._auth = auth
        self._cseq = 0
        self._names = 0
        self._last = ""
        self._invite_cseq = 0
        self._invite = ""

    def xml(self) -> str:
        """The whole scenario."""
        head = '<?xml version="1.0" encoding="ISO-8859-1"?>\n<scenario name="conformance">\n'
        if self._variables:
            self._steps.append(f'<Reference variables="{",".join(self._variables)}"/>')
        return head + "\n".join(self._steps) + "\n</scenario>\n"

    # ── steps both sides know ───────────────────────────────────────────────────────────
    def pause(self, milliseconds: int) -> Side:
        return self._add(f'<pause milliseconds="{milliseconds}"/>')

    def expect(
        self,
        what: int | str,
        *,
        has: str | Iterable[str] = (),
        lacks: str | Iterable[str] = (),
        optional: bool = False,
        txn: str = "",
        rrs: bool = False,
        auth: bool = False,
        within: int = 0,
        keep: Mapping[str, str] | None = None,
        mark: Mapping[str, str] | None = None,
    ) -> Side:
        """Wait for a status or a method. `txn` pins a response to the request of that name;
        unnamed it is the last request sent. `keep` names what a pattern's group finds; `[$name]`
        in later messages is its value. `mark` sets a variable when its pattern is found."""
        kind = "response" if isinstance(what, int) else "request"
        more = ' optional="true"' if optional else ""
        if kind == "response" and (name := txn or self._last):
            more += f' response_txn="{name}"'
        more += ' rrs="true"' if rrs else ""
        more += ' auth="true"' if auth else ""
        more += f' timeout="{within}"' if within else ""
        checks = "".join(
            f'<ereg regexp={quoteattr(pattern)} search_in="msg" {check}="true" '
            f'assign_to="{self._variable()}"/>'
            for check, patterns in (("check_it", has), ("check_it_inverse", lacks))
            for pattern in ((patterns,) if isinstance(patterns, str) else patterns)
        )
        for name, pattern in (keep or {}).items():
            self._variables.append(name)
            checks += (
                f'<ereg regexp={quoteattr(pattern)} search_in="msg" check_it="true" '
                f'assign_to="{self._variable()},{name}"/>'
            )
        for name, pattern in (mark or {}).items():
            self._variables.append(name)
            checks += f'<ereg regexp={quoteattr(pattern)} search_in="msg" assign_to="{name}"/>'
        if what == "INVITE":
            checks += self._remember()
        actions = f"<action>{checks}</action>" if checks else ""
        return self._add(f'<recv {kind}="{what}"{more}>{actions}</recv>')

    def rings(self) -> Side:
        """Whatever may come before an answer."""
        for status in (100, 180, 181, 183):
            self.expect(status, optional=True)
        return self

    def request(
        self,
        method: str,
        *headers: str,
        body: str = "",
        uri: str = "[next_url]",
        name: str = "",
        cseq: int = 0,
        content_type: str = "application/sdp",
    ) -> Side:
        """A request inside the dialog."""
        self._cseq = cseq or self._cseq + 1
        self._names += 1
        self._last = name or f"re{self._names}{method.lower()}"
        if method == "INVITE":
            self._invite_cseq, self._invite = self._cseq, self._last
        lines = [
            f"{method} {uri} SIP/2.0",
            self._via(self._last),
            "[routes]",
            *self._dialog(),
            f"CSeq: {self._cseq} {method}",
            "Max-Forwards: 70",
            CONTACT,
            *headers,
        ]
        return self._send(lines, body, content_type, start=self._last, retrans=True)

    def ack(self, *, body: str = "", uri: str = "[next_url]") -> Side:
        """Acknowledge the 2xx of the last INVITE."""
        self._names += 1
        lines = [
            f"ACK {uri} SIP/2.0",
            self._via(f"a{self._names}"),
            "[routes]",
            *self._dialog(),
            f"CSeq: {self._invite_cseq} ACK",
            "Max-Forwards: 70",
        ]
        return self._send(lines, body, acknowledges=self._invite)

    def ack_refusal(self) -> Side:
        """Acknowledge anything but a 2xx to the INVITE last sent in the dialog."""
        lines = [
            "ACK [next_url] SIP/2.0",
            self._via(self._invite),
            *self._dialog(),
            f"CSeq: {self._invite_cseq} ACK",
            "Max-Forwards: 70",
        ]
        return self._send(lines, acknowledges=self._invite)

    def answer(
        self,
        status: int,
        *headers: str,
        body: str = "",
        content_type: str = "application/sdp",
        contact: bool = True,
        retrans: bool = False,
    ) -> Side:
        """Answer the request that came last."""
        lines = [
            f"SIP/2.0 {status} Fine" if status < 300 else f"SIP/2.0 {status} No",
            "[last_Via:]",
            "[last_From:]",
            "[last_To:]",
            "[last_Call-ID:]",
            "[last_CSeq:]",
            *([CONTACT] if contact and status < 400 else []),
            *headers,
        ]
        return self._send(lines, body, content_type, retrans=retrans)

    def answer_again(self, status: int, *headers: str, body: str = "") -> Side:
        """Answer the last re-INVITE, whatever has come since."""
        lines = [
            f"SIP/2.0 {status} Fine",
            "Via:[$again_via]",
            "From:[$again_from]",
            "To:[$again_to]",
            "Call-ID: [call_id]",
            "CSeq:[$again_cseq]",
            CONTACT,
            *headers,
        ]
        return self._send(lines, body, retrans=True)

    def hang_up(self) -> Side:
        return self.request("BYE").expect(200)

    def hung_up(self, **checks: str) -> Side:
        """The other side ends the call."""
        return self.expect("BYE", **checks).answer(200, contact=False)  # type: ignore[arg-type]

    def linger(self, milliseconds: int = 300) -> Side:
        """Stay a moment, to answer what is repeated."""
        return self._add(f'<timewait milliseconds="{milliseconds}"/>')

    def raw(self, xml: str, *variables: str) -> Side:
        """A step written out."""
        self._variables += variables
        return self._add(xml)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _dialog(self) -> list[str]:
        raise TypeError("use a Caller or a Callee")

    def _remember(self) -> str:
        """Keep what answers to an INVITE are made of, those of a re-INVITE apart."""
        headers = ("Via:", "CSeq:", "From:", "To:")
        names = ("i_via", "i_cseq", "far", "near")
        if not self._opening:
            names = ("again_via", "again_cseq", "again_from", "again_to")
        self._variables += [name for name in names if name not in self._variables]
        return "".join(
            f'<ereg regexp=".*" search_in="hdr" header="{header}" assign_to="{name}"/>'
            for name, header in zip(names, headers, strict=True)
        )

    def _via(self, name: str) -> str:
        branch = f"z9hG4bK-[pid]-[call_number]-{name}"
        return f"Via: SIP/2.0/[transport] {HERE};branch={branch};rport"

    def _variable(self) -> str:
        name = f"c{len(self._variables)}"
        self._variables.append(name)
        return name

    def _send(
        self,
        lines: Iterable[str],
        body: str = "",
        content_type: str = "application/sdp",
        *,
        start: str = "",
        acknowledges: str = "",
        retrans: bool = False,
    ) -> Side:
        lines = list(lines)
        if body:
            lines.append(f"Content-Type: {content_type}")
        lines.append("Content-Length: [len]")
        if self._compact:
            lines = [_shorten(line) for line in lines]
        more = f' start_txn="{start}"' if start else ""
        more += f' ack_txn="{acknowledges}"' if acknowledges else ""
        more += ' retrans="500"' if retrans else ""
        text = "\n".join(lines) + "\n\n" + (body + "\n" if body else "")
        return self._add(f"<send{more}><![CDATA[\n{text}\n]]></send>")

    def _add(self, step: str) -> Side:
        self._steps.append(step)
        return self


_ANSWERER = "To:[^;]*;tag=([^;[:space:]]*)"


class Caller(Side):
    """The side that calls; with `auth` it is a phone that will be challenged."""

    def invite(
        self,
        *headers: str,
        body: str | None = None,
        content_type: str = "application/sdp",
        uri: str = f"sip:[service]@{SERVER}",
        to: str = f"<sip:[service]@{SERVER}>",
        sender: str = f"<sip:[from_user]@{SERVER}>",
        max_forwards: int = 70,
        contact: str = CONTACT,
        credentials: str = "[authentication]",
    ) -> Caller:
        """INVITE, with its challenge."""
        self._sender = f"From: {sender};tag=[pid]c[call_number]"
        self._to, self._tagged = f"To: {to}", "[peer_tag_param]"
        body = sdp() if body is None else body

        def send(*more: str) -> None:
            self._cseq += 1
            self._invite_cseq = self._cseq
            self._last = self._invite = f"invite{self._cseq}"
            lines = [
                f"INVITE {uri} SIP/2.0",
                self._via(self._last),
                self._sender,
                self._to,
                "Call-ID: [call_id]",
                f"CSeq: {self._cseq} INVITE",
                f"Max-Forwards: {max_forwards}",
                contact,
                *headers,
                *more,
            ]
            self._send(lines, body, content_type, start=self._last, retrans=True)

        self._uri = uri
        send()
        if self._auth:
            self.expect(100, optional=True).expect(401, auth=True)
            self.ack_refused()
            send(credentials)
        return self

    def ack_refused(self) -> Caller:
        """Acknowledge a refusal of the first INVITE: the same branch and Request-URI."""
        lines = [
            f"ACK {self._uri} SIP/2.0",
            self._via(self._invite),
            self._sender,
            "[last_To:]",
            "Call-ID: [call_id]",
            f"CSeq: {self._invite_cseq} ACK",
            "Max-Forwards: 70",
        ]
        self._send(lines, acknowledges=self._invite)
        return self

    def refused(self, status: int, **checks: str) -> Caller:
        """The call comes to nothing, with this status."""
        self.rings().expect(status, **checks)  # type: ignore[arg-type]
        return self.ack_refused()

    def answered(self, *, has: str | Iterable[str] = (), ack_body: str = "") -> Caller:
        """The call is taken and the answer acknowledged."""
        # SIPp's own idea of the tag is that of the last response, also of a refusal of the first
        # INVITE that comes late or twice.
        self.rings().expect(200, rrs=True, has=has, keep={"answerer": _ANSWERER})
        self._tagged = ";tag=[$answerer]"
        self.ack(body=ack_body)
        return self

    def cancel(self, *headers: str) -> Caller:
        """Take the INVITE back; expects the 200 that CANCEL always gets."""
        invite, cseq = self._invite, self._invite_cseq
        lines = [
            f"CANCEL {self._uri} SIP/2.0",
            self._via(invite),
            self._sender,
            self._to,
            "Call-ID: [call_id]",
            f"CSeq: {cseq} CANCEL",
            "Max-Forwards: 70",
            *headers,
        ]
        self._send(lines, retrans=True)
        return self

    def outside(self, method: str, *headers: str, tag: str = "", uri: str = "", to: str = "",
                max_forwards: int = 70, body: str = "", content_type: str = "text/plain",
                ) -> Caller:  # fmt: skip
        """A request outside any dialog, or with `tag` in one that does not exist."""
        self._cseq += 1
        self._last = f"{method.lower()}{self._cseq}"
        self._uri = uri or f"sip:[service]@{SERVER}"
        self._sender = f"From: <sip:[from_user]@{SERVER}>;tag=[pid]c[call_number]"
        self._tagged = "[peer_tag_param]"
        self._to = f"To: {to or f'<sip:[service]@{SERVER}>'}" + (f";tag={tag}" if tag else "")
        lines = [
            f"{method} {self._uri} SIP/2.0",
            self._via(self._last),
            self._sender,
            self._to,
            "Call-ID: [call_id]",
            f"CSeq: {self._cseq} {method}",
            f"Max-Forwards: {max_forwards}",
            *headers,
        ]
        self._send(lines, body, content_type, start=self._last, retrans=True)
        return self

    def register(self, *headers: str, auth: bool = True) -> Caller:
        """REGISTER with the given Contact (and other) headers, and its challenge."""

        def send(*more: str) -> None:
            self.outside("REGISTER", *headers, *more, uri=f"sip:{SERVER}",
                         to=f"<sip:[from_user]@{SERVER}>")  # fmt: skip

        send()
        if auth:
            self.expect(401, auth=True)
            send("[authentication]")
        return self

    def _dialog(self) -> list[str]:
        return [self._sender, self._to + self._tagged, "Call-ID: [call_id]"]


class Callee(Side):
    """The side that is called."""

    tag = "[pid]s[call_number]"

    def invited(self, *, has: str | Iterable[str] = (), lacks: str | Iterable[str] = (),
                mark: Mapping[str, str] | None = None) -> Callee:  # fmt: skip
        """The INVITE that opens the call, or the next attempt at it."""
        self._opening = True
        self.expect("INVITE", rrs=True, has=has, lacks=lacks, mark=mark)
        self._opening = False
        return self

    def respond(
        self,
        status: int,
        *headers: str,
        body: str = "",
        tag: str = "",
        contact: str = CONTACT,
        retrans: bool = False,
        content_type: str = "application/sdp",
    ) -> Callee:
        """Answer the first INVITE, whatever has come since."""
        phrase = {True: "Fine", False: "No"}[status < 300]
        lines = [
            f"SIP/2.0 {status} {phrase}",
            "Via:[$i_via]",
            "From:[$far]",
            "To:[$near]" + (f";tag={tag or self.tag}" if status > 100 else ""),
            "Call-ID: [call_id]",
            "CSeq:[$i_cseq]",
            *([contact] if 100 < status < 400 and contact else []),
            *headers,
        ]
        self._send(lines, body, content_type, retrans=retrans)
        return self

    def takes(self, *headers: str, body: str | None = None, **more: str) -> Callee:
        """Ring, answer, and see the answer acknowledged."""
        self.respond(180)
        self.respond(200, *headers, body=sdp() if body is None else body, retrans=True, **more)  # type: ignore[arg-type]
        self.expect("ACK")
        return self

    def refuses(self, status: int, *headers: str, **more: str) -> Callee:
        self.respond(status, *headers, retrans=True, **more)  # type: ignore[arg-type]
        self.expect("ACK")
        return self

    def _dialog(self) -> list[str]:
        return [f"From:[$near];tag={self.tag}", "To:[$far]", "Call-ID: [call_id]"]


def _shorten(line: str) -> str:
    name, colon, value = line.partition(":")
    return _COMPACT.get(name, name) + colon + value
