"""A link that sets a phone up: once, not for long, for phones and for people."""

from __future__ import annotations

import asyncio
import hashlib
import html
import re
import ssl
from datetime import timedelta
from pathlib import Path
from xml.etree.ElementTree import fromstring

import httpx
import pytest
from cryptography import x509

from bot.ports import Account, OperatorError, Role
from bot.replies import Reply
from encryptotel.demo.phone import Phone
from encryptotel.people import OWNER
from encryptotel.phones import GOOD_FOR, MAX_LINKS, SET_UP
from nlp.commands import AddDevice, Understanding
from pbx.events import LegAnswered
from pbx.sip.registrar import MAX_DEVICES
from tests.interop.common import plain
from tests.office import quiet
from tests.peers import sipp
from tests.peers.exchange import WEB, Config, Exchange
from tests.web.site import BROWSER, PHONE, entries, open_site
from web.setup import GONE


async def test_a_phone_that_scans_it_can_register_and_call(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        link = await site.link("Alice's desk")
        answer = await site.scans(link)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/xml"
        found = entries(answer.content)
        tls = site.office.app.addresses["tls"]
        assert found["proxy_0.reg_proxy"] == f"<sip:{tls};transport=tls>"
        assert found["proxy_0.reg_identity"] == '"Alice" <sip:101@encryptotel.local>'
        assert found["auth_info_0.username"] == "101"
        assert found["sip.media_encryption"] == "srtp"
        assert found["misc.transient_provisioning"] == "1"
        phone = await site.office.phone(
            "101",
            Phone(quiet),
            transport="tls",
            username=found["auth_info_0.userid"],
            secret=found["auth_info_0.passwd"],
        )
        await phone.call("600")
        assert site.office.of(LegAnswered)[0].srtp
        (row,) = site.office.app.directory.devices("101")
        (binding,) = site.office.app.exchange.registrar.bindings("101")
        assert (row.name, row.username) == ("Alice's desk", binding.username)


async def test_it_is_good_once(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        link = await site.link()
        answers = await asyncio.gather(*(site.scans(link) for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] + 7 * [404]
        assert (await site.client.post(link.page)).status_code == 404
        assert (await site.client.get(link.page)).status_code == 404
        assert len(site.office.app.directory.devices("101")) == 1


async def test_it_is_good_for_ten_minutes(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        first, second = await site.link(), await site.link()
        now = site.phones._now
        site.phones._now = lambda: now() + GOOD_FOR - timedelta(seconds=5)
        assert (await site.scans(first)).status_code == 200
        site.phones._now = lambda: now() + GOOD_FOR
        for answer in (await site.scans(second), await site.client.get(second.page)):
            assert answer.status_code == 404
            assert html.escape(GONE, quote=False) in html.unescape(answer.text)


async def test_looking_at_it_uses_nothing_up(tmp_path: Path) -> None:
    """Chat networks fetch links to show what is behind them, and people scan with a camera."""
    async with open_site(tmp_path) as site:
        link = await site.link()
        preview = {"user-agent": "TelegramBot (like TwitterBot)"}
        for headers in (preview, BROWSER, PHONE):
            page = await site.client.get(link.page, headers=headers)
            assert page.status_code == 200
            assert f"linphone-config:{link.phone}" in page.text
        for url in (link.page, link.phone):
            assert (await site.client.head(url)).status_code == 405
            assert (await site.client.options(url)).status_code == 405
        camera = await site.client.get(link.phone, headers=BROWSER)
        assert (camera.status_code, camera.headers["location"]) == (303, link.page)
        assert site.office.app.directory.devices("101") == []
        assert (await site.scans(link)).status_code == 200


async def test_a_person_can_read_what_to_enter(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        page = await site.client.post((await site.link("<b>desk</b>")).page, headers=BROWSER)
        (row,) = site.office.app.directory.devices("101")
        shown = [html.unescape(value) for value in re.findall("<code>(.*?)</code>", page.text)]
        server = site.office.app.addresses["tls"]
        assert shown == [
            "101",
            row.username,
            row.secret,
            "encryptotel.local",
            server,
            "TLS",
            "SRTP",
        ]
        assert "<b>" not in page.text
        assert "/ca.crt" in page.text
        text = await site.client.post((await site.link()).page, headers={"accept": "text/plain"})
        assert "Transport: TLS\n" in text.text


async def test_zoiper_gets_what_its_token_url_promises(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        link = await site.link()
        answer = await site.client.get(link.phone.replace("/linphone/", "/zoiper/"))
        (row,) = site.office.app.directory.devices("101")
        account = fromstring(answer.content)[0][0]
        assert [(field.tag, field.text) for field in account] == [
            ("username", "101"),
            ("password", row.secret),
            ("authentication_username", row.username),
        ]


async def test_our_authority_comes_by_the_same_way(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        answer = await site.client.get("/ca.crt")
        assert x509.load_pem_x509_certificate(answer.content).subject
        assert answer.content == site.office.app.certificates.ca.read_bytes()


async def test_phones_that_trust_our_certificate_are_given_no_authority(tmp_path: Path) -> None:
    from encryptotel import certificates

    own = certificates.ensure(tmp_path / "own", ["127.0.0.1"])
    section = {
        "udp_port": 0, "tcp_port": 0, "tls_port": 0,
        "certificate": str(own.certificate), "certificate_key": str(own.key),
    }  # fmt: skip
    async with open_site(tmp_path, exchange=section) as site:
        site.tls.load_verify_locations(own.ca)
        assert (await site.client.get("/ca.crt")).status_code == 404
        page = await site.client.post((await site.link()).page)
        assert "ca.crt" not in page.text


async def test_behind_a_proxy_links_carry_its_address(tmp_path: Path) -> None:
    public = "https://pbx.example.org/tel"
    async with open_site(tmp_path, web={"port": 0, "public_url": f"{public}/"}) as site:
        link = await site.link()
        token = link.page.rpartition("/")[2]
        assert link.page == f"{public}/setup/{token}"
        found = entries((await site.client.get(f"/tel/linphone/{token}")).content)
        assert found["proxy_0.reg_proxy"].startswith("<sip:pbx.example.org:")


async def test_it_is_served_over_ipv6_and_ipv4(tmp_path: Path) -> None:
    section = {"host": "::", "advertise": "::1", "udp_port": 0, "tcp_port": 0, "tls_port": 0}
    async with open_site(tmp_path, exchange=section) as site:
        link = await site.link()
        port = site.address[1]
        assert link.page.startswith(f"https://[::1]:{port}/setup/")
        path = link.page.partition("/setup")[2]
        for host in ("[::1]", "127.0.0.1"):
            assert (await site.client.get(f"https://{host}:{port}/setup{path}")).status_code == 200
        found = entries((await site.scans(link)).content)
        assert found["proxy_0.reg_proxy"].startswith("<sip:[::1]:")


async def test_whoever_it_is_for_is_told(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        site.office.dialogue()
        await site.scans(await site.link("tablet"))
        assert site.office.told == [SET_UP.format(name="tablet")]


async def test_who_asks_in_a_group_gets_it_alone(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        app = site.office.app
        got: list[tuple[str, Reply]] = []
        app.reception.open_channel("group", lambda to, reply: got.append((to, reply)))
        account = Account("group", "7")
        code = await app.people.invite("Alice", role=Role.OWNER, person_id=OWNER)
        await app.people.join(code, account, "Alice")

        async def understand(text: str, person: object, talk: object) -> Understanding:
            return Understanding(text=text, commands=(AddDevice(),), lacks=((),), confidence=1.0)

        app.understand = understand  # type: ignore[method-assign]
        await app.reception.hear(account, "set up my phone", answer_to="room/7")
        ((to, reply),) = got
        assert to == "7"
        assert f"{site.url}/setup/" in reply.text


async def test_links_and_phones_have_an_end(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        links = [await site.link() for _ in range(MAX_LINKS + 1)]
        assert (await site.client.get(links[0].page)).status_code == 404
        spare = links[-1]
        directory = site.office.app.directory
        for _ in range(MAX_DEVICES):
            await directory.add_device("101", "desk")
        assert len({row.name for row in directory.devices("101")}) == MAX_DEVICES
        full = await site.scans(spare)
        assert full.status_code == 409
        assert "revoke one first" in full.text
        with pytest.raises(OperatorError, match="revoke one first"):
            await site.link()
        await directory.revoke_device(directory.devices("101")[0].username)
        assert (await site.scans(spare)).status_code == 200  # it was not lost


async def test_a_link_outlasts_a_restart_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        link = await site.link()
    token = link.page.rpartition("/")[2]
    kept = await asyncio.to_thread(_on_disk, tmp_path)
    assert hashlib.sha256(token.encode()).hexdigest().encode() in kept
    assert token.encode() not in kept
    async with open_site(tmp_path) as site:
        assert (await site.client.get(f"/linphone/{token}")).status_code == 200


def _on_disk(folder: Path) -> bytes:
    """The database, and what of it is in its log yet."""
    return b"".join(file.read_bytes() for file in sorted(folder.glob("encryptotel.db*")))


async def test_nothing_secret_is_logged() -> None:
    config = Config(plain("101"), extra={**WEB, "log": {"level": "debug"}})
    async with Exchange(config) as exchange:
        trusting = ssl.create_default_context(cafile=str(exchange.ca))
        links = [await exchange.cli("device add", "101", "--link") for _ in range(2)]
        async with httpx.AsyncClient(verify=trusting) as client:
            found = entries((await client.get(links[0]["phone"], headers=PHONE)).content)
            await client.get(links[0]["phone"], headers=PHONE)
            page = await client.post(links[1]["page"], content=b"x" * 100)
        secret = found["auth_info_0.passwd"]
        assert page.status_code == 200
        await sipp.register(exchange.udp, "101", secret, user=found["auth_info_0.userid"])
        logged = "\n".join(exchange.process.lines.items)
    assert logged.count("a phone was set up") == 2
    other = html.unescape(re.findall("<code>(.*?)</code>", page.text)[2])
    tokens = [link["page"].rpartition("/")[2] for link in links]
    for hidden in (secret, other, *tokens):
        assert len(hidden) >= 16
        assert hidden not in logged


async def test_without_a_web_server_the_person_hears_what_to_do(tmp_path: Path) -> None:
    from tests.office import open_office

    async with open_office(tmp_path, web={"on": False}) as office:
        with pytest.raises(OperatorError, match="set on = true in"):
            await office.app.phones.offer("101", "")
        assert "web" not in office.app.addresses
