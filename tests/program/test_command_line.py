"""The program from outside: what people type, what it prints, and how it fails."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pyrage
import pytest

import encryptotel
from encryptotel.demo.phone import Phone
from pbx.sip.digest import Credentials
from tests.office import quiet
from tests.peers.exchange import Config, Exchange, Extension
from tests.peers.proc import PeerError

ROOT = Path(__file__).parents[2]
TWO = [Extension("101", "secret-101"), Extension("102", "secret-102")]


def run(
    *arguments: str, cwd: Path, stdin: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "encryptotel", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_init_writes_a_private_config_once(tmp_path: Path) -> None:
    done = run("init", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = tmp_path / "data" / "config.toml"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    again = run("init", cwd=tmp_path)
    assert again.returncode == 1
    assert (
        again.stderr.strip() == "encryptotel: data/config.toml exists; remove it first, or edit it"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status"], "no exchange is running on data"),
        (["say", "help"], "no exchange is running on data"),
        (["calls"], "data has no database yet; `encryptotel run --data data` makes one"),
        (["run", "--config", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["dance"], "No such command 'dance'."),
        (["extension", "add", "104"], "data/config.toml does not exist; `encryptotel init`"),
        (["trunk", "add", "a", "--zone", "mars", "--host", "h"], "zone"),
        (["parse", "--now", "yesterday", "hello"], "--now 'yesterday' is not an ISO 8601 time"),
    ],
)
def test_failures_are_one_clear_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_parse_is_a_pipe(tmp_path: Path) -> None:
    done = run(
        "parse",
        "--now",
        "2026-11-22T12:00:00Z",
        cwd=tmp_path,
        stdin="hang up\nnice weather\nCall the number +1 202 555 0143 from the USA zone number, "
        "then call me back on the number +44 20 7946 0321\n",
    )
    first, second, third = (json.loads(line) for line in done.stdout.splitlines())
    assert first["commands"] == [{"intent": "hangup"}]
    assert second["commands"] == []
    assert second["confidence"] <= 0.3
    assert third["commands"] == [
        {
            "intent": "call",
            "to": [{"number": "+12025550143"}],
            "line": "US",
            "callback": {"number": "+442079460321"},
        }
    ]


def test_check_says_what_works_and_what_to_do(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        (tmp_path / "c.toml").write_text(
            f"[exchange]\nudp_port = {port}\ntcp_port = 0\ntls_port = 0\nfree_ports = false\n"
            '[[extension]]\nnumber = "101"\nsecret = "x"\n'
            '[[extension]]\nnumber = "700"\nscript = "no_such_module:answer"\n'
            f'[[trunk]]\nname = "dead"\nzone = "US"\nhost = "127.0.0.1"\nport = {port}\n'
        )
        done = run("check", "--config", "c.toml", cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert any(line.startswith(f"✗ UDP port {port}:") and "udp_port" in line for line in lines)
    assert any(line.startswith("✗ script no_such_module:answer") for line in lines)
    assert any(line.startswith("✗ trunk dead: ") and "does not answer" in line for line in lines)
    for working in ("configuration", "database", "certificates", "voice", "language"):
        assert any(line.startswith(f"✓ {working}") for line in lines), (working, lines)


def test_a_taken_port_is_replaced_and_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        (tmp_path / "c.toml").write_text(
            f"[exchange]\nudp_port = {port}\ntcp_port = 0\ntls_port = 0\n"
        )
        child = subprocess.Popen(
            [sys.executable, "-m", "encryptotel", "run", "--config", "c.toml", "--json"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        ready = json.loads(child.stdout.readline())
        child.send_signal(signal.SIGTERM)
        assert child.wait(15) == 0
    assert ready["udp"] != f"127.0.0.1:{port}"
    assert f"UDP port {port} was taken" in ready["notes"][0]


def _occupied(tmp_path: Path) -> int:
    """A port that stays taken until the test process ends."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    _KEPT.append(sock)
    return int(sock.getsockname()[1])


_KEPT: list[socket.socket] = []


def test_a_taken_port_stops_the_start_when_no_other_may_be_used(tmp_path: Path) -> None:
    port = _occupied(tmp_path)
    (tmp_path / "c.toml").write_text(f"[exchange]\nudp_port = {port}\nfree_ports = false\n")
    done = run("run", "--config", "c.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert f"UDP port {port} on 127.0.0.1 is not free" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


async def test_an_extension_added_while_it_runs_can_register_at_once(tmp_path: Path) -> None:
    async with Exchange(Config(TWO)) as exchange:
        added = await exchange.cli("extension add", "104", "--name", "Dan")
        assert added["username"] == "104"
        assert added["servers"]["udp"] == exchange.ready["udp"]
        phone = Phone(quiet)
        await phone.listen()
        account = Credentials(username="104", secret=added["password"])
        assert await phone.register(exchange.udp, account, added["domain"]) == 200
        await phone.stop()
        listed = await exchange.cli("extension list")
        assert [row["number"] for row in listed["extensions"]] == ["101", "102", "104"]
        await exchange.cli("extension remove", "104")
        gone = Phone(quiet)
        await gone.listen()
        assert await gone.register(exchange.udp, account, added["domain"]) == 401
        await gone.stop()


def test_a_phone_gets_an_account_and_loses_it(tmp_path: Path) -> None:
    run("init", cwd=tmp_path)
    done = run("device", "add", "101", "--name", "Alice's desk", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    username = re.search(r"authentication  (101\.\w{4})$", done.stdout, re.MULTILINE)
    assert username
    listed = run("device", "list", cwd=tmp_path).stdout
    assert re.fullmatch(rf"{username[1]} +Alice's desk +not connected\n", listed)
    assert run("device", "list", "102", cwd=tmp_path).stdout.startswith("no phones")
    done = run("device", "revoke", username[1], cwd=tmp_path)
    assert done.stdout == f"Alice's desk ({username[1]}) is revoked\n"
    for arguments, message in (
        (("revoke", username[1]), f"there is no phone {username[1]}; `device list` shows them"),
        (("add", "199"), "there is no extension 199"),
        (("add", "101", "--link"), "no exchange is running on data"),
    ):
        refused = run("device", *arguments, cwd=tmp_path)
        assert refused.returncode == 1
        assert refused.stderr == f"encryptotel: {message}\n"


async def test_a_link_is_drawn_and_a_web_port_that_is_taken_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with Exchange(Config(TWO, extra={"web": {"on": True, "port": port}})) as exchange:
            (note,) = exchange.ready["notes"]
            assert note.startswith(f"WEB port {port} was taken; using ")
            done = await asyncio.to_thread(
                run, "device", "add", "101", "--link", "--data", str(exchange.data), cwd=ROOT
            )
            assert f"https://{exchange.ready['web']}/setup/" in done.stdout
            assert "█▀▀▀▀▀█" in done.stdout.translate(str.maketrans("█▀▄ ", " ▄▀█"))
            with pytest.raises(PeerError, match="there is no extension 199"):
                await exchange.cli("device add", "199", "--link")


async def test_phones_are_reached_after_a_restart_without_registering_again(
    tmp_path: Path,
) -> None:
    """kill -9 and a new start on the same port and data: 101 calls 102, who never re-registers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "c.toml"
    config.write_text(Config(TWO, extra={"exchange": {"udp_port": port}}).toml())

    async def start() -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "encryptotel", "run", "--config", str(config),
            "--data", str(tmp_path / "data"), "--json",
            cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert child.stdout is not None
        assert json.loads(await child.stdout.readline())["udp"] == f"127.0.0.1:{port}"
        return child

    first = await start()
    phones = []
    for number in ("101", "102"):
        phone = Phone(quiet, ring_seconds=0.1)
        await phone.listen()
        account = Credentials(username=number, secret=f"secret-{number}")
        assert await phone.register(("127.0.0.1", port), account, "encryptotel.local") == 200
        phones.append(phone)
    await asyncio.to_thread(_until_saved, tmp_path / "data" / "encryptotel.db", 2)
    first.kill()
    await first.wait()
    second = await start()
    leg = await phones[0].call("102")
    assert leg.answered
    leg.hang_up()
    for phone in phones:
        await phone.stop()
    second.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(second.wait(), 15) == 0


def _until_saved(database: Path, count: int) -> None:
    """Poll the table from outside: this is about what is on disk, not about an event."""
    import sqlite3
    import time

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with sqlite3.connect(database) as connection:
            if connection.execute("SELECT count(*) FROM binding").fetchone()[0] == count:
                return
        time.sleep(0.05)
    raise AssertionError("the registrations were not saved")


async def test_the_console_converses_through_a_pipe(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "encryptotel", "run", "--console", "--data", str(tmp_path / "d"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(
        b"Call the number +1 202 555 0143 from the USA zone number, then call me back on 101\n"
    )
    seen: list[str] = []
    async with asyncio.timeout(30):
        while "bot> You are connected." not in seen:
            line = await child.stdout.readline()
            assert line, seen
            seen.append(line.decode().strip())
        child.stdin.write(b"status\nhang up\n")
        child.stdin.close()
        while not any("The call ended: hung up" in line for line in seen):
            seen.append((await child.stdout.readline()).decode().strip())
    assert seen[0].startswith("ready udp=127.0.0.1:")
    assert any(line.startswith("DEMO:") for line in seen)
    assert any("Call the number +1 202 555 0143" in line for line in seen[:8])
    assert any("call 101 ↔ +1 202-555-0143" in line for line in seen)
    child.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(child.wait(), 15) == 0


async def test_trace_shows_the_ladder_and_no_secret(tmp_path: Path) -> None:
    async with Exchange(Config(TWO)) as exchange:
        phone = Phone(quiet)
        await phone.listen()
        account = Credentials(username="101", secret="secret-101")
        await phone.register(exchange.udp, account, "encryptotel.local")
        leg = await phone.call("600")
        leg.hang_up()
        call = await exchange.ended_call()
        found = await _traced(exchange, call["id"])
        summaries = [line["summary"].split(" sip:")[0] for line in found["lines"]]
        assert summaries == [
            "INVITE",
            "SIP/2.0 401 Unauthorized (INVITE)",
            "ACK",
            "INVITE",
            "SIP/2.0 100 Trying (INVITE)",
            "SIP/2.0 200 OK (INVITE)",
            "ACK",
            "BYE",
            "SIP/2.0 200 OK (BYE)",
        ]
        everything = json.dumps(found, ensure_ascii=False)
        assert "secret-101" not in everything
        assert 'response=\\"…' in everything
        assert "inline:…" in everything
        await phone.stop()


async def _traced(exchange: Exchange, call_id: str) -> dict[str, list[dict[str, str]]]:
    """The trace once the journal has it; until then the running exchange answers."""
    async with asyncio.timeout(10):
        while True:
            found: dict[str, list[dict[str, str]]] = await exchange.cli("trace", call_id)
            if len(found["lines"]) >= 9:
                return found


async def test_a_second_exchange_on_the_same_data_is_refused(tmp_path: Path) -> None:
    async with Exchange(Config(TWO)) as exchange:
        file = exchange.data.parent / "config.toml"
        done = await asyncio.to_thread(
            run, "run", "--config", str(file), "--data", str(exchange.data), cwd=ROOT
        )
        assert done.returncode == 1
        assert "another exchange is running" in done.stderr


def test_the_demo_proves_that_both_sides_hear_each_other(tmp_path: Path) -> None:
    done = run("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "PASSED: both sides hear each other" in done.stdout
    assert "── INVITE ──" in done.stdout
    assert "101 heard 620 Hz" in done.stdout


def test_the_version_is_told(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert done.stdout == f"encryptotel {encryptotel.__version__}\n"
    assert done.returncode == 0


ROUTING = """
[[extension]]
number = "101"
name = "Alice"
secret = "x"
[[extension]]
number = "700"
script = "m:f"
[[trunk]]
name = "carrier-uk"
zone = "UK"
host = "sip.example.com"
numbers = ["+442079460100"]
dial = "00{number}"
[[route]]
number = "*"
to = "101"
"""


@pytest.mark.parametrize(
    ("caller", "called", "words"),
    [
        ("101", "600", "sends back what it hears"),
        ("101", "700", "extension 700 is the script m:f"),
        ("101", "101", "every phone registered for 101 Alice rings, for 30 s"),
        ("101", "99", "refused with 404: 99 is neither an extension nor a phone number"),
        ("101", "+442079460321", "dialled as 00442079460321, shown as +44 20 7946 0100"),
        ("101", "+12025550143", "refused with 403: calls to US are not allowed"),
        ("carrier-uk", "+442079460100", "+44 20 7946 0100 leads to extension 101 Alice"),
    ],
)
def test_the_plan_of_a_call_is_told_in_words(
    tmp_path: Path, caller: str, called: str, words: str
) -> None:
    (tmp_path / "c.toml").write_text(ROUTING)
    done = run("route", "--config", "c.toml", "--from", caller, "--to", called, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    listed = run(
        "route", "--config", "c.toml", "--json", "--from", caller, "--to", called, cwd=tmp_path
    )
    assert len(json.loads(listed.stdout)["plan"]) == len(done.stdout.splitlines())


def test_a_plan_from_nobody_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(ROUTING)
    done = run("route", "--config", "c.toml", "--from", "5", "--to", "101", cwd=tmp_path)
    assert "5 is neither an extension nor a trunk; trunks: carrier-uk" in done.stderr


def _distrust(server: tuple[str, int]) -> None:
    """Connect as a phone that has not been given our authority, and say so with an alert."""
    with socket.create_connection(server) as plain:
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")


async def test_status_shows_what_was_dropped_and_told(tmp_path: Path) -> None:
    """A wrong password and a phone that does not trust us: each told once, however often."""
    async with Exchange(Config(TWO)) as exchange:
        account = Credentials(username="101", secret="wrong")
        for _ in range(3):
            phone = Phone(quiet)
            await phone.listen()
            assert await phone.register(exchange.udp, account, "encryptotel.local") == 401
            await phone.stop()
            with pytest.raises(ssl.SSLError):
                await asyncio.to_thread(_distrust, exchange.tls)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
            door.sendto(b"INVITE sip:x SIP/2.0\r\nVia: broken\r\n\r\n", exchange.udp)
        done = await asyncio.to_thread(run, "status", "--data", str(exchange.data), cwd=ROOT)
        lines = [line.strip() for line in done.stdout.splitlines()]
        (dropped,) = [line for line in lines if line.startswith("dropped: ")]
        assert "1 malformed, 0 journal entries" in dropped
        notes = [line for line in lines if line.startswith("note: ")]
        assert len(notes) == 2
        assert "127.0.0.1 tried extension 101 with a wrong password" in notes[0]
        assert "does not trust our TLS certificate" in notes[1]
        assert str(exchange.ca) in notes[1]
        assert not any("wrong" in line for line in lines if "password" not in line)


def test_a_recording_is_opened_with_the_key_alone(tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "key").write_text(f"{identity}\n")
    (tmp_path / "other").write_text("these are the words of another seed\n")
    (tmp_path / "call.ogg.age").write_bytes(pyrage.encrypt(b"OggS sound", [identity.to_public()]))
    wrong = run("recording", "open", "call.ogg.age", "--key", "other", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (1, "encryptotel: that key does not open it\n")
    done = run("recording", "open", "call.ogg.age", "--key", "key", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "call.ogg: 10 bytes\n"), done.stderr
    assert (tmp_path / "call.ogg").read_bytes() == b"OggS sound"
    again = run("recording", "open", "call.ogg.age", "--key", "key", cwd=tmp_path)
    assert "exists; choose another place" in again.stderr
    nothing = run("recording", "open", "gone.ogg.age", "--key", "key", cwd=tmp_path)
    assert nothing.returncode != 0


# ── menus ───────────────────────────────────────────────────────────────────────────────────
def _with_menus(folder: Path, text: str) -> None:
    assert run("init", cwd=folder).returncode == 0
    config = folder / "data" / "config.toml"
    config.write_text(config.read_text() + '\n[menus]\nfile = "menus.toml"\n')
    (folder / "data" / "menus.toml").write_text(text)


def test_menus_are_checked_and_drawn(tmp_path: Path) -> None:
    _with_menus(tmp_path, (ROOT / "docs" / "menus.example.toml").read_text())
    done = run("ivr", "check", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 menus" in done.stdout
    assert "main (800): " in done.stdout
    drawn = run("ivr", "draw", "--to", "flow.svg", cwd=tmp_path)
    assert drawn.stdout.strip() == "data/menus.toml is drawn in flow.svg"
    assert (tmp_path / "flow.svg").read_text().startswith("<svg ")


def test_broken_menus_are_explained_whole(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "menus.example.toml").read_text()
    text = text.replace('to = "menu support"', 'to = "menu suport"').replace("103", "999")
    _with_menus(tmp_path, text)
    done = run("ivr", "check", cwd=tmp_path)
    assert done.returncode == 1
    assert "there is no [menu.suport]; is support meant?" in done.stdout
    assert "there is no extension 999" in done.stdout
    as_json = run("ivr", "check", "--json", cwd=tmp_path)
    assert len(json.loads(as_json.stdout)["problems"]) == 2
    drawn = run("ivr", "draw", cwd=tmp_path)
    assert drawn.returncode == 1
    assert "there is no [menu.suport]" in drawn.stderr


def test_without_menus_it_says_how_to_have_some(tmp_path: Path) -> None:
    run("init", cwd=tmp_path)
    done = run("ivr", "check", cwd=tmp_path)
    assert done.returncode == 1
    assert "set file = " in done.stderr


def test_a_call_to_a_menu_can_be_planned(tmp_path: Path) -> None:
    _with_menus(tmp_path, (ROOT / "docs" / "menus.example.toml").read_text())
    done = run("route", "--from", "101", "--to", "800", cwd=tmp_path)
    assert "asks what is wanted (menu main)" in done.stdout
    assert run("route", "add", "+12025550100", "800", cwd=tmp_path).returncode == 0
    assert run("route", "add", "+12025550101", "801", cwd=tmp_path).returncode == 1
