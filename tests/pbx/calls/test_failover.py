"""A call that tries one server of a trunk after the other (RFC 3263 §4.3), in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from pbx.calls.leg import Leg, LegListener, Target, Way
from pbx.media.clock import MediaClock
from pbx.media.port import RtpPorts
from pbx.media.session import MediaSession
from pbx.media.srtp import SrtpPolicy
from pbx.ports import CallRefused
from pbx.sip.digest import Credentials, DigestServer
from pbx.sip.transport import Address, Flow, Transport
from tests.pbx.messages import SDP
from tests.pbx.phone import Line, Phone, after, rings
from tests.pbx.virtual_time import network, now, passing, virtual

SERVERS = [(f"192.0.2.{number}", 5060) for number in (11, 12, 13)]
US = ("192.0.2.1", 5060)


def takes(line: Line) -> None:
    line.session.accept(SDP)


def says(status: int) -> Callable[[Line], None]:
    return lambda line: line.session.end(status)


class Trunk(LegListener):
    """Three servers, a leg that calls through them, and what became of it."""

    def __init__(self, *behaviour: Callable[[Line], None] | None, transport: Transport = "udp"):
        self.servers = [Phone(host, "carrier") for host, _ in SERVERS]
        for server, takes_it in zip(self.servers, behaviour, strict=False):
            server.takes = takes_it or takes
        self.us = Phone(US[0], "pbx")
        self.transport = transport
        self.absent = [index for index, one in enumerate(behaviour) if one is None]
        self.failed: list[int] = []
        self.dialogs: list[str] = []
        self.rang = 0
        self.leg: Leg

    async def open(self) -> Trunk:
        await self.us.listen()
        for index, server in enumerate(self.servers):
            if index not in self.absent:
                await server.listen(self.transport)
        self.leg = Leg(
            stack=self.us.stack,
            media=MediaSession(RtpPorts("127.0.0.1", 41_000, 41_998), US[0], SrtpPolicy.OFF),
            clock=MediaClock(),
            peer="+442079460958",
            direction="out",
            listener=self,
        )
        return self

    def leg_dialog(self, leg: Leg) -> None:
        self.dialogs.append(leg.call_id)

    def leg_ringing(self, leg: Leg) -> None:
        self.rang += 1

    def target(self, **options: object) -> Target:
        def way(index: int, address: Address) -> Way:
            async def flow() -> Flow:
                return await self.us.stack.transports.flow_to(self.transport, address)

            return Way(open=flow, failed=lambda: self.failed.append(index))

        async def ways() -> list[Way]:
            return [way(index, address) for index, address in enumerate(SERVERS)]

        given: dict[str, object] = {"ways": ways, "patience": 4.0, **options}
        return Target(
            peer="+442079460958",
            uri="sip:+442079460958@carrier.example",
            from_uri="sip:us@carrier.example",
            direct=True,
            srtp=SrtpPolicy.OFF,
            **given,  # type: ignore[arg-type]
        )

    async def dial(self, **options: object) -> int:
        """The status the call failed with, or 200."""
        try:
            await self.leg.dial(self.target(**options))
        except CallRefused as refused:
            return refused.status
        return 200

    def invites(self) -> list[int]:
        """How many INVITEs each server has had."""
        return [sum(r.method == "INVITE" for r in server.requests) for server in self.servers]


@virtual
async def test_silence_moves_on_after_four_seconds() -> None:
    trunk = await Trunk(None, takes).open()
    assert await trunk.dial() == 200
    assert now() == pytest.approx(4.0, abs=0.1)
    assert trunk.failed == [0]
    assert trunk.leg.answered
    assert len(set(trunk.dialogs)) == 2  # each attempt is a dialog of its own, and traced


@virtual
async def test_the_last_server_gets_all_the_time_there_is() -> None:
    trunk = await Trunk(None, None, None).open()
    assert await trunk.dial() == 408
    assert now() == pytest.approx(8 + 32, abs=0.1)
    assert trunk.failed == [0, 1]


@virtual
async def test_a_server_that_said_100_is_waited_for() -> None:
    def trying(line: Line) -> None:
        invite = line.session._invite
        assert invite is not None
        invite.reply(100)
        after(20, takes)(line)

    trunk = await Trunk(trying, takes).open()
    assert await trunk.dial() == 200
    assert now() == pytest.approx(20, abs=0.1)
    assert (trunk.invites(), trunk.failed) == ([1, 0, 0], [])


@virtual
async def test_503_moves_on_at_once() -> None:
    trunk = await Trunk(says(503), says(503), takes).open()
    assert await trunk.dial() == 200
    assert now() < 0.1
    assert (trunk.invites(), trunk.failed) == ([1, 1, 1], [0, 1])


@virtual
async def test_503_everywhere_is_503() -> None:
    trunk = await Trunk(says(503), says(503), says(503)).open()
    assert await trunk.dial() == 503
    assert trunk.invites() == [1, 1, 1]


@pytest.mark.parametrize("status", [404, 403, 408, 480, 484, 486, 487, 500, 502, 504, 600, 603])
@virtual
async def test_any_other_answer_is_the_answer(status: int) -> None:
    trunk = await Trunk(says(status), takes).open()
    assert await trunk.dial() == status
    assert (trunk.invites(), trunk.failed) == ([1, 0, 0], [])


@virtual
async def test_a_refused_connection_moves_on_at_once() -> None:
    trunk = await Trunk(None, takes, transport="tcp").open()
    assert await trunk.dial() == 200
    assert now() < 0.1
    assert (trunk.invites(), trunk.failed) == ([0, 1, 0], [0])


@virtual
async def test_a_connection_that_breaks_moves_on() -> None:
    def hang_up(line: Line) -> None:
        line.session.flow.close()

    trunk = await Trunk(hang_up, takes, transport="tcp").open()
    assert await trunk.dial() == 200
    assert (trunk.invites(), trunk.failed) == ([1, 1, 0], [0])


@virtual
async def test_a_refusal_that_comes_late_is_not_waited_for_again() -> None:
    trunk = await Trunk(after(5, says(486)), takes).open()
    assert await trunk.dial() == 200
    await passing(60)
    assert trunk.leg.ending is None
    assert trunk.invites() == [1, 1, 0]


@virtual
async def test_a_server_that_rings_late_gets_its_cancel() -> None:
    """RFC 3261 §9.1: no CANCEL before a provisional answer, and then at once."""
    trunk = await Trunk(after(6, rings), takes).open()
    assert await trunk.dial() == 200
    ladder = network().ladder()
    assert not [line for line in ladder if line.startswith("CANCEL")]
    await passing(10)
    (late,) = trunk.servers[0].lines
    assert late.told == ["ended 487 cancelled by the caller by peer"]
    assert trunk.leg.ending is None
    assert trunk.rang == 0  # the caller does not hear a phone that lost


@virtual
async def test_a_server_that_answers_late_is_hung_up() -> None:
    trunk = await Trunk(after(6, takes), takes).open()
    assert await trunk.dial() == 200
    await passing(10)
    (late,) = trunk.servers[0].lines
    assert late.told == ["ended 200 hung up by the other side by peer"]
    assert trunk.leg.ending is None


@virtual
async def test_hanging_up_between_two_servers_ends_it() -> None:
    trunk = await Trunk(None, takes).open()

    async def too_long() -> None:
        await passing(2)
        trunk.leg.hang_up("enough")

    stopping = asyncio.ensure_future(too_long())
    assert await trunk.dial() == 487
    assert now() == pytest.approx(2, abs=0.1)
    await stopping
    assert trunk.invites() == [0, 0, 0]


@virtual
async def test_hanging_up_while_the_way_is_looked_for_calls_nobody() -> None:
    trunk = await Trunk(takes).open()
    ways = trunk.target().ways

    async def slow() -> object:
        trunk.leg.hang_up("enough")
        return await ways()

    assert await trunk.dial(ways=slow) == 487
    assert trunk.invites() == [0, 0, 0]


@virtual
async def test_nobody_there_at_all() -> None:
    async def none() -> list[Way]:
        raise OSError("carrier.example is not known to the name server")

    trunk = await Trunk(takes).open()
    assert await trunk.dial(ways=none) == 503
    assert trunk.leg.ending is not None
    assert trunk.leg.ending.words == "carrier.example is not known to the name server"


@virtual
async def test_each_server_may_ask_for_the_password() -> None:
    trunk = await Trunk(says(503), takes).open()
    for server in trunk.servers:
        server.challenge, server.secret = DigestServer("carrier.example"), "zebra"
    account = Credentials(username="acme", secret="zebra")
    assert await trunk.dial(credentials=account) == 200
    assert trunk.invites() == [2, 2, 0]


@virtual
async def test_the_route_of_the_trunk_is_in_the_invite_its_cancel_and_its_ack() -> None:
    seen: list[str] = []

    def note(line: Line) -> None:
        invite = line.session._invite
        assert invite is not None
        seen.append(invite.request.get("route"))
        line.session.end(486)

    trunk = await Trunk(note).open()
    assert await trunk.dial(routes=("<sip:proxy.example;lr>", "<sip:core.example;lr>")) == 486
    assert seen == ["<sip:proxy.example;lr>"]
    (ack,) = [d.data for d in network().datagrams if d.line.startswith("ACK")]
    assert b"Route: <sip:proxy.example;lr>\r\nRoute: <sip:core.example;lr>\r\n" in ack
