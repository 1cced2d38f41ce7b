"""Figures for Prometheus: what a real call does to them, who may see them, and that they tell
nothing of anybody. What is drawn and alarmed about is what the program exports."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import parser

from bot.ports import Account, Role
from encryptotel.demo.phone import Phone, plays
from encryptotel.metrics import KINDS, MAX_WORK, OTHER, OUTCOMES, STATES, outcome_of
from pbx.events import CallAnswered
from pbx.media.tones import tone
from pbx.ports import CallRefused
from tests.calls.test_callback import telephone_network
from tests.calls.test_extensions import hears
from tests.office import BusyPhone, Office, quiet
from tests.web.site import Site, open_site
from tests.web.test_api import NUMBER, Client, problem
from tests.web.test_events import listening
from tests.web.test_webhooks import PRIVATE, crm

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "encryptotel.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
TABLE = ROOT / "docs" / "metrics.md"
NAME = re.compile(r"\b(?:encryptotel|process|python)_\w+")
DECK = "prefix,name,price,fee,increments\n1,USA,0.60,0,1/1\n"


class Figures:
    """One reading."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(parser.text_string_to_metric_families(text))
        self.values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self.values[f"encryptotel_{name}", frozenset(labels.items())]

    def names(self) -> set[str]:
        """What can be asked for, also of what there is none of just now."""
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        return {
            family.name + suffix
            for family in self.families
            for suffix in suffixes.get(family.type, ("",))
        }

    def labels(self) -> Iterator[tuple[str, str, str]]:
        for family in self.families:
            for sample in family.samples:
                for label, value in sample.labels.items():
                    yield sample.name, label, value


async def key(office: Office, extension: str = "101", *scopes: str) -> str:
    name = f"Prometheus {len(office.app.api_keys._rows)}"
    return await office.app.api_keys.make(extension, name, scopes or ("metrics",))


async def asked(site: Site, token: str, path: str = "/metrics") -> httpx.Response:
    return await site.client.get(path, headers={"authorization": f"Bearer {token}"})


async def scraped(site: Site, token: str) -> Figures:
    answer = await asked(site, token)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Figures(answer.text)


# ── what happens ────────────────────────────────────────────────────────────────────────────
async def test_a_call_changes_the_figures_and_tells_nothing_of_anybody(tmp_path: Path) -> None:
    """Through a trunk and from phone to phone; answered, busy and refused."""
    (tmp_path / "rates.csv").write_text(DECK)
    money = {"rates": "rates.csv", "free": ("101", "102")}
    async with open_site(tmp_path, money=money) as site:
        office, token = site.office, await key(site.office)
        before = await scraped(site, token)
        assert before("calls_active", state="answered") == 0
        assert before("phones_registered") == 0
        await telephone_network(office, Phone(plays(tone(1, 620.0))))
        alice = await office.phone("101", Phone(plays(tone(1, 440.0))), transport="tls")
        await office.phone("102", BusyPhone(quiet))
        leg = await alice.call(NUMBER)
        await hears(alice, 620.0)
        during = await scraped(site, token)
        assert during("calls_active", state="answered") == 1
        assert during("legs_active") == 2
        assert during("trunk_up", trunk="us") == 1
        assert during("trunk_calls_active", trunk="us") == 1
        assert (during("phones_registered"), during("extensions_reachable")) == (2, 2)
        assert during("sip_connections") >= 1
        leg.hang_up()
        await office.ended()
        for number in ("102", "103"):
            with pytest.raises(CallRefused):
                await alice.call(number)
        await office.ended(3)
        after = await scraped(site, token)

    assert after("calls_active", state="answered") == 0
    assert after("trunk_calls_active", trunk="us") == 0
    assert after("calls_started_total", kind="outbound") == 1
    assert after("calls_started_total", kind="internal") == 2
    ends = {outcome: after("calls_ended_total", outcome=outcome) for outcome in OUTCOMES}
    assert ends == {**dict.fromkeys(OUTCOMES, 0), "answered": 1, "busy": 1, "no_answer": 1}
    assert after("call_duration_seconds_count") == after("call_answer_delay_seconds_count") == 1
    assert 1 <= after("call_duration_seconds_sum") < 60
    assert before("call_post_dial_delay_seconds_count", way="trunk") == 0
    assert after("call_post_dial_delay_seconds_count", way="trunk") == 1
    assert after("call_post_dial_delay_seconds_sum", way="trunk") < 5
    assert after("legs_answered_total", media="srtp") == 1
    assert after("legs_answered_total", media="plain") == 1
    assert after("rtp_packets_received_total") >= 100
    assert after("rtp_packets_sent_total") >= 100
    assert after("rtp_packets_lost_total") <= 5
    assert after("leg_mos_count") == 2
    assert after("leg_mos_sum") > 2 * 4
    assert after("registrations_total", kind="first") == 2
    assert after("api_requests_total", status="2xx") == 2
    assert after("event_loop_lag_seconds_count") > before("event_loop_lag_seconds_count")
    assert after("journal_dropped_total") == 0
    assert after("charges_waiting") == 0
    assert ("encryptotel_payments_watched", frozenset()) not in after.values
    assert after.values["process_resident_memory_bytes", frozenset()] > 10e6
    metrics = office.app.metrics
    assert metrics is not None
    assert not metrics._calls
    assert not metrics._dialling
    _tells_nothing_of_anybody(after, office)


def _tells_nothing_of_anybody(figures: Figures, office: Office) -> None:
    secrets = [one.secret for one in office.app.config.extension]
    for private in ("Alice", "Bob", "Carol", "0143", "0100", "127.0.0.1", *secrets):
        assert not re.search(rf"(?<![\d.]){re.escape(private)}", figures.text), private
    few = {"us", OTHER, *KINDS, *OUTCOMES, *STATES.values(), "limit", "overload", "phone", "trunk"}
    few |= {"srtp", "plain", "first", "refresh", "2xx", "3xx", "4xx", "5xx", "0", "1", "2"}
    few |= {"done", "missed", "open", "snoozed", "stopped", "waiting", "dead"}
    for name, label, value in figures.labels():
        if label not in ("le", "version"):
            assert value in few, (name, label, value)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "cancelled"), (487, "cancelled"), (486, "busy"), (600, "busy"), (603, "declined"),
     (408, "no_answer"), (480, "no_answer"), (403, "refused"), (404, "refused"),
     (606, "refused"), (500, "failed"), (503, "failed")],
)  # fmt: skip
def test_what_came_of_a_call_that_nobody_answered(status: int, outcome: str) -> None:
    assert outcome_of(status) == outcome
    assert outcome in OUTCOMES


async def test_programs_that_listen_and_are_told(tmp_path: Path) -> None:
    async with open_site(tmp_path, **PRIVATE) as site, crm() as receiver:
        site.office.dialogue()
        it = Client(site, await key(site.office, "101", "metrics", "events"))
        receiver.status = 500
        made = (await it.post("/webhooks", {"url": receiver.url})).json()
        assert (await it.post(f"/webhooks/{made['id']}/test", {})).status_code < 300
        async with listening(it), asyncio.timeout(20):
            figures = await scraped(site, it.token)
            assert figures("event_listeners") == 1
            assert figures("webhooks") == 1
            while figures("webhook_tries_total", result="waiting") == 0:
                figures = await scraped(site, it.token)
            assert figures("webhooks_failing") == 1
            receiver.status = 200
            while figures("webhook_tries_total", result="done") == 0:
                figures = await scraped(site, it.token)
            assert figures("webhooks_failing") == 0


async def test_two_programs_in_a_process_count_for_themselves(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    async with open_site(one) as first, open_site(other) as second:
        alice = await first.office.phone("101", Phone(quiet))
        await alice.call("600")
        await first.office.until(lambda: bool(first.office.of(CallAnswered)))
        for site, calls in ((first, 1), (second, 0)):
            figures = await scraped(site, await key(site.office))
            assert figures("calls_started_total", kind="internal") == calls
            assert figures("calls_active", state="answered") == calls


# ── who may see them ────────────────────────────────────────────────────────────────────────
async def test_only_the_owners_key_with_the_scope_opens_them(tmp_path: Path) -> None:
    url = "https://pbx.example/at/home"
    async with open_site(tmp_path, web={"port": 0, "public_url": url}) as site:
        app, path = site.office.app, "/at/home/metrics"
        problem(await site.client.get(path), 401, "key.missing")
        problem(await asked(site, "et_x_y", path), 401, "key.wrong")
        code = await app.people.invite("Bob", role=Role.MEMBER)
        bob = await app.people.join(code, Account("jabber", "bob@example.org"), "Bob")
        assert bob is not None
        theirs = await app.api_keys.make(bob.extension, "mine", ["metrics"])
        problem(await asked(site, theirs, path), 403, "role.owner_only")
        scopes = ("calls", "money:read", "say")
        problem(await asked(site, await key(site.office, "101", *scopes), path), 403, "key.scope")
        mine = await app.api_keys.make("101", "another", ["metrics"])
        good = await asked(site, mine, path)
        assert good.status_code == 200
        assert int(good.headers["ratelimit-remaining"]) > 0
        assert good.headers["cache-control"] == "no-store"
        problem(await asked(site, mine, "/at/home/v1/contacts"), 403, "key.scope")
        for away in ("/metrics", "/at/home/v1/metrics", "/at/home/metrics/", "/at/home/metricsx"):
            assert (await asked(site, mine, away)).status_code == 404
        headers = {"authorization": f"Bearer {mine}"}
        problem(await site.client.post(path, headers=headers), 405, "method.unknown")
        problem(
            await asked(site, mine, f"{path}?{'x' * 2_000}"), 414, "request.request-uri_too_long"
        )
        document = (await site.client.get("/at/home/v1/openapi.json")).text
        assert "metrics" not in document
        figures = Figures((await asked(site, mine, path)).text)
        assert figures("api_requests_total", status="4xx") >= 6
        assert figures("web_requests_total", status="4xx") >= 2
        await app.api_keys.revoke("101", "another")
        problem(await asked(site, mine, path), 401, "key.wrong")


async def test_a_key_has_one_measure_for_them_and_the_api(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        token = await key(site.office)
        left = [
            int((await asked(site, token, path)).headers["ratelimit-remaining"])
            for path in ("/metrics", "/v1/me", "/metrics")
        ]
        bounds: Any = site.office.app.web._config.app  # type: ignore[union-attr]
        (bucket,) = bounds._app.state.buckets.values()
        assert left[0] >= left[-1]
        bucket._left, bucket._at = 0.5, bucket._at + 60
        for path in ("/metrics", "/v1/me"):
            refused = await asked(site, token, path)
            problem(refused, 429, "key.too_often")
            assert refused.headers["retry-after"] == "1"


async def test_calls_go_on_while_they_are_written(tmp_path: Path) -> None:
    """Though there are many lines: others have their turn in between."""
    async with open_site(tmp_path) as site:
        app = site.office.app
        app.exchange.trunks |= {f"line-{n}": _Line() for n in range(500)}  # type: ignore[misc]
        assert app.metrics is not None
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(others())
        text = (await app.metrics.text()).decode()
        task.cancel()
        app.exchange.trunks.clear()
        assert text.count("encryptotel_trunk_up{") == 500
        assert turns > 3, f"of {MAX_WORK} s each"


class _Line:
    """So much of a trunk as figures and the stack look at."""

    up = True

    def is_at(self, host: str) -> bool:
        return False

    def serves(self, host: str, port: int) -> bool:
        return False

    def flow_closed(self, flow: object) -> None:
        pass


# ── what is drawn, alarmed about, and explained ─────────────────────────────────────────────
def _exprs(found: Any) -> Iterator[str]:
    """All that is asked for in a dashboard, queries of its variables included."""
    if isinstance(found, dict):
        for name, value in found.items():
            if name in ("expr", "definition") and isinstance(value, str):
                yield value
            else:
                yield from _exprs(value)
    elif isinstance(found, list):
        for one in found:
            yield from _exprs(one)


async def test_what_is_drawn_alarmed_about_and_explained_is_exported(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        figures = await scraped(site, await key(site.office))
    exported = figures.names()
    assert not [family.name for family in figures.families if not family.documentation]
    drawn = set(NAME.findall(" ".join(_exprs(json.loads(DASHBOARD.read_text())))))
    rules = re.findall(r"expr: (?:>-\n)?(.*?)\n {8}(?:for|labels):", ALERTS.read_text(), re.S)
    assert len(rules) == ALERTS.read_text().count("- alert:")
    alarmed = set(NAME.findall(" ".join(rules)))
    assert len(drawn) > 40
    assert len(alarmed) > 12
    assert drawn | alarmed <= exported
    ours = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in figures.families
        if family.name.startswith("encryptotel_")
    }
    explained = set(re.findall(r"^\| `(encryptotel_\w+)", TABLE.read_text(), re.M))
    assert explained == ours


def test_the_dashboard_can_be_laid_out() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert board["schemaVersion"] >= 39
    first = board["templating"]["list"][0]
    assert (first["name"], first["type"], first["query"]) == (
        "datasource", "datasource", "prometheus"
    )  # fmt: skip
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            assert 'job=~"$job", instance=~"$instance"' in target["expr"]
