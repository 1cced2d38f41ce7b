"""Calls that go elsewhere than they began: 3xx answers (RFC 3261 §8.1.3.4), and callers who leave
the offer to us (RFC 3264 §5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from encryptotel.demo.phone import Phone, plays
from pbx.events import CallNotice, LegStarted
from pbx.media.tones import tone
from pbx.ports import CallRefused
from pbx.sip.stack import Incoming
from tests.calls.test_extensions import hears
from tests.office import NEVER, Office, open_office, quiet


class ForwardingPhone(Phone):
    """A phone that sends every caller elsewhere."""

    to: tuple[str, ...] = ()

    def on_request(self, incoming: Incoming) -> None:
        if incoming.request.method == "INVITE":
            response = incoming.request.response(302)
            response.set("contact", [f"<{uri}>" for uri in self.to])
            incoming.refuse(response)
        else:
            super().on_request(incoming)


async def forwarding(office: Office, number: str, *to: str) -> ForwardingPhone:
    phone = ForwardingPhone(quiet)
    phone.to = to
    await office.phone(number, phone)
    return phone


async def test_a_phone_sends_its_callers_to_another_extension(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice = await office.phone("101", Phone(plays(tone(1, 440.0))))
        carol = await office.phone("103", Phone(plays(tone(1, 620.0))))
        await forwarding(office, "102", "sip:103@somewhere.example")
        leg = await alice.call("102")
        await hears(alice, 620.0)
        await hears(carol, 440.0)
        leg.hang_up()
        ended = await office.ended()
        assert ended.status == 200
        assert [notice.text for notice in office.of(CallNotice)] == [
            "102 sends its callers to 103."
        ]


async def test_a_phone_may_forward_through_a_trunk_where_it_may_call_itself(tmp_path: Path) -> None:
    async with open_office(tmp_path, demo={"carrier": True}) as office:
        alice = await office.phone("101", Phone(quiet))
        await forwarding(office, "102", "tel:+1-202-555-0143")
        leg = await alice.call("102")
        started = [(leg.peer, bool(leg.trunk)) for leg in office.of(LegStarted)]
        assert started == [("101", False), ("102", False), ("+12025550143", True)]
        leg.hang_up()
        await office.ended()


@pytest.mark.parametrize(
    "to", [("sip:102@x",), ("sip:600@x",), ("sip:%00@x", "nonsense"), ("mailto:a@b.example",), ()]
)
async def test_a_phone_that_sends_its_callers_nowhere_is_not_reached(
    tmp_path: Path, to: tuple[str, ...]
) -> None:
    async with open_office(tmp_path) as office:
        alice = await office.phone("101", Phone(quiet))
        await forwarding(office, "102", *to)
        with pytest.raises(CallRefused) as refused:
            await alice.call("102")
        assert refused.value.status == 480
        await office.ended()


async def test_phones_that_send_callers_around_in_a_circle_do_not_loop(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        alice = await office.phone("101", Phone(quiet, ring_seconds=NEVER))
        await forwarding(office, "102", "sip:103@x")
        await forwarding(office, "103", "sip:102@x")
        with pytest.raises(CallRefused) as refused:
            await alice.call("102")
        assert refused.value.status == 480
        await office.ended()
        assert len(office.of(LegStarted)) <= 8
