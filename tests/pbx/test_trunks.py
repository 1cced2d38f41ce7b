"""A trunk that registers, is probed, goes down, comes back, and tells its own calls."""

from __future__ import annotations

import pytest

from pbx.ports import Trunk
from pbx.sip.digest import Credentials, DigestServer
from pbx.sip.message import Request
from pbx.sip.stack import Incoming
from pbx.trunks import EXPIRES, PROBE_EVERY, TrunkLink
from tests.pbx.messages import request
from tests.pbx.phone import Phone
from tests.pbx.virtual_time import MemoryFlow, network, passing, settled, virtual

CARRIER = ("127.0.0.1", 5080)
ACCOUNT = Credentials(username="acme", secret="zebra")


class Carrier(Phone):
    """Answers REGISTER as carriers do."""

    def __init__(self) -> None:
        super().__init__(CARRIER[0], "carrier")
        self.local = CARRIER
        self.grants = EXPIRES

    def on_request(self, incoming: Incoming) -> None:
        if self.challenge is None and incoming.request.method == "REGISTER":
            self.requests.append(incoming.request)
            incoming.refuse_with(200, expires=str(self.grants))
        else:
            super().on_request(incoming)


class Office:
    def __init__(self, trunk: Trunk) -> None:
        self.told: list[str] = []
        self.phone = Phone("127.0.0.1", "pbx")
        self.link = TrunkLink(
            trunk,
            self.phone.stack,
            lambda trunk, up, detail: self.told.append(f"{'up' if up else 'down'}: {detail}"),
        )


def trunk(**changes: object) -> Trunk:
    return Trunk(name="us", zone="US", host=CARRIER[0], port=CARRIER[1], **changes)  # type: ignore[arg-type]


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
    assert office.told[1:] == ["down: answered 408"]
    network().lose = lambda _: False
    await passing(150)
    assert office.told[2:] == ["up: answers"]


@virtual
async def test_nobody_there_yet() -> None:
    office, _ = await started(trunk(), carrier=False)
    await passing(40)
    assert office.told == ["down: answered 408"]
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
    target = link.target("+442079460958", "+12025550100", "Alice")
    assert target.uri == "sip:00442079460958@127.0.0.1:5080;transport=tcp"
    assert target.to_uri == "sip:00442079460958@127.0.0.1:5080"
    assert target.from_uri == "sip:+12025550100@127.0.0.1"
    assert (target.contact_user, target.direct) == ("acme", True)
    await settled()
    assert Office(trunk()).link.target("+1", "").from_uri == "sip:anonymous@127.0.0.1"
