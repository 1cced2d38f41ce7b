"""A trunk that registers, is probed, goes down, comes back, and tells its own calls."""

from __future__ import annotations

import asyncio

import pytest

from pbx.ports import Trunk
from pbx.sip.digest import Credentials, DigestServer
from pbx.sip.locate import Hop, Locator, NotFound
from pbx.sip.message import Request
from pbx.sip.stack import Incoming
from pbx.sip.transport import Address, Flow, Transport
from pbx.trunks import EXPIRES, KEEP_ALIVE, PROBE_EVERY, RETRY_LAST, TrunkLink
from tests.pbx.messages import request
from tests.pbx.phone import Phone
from tests.pbx.virtual_time import MemoryFlow, network, passing, settled, virtual

CARRIER = ("127.0.0.1", 5080)
ACCOUNT = Credentials(username="acme", secret="zebra")


class Carrier(Phone):
    """Answers REGISTER as carriers do: `says` first, in order, then with 200."""

    def __init__(self, address: Address = CARRIER) -> None:
        super().__init__(address[0], "carrier")
        self.local = address
        self.grants = EXPIRES
        self.says: list[tuple[int, dict[str, str]]] = []
        self.adds: dict[str, str] = {}

    def on_request(self, incoming: Incoming) -> None:
        if self.challenge is None and incoming.request.method == "REGISTER":
            self.requests.append(incoming.request)
            status, headers = self.says.pop(0) if self.says else (200, self.adds)
            if status == 200:
                headers = {"expires": str(self.grants), **headers}
            incoming.refuse_with(status, **headers)
        else:
            super().on_request(incoming)


class Domain(Locator):
    """A domain whose servers the test sets; None when the name server is down."""

    def __init__(self) -> None:
        super().__init__()
        self.hops: list[Hop] | None = []

    async def locate(
        self, host: str, port: int = 0, transport: Transport | None = None, *, secure: bool = False
    ) -> list[Hop]:
        if host != "carrier.example":
            return await super().locate(host, port, transport, secure=secure)
        if self.hops is None:
            raise NotFound("no name server answers for carrier.example")
        return list(self.hops)


class Office:
    def __init__(self, trunk: Trunk) -> None:
        self.told: list[str] = []
        self.phone = Phone("127.0.0.1", "pbx")
        self.domain = Domain()
        self.link = TrunkLink(
            trunk,
            self.phone.stack,
            lambda trunk, up, detail: self.told.append(f"{'up' if up else 'down'}: {detail}"),
            self.domain,
        )
        self.phone.stack.on_flow_closed = self.link.flow_closed


def trunk(**changes: object) -> Trunk:
    where = {"host": CARRIER[0], "port": CARRIER[1]}
    return Trunk(name="us", zone="US", **{**where, **changes})  # type: ignore[arg-type]


ONE, TWO = ("127.0.0.11", 5060), ("127.0.0.12", 5060)


async def at_a_domain(
    transport: Transport = "udp", **changes: object
) -> tuple[Office, Carrier, Carrier]:
    """A trunk that is a domain with two servers, both running, not started yet."""
    office = Office(trunk(host="carrier.example", port=0, **changes))
    office.domain.hops = [Hop(transport, ONE), Hop(transport, TWO)]
    carriers = Carrier(ONE), Carrier(TWO)
    await office.phone.listen()
    for carrier in carriers:
        await carrier.listen(transport)
    return office, *carriers


async def started(made: Trunk, carrier: bool = True) -> tuple[Office, Carrier]:
    there, office = Carrier(), Office(made)
    await office.phone.listen()
    if carrier:
        await there.listen()
    office.link.start()
    return office, there


@virtual
async def test_a_trunk_registers_and_refreshes_in_time() -> None:
    office, carrier = await started(trunk(register=True, credentials=ACCOUNT))
    await passing(1)
    assert office.told == ["up: registered"]
    (register,) = carrier.requests
    assert register.start_line() == "REGISTER sip:127.0.0.1 SIP/2.0"
    assert register.get("contact") == "<sip:acme@127.0.0.1:5060>"
    assert register.get("expires") == str(EXPIRES)
    await passing(EXPIRES)
    assert len(carrier.requests) == 2
    assert carrier.requests[1].call_id == register.call_id
    assert carrier.requests[1].cseq.sequence == register.cseq.sequence + 1
    assert office.told == ["up: registered"]


@virtual
async def test_a_shorter_time_granted_is_kept_to() -> None:
    office, carrier = await started(trunk(register=True))
    carrier.grants = 60
    await passing(61)
    assert len(carrier.requests) == 2
    assert office.link.up


@virtual
async def test_a_trunk_answers_the_challenge() -> None:
    office, carrier = await started(trunk(register=True, credentials=ACCOUNT))
    carrier.challenge, carrier.secret = DigestServer("carrier.example"), "zebra"
    await passing(1)
    assert office.told == ["up: registered"]


@virtual
async def test_a_wrong_password_is_down_and_tried_less_and_less() -> None:
    office, carrier = await started(trunk(register=True, credentials=ACCOUNT))
    carrier.challenge, carrier.secret = DigestServer("carrier.example"), "other"
    await passing(3_600)
    assert office.told == ["down: answered 401"]
    assert 3 * 30 < len(carrier.requests) < 3 * 45  # every 2 min at last, three requests each


@virtual
async def test_a_trunk_that_goes_down_and_comes_back() -> None:
    office, _ = await started(trunk())
    await passing(1)
    assert office.told == ["up: answers"]
    network().lose = lambda _: True
    await passing(PROBE_EVERY + 40)
    assert office.told[1:] == ["down: does not answer"]
    network().lose = lambda _: False
    await passing(150)
    assert office.told[2:] == ["up: answers"]


@virtual
async def test_nobody_there_yet() -> None:
    office, _ = await started(trunk(), carrier=False)
    await passing(40)
    assert office.told == ["down: does not answer"]
    await Carrier().listen()
    await passing(120)
    assert office.told[-1] == "up: answers"


@virtual
async def test_stopping_unregisters() -> None:
    office, carrier = await started(trunk(register=True))
    await passing(1)
    await office.link.stop()
    assert carrier.requests[-1].get("expires") == "0"
    await passing(1_000)
    assert len(carrier.requests) == 2


@virtual
async def test_its_calls_are_told_by_address_and_port() -> None:
    office, _ = await started(trunk())
    await passing(1)
    link, invite = office.link, request()
    assert link.is_at("127.0.0.1")
    assert not link.is_at("127.0.0.2")
    assert link.owns(invite, MemoryFlow("udp", CARRIER))
    assert not link.owns(invite, MemoryFlow("udp", ("127.0.0.1", 5081)))
    assert not link.owns(invite, MemoryFlow("udp", ("127.0.0.2", 5080)))
    connected = request(via="127.0.0.1:5080;rport")
    assert link.owns(connected, MemoryFlow("tcp", ("127.0.0.1", 40_000)))
    assert not link.owns(connected, MemoryFlow("udp", ("127.0.0.1", 40_000)))
    assert not link.owns(invite, MemoryFlow("tcp", ("127.0.0.1", 40_000)))


@pytest.mark.parametrize(
    ("uri", "to", "party", "numbers"),
    [
        ("sip:+12025550100@h", "<sip:+12025550100@h>", "", ["+12025550100"]),
        ("sip:acme@h", "<sip:12025550100@h>", "", ["acme", "12025550100"]),
        ("sip:h", "<sip:h>", "<sip:7@h>", ["h", "7"]),
    ],
)
@virtual
async def test_where_carriers_write_the_called_number(
    uri: str, to: str, party: str, numbers: list[str]
) -> None:
    made: Request = request(uri=uri, to=to, p_called_party_id=party)
    assert Office(trunk()).link.called_numbers(made) == numbers


@virtual
async def test_how_a_number_is_called() -> None:
    link = Office(trunk(credentials=ACCOUNT, dial="00{number}", transport="tcp")).link
    target = link.target("+442079460958", "+12025550100")
    assert target.uri == "sip:00442079460958@127.0.0.1:5080;transport=tcp"
    assert target.to_uri == "sip:00442079460958@127.0.0.1:5080"
    assert target.from_uri == "sip:+12025550100@127.0.0.1"
    assert (target.contact_user, target.direct) == ("acme", True)
    await settled()
    assert Office(trunk()).link.target("+1", "").from_uri == "sip:anonymous@127.0.0.1"


@virtual
async def test_who_calls_without_being_seen() -> None:
    """RFC 3323, and RFC 3325: only a trunk that is trusted learns who it is."""
    for trusted in (False, True):
        link = Office(trunk(trusted=trusted)).link
        target = link.target("+442079460958", "+12025550100", hidden=True)
        assert (target.from_uri, target.from_name) == (
            "sip:anonymous@anonymous.invalid",
            "Anonymous",
        )
        assert "12025550100" not in target.contact_user
        assert target.headers["privacy"] == "id"
        told = target.headers.get("p-asserted-identity")
        assert told == ("<sip:+12025550100@127.0.0.1>" if trusted else None)
        shown = link.target("+442079460958", "+12025550100").headers
        assert ("p-asserted-identity" in shown, "privacy" in shown) == (trusted, False)
        await settled()


@pytest.mark.parametrize(
    ("headers", "trusted", "sender"),
    [
        ({"privacy": "id"}, True, "anonymous"),
        ({"privacy": "Header; critical"}, False, "anonymous"),
        ({"privacy": "none"}, False, "+12025550143"),
        ({"from": "<sip:anonymous@Anonymous.Invalid>;tag=1"}, False, "anonymous"),
        ({"p_asserted_identity": "<sip:+12025550199@x>"}, True, "+12025550199"),
        ({"p_asserted_identity": "<sip:+12025550199@x>"}, False, "+12025550143"),
        ({"p_asserted_identity": "<sip:bob@x>"}, True, "+12025550143"),
        ({"p_asserted_identity": "<sip:+12025550199@x>", "privacy": "id"}, True, "anonymous"),
    ],
)
@virtual
async def test_who_a_caller_is(headers: dict[str, str], trusted: bool, sender: str) -> None:
    made: Request = request()
    for name, value in {"from": "<sip:+12025550143@x>;tag=1", **headers}.items():
        made.set(name.replace("_", "-"), value)
    assert Office(trunk(trusted=trusted)).link.sender(made) == sender


@pytest.mark.parametrize(
    ("headers", "back"),
    [
        ({}, False),
        ({"diversion": "<sip:+12025550100@us.example>;reason=unconditional"}, True),
        ({"history_info": "<sip:+12025550100@x>;index=1, <sip:+1@x>;index=1.1"}, True),
        ({"history_info": "<sip:+1@x>;index=1, <sip:+12025550100@x>;index=1.1"}, False),
        ({"diversion": "<sip:+12025550199@us.example>"}, False),
    ],
)
@virtual
async def test_a_call_that_was_sent_on_from_here_comes_back(
    headers: dict[str, str], back: bool
) -> None:
    link = Office(trunk(numbers=("+12025550100",))).link
    assert link.comes_back(request(**headers), "+12025550100") is back
    assert not link.comes_back(request(**headers), "+12025550101")


# ── several servers ─────────────────────────────────────────────────────────────────────────
def methods(carrier: Carrier) -> list[str]:
    return [request.method for request in carrier.requests]


@virtual
async def test_a_silent_server_gives_way_to_the_next_which_is_kept() -> None:
    office, _, two = await at_a_domain(register=True)
    network().lose = lambda datagram: datagram.to == ONE
    office.link.start()
    await passing(5)
    assert office.told == ["up: registered"]
    assert methods(two) == ["REGISTER"]
    network().lose = lambda _: False
    await passing(EXPIRES)
    assert methods(two) == ["REGISTER"] * 2  # registered there, so the first is not asked again
    ways = await office.link.target("+442079460958", "").ways()
    assert [(await way.open()).remote for way in ways] == [TWO, ONE]


@pytest.mark.parametrize("status", [503, 408])
@virtual
async def test_a_server_that_cannot_is_passed_over(status: int) -> None:
    office, one, two = await at_a_domain(register=True)
    one.says = [(status, {})] * 9
    office.link.start()
    await passing(1)
    assert (methods(one), methods(two)) == (["REGISTER"], ["REGISTER"])
    assert office.told == ["up: registered"]


@pytest.mark.parametrize("status", [403, 404, 500, 600])
@virtual
async def test_a_refusal_is_the_answer(status: int) -> None:
    office, one, two = await at_a_domain(register=True)
    one.says = [(status, {})]
    office.link.start()
    await passing(1)
    assert (methods(one), methods(two)) == (["REGISTER"], [])
    assert office.told == [f"down: answered {status}"]


@virtual
async def test_a_refused_connection_gives_way_to_the_next() -> None:
    office, one, two = await at_a_domain("tcp", register=True)
    await one.stack.close()
    office.link.start()
    await passing(1)
    assert methods(two) == ["REGISTER"]
    assert office.told == ["up: registered"]


@virtual
async def test_a_lost_connection_is_replaced_at_once_and_nobody_told() -> None:
    office, one, two = await at_a_domain("tcp", register=True)
    office.link.start()
    await passing(100)
    (flow,) = one.stack.transports._streams.values()
    flow.close()
    await passing(0.1)
    assert methods(one) == ["REGISTER"] * 2
    assert office.told == ["up: registered"]
    await one.stack.close()  # it goes down with all connections: on to the other
    await passing(3)
    assert methods(two) == ["REGISTER"]
    assert office.told == ["up: registered"]


@virtual
async def test_a_server_that_hangs_up_after_each_answer_is_not_rung_without_end() -> None:
    office, one, _ = await at_a_domain("tcp", register=True)

    def hang_up_soon() -> None:
        for flow in list(one.stack.transports._streams.values()):
            flow.close()

    office.domain.hops = [Hop("tcp", ONE)]
    one.stack.on_message = one.stack.on_stray = lambda *_: (
        asyncio.get_running_loop().call_later(0.5, hang_up_soon) and None
    )
    office.link.start()
    await passing(1_000)
    assert 5 < len(one.requests) < 25


@virtual
async def test_a_connection_that_nobody_reads_is_not_used_again() -> None:
    office, one, _ = await at_a_domain("tcp", register=True)
    office.domain.hops = [Hop("tcp", ONE)]
    ports: list[int] = []

    def note(sent: bool, message: object, flow: Flow) -> None:
        flow.trust()  # or the carrier would close it, who is not the one to find out
        if not sent:
            ports.append(flow.remote[1])

    one.stack.on_stray = note
    office.link.start()
    await passing(1)
    network().stalled.add(ONE[0])
    await passing(EXPIRES + 40)
    assert office.told[1:] == ["down: does not answer"]
    network().stalled.clear()
    await passing(RETRY_LAST)
    assert office.told[2:] == ["up: registered"]
    assert len(set(ports)) == 2


@virtual
async def test_the_name_server_fails_and_comes_back_and_each_is_told_once() -> None:
    office, one, _ = await at_a_domain(register=True)
    office.domain.hops = None
    office.link.start()
    await passing(600)
    assert office.told == ["down: no name server answers for carrier.example"]
    office.domain.hops = [Hop("udp", ONE)]
    await passing(RETRY_LAST)
    assert office.told[1:] == ["up: registered"]
    assert len(one.requests) == 1


@virtual
async def test_an_outage_is_told_once_and_its_end_once() -> None:
    office, one, two = await at_a_domain(register=True, credentials=ACCOUNT)
    for carrier in (one, two):
        carrier.challenge, carrier.secret = DigestServer("carrier.example"), "zebra"
    office.link.start()
    await passing(1)
    network().lose = lambda datagram: datagram.to in (ONE, TWO)
    await passing(3_600)
    assert office.told == ["up: registered", "down: does not answer"]
    network().lose = lambda _: False
    await passing(RETRY_LAST + 40)
    assert office.told[2:] == ["up: registered"]


@virtual
async def test_a_failed_call_has_the_trunk_looked_at_now() -> None:
    office, one, _ = await at_a_domain()
    office.link.start()
    await passing(10)
    assert len(one.requests) == 1
    (way, _other) = await office.link.target("+442079460958", "").ways()
    way.failed()
    await passing(1)
    assert sum(len(carrier.requests) for carrier in (one, _)) == 2
    assert (await (await office.link.target("+1", "").ways())[0].open()).remote == TWO


@virtual
async def test_all_servers_calls_are_its_calls() -> None:
    office, _, _ = await at_a_domain()
    office.link.start()
    await passing(1)
    for server in (ONE, TWO):
        assert office.link.owns(request(), MemoryFlow("udp", server))
        assert office.link.serves(*server)
    assert not office.link.owns(request(), MemoryFlow("udp", ("127.0.0.13", 5060)))


# ── what registrars want ────────────────────────────────────────────────────────────────────
@virtual
async def test_too_brief_is_lengthened_and_remembered() -> None:
    office, carrier = await started(trunk(register=True))
    await passing(1)
    carrier.grants = 3600
    carrier.says = [(423, {"min_expires": "3600"})]
    await passing(EXPIRES)
    asked = [request.get("expires") for request in carrier.requests]
    assert asked == ["300", "300", "3600"]
    assert office.told == ["up: registered"]
    await passing(3600)
    assert carrier.requests[-1].get("expires") == "3600"
    assert len({request.call_id for request in carrier.requests}) == 1
    assert [request.cseq.sequence for request in carrier.requests] == [1, 2, 3, 4]


@pytest.mark.parametrize("wanted", ["", "0", "300", "999999999", "1e9", "²", "-5"])
@virtual
async def test_a_senseless_min_expires_is_a_refusal(wanted: str) -> None:
    office, carrier = await started(trunk(register=True))
    carrier.says = [(423, {"min_expires": wanted} if wanted else {})]
    await passing(1)
    assert office.told == ["down: answered 423"]


@pytest.mark.parametrize(
    ("says", "seconds"),
    [("300", 300), ("300 (busy);duration=9", 300), ("99999", 600), ("", 2), ("soon", 2)],
)
@pytest.mark.parametrize("status", [503, 480])
@virtual
async def test_a_busy_registrar_is_left_alone_for_as_long_as_it_asks(
    status: int, says: str, seconds: float
) -> None:
    office, carrier = await started(trunk(register=True))
    carrier.says = [(status, {"retry_after": says} if says else {})]
    await passing(seconds * 0.89)
    assert len(carrier.requests) == 1
    await passing(seconds * 0.12)
    assert len(carrier.requests) == 2
    assert office.told == [f"down: answered {status}", "up: registered"]


@pytest.mark.parametrize("status", [301, 302])
@virtual
async def test_a_registrar_that_moved_is_followed(status: int) -> None:
    office, old = await started(trunk(register=True))
    new = Carrier(TWO)
    await new.listen()
    moved = (status, {"contact": "<sip:any@127.0.0.12:5060>"})
    old.says = [moved, moved]
    await passing(1)
    assert office.told == ["up: registered"]
    assert new.requests[0].start_line() == "REGISTER sip:127.0.0.12:5060 SIP/2.0"
    assert new.requests[0].get("to") == "<sip:us@127.0.0.1>"
    assert office.link.owns(request(), MemoryFlow("udp", TWO))
    await passing(EXPIRES)
    assert len(new.requests) == 2
    assert len(old.requests) == (1 if status == 301 else 2)  # for good, or for this once


@virtual
async def test_a_registrar_that_moved_for_good_and_died_is_forgotten() -> None:
    office, old = await started(trunk(register=True))
    new = Carrier(TWO)
    await new.listen()
    old.says = [(301, {"contact": "<sip:127.0.0.12:5060>"})]
    await passing(1)
    network().lose = lambda datagram: datagram.to == TWO
    await passing(EXPIRES + 40)
    assert len(old.requests) == 2
    assert office.told == ["up: registered"]


@pytest.mark.parametrize(
    "contact", ["<sip:127.0.0.1:5080>", "<tel:+1>", "<http://x>", "*", "<sip:", "", "<sip:a:0>"]
)
@virtual
async def test_redirects_that_lead_nowhere_end(contact: str) -> None:
    office, carrier = await started(trunk(register=True))
    carrier.says = [(302, {"contact": contact} if contact else {})] * 50
    await passing(1)
    assert len(office.told) == 1
    assert office.told[0].startswith("down: ")
    assert len(carrier.requests) <= 4


@virtual
async def test_a_service_route_is_travelled_until_it_is_gone() -> None:
    office, carrier = await started(trunk(register=True))
    carrier.adds = {"service_route": "<sip:127.0.0.12;lr>, <sip:core.example;lr>, <sip:strict>"}
    await passing(1)
    target = office.link.target("+442079460958", "")
    assert target.routes == ("<sip:127.0.0.12;lr>", "<sip:core.example;lr>")
    assert target.uri.endswith("@127.0.0.1:5080")
    assert [(await way.open()).remote for way in await target.ways()] == [TWO]
    carrier.adds = {}
    await passing(EXPIRES)
    assert office.link.target("+442079460958", "").routes == ()
    assert "route" not in carrier.requests[-1]


@virtual
async def test_an_outbound_proxy_gets_everything() -> None:
    office = Office(
        trunk(host="carrier.example", port=0, register=True, outbound_proxy="sip:127.0.0.12;lr")
    )
    proxy = Carrier(TWO)
    proxy.adds = {"service_route": "<sip:127.0.0.12;lr>, <sip:core.example;lr>"}
    await office.phone.listen()
    await proxy.listen()
    office.link.start()
    await passing(1)
    (register,) = proxy.requests
    assert register.start_line() == "REGISTER sip:carrier.example SIP/2.0"
    assert register.get("route") == "<sip:127.0.0.12;lr>"
    target = office.link.target("+442079460958", "")
    assert target.routes == ("<sip:127.0.0.12;lr>", "<sip:core.example;lr>")
    assert [(await way.open()).remote for way in await target.ways()] == [TWO]
    assert office.link.owns(request(), MemoryFlow("udp", TWO))


@virtual
async def test_the_way_through_a_nat_is_kept_open_while_registered() -> None:
    await started(trunk(register=True))
    await passing(10 * KEEP_ALIVE["udp"])
    pings = [datagram for datagram in network().datagrams if datagram.data == b"\r\n\r\n"]
    assert 9 <= len(pings) <= 13
    assert {ping.to for ping in pings} == {CARRIER}


@virtual
async def test_how_a_domain_and_an_ipv6_address_are_called() -> None:
    office = Office(trunk(host="carrier.example", port=0))
    assert office.link.target("+1", "").uri == "sip:+1@carrier.example"
    six = Office(trunk(host="::1", port=5090, register=True)).link
    target = six.target("+442079460958", "+12025550100")
    assert target.uri == "sip:+442079460958@[::1]:5090"
    assert target.from_uri == "sip:+12025550100@[::1]"
