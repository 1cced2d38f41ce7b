"""What is shipped to run the program with: its parts name the same things, and are what the tools
that read them take."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from encryptotel.config import load
from encryptotel.secret_files import PREFIX

yaml = pytest.importorskip("yaml")
schemas = pytest.importorskip("jsonschema_rs")

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "encryptotel"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
NODES = {name: one for name, one in SERVICES.items() if name.startswith("node")}
UNITS = DEPLOY / "systemd"


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_the_nodes_of_compose_are_those_that_kamailio_knows() -> None:
    known = re.findall(r"^1 sip:(\S+)$", (DEPLOY / "compose" / "nodes.list").read_text(), re.M)
    said = [one["environment"]["ENCRYPTOTEL_CLUSTER__ADDRESS"] for one in NODES.values()]
    given = [f"{one['networks']['inside']['ipv4_address']}:5060" for one in NODES.values()]
    assert known == said == given


def test_the_nodes_of_compose_may_let_their_calls_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ENCRYPTOTEL_DATABASE__URL", "ENCRYPTOTEL_DATABASE__PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    config = load(DEPLOY / "compose" / "config.toml")
    assert config.cluster.proxies == ("10.56.0.1",)
    for node in NODES.values():
        assert seconds(node["stop_grace_period"]) > config.calls.drain


def test_all_of_compose_has_no_rights() -> None:
    for name, one in SERVICES.items():
        assert one["read_only"] is True, name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name


def test_no_secret_of_compose_is_a_variable() -> None:
    used = {
        one if isinstance(one, str) else one["source"]
        for service in SERVICES.values()
        for one in service.get("secrets", ())
    }
    assert used == set(COMPOSE["secrets"])
    for one in COMPOSE["secrets"].values():
        assert set(one) == {"file"}
    named = [name for one in SERVICES.values() for name in one.get("environment", {})]
    assert not [n for n in named if "PASSWORD" in n and not n.endswith(("_FILE", "__FILE"))]
    targets = {one["target"] for one in NODES["node1"]["secrets"]}
    assert {one for one in targets if one.startswith(PREFIX)} == {"ENCRYPTOTEL_DATABASE__PASSWORD"}


def test_everybody_gives_kamailio_what_it_wants() -> None:
    text = (DEPLOY / "kamailio" / "kamailio.cfg").read_text()
    wanted = set(re.findall(r"^#!defenv (EDGE_\w+)$", text, re.M))
    may = wanted | set(re.findall(r"^#!trydefenv (EDGE_\w+)$", text, re.M))
    example = (DEPLOY / "kamailio" / "edge.env.example").read_text()
    assert set(re.findall(r"^#?(EDGE_\w+)=", example, re.M)) == may
    chart = (CHART / "templates" / "edge.yaml").read_text()
    given = set(re.findall(r"name: (EDGE_\w+)", chart))
    assert given | {"EDGE_DATABASE", "EDGE_MASK"} == may  # these two are the Secret


def test_the_chart_is_of_this_version_and_its_values_fit_its_schema() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert chart["appVersion"] == version
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert {one.rpartition(":")[2] for one in values["images"].values()} == {version}
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    values["database"], values["edge"]["addresses"] = "postgresql://pbx@10.0.0.2/pbx", ["10.0.0.5"]
    schemas.validate(schema, values)
    values["database"] = "postgresql://pbx:a-password@10.0.0.2/pbx"
    assert not schemas.is_valid(schema, values)


@pytest.mark.skipif(not shutil.which("helm"), reason="helm is not installed")
def test_the_chart_can_be_rendered() -> None:
    command = ["helm", "template", "pbx", str(CHART), "--set", "edge.addresses={10.0.0.5}"]
    command += ["--set", "database=postgresql://pbx@10.0.0.2/pbx"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kinds = [one["kind"] for one in yaml.safe_load_all(done.stdout) if one]
    assert sorted(set(kinds)) == [
        "ConfigMap", "DaemonSet", "NetworkPolicy", "PodDisruptionBudget", "Service", "StatefulSet",
    ]  # fmt: skip


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("name", ["encryptotel.service", "encryptotel@1.service"])
def test_units_are_understood(name: str, tmp_path: Path) -> None:
    text = (UNITS / "encryptotel.service").read_text()
    program = "/opt/encryptotel/.venv/bin/encryptotel"
    assert f"ExecStart={program} " in text
    file = tmp_path / name
    file.write_text(text.replace(program, "/bin/true"))
    if "@" in name:
        (tmp_path / "encryptotel@.service").write_text(file.read_text())
    command = ["systemd-analyze", "verify", "--man=no", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if name in line]
    assert not complaints


@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.sh")), ids=lambda file: str(file.name))
def test_scripts_can_be_read(file: Path) -> None:
    subprocess.run(["sh", "-n", str(file)], check=True)


def test_images_are_built_from_what_there_is() -> None:
    """All that the ignore file lets in exists, and no package of the program is left out."""
    let_in = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M))
    assert all((ROOT / one).exists() for one in let_in)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {one.removesuffix("*") for one in found} <= let_in
