"""Trunks found in DNS, their servers failing one by one, proxies, NAT and IPv6, among programs we
did not write: dnsmasq, SIPp, Kamailio, coturn."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from pathlib import Path

import pytest

from tests.peers import certs, ports, sipp
from tests.peers.dnsmasq import Dnsmasq, Turnserver
from tests.peers.exchange import Config, Exchange, Trunk, check_journal
from tests.peers.kamailio import Kamailio
from tests.peers.proc import Process
from tests.peers.tone import assert_heard

from .common import HIGH, LOW, OUTSIDE, SECRET, US, plain

pytestmark = pytest.mark.interop
NEEDS = ("dnsmasq", "sipp", "kamailio", "turnserver")
DOMAIN = "carrier.test"
HOST = ("host.test", ports.HOST)


def two(first: int, second: int, transport: str = "udp") -> Dnsmasq:
    """A domain with two servers, the first always to be tried first."""
    name = f"_sip._{transport}.{DOMAIN}"
    return Dnsmasq(
        hosts=[HOST], srv=[(name, HOST[0], first, 10, 0), (name, HOST[0], second, 20, 0)]
    )


def config(names: Dnsmasq, **options: object) -> Config:
    trunk = {"host": DOMAIN, "port": 0, "transport": "auto", "numbers": [US], **options}
    return Config(
        plain("101", "102"),
        [Trunk("carrier", **trunk)],  # type: ignore[arg-type]
        {US: "101"},
        extra={"network": {"nameserver": names.address, "failover_after": 1}},
    )


def caller(exchange: Exchange, talk: float = 1) -> sipp.Sipp:
    return sipp.caller(
        exchange.udp, OUTSIDE, number="102", password=SECRET["102"], tone=LOW, talk=talk
    )


async def up(exchange: Exchange, within: float = 10) -> None:
    await exchange.process.wait_line("trunk carrier is up", within)


def refusing(folder: Path, status: str, **options: object) -> sipp.Sipp:
    """A carrier that refuses each call; SIPp wants the status in the scenario itself."""
    text = (sipp.SCENARIOS / "uas_busy.xml").read_text()
    (folder / "refuses.xml").write_text(text.replace("486 Busy Here", status))
    return sipp.Sipp(str(folder / "refuses"), number="refuses", **options)  # type: ignore[arg-type]


def invites(peer: sipp.Sipp) -> int:
    """Calls that reached a carrier, repeats aside."""
    return len({m.header("Call-ID") for m in peer.messages.items
                if m.received and m.start.startswith("INVITE ")})  # fmt: skip


async def test_a_mute_server_gives_way_and_its_late_ringing_is_cancelled() -> None:
    dead = sipp.Sipp("uas_mute", number="dead", variables={"mute": 2500})
    async with (
        dead,
        sipp.callee("network", tone=HIGH, talk=4) as alive,
        two(dead.port, alive.port) as names,
        Exchange(config(names)) as exchange,
    ):
        await up(exchange)  # both answer OPTIONS
        async with caller(exchange, talk=2) as phone:
            await asyncio.gather(phone.finish(), alive.finish())
            assert_heard(phone.media.pcm(), HIGH)
            assert_heard(alive.media.pcm(), LOW)
        await dead.received("CANCEL")
        await dead.received("ACK")
        assert (invites(dead), invites(alive)) == (1, 1)
        call = await exchange.ended_call()
        check_journal(call, "102", OUTSIDE.lstrip("+"))
        assert len(call["legs"]) == 2  # one leg, however many servers were tried


async def test_503_gives_way(tmp_path: Path) -> None:
    full = refusing(tmp_path, "503 Service Unavailable", transport="tcp")
    async with (
        full,
        sipp.callee("network", tone=HIGH, transport="tcp") as alive,
        two(full.port, alive.port, "tcp") as names,
        Exchange(config(names)) as exchange,
    ):
        await up(exchange)
        async with caller(exchange) as phone:
            await asyncio.gather(phone.finish(), alive.finish())
            assert_heard(phone.media.pcm(), HIGH)
        assert (invites(full), invites(alive)) == (1, 1)
        call = await exchange.ended_call()
        async with asyncio.timeout(10):
            while not (lines := (await exchange.cli("trace", call["id"]))["lines"]):
                pass
        sent = [line["peer"] for line in lines if line["sent"] and "INVITE" in line["summary"]]
        ports_called = [int(peer.rpartition(":")[2]) for peer in sent if "tcp" in peer]
        assert ports_called[:2] == [full.port, alive.port]  # the trace follows both attempts


@pytest.mark.parametrize("refusal", ["486 Busy Here", "603 Decline"])
async def test_an_answer_is_an_answer(refusal: str, tmp_path: Path) -> None:
    busy = refusing(tmp_path, refusal)
    async with (
        busy,
        sipp.callee("network") as alive,
        two(busy.port, alive.port) as names,
        Exchange(config(names)) as exchange,
    ):
        await up(exchange)
        async with sipp.Sipp(
            "uac_refused", exchange.udp, number="102", to=OUTSIDE, password=SECRET["102"]
        ) as phone:
            await phone.finish()
            assert phone.final.start.split()[1] == refusal.split(maxsplit=1)[0]
        assert (invites(busy), invites(alive)) == (1, 0)


async def test_a_refused_connection_gives_way() -> None:
    closed = ports.free_port()
    async with sipp.callee("network", tone=HIGH, transport="tcp") as alive:
        names = two(closed, alive.port, "tcp")
        async with names, Exchange(config(names)) as exchange:
            await up(exchange)
            async with caller(exchange) as phone:
                await asyncio.gather(phone.finish(), alive.finish())
                assert_heard(phone.media.pcm(), HIGH)


@pytest.mark.parametrize("chosen", ["tls", "tcp"])
async def test_naptr_chooses_the_transport(chosen: str, tmp_path: Path) -> None:
    """And over TLS the certificate must be the domain's, whatever its servers are called."""
    certificate = await certs.make(tmp_path, DOMAIN)
    services = {"tls": "SIPS+D2T", "tcp": "SIP+D2T", "udp": "SIP+D2U"}
    async with (
        sipp.callee("network", tone=HIGH) as outside,
        Kamailio({"account": "word"}, network=outside.address, tls=certificate) as company,
        Dnsmasq(
            hosts=[HOST],
            naptr=[(DOMAIN, 10 if transport == chosen else 20, 10, service, f"_{transport}.x.test")
                   for transport, service in services.items()],
            srv=[("_tls.x.test", HOST[0], company.tls_port, 0, 0),
                 ("_tcp.x.test", HOST[0], company.port, 0, 0),
                 ("_udp.x.test", HOST[0], company.port, 0, 0)],
        ) as names,
        Exchange(config(names, username="account", password="word", register=True,
                        ca_file=str(certificate.ca))) as exchange,
    ):  # fmt: skip
        await company.registered("account")
        await up(exchange)
        async with caller(exchange) as phone:
            await asyncio.gather(phone.finish(), outside.finish())
            assert_heard(phone.media.pcm(), HIGH)
        invite = await outside.received("INVITE")
        via = re.findall(r"^Via: SIP/2.0/(\w+) ", invite.text, re.M)
        assert via == ["UDP", chosen.upper()]  # Kamailio's, then ours to Kamailio


async def test_a_certificate_of_somebody_else_is_down(tmp_path: Path) -> None:
    certificate = await certs.make(tmp_path, "other.test")
    async with (
        Kamailio({"account": "word"}, tls=certificate) as company,
        Dnsmasq(hosts=[HOST], srv=[(f"_sips._tcp.{DOMAIN}", HOST[0], company.tls_port, 0, 0)])
        as names,
        Exchange(config(names, username="account", password="word", register=True,
                        ca_file=str(certificate.ca))) as exchange,
    ):  # fmt: skip
        line = await exchange.process.wait_line("The line carrier is down: .*")
        assert "certificate is not accepted: Hostname mismatch" in line[0]


async def test_an_outage_is_told_once_and_its_end_once() -> None:
    company = Kamailio({"account": "word"})
    service = [(f"_sip._tcp.{DOMAIN}", HOST[0], company.port, 0, 0)]
    async with Dnsmasq(hosts=[HOST], srv=service) as names:
        wanted = config(names, username="account", password="word", register=True)
        async with Exchange(wanted) as exchange:
            told = (await exchange.cli("say", "status"))["replies"]
            await exchange.process.wait_line("The line carrier is down: ")
            async with company:
                await company.registered("account", 20)
                await exchange.process.wait_line("The line carrier is back")
                since = len(exchange.process.lines.items)
            # its connections broke: tried again at once, and refused
            await exchange.process.wait_line("The line carrier is down: ", 5, since)
            answer = await exchange.cli("say", "status")
            told = [reply["text"] for reply in [*told, *answer.get("news", ()), *answer["replies"]]]
            assert "DOWN" in told[-1]
            heard = [text for text in told if text.startswith("The line carrier is ")]
            words = [text.split()[4].strip(".:") for text in heard]
            assert words == ["back", "down"], told  # the first was before anybody talked to us
            log = "\n".join(exchange.process.lines.items)
            assert re.findall(r"The line carrier is (\w+)", log) == ["down", "back", "down"]


async def test_an_outbound_proxy_is_passed_by_everything() -> None:
    async with (
        sipp.callee("network", tone=HIGH) as outside,
        Kamailio({"account": "word"}, network=outside.address, dids={US: "account"}) as company,
        Exchange(
            Config(
                plain("101", "102"),
                [Trunk("carrier", "nowhere.invalid", 0, [US], username="account", password="word",
                       register=True, outbound_proxy=f"sip:127.0.0.1:{company.port}")],
                {US: "102"},
            )
        ) as exchange,
    ):  # fmt: skip
        await company.registered("account")
        async with caller(exchange) as phone:
            await asyncio.gather(phone.finish(), outside.finish())
            assert_heard(phone.media.pcm(), HIGH)
        route = rf"by the route <sip:127.0.0.1:{company.port};lr>"
        await company.process.wait_line(f"REGISTER {route}")
        await company.process.wait_line(f"INVITE {route}")
        async with (
            sipp.registered_callee(exchange.udp, "102", SECRET["102"], tone=HIGH) as callee,
            sipp.caller(company.network_side, US, number=OUTSIDE, tone=LOW, talk=1) as stranger,
        ):
            await asyncio.gather(stranger.finish(), callee.finish())
            assert_heard(stranger.media.pcm(), HIGH)


@pytest.mark.skipif(
    "THROUGH_EDGE" in os.environ, reason="there the edge's address and the engine's are seen"
)
async def test_the_outside_sees_the_public_address_and_phones_the_local_one() -> None:
    public = "203.0.113.9"
    wanted = Config(
        plain("101", "102"),
        [Trunk("carrier", ports.HOST, 0, [US])],
        extra={"network": {"public_address": public, "local_networks": ["127.0.0.2/32"]}},
    )
    async with sipp.callee("network", talk=0.2, hangs_up=True) as alive:
        wanted.trunks[0].__dict__["port"] = alive.port  # type: ignore[index]
        async with Exchange(wanted) as exchange:
            await exchange.process.wait_line("trunk carrier is up")
            async with sipp.Sipp(
                "uac", exchange.udp, host="127.0.0.2", number="102", to=OUTSIDE,
                password=SECRET["102"], variables={"talk": 100, "callee_hangs_up": 1},
            ) as phone:  # fmt: skip
                await phone.finish()
                answer = await phone.received(200)
            invite = await alive.received("INVITE")
    assert f"@{public}:" in invite.header("Contact")
    assert f" {public}:" in invite.header("Via")
    assert f"c=IN IP4 {public}\r\n" in invite.sdp
    assert public not in answer.text
    assert "c=IN IP4 127.0.0.1\r\n" in answer.sdp


async def test_the_public_address_is_found_out_with_stun() -> None:
    wanted = Config(
        plain("102"),
        [Trunk("carrier", ports.HOST, ports.free_port(), [US], register=True, username="a")],
        extra={
            "exchange": {"host": "0.0.0.0", "advertise": "127.0.0.3"},
            "network": {"local_networks": ["10.0.0.0/8"]},
        },
    )  # 127.0.0.3 stands for our address behind the NAT, 127.0.0.1 for the one outside
    async with Turnserver() as server:
        wanted.extra["network"]["stun_server"] = f"127.0.0.1:{server.port}"  # type: ignore[index]
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as registrar:
            registrar.setblocking(False)
            registrar.bind((ports.HOST, wanted.trunks[0].port))  # type: ignore[index]
            async with Exchange(wanted) as exchange, asyncio.timeout(15):
                request = b""
                while not request.startswith(b"REGISTER"):
                    request = await loop.sock_recv(registrar, 65_535)
                assert f"<sip:a@127.0.0.1:{exchange.own_udp[1]}>".encode() in request
                assert b"127.0.0.3" not in request


async def test_a_real_client_keeps_its_way_open_with_stun() -> None:
    """RFC 5626 §4.4.2: the SIP port answers Binding requests, here coturn's own client."""
    async with Exchange(Config(plain("101"))) as exchange:
        client = await Process.start(
            "stun client", ["turnutils_stunclient", "-p", str(exchange.udp[1]), ports.HOST]
        )
        await client.wait_line(r"UDP reflexive addr: 127\.0\.0\.1:\d+")
        await client.wait()


async def test_a_trunk_over_ipv6() -> None:
    """Signalling with SIPp on ::1: brackets where they belong, and none where they do not."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    async with sipp.Sipp("uas_busy", number="six", host="::1") as alive:
        names = Dnsmasq(
            hosts=[("six.test", "::1")], srv=[(f"_sip._udp.{DOMAIN}", "six.test", alive.port, 0, 0)]
        )
        wanted = Config(
            plain("102"),
            [Trunk("carrier", DOMAIN, 0, [US], transport="auto")],
            extra={"exchange": {"host": "::"}, "network": {"nameserver": names.address}},
        )
        async with names, Exchange(wanted) as exchange:
            await up(exchange)
            async with sipp.Sipp(
                "uac_refused", ("127.0.0.1", exchange.udp[1]), number="102", to=OUTSIDE,
                password=SECRET["102"],
            ) as phone:  # fmt: skip
                await phone.finish()
                assert phone.final.status == 486
        invite = await alive.received("INVITE")
    assert re.match(r"SIP/2.0/UDP \[[0-9a-f:]+\]:\d+;", invite.header("Via")), invite
    assert re.search(r"@\[[0-9a-f:]+\]:\d+>", invite.header("Contact")), invite
    assert re.search(r"^c=IN IP6 [0-9a-f:]+\r$", invite.sdp, re.M), invite
    assert invite.start == f"INVITE sip:{OUTSIDE}@{DOMAIN} SIP/2.0"
