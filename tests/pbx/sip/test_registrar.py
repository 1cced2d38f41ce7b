"""The registrar, RFC 3261 §10.3: REGISTER in, bindings and 200 out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbx.sip.message import Request, Response
from pbx.sip.registrar import MAX_CONTACT, MAX_DEVICES, Binding, Registrar
from pbx.sip.transaction import NonInviteServerTransaction, Timers
from tests.pbx.messages import request
from tests.pbx.virtual_time import MemoryFlow, now, passing, run, virtual

BEGAN = datetime(2026, 11, 22, 12, tzinfo=UTC)
DESK = "sip:101@192.0.2.9:5060"
MOBILE = "sip:101@192.0.2.10:5062;transport=tcp"


class Office:
    """A registrar and what it told its owner."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.registrar = Registrar(
            lambda binding, refreshed: self.told.append(
                f"{'refreshed' if refreshed else 'bound'} {binding.contact}"
            ),
            lambda binding, reason: self.told.append(f"{reason} {binding.contact}"),
            lambda: BEGAN + timedelta(seconds=now()),
        )
        self._cseq = 0

    def register(
        self,
        *contacts: str,
        expires: int | str | None = 300,
        cseq: int = 0,
        call_id: str = "reg-1",
        flow: MemoryFlow | None = None,
        extension: str = "101",
        username: str = "",
        **headers: str,
    ) -> Response:
        """Send one REGISTER and give its answer."""
        self._cseq += 1
        made: Request = request("REGISTER", cseq=cseq or self._cseq, call_id=call_id, **headers)
        made.set("contact", contacts)
        if expires is not None:
            made.set("expires", str(expires))
        flow = flow or MemoryFlow("tcp")
        transaction = NonInviteServerTransaction(made, flow, Timers())
        self.registrar.handle(transaction, extension, username or extension)
        answer = flow.messages()[-1]
        assert isinstance(answer, Response)
        return answer

    def contacts(self, extension: str = "101") -> list[str]:
        return [binding.contact for binding in self.registrar.bindings(extension)]


@virtual
async def test_a_phone_registers_and_the_answer_lists_it() -> None:
    office = Office()
    answer = office.register(f"<{DESK}>", user_agent="Desk phone 3000")
    assert answer.status == 200
    assert answer.get_all("contact") == [f"<{DESK}>;expires=300"]
    assert answer.get("date") == "Sun, 22 Nov 2026 12:00:00 GMT"
    assert answer.to_tag
    (binding,) = office.registrar.bindings("101")
    assert (binding.contact, binding.user_agent) == (DESK, "Desk phone 3000")
    assert binding.expires == BEGAN + timedelta(seconds=300)
    assert office.told == [f"bound {DESK}"]


@virtual
async def test_several_devices_of_one_extension() -> None:
    office = Office()
    office.register(f"<{DESK}>", call_id="a")
    await passing(100)
    answer = office.register(f"<{MOBILE}>", call_id="b")
    assert answer.get_all("contact") == [f"<{DESK}>;expires=200", f"<{MOBILE}>;expires=300"]
    assert office.contacts() == [DESK, MOBILE]
    assert office.contacts("102") == []


@virtual
async def test_a_refresh_moves_the_device_to_the_end_and_takes_the_new_flow() -> None:
    office = Office()
    office.register(f"<{DESK}>", call_id="a")
    office.register(f"<{MOBILE}>", call_id="b")
    await passing(200)
    fresh = MemoryFlow("tls", ("198.51.100.1", 1234))
    office.register(f"<{DESK}>", call_id="a", flow=fresh)
    assert office.contacts() == [MOBILE, DESK]
    assert office.registrar.bindings("101")[-1].flow is fresh
    assert office.told[-1] == f"refreshed {DESK}"
    await passing(200)  # the old expiry does not count any more
    assert office.contacts() == [DESK]


@virtual
async def test_a_binding_expires() -> None:
    office = Office()
    office.register(f"<{DESK}>", expires=60)
    await passing(59.9)
    assert office.contacts() == [DESK]
    await passing(0.2)
    assert office.contacts() == []
    assert office.told[-1] == f"expired {DESK}"
    assert office.registrar.all() == []
    assert not office.registrar.holds("192.0.2.9")


@virtual
async def test_a_query_changes_nothing() -> None:
    office = Office()
    office.register(f"<{DESK}>")
    answer = office.register(expires=None)
    assert answer.get_all("contact") == [f"<{DESK}>;expires=300"]
    assert len(office.told) == 1


@pytest.mark.parametrize("contact", [f"<{DESK}>;expires=0", f"<{DESK}>"])
@virtual
async def test_a_phone_unregisters(contact: str) -> None:
    office = Office()
    office.register(f"<{DESK}>")
    answer = office.register(contact, expires=0)
    assert answer.status == 200
    assert "contact" not in answer
    assert office.told[-1] == f"unregistered {DESK}"
    await passing(600)
    assert len(office.told) == 2  # no expiry after the end


@virtual
async def test_unregistering_what_is_not_there() -> None:
    office = Office()
    assert office.register(f"<{DESK}>", expires=0).status == 200
    assert office.told == []


@virtual
async def test_a_star_removes_every_device() -> None:
    office = Office()
    office.register(f"<{DESK}>", call_id="a")
    office.register(f"<{MOBILE}>", call_id="b")
    office.register("<sip:102@192.0.2.9>", call_id="c", extension="102")
    assert office.register("*", expires=0).status == 200
    assert office.contacts() == []
    assert office.contacts("102") == ["sip:102@192.0.2.9"]


@pytest.mark.parametrize(
    ("contacts", "expires"),
    [(("*",), None), (("*",), 60), (("*", f"<{DESK}>"), 0), ((f"<{MOBILE}>", "*"), 0)],
)
@virtual
async def test_a_star_with_anything_else_is_400(contacts: tuple[str, ...], expires: int) -> None:
    office = Office()
    office.register(f"<{DESK}>")
    assert office.register(*contacts, expires=expires).status == 400
    assert office.contacts() == [DESK]


# ── expiry ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("header", "parameter", "granted"),
    [
        (None, "", 3600),
        ("", "", 3600),
        ("soon", "", 3600),
        ("-5", "", 3600),
        ("99999999999999999999", "", 3600),
        ("4000", "", 3600),
        ("90", "", 90),
        ("90", ";expires=45", 45),
        ("90", ";expires=soon", 90),
        ("30", "", 30),
    ],
)
@virtual
async def test_the_time_granted(header: str | None, parameter: str, granted: int) -> None:
    answer = Office().register(f"<{DESK}>{parameter}", expires=header)
    assert answer.get("contact") == f"<{DESK}>;expires={granted}"


@pytest.mark.parametrize("seconds", [1, 29])
@virtual
async def test_too_brief_is_423_and_says_what_is_not(seconds: int) -> None:
    office = Office()
    answer = office.register(f"<{MOBILE}>;expires=60", f"<{DESK}>;expires={seconds}")
    assert (answer.status, answer.get("min-expires")) == (423, "30")
    assert office.told == []  # all or nothing


# ── order, §10.3 step 7 ─────────────────────────────────────────────────────────────────────
@virtual
async def test_an_old_register_of_the_same_phone_is_refused() -> None:
    office = Office()
    office.register(f"<{DESK}>", cseq=5)
    for cseq in (4, 5):
        answer = office.register(f"<{DESK}>", cseq=cseq, expires=0)
        assert (answer.status, answer.get("retry-after")) == (500, "1")
    assert office.contacts() == [DESK]
    assert office.register(f"<{DESK}>", cseq=6, expires=0).status == 200


@virtual
async def test_a_restarted_phone_counts_anew() -> None:
    office = Office()
    office.register(f"<{DESK}>", cseq=500, call_id="before")
    assert office.register(f"<{DESK}>", cseq=1, call_id="after").status == 200
    assert office.told[-1] == f"refreshed {DESK}"


@virtual
async def test_a_phone_back_on_a_new_port_replaces_itself() -> None:
    office = Office()
    flow = MemoryFlow("udp", ("192.0.2.9", 5060))
    office.register("<sip:101@10.0.0.1:1111>", flow=flow)
    office.register("<sip:101@10.0.0.1:2222>", flow=flow)
    assert office.contacts() == ["sip:101@10.0.0.1:2222"]
    assert office.told[1] == "replaced sip:101@10.0.0.1:1111"


# ── limits ──────────────────────────────────────────────────────────────────────────────────
@virtual
async def test_an_extension_has_a_limited_number_of_devices() -> None:
    office = Office()
    for number in range(MAX_DEVICES):
        assert office.register(f"<sip:101@192.0.2.{number}>", call_id=str(number)).status == 200
    assert office.register("<sip:101@192.0.2.99>", call_id="x").status == 403
    assert office.register("<sip:101@192.0.2.3>", call_id="3").status == 200  # a refresh goes
    assert len(office.contacts()) == MAX_DEVICES
    one_too_many = [f"<sip:102@192.0.2.{number}>" for number in range(MAX_DEVICES + 1)]
    assert office.register(*one_too_many, extension="102").status == 403
    assert office.contacts("102") == []


@pytest.mark.parametrize(
    "contact",
    [
        "<sip:101@h;" + "x" * MAX_CONTACT + ">",
        "<http://example.com>",
        "<sip:101@h",
        "sip: 101",
        "<sip:>",
        '"x',
        "<sip:101@h>;self=1",
    ],
)
@virtual
async def test_contact_invalid(contact: str) -> None:
    office = Office()
    assert office.register(f"<{DESK}>", contact).status == 400
    assert office.told == []


# ── flows and restarts ──────────────────────────────────────────────────────────────────────
@virtual
async def test_a_broken_connection_takes_its_devices_along() -> None:
    office = Office()
    flow, other = MemoryFlow("tls"), MemoryFlow("tls")
    office.register(f"<{DESK}>", flow=flow, call_id="a")
    office.register("<sip:102@192.0.2.9>", flow=flow, call_id="b", extension="102")
    office.register(f"<{MOBILE}>", flow=other, call_id="c")
    office.registrar.flow_closed(flow)
    assert office.contacts() == [MOBILE]
    assert office.contacts("102") == []
    assert office.told[-2:] == [
        f"connection closed {DESK}",
        "connection closed sip:102@192.0.2.9",
    ]


@virtual
async def test_an_address_counts_as_known_while_one_device_is_there() -> None:
    office = Office()
    office.register(f"<{DESK}>", flow=MemoryFlow("udp", ("203.0.113.5", 1000)), call_id="a")
    office.register(f"<{MOBILE}>", flow=MemoryFlow("udp", ("203.0.113.5", 2000)), call_id="b")
    assert office.registrar.holds("203.0.113.5")
    office.register(f"<{DESK}>", expires=0, call_id="a")
    assert office.registrar.holds("203.0.113.5")
    office.register(f"<{MOBILE}>", expires=0, call_id="b")
    assert not office.registrar.holds("203.0.113.5")


def saved(contact: str, seconds: float) -> Binding:
    return Binding(
        extension="101",
        contact=contact,
        flow=MemoryFlow("udp", ("203.0.113.5", 5060)),
        expires=BEGAN + timedelta(seconds=seconds),
        call_id="reg-1",
        cseq=7,
        username="101",
        since=BEGAN,
    )


@virtual
async def test_bindings_are_restored_with_what_is_left_of_their_time() -> None:
    office = Office()
    await passing(100)
    office.registrar.restore(saved(DESK, 130))
    office.registrar.restore(saved(MOBILE, 99))  # ran out while we were away
    assert office.contacts() == [DESK]
    assert office.told == []  # nothing new happened
    assert office.registrar.holds("203.0.113.5")
    assert office.register(f"<{DESK}>", cseq=7).status == 500  # the order goes on as well
    await passing(31)
    assert office.told == [f"expired {DESK}"]


@virtual
async def test_closing_keeps_the_bindings_for_the_next_start() -> None:
    office = Office()
    office.register(f"<{DESK}>", expires=60)
    office.registrar.close()
    await passing(600)
    assert office.contacts() == [DESK]
    assert office.told == [f"bound {DESK}"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["bind", "drop", "star", "break", "wait"]),
            st.integers(0, 5),
            st.sampled_from(["101", "102"]),
        ),
        max_size=40,
    )
)
@settings(deadline=None)
def test_whatever_happens_the_books_balance(events: list[tuple[str, int, str]]) -> None:
    async def course() -> None:
        office = Office()
        flows = [MemoryFlow("tls", (f"203.0.113.{number}", 5060)) for number in range(6)]
        for what, number, extension in events:
            contact = f"<sip:{extension}@10.0.0.{number}>"
            match what:
                case "bind" | "drop":
                    expires = 60 if what == "bind" else 0
                    office.register(
                        contact, expires=expires, extension=extension, flow=flows[number],
                        call_id=contact,
                    )  # fmt: skip
                case "star":
                    office.register("*", expires=0, extension=extension)
                case "break":
                    office.registrar.flow_closed(flows[number])
                case "wait":
                    await passing(13)
        live = office.registrar.all()
        hosts = {binding.flow.remote[0] for binding in live}
        assert all(
            office.registrar.holds(host) == (host in hosts)
            for host, _ in (flow.remote for flow in flows)
        )
        bound = sum(told.startswith("bound") for told in office.told)
        gone = sum(not told.startswith(("bound", "refreshed")) for told in office.told)
        assert bound - gone == len(live)
        await passing(61)
        assert office.registrar.all() == []
        assert not any(office.registrar.holds(flow.remote[0]) for flow in flows)

    run(course())


# ── Path (RFC 3327) and outbound (RFC 5626) ─────────────────────────────────────────────────
PHONE = '<{};ob>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";reg-id={}'


@virtual
async def test_the_path_to_a_phone_is_kept_and_told_back() -> None:
    office = Office()
    path = "<sip:edge.example.com;lr>, <sip:core.example.com;lr>"
    answer = office.register(f"<{DESK}>", path=path, supported="path")
    assert (answer.status, answer.get("path")) == (200, path)
    (binding,) = office.registrar.bindings("101")
    assert binding.path == ("<sip:edge.example.com;lr>", "<sip:core.example.com;lr>")


@pytest.mark.parametrize(
    ("path", "supported", "status"),
    [
        ("<sip:edge.example.com;lr>", "outbound", 420),
        ("<nonsense>", "path", 400),
        (", ".join(["<sip:e;lr>"] * 6), "path", 400),
    ],
)
@virtual
async def test_a_path_that_cannot_be_followed_is_refused(
    path: str, supported: str, status: int
) -> None:
    office = Office()
    assert office.register(f"<{DESK}>", path=path, supported=supported).status == status
    assert office.contacts() == []


@virtual
async def test_the_flows_of_one_phone_are_its_ways_and_ring_once() -> None:
    office = Office()
    for reg_id, uri in ((1, DESK), (2, MOBILE)):
        answer = office.register(PHONE.format(uri, reg_id), supported="outbound, path")
        assert answer.get("require") == "outbound"
        assert int(answer.get("flow-timer")) > 0
    office.register("<sip:101@192.0.2.77>", call_id="other")
    ways = [[binding.contact for binding in phone] for phone in office.registrar.phones("101")]
    assert sorted(map(len, ways)) == [1, 2]
    assert [f"{MOBILE};ob", f"{DESK};ob"] in ways  # the latest first


@virtual
async def test_a_flow_that_is_registered_again_from_another_address_replaces_the_old() -> None:
    office = Office()
    office.register(PHONE.format(DESK, 1), supported="outbound", call_id="before")
    office.register(PHONE.format(MOBILE, 1), supported="outbound", call_id="after a reboot")
    assert office.contacts() == [f"{MOBILE};ob"]
    assert office.told == [f"bound {DESK};ob", f"replaced {DESK};ob", f"bound {MOBILE};ob"]
    office.register(PHONE.format(MOBILE, 1), supported="outbound", expires=0)
    assert office.contacts() == []


@virtual
async def test_an_instance_without_outbound_is_an_ordinary_contact() -> None:
    office = Office()
    office.register(PHONE.format(DESK, 1))
    office.register(PHONE.format(MOBILE, 1), call_id="other")
    assert len(office.contacts()) == 2


@virtual
async def test_a_first_hop_that_knows_no_outbound_is_439() -> None:
    office = Office()
    via = "192.0.2.7;branch=z9hG4bKedge, SIP/2.0/UDP 192.0.2.9"
    refused = office.register(PHONE.format(DESK, 1), supported="outbound, path", via=via)
    assert refused.status == 439
    path = "<sip:edge.example.com;lr;ob>"
    office.register(PHONE.format(DESK, 1), supported="outbound, path", via=via, path=path)
    assert office.contacts() == [f"{DESK};ob"]
