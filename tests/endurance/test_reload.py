"""SIGHUP and `encryptotel reload`: changes are taken up while sound flows, mistakes are not."""

from __future__ import annotations

import asyncio
import signal
import ssl
from pathlib import Path
from typing import Any

import pytest

from encryptotel import certificates
from encryptotel.config import Config
from encryptotel.errors import UserError
from encryptotel.reload import blended
from pbx.ports import CallRefused
from tests.endurance.program import OncePhone, Program
from tests.endurance.test_stop import hear_more, talking
from tests.program.test_command_line import run

HOME = {"name": "Home", "price": "5"}
TAKEN_UP = "the configuration was read again"


async def hang_up_signal(program: Program, line: str = TAKEN_UP) -> None:
    """SIGHUP, and wait for what it says about it."""
    seen = len(program.process.lines.items)
    program.signal(signal.SIGHUP)
    await program.process.wait_line(line, since=seen)


async def test_everything_that_can_change_does_and_no_packet_is_lost(tmp_path: Path) -> None:
    program = Program(tmp_path, ("101", "102", "103"))
    async with program, talking(program) as (caller, callee, leg):
        old = await OncePhone().join(program, "103")
        await hear_more(caller, 50)
        shown = await asyncio.to_thread(_certificate, program)

        # an extension more, one with another password, limits, the log, a trunk, a certificate
        folder = tmp_path / "own"
        found = await asyncio.to_thread(certificates.ensure, folder, ["phones.example"])
        sections = program.sections
        sections["exchange"] |= {
            "certificate": "own/server.pem",
            "certificate_key": str(found.key),
        }
        sections |= {"calls": {"max_calls": 1}, "log": {"level": "debug"}}
        program.numbers.append("104")
        program.write_config()
        text = program.file.read_text().replace("secret-103", "another-103")
        program.write_config(
            text + '[[trunk]]\nname = "late"\nzone = "UK"\nhost = "127.0.0.1"\nport = 9\n'
        )
        await hang_up_signal(program)

        status = await program.ask("status")
        assert [line["name"] for line in status["lines"]] == ["late"]
        phones = {phone["extension"]: phone["devices"] for phone in status["phones"]}
        assert phones == {"101": 1, "102": 1, "103": 0, "104": 0}
        now = await asyncio.to_thread(_certificate, program)
        assert now != shown
        assert now == found.certificate.read_text().strip()
        new = await OncePhone().join(program, "104")
        with pytest.raises(CallRefused) as refused:  # one call at once now
            await new.call("102")
        assert refused.value.status == 503
        with pytest.raises(AssertionError):  # the old password
            await OncePhone().join(program, "103")

        # and back: the trunk, the extension and its phone are gone
        program.numbers.remove("104")
        sections["calls"] = {"max_calls": 10}
        program.write_config()
        await hang_up_signal(program)
        status = await program.ask("status")
        assert status["lines"] == []
        assert "104" not in {phone["extension"] for phone in status["phones"]}
        for phone in (caller, callee):
            await hear_more(phone, 50)
        assert leg.ending is None
        again = await OncePhone().join(program, "103")
        other = await again.call("600")
        assert other.answered
        for phone in (old, new, again):
            await phone._stack.close()


def _certificate(program: Program) -> str:
    """What a new connection is shown."""
    return ssl.get_server_certificate(("127.0.0.1", program.ports["tls"])).strip()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"calls": {"max_calls": 0}}, "calls.max_calls"),
        ({"exchange": {"certificate": "nowhere.pem", "certificate_key": "n.key"}}, "nowhere.pem"),
        ({"exchange": {"certificate": "c.toml"}}, "go together"),
        ("this is not TOML", "is not TOML"),
        ('[[extension]]\nnumber = "101"\n', "needs a secret"),
        ("", "is empty"),
        (None, "cannot be read"),
    ],
)
async def test_a_broken_configuration_is_refused_and_the_old_one_stays(
    tmp_path: Path, change: Any, says: str
) -> None:
    from tests.office import open_office

    async with open_office(tmp_path) as office:
        office.app.config_file = tmp_path / "config.toml"
        if isinstance(change, str):
            office.app.config_file.write_text(change)
        elif change is not None:
            (section, values), *_ = change.items()
            lines = "\n".join(
                f"{name} = {value!r}".replace("'", '"') for name, value in values.items()
            )
            office.app.config_file.write_text(f"[{section}]\n{lines}\n")
        before = office.app.config, office.app.directory.extensions(), office.app.certificates
        with pytest.raises(UserError, match=says):
            await office.app.reload()
        after = office.app.config, office.app.directory.extensions(), office.app.certificates
        assert after == before


async def test_people_hear_what_needs_a_restart_and_why_nothing_changed(tmp_path: Path) -> None:
    program = Program(tmp_path, ("101", "102"))
    async with program, talking(program) as (caller, _, leg):
        program.sections["exchange"]["udp_port"] += 1
        program.sections["media"]["rtp_ports"][1] += 2
        program.sections["recording"] = {"keep_days": 3}
        program.write_config()
        done = await asyncio.to_thread(run, "reload", "--data", str(program.data), cwd=tmp_path)
        assert done.returncode == 0
        assert done.stdout.splitlines() == [
            "the configuration was taken up",
            "[exchange] udp_port has changed: restart for it",
            "[media] rtp_ports has changed: restart for it",
            "[recording] keep_days has changed: restart for it",
        ]
        program.file.write_text("[calls]\nmax_cals = 3\n")
        done = await asyncio.to_thread(run, "reload", "--data", str(program.data), cwd=tmp_path)
        assert done.returncode == 1
        assert "calls.max_cals: there is no such option" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        await hang_up_signal(program, "the old one stays.*calls.max_cals: there is no such option")
        status = await program.ask("status")
        assert "max_cals" in status["news"][-1]
        assert len(status["phones"]) == 2
        await hear_more(caller, 50)
        assert leg.ending is None


def test_tables_that_are_taken_up_at_a_start_stay_until_then() -> None:
    before = Config.model_validate({"money": {"rates": "r.csv"}, "tariff": [HOME]})
    wanted = Config.model_validate({"money": {"rates": "r.csv"}, "tariff": [{**HOME, "days": 7}]})
    config, later = blended(before, wanted)
    assert config.tariff == before.tariff
    assert later == ["[[tariff]]"]
