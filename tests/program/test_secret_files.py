"""Secrets from files: what they are called, what they are laid over, and that nothing of them is
said when one cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from encryptotel.cli import app
from encryptotel.config import Config, load
from encryptotel.errors import ConfigError
from encryptotel.logs import secrets_of
from encryptotel.secret_files import MAX_SECRET

WRITTEN = """
[database]
url = "postgresql://pbx@10.0.0.2/pbx"
password = "written"
[[extension]]
number = "101"
secret = "written too"
[[extension]]
number = "102"
[[trunk]]
name = "carrier-us"
zone = "US"
host = "sip.example.com"
[[room]]
number = "800"
pin = "1111"
"""
SECRET = "hunter2hunter2"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.toml").write_text(WRITTEN)
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    (folder / "ENCRYPTOTEL_EXTENSION__102__SECRET").write_text("of 102\n")
    return folder


def test_every_kind_can_come_from_a_file(folder: Path) -> None:
    for name, text in (
        ("ENCRYPTOTEL_DATABASE__PASSWORD", f"{SECRET}\n"),
        ("ENCRYPTOTEL_XMPP__COMPONENT_SECRET", "no line end"),
        ("ENCRYPTOTEL_TELEGRAM__TOKEN", "123456:" + "A" * 35 + "\r\n"),
        ("ENCRYPTOTEL_TRUNK__carrier-us__PASSWORD", "of the carrier"),
        ("ENCRYPTOTEL_ROOM__800__MODERATOR_PIN", "2222"),
        ("edge.env", "somebody else's"),
    ):
        (folder / name).write_text(text)
    config = load(folder.parent / "config.toml")
    assert config.database.password == SECRET  # over what is written
    assert config.database.url == "postgresql://pbx@10.0.0.2/pbx"  # which stays, beside it
    assert config.xmpp.component_secret == "no line end"
    assert config.telegram.token == "123456:" + "A" * 35
    assert [one.secret for one in config.extension] == ["written too", "of 102"]
    assert config.trunk[0].password == "of the carrier"
    assert (config.room[0].pin, config.room[0].moderator_pin) == ("1111", "2222")
    assert {SECRET, "of 102", "of the carrier"} <= set(secrets_of(config))  # masked in the log


def test_every_secret_there_is_has_a_name(folder: Path) -> None:
    """An option that is shown to nobody can come from a file, wherever it is."""
    from encryptotel.secret_files import CALLED, _secrets_of

    for section, known in Config.model_fields.items():
        if _secrets_of(Config, section) and section not in CALLED:
            assert hasattr(known.annotation, "model_fields"), f"{section} is a list without a name"


def test_the_environment_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "ENCRYPTOTEL_DATABASE__PASSWORD").write_text(SECRET)
    monkeypatch.setenv("ENCRYPTOTEL_DATABASE__PASSWORD", "of the environment")
    assert load(folder.parent / "config.toml").database.password == "of the environment"


def test_commands_without_a_configuration_have_the_password(folder: Path) -> None:
    (folder / "ENCRYPTOTEL_DATABASE__PASSWORD").write_text(SECRET)
    assert Config().database.password == SECRET


def test_as_kubernetes_mounts_them(folder: Path) -> None:
    """Links to a folder that is swapped when they change."""
    (folder / "..data").mkdir()
    (folder / "..data" / "ENCRYPTOTEL_DATABASE__PASSWORD").write_text(SECRET)
    name = "ENCRYPTOTEL_DATABASE__PASSWORD"
    (folder / name).symlink_to(Path("..data") / name)
    assert load(folder.parent / "config.toml").database.password == SECRET


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ENCRYPTOTEL_DATABSE__PASSWORD", b"hunter2", "there is no such secret"),
        ("ENCRYPTOTEL_DATABASE__URL", b"hunter2", "there is no such secret"),
        ("ENCRYPTOTEL_DATABASE", b"hunter2", "there is no such secret"),
        ("ENCRYPTOTEL_TRUNK__PASSWORD", b"hunter2", "there is no such secret"),
        ("ENCRYPTOTEL_DATABASE__pbx__PASSWORD", b"hunter2", "there is no such secret"),
        ("ENCRYPTOTEL_TRUNK__other__PASSWORD", b"hunter2", "no [[trunk]] called other"),
        ("ENCRYPTOTEL_DATABASE__PASSWORD", b"hunter2" * MAX_SECRET, "is larger than 4096 bytes"),
        ("ENCRYPTOTEL_DATABASE__PASSWORD", b"hunter2" * 40, "database.password"),
        ("ENCRYPTOTEL_DATABASE__PASSWORD", b"hunter2\xff", "is not text in UTF-8"),
        ("ENCRYPTOTEL_DATABASE__PASSWORD", b"hunter2\nhunter2\n", "should hold one line"),
        ("ENCRYPTOTEL_DATABASE__PASSWORD", b"\n", "should hold one line"),
        ("ENCRYPTOTEL_TELEGRAM__TOKEN", b"hunter2", "telegram.token"),
    ],
)
def test_mistakes_are_named(folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(folder.parent / "config.toml")
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "ENCRYPTOTEL_DATABASE__PASSWORD")
    with pytest.raises(ConfigError, match="is not a file"):
        load(folder.parent / "config.toml")


def test_what_is_no_configuration_is_still_named(folder: Path) -> None:
    file = folder.parent / "config.toml"
    for text in ("extension = 5", "extension = ['101']"):
        file.write_text(text)
        with pytest.raises(ConfigError, match="extension"):
            load(file)


def test_the_command_line_says_it_in_one_line(folder: Path) -> None:
    (folder / "ENCRYPTOTEL_DATABASE__PASSWORD").write_bytes(b"hunter2\xff")
    file = folder.parent / "config.toml"
    done = CliRunner().invoke(app, ["check", "--config", str(file), "--data", str(folder.parent)])
    assert isinstance(done.exception, ConfigError)
    assert "hunter2" not in done.output
