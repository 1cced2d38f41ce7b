"""The configuration: what people write wrong is answered with one line that helps."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from encryptotel.config import BroadcastSection, Config, fresh, load
from encryptotel.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def test_the_example_is_valid_and_names_every_option() -> None:
    config = load(EXAMPLE)
    assert config.extension[0].number == "101"
    text = EXAMPLE.read_text()
    for section, model in Config.model_fields.items():
        inner = getattr(model.annotation, "model_fields", None)
        for name, option in (inner or {}).items():
            assert f"[{section}]" in text
            assert f"\n{option.alias or name} = " in text, f"{section}.{name} is not explained"


def test_the_defaults_in_the_example_are_the_defaults() -> None:
    written = tomllib.loads(EXAMPLE.read_text())
    defaults = Config()
    for section in (
        "exchange",
        "network",
        "media",
        "calls",
        "owner",
        "language",
        "limits",
        "guard",
        "log",
        "demo",
    ):
        for name, value in written[section].items():
            default = getattr(getattr(defaults, section), name)
            if isinstance(default, tuple):
                default = list(default)
            assert value == default, f"[{section}] {name}"


def test_every_option_of_a_trunk_is_explained() -> None:
    text = EXAMPLE.read_text()
    trunk = text[text.index("#[[trunk]]") : text.index("# ── Routes")]
    from encryptotel.config import TrunkSection

    for name, option in TrunkSection.model_fields.items():
        assert f"#{option.alias or name} = " in trunk, name


def test_every_option_of_a_broadcast_is_explained() -> None:
    text = EXAMPLE.read_text()
    section = text[text.index("#[[broadcast]]") : text.index("[demo]")]
    for name in BroadcastSection.model_fields:
        assert f"#{name} = " in section, name


def test_a_fresh_one_has_three_extensions_with_different_secrets(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(fresh(demo=True))
    config = load(tmp_path / "config.toml")
    secrets = {extension.secret for extension in config.extension}
    assert len(secrets) == 3
    assert min(len(secret) for secret in secrets) >= 16
    assert config.demo.carrier is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[exchange]\nudp_prot = 5060", "exchange.udp_prot: there is no such option"),
        ("[exchange]\nudp_port = 70000", "exchange.udp_port"),
        ('[[broadcast]]\nnumber = "600"', "the number 600 of a broadcast is taken"),
        ('[[broadcast]]\nnumber = "620"\nwatchers = 201', "broadcast.0.watchers"),
        ('[[broadcast]]\nnumber = "620"\nsender = "Bob"', "broadcast.0.sender"),
        ("[owner]\ntimezone = 'Berlin'", "'Berlin' is not a time zone"),
        ("[[extension]]\nnumber = '101'", "extension 101 needs a secret"),
        ("[[extension]]\nnumber = 'bob'\nsecret = 'x'", "extension.0.number"),
        ("[media]\nrtp_ports = [40000, 30000]", "the smaller first"),
        ("[[trunk]]\nname='a'\nzone='US'\nhost='h'\ndial='0'", "trunk.0.dial"),
        ("[[trunk]]\nname='a'\nzone='US'\nhost='h;x'", "trunk.0.host"),
        (
            "[[trunk]]\nname='a'\nzone='US'\nhost='h'\noutbound_proxy='http://p'",
            "is not a SIP URI like sip:proxy.example.com",
        ),
        (
            "[[trunk]]\nname='a'\nzone='US'\nhost='h'\noutbound_proxy='sip:p>,<sip:q'",
            "trunk.0.outbound_proxy",
        ),
        ("[network]\nnameserver = 'dns.example'", "is not an address"),
        ("[network]\npublic_address = 'pbx.example'", "is not an IP address"),
        ("[network]\nstun_server = 'stun:0'", "is not a host, or a host and a port"),
        ("[network]\nlocal_networks = ['10.0.0.1/8']", "has host bits set"),
        ("[network]\nfailover_after = 0", "network.failover_after"),
        ("this is not TOML", "is not TOML"),
        (
            "[[extension]]\nnumber='101'\nsecret='a'\n[[extension]]\nnumber='101'\nsecret='b'",
            "extension 101 is there twice",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_secret_is_not_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"[[extension]]\nnumber = '101'\nsecret = '{'hunter2' * 40}'")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert "hunter2" not in str(caught.value)


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[exchange]\nudp_port = 5070\ntcp_port = 5071")
    monkeypatch.setenv("ENCRYPTOTEL_EXCHANGE__UDP_PORT", "5090")
    config = load(path)
    assert (config.exchange.udp_port, config.exchange.tcp_port) == (5090, 5071)


@pytest.mark.parametrize(
    ("written", "used"),
    [("sip:proxy.example", "sip:proxy.example;lr"), ("proxy.example", "sip:proxy.example;lr"),
     ("proxy.example:5080;lr", "sip:proxy.example:5080;lr"),
     ("sips:[2001:db8::1]:5071;LR", "sips:[2001:db8::1]:5071;LR"),
     ("sip:proxy.example;transport=tcp", "sip:proxy.example;transport=tcp;lr")],
)  # fmt: skip
def test_an_outbound_proxy_is_a_loose_router(written: str, used: str) -> None:
    from encryptotel.config import TrunkSection

    trunk = {"name": "a", "zone": "US", "host": "carrier.example", "outbound_proxy": written}
    assert TrunkSection.model_validate(trunk).outbound_proxy == used
