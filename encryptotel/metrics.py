"""How the program does, as figures for Prometheus.

What stands somewhere is read when it is asked for; what passes is counted from events. A label
never holds a number, a name of somebody or an address: only what the program or its
configuration calls things, so that there are few, and they tell nothing of anybody.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from itertools import chain
from typing import TYPE_CHECKING

import prometheus_client as prometheus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.bounded import Bounded
from pbx.calls.call import Call
from pbx.events import (
    AddressBanned,
    CallAnswered,
    CallEnded,
    CallStarted,
    DeviceRegistered,
    Event,
    HandshakeFailed,
    LegAnswered,
    LegEnded,
    LegMeasured,
    LegRinging,
    LegStarted,
    LoginFailed,
    PinsGuessed,
)
from pbx.vocabulary import CallState

if TYPE_CHECKING:
    from encryptotel.app import App

KINDS = ("inbound", "outbound", "internal", "callback", "conference", "room", "reminder")
OTHER = "other"
STATES = {CallState.RINGING: "ringing", CallState.ANSWERED: "answered"}
OUTCOMES = ("answered", "busy", "cancelled", "declined", "failed", "no_answer", "refused")
MAX_FOLLOWED = 20_000
"Calls, and legs, that are waited for; far more than can go on at once."
MAX_WORK = 0.001
"Seconds of writing after which others have their turn."
DELAYS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)
DURATIONS = (5, 15, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400)
LAGS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)
OPINIONS = (1.5, 2, 2.5, 3, 3.3, 3.6, 3.8, 4, 4.2, 4.3, 4.4, 4.5)
TRIPS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1)
ANSWERS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

# When each of them was made is in nobody's interest.
prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The figures of one running program."""

    def __init__(self, app: App) -> None:
        self._registry = prometheus.CollectorRegistry()
        self._registry.register(_State(app))
        prometheus.GCCollector(registry=self._registry)
        self._process = prometheus.ProcessCollector(registry=None)
        self._calls: Bounded[str, tuple[CallStarted, datetime | None]] = Bounded(MAX_FOLLOWED)
        "Those that go on, and when they were answered."
        self._dialling: Bounded[str, LegStarted] = Bounded(MAX_FOLLOWED)
        "Legs that nothing came back from."
        count, spread = self._count, self._spread
        self._started = count("calls_started", "Calls that began", "kind")
        self._ended = count("calls_ended", "Calls that ended, by what came of them", "outcome")
        self._lasted = spread(
            "call_duration_seconds", "From the answer of a call to its end", DURATIONS
        )
        self._answer_delay = spread(
            "call_answer_delay_seconds", "From the begin of a call to its answer", DELAYS
        )
        self._ring_delay = spread(
            "call_post_dial_delay_seconds",
            "From calling somebody to the first sign that it rings there",
            DELAYS,
            "way",
        )
        self._opinion = spread("leg_mos", "The opinion of the sound to expect, 1 to 4.5", OPINIONS)
        self._trip = spread("leg_round_trip_seconds", "Round trip of RTP, by RTCP", TRIPS)
        self._jitter = spread("leg_jitter_seconds", "Jitter of the RTP sent to us", TRIPS)
        self._media = count("legs_answered", "Legs that were answered, by their media", "media")
        self._received = count("rtp_packets_received", "RTP packets of legs that ended")
        self._sent = count("rtp_packets_sent", "RTP packets sent on legs that ended")
        self._lost = count("rtp_packets_lost", "RTP packets that did not reach us")
        self._lost_there = count(
            "rtp_packets_lost_by_peer", "RTP packets of ours that did not arrive, by RTCP"
        )
        self._registered = count("registrations", "REGISTERs that were accepted", "kind")
        self._logins = count("logins_failed", "Requests with a wrong password")
        self._handshakes = count("tls_handshakes_failed", "TLS connections that came to nothing")
        self._bans = count("bans", "Addresses that were banned")
        self._pins = count("room_pins_guessed", "Sources no longer asked for the PIN of a room")
        self._answers = count(
            "api_requests", "Requests of programs, by the class of their answer", "status"
        )
        self._pages = count(
            "web_requests", "Other requests, by the class of their answer", "status"
        )
        self._answered_after = spread(
            "api_request_duration_seconds", "Until the answer to a program began", ANSWERS
        )
        self._lag = spread("event_loop_lag_seconds", "How late the loop was, each 50 ms", LAGS)
        labelled: tuple[tuple[prometheus.Counter | prometheus.Histogram, Sequence[str]], ...] = (
            (self._started, (*KINDS, OTHER)),
            (self._ended, OUTCOMES),
            (self._ring_delay, ("phone", "trunk")),
            (self._media, ("srtp", "plain")),
            (self._registered, ("first", "refresh")),
            (self._answers, ("2xx", "3xx", "4xx", "5xx")),
            (self._pages, ("2xx", "3xx", "4xx", "5xx")),
        )
        for figure, values in labelled:
            for value in values:  # there from the start: rates need a first value
                figure.labels(value)
        app.health.on_lag = self._lag.observe

    async def text(self) -> bytes:
        """All figures in the text format of Prometheus."""
        # It lists all open files: milliseconds while there are many calls.
        process = await asyncio.to_thread(self._process.collect)
        written, since = [], time.perf_counter()
        for family in chain(self._registry.collect(), process):
            written.append(prometheus.generate_latest(_Only([family])))
            if time.perf_counter() - since > MAX_WORK:
                await asyncio.sleep(0)
                since = time.perf_counter()
        return b"".join(written)

    def answered(self, program: bool, status: int, seconds: float) -> None:
        """A request was answered, of a program or of somebody else."""
        (self._answers if program else self._pages).labels(f"{status // 100}xx").inc()
        if program:
            self._answered_after.observe(seconds)

    def take(self, event: Event) -> None:
        """The event sink: count what passes."""
        match event:
            case CallStarted():
                self._calls[event.call_id] = event, None
                self._started.labels(event.kind if event.kind in KINDS else OTHER).inc()
            case CallAnswered() if event.call_id in self._calls:
                started, _ = self._calls[event.call_id]
                self._calls[event.call_id] = started, event.at
                self._answer_delay.observe((event.at - started.at).total_seconds())
            case CallEnded():
                self._over(event)
            case LegStarted(direction="out"):
                self._dialling[event.leg_id] = event
            case LegRinging():
                started_leg = self._dialling.pop(event.leg_id, None)
                if started_leg is not None:
                    way = "trunk" if started_leg.trunk else "phone"
                    delay = (event.at - started_leg.at).total_seconds()
                    self._ring_delay.labels(way).observe(delay)
            case LegAnswered():
                self._dialling.pop(event.leg_id, None)
                self._media.labels("srtp" if event.srtp else "plain").inc()
            case LegEnded():
                self._dialling.pop(event.leg_id, None)
                self._heard(event)
            case LegMeasured():
                self._heard(event.ended)
            case DeviceRegistered():
                self._registered.labels("refresh" if event.refreshed else "first").inc()
            case LoginFailed():
                self._logins.inc()
            case HandshakeFailed():
                self._handshakes.inc()
            case AddressBanned():
                self._bans.inc()
            case PinsGuessed():
                self._pins.inc()
            case _:
                pass

    def _over(self, event: CallEnded) -> None:
        started, answered = self._calls.pop(event.call_id, (None, None))
        if started is not None:
            outcome = "answered" if answered else outcome_of(event.status)
            self._ended.labels(outcome).inc()
        if answered is not None:
            self._lasted.observe((event.at - answered).total_seconds())

    def _heard(self, event: LegEnded) -> None:
        if not event.received and not event.sent:
            return
        for counter, packets in (
            (self._received, event.received),
            (self._sent, event.sent),
            (self._lost, event.lost),
            (self._lost_there, event.lost_by_peer),
        ):
            counter.inc(max(0, packets))  # what peers report may be anything
        if event.received:
            self._jitter.observe(event.jitter_ms / 1000)
        if event.round_trip_ms is not None:
            self._trip.observe(event.round_trip_ms / 1000)
        if event.mos is not None:
            self._opinion.observe(event.mos)

    def _count(self, name: str, help: str, label: str = "") -> prometheus.Counter:
        labels = (label,) if label else ()
        return prometheus.Counter(
            name, f"{help}.", labels, namespace="encryptotel", registry=self._registry
        )

    def _spread(
        self, name: str, help: str, buckets: tuple[float, ...], label: str = ""
    ) -> prometheus.Histogram:
        return prometheus.Histogram(
            name,
            f"{help}.",
            (label,) if label else (),
            namespace="encryptotel",
            registry=self._registry,
            buckets=buckets,
        )


def outcome_of(status: int) -> str:
    """What came of a call that nobody answered, by its status."""
    match status:
        case 486 | 600:
            return "busy"
        case 603:
            return "declined"
        case 408 | 480:
            return "no_answer"
        case 487:
            return "cancelled"
        case _ if status < 300:  # hung up, before anybody was there
            return "cancelled"
        case _ if 500 <= status < 600:
            return "failed"
        case _:
            return "refused"


Values = float | Mapping[str, float]


class _Only(Collector):
    """A few families, to be written by themselves."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        """These."""
        return self._families


class _State(Collector):
    """Reads how things stand in a program. Nothing here may take long: it is done on the loop."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._version = version("encryptotel")

    def describe(self) -> list[Metric]:
        """Their names; a program that is being wired has no figures yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        app = self._app
        yield _gauge(
            "build_info", "What runs; always 1",
            {self._version: 1}, "version",
        )  # fmt: skip
        yield from self._of_calls(app.exchange.calls)
        yield from self._of_lines()
        yield from self._of_strangers()
        yield from self._of_itself()
        yield from self._of_people()
        yield from self._of_money()
        yield from self._of_the_others()

    def _of_calls(self, calls: Mapping[str, Call]) -> Iterator[Metric]:
        states = Counter(dict.fromkeys(STATES.values(), 0))
        trunks = Counter(dict.fromkeys(self._app.exchange.trunks, 0))
        legs = recorded = 0
        for call in calls.values():
            state = STATES.get(call.state)
            if state is None:
                continue
            states[state] += 1
            recorded += call.recorder is not None
            for leg in call.legs:
                if leg.ending is None:
                    legs += 1
                    if leg.trunk in trunks:
                        trunks[leg.trunk] += 1
        yield _gauge("calls_active", "Calls that go on", states, "state")
        most = self._app.exchange.settings.max_calls
        yield _gauge("calls_limit", "Calls that may go on at once", most)
        yield _gauge("calls_recorded", "Calls that are being recorded", recorded)
        yield _gauge("legs_active", "Sides of calls that go on", legs)
        yield _gauge("trunk_calls_active", "Sides of calls on a line", trunks, "trunk")

    def _of_lines(self) -> Iterator[Metric]:
        app = self._app
        up = {name: float(link.up is True) for name, link in app.exchange.trunks.items()}
        yield _gauge("trunk_up", "Whether a line can be used", up, "trunk")
        devices, extensions = app.exchange.registrar.count
        yield _gauge("phones_registered", "Phones that are there", devices)
        yield _gauge("extensions_reachable", "Extensions with a phone that is there", extensions)
        yield _gauge(
            "chat_connected", "Whether a chat network knows us",
            {type(chat).__name__.lower(): float(chat.ready.is_set()) for chat in app.chats},
            "network",
        )  # fmt: skip
        yield _gauge(
            "chat_replies_waiting", "Replies that are not sent yet",
            {type(chat).__name__.lower(): chat.waiting for chat in app.chats},
            "network",
        )  # fmt: skip

    def _of_strangers(self) -> Iterator[Metric]:
        exchange = self._app.exchange
        yield _counter(
            "sip_dropped", "SIP messages that were not looked at",
            {"limit": exchange.guard.dropped, "overload": exchange.overload.dropped}, "why",
        )  # fmt: skip
        refused = exchange.overload.refused
        yield _counter("sip_refused", "SIP requests answered 503 because of overload", refused)
        malformed = exchange.stack.malformed
        yield _counter("sip_malformed", "SIP messages that could not be understood", malformed)
        yield _gauge("sip_dialogs", "SIP dialogs that are open", exchange.stack.dialogs)
        connections = exchange.stack.transports.connections
        yield _gauge("sip_connections", "TCP and TLS connections that are open", connections)
        yield _gauge("addresses_banned", "Addresses that are banned now", exchange.guard.banned)
        web = self._app.web
        refused = web.refused if web is not None else 0
        yield _counter("web_connections_refused", "Connections that were too many", refused)

    def _of_itself(self) -> Iterator[Metric]:
        app = self._app
        yield _gauge(
            "event_loop_lag_max_seconds", "The latest the loop was in five minutes",
            app.health.worst,
        )  # fmt: skip
        yield _gauge(
            "overload_lag_seconds", "How late our own work makes the loop: the mean of a second",
            app.exchange.overload.lag,
        )  # fmt: skip
        yield _gauge("draining", "Whether no new calls are taken", app.exchange.draining)
        marked = app.heartbeat.marked
        yield _gauge("heartbeat_timestamp_seconds", "When the mark of life was set last", marked)
        yield _gauge("journal_waiting", "Events that are not written yet", app.journal.waiting)
        trouble = bool(app.journal.trouble)
        yield _gauge("journal_failing", "Whether the journal cannot be written", trouble)
        yield _counter("journal_dropped", "Events that were not written", app.journal.dropped)

    def _of_people(self) -> Iterator[Metric]:
        app = self._app
        reminders = app.operator.reminding.reminders
        stood = {
            **dict.fromkeys(("done", "missed", "open", "snoozed", "stopped"), 0),
            **reminders.tries,
        }
        yield _counter("reminders_tried", "Deliveries of reminders by what came of them", stood,
                       "result")  # fmt: skip
        yield _counter("reminders_late", "Those over a minute after they were due", reminders.late)
        yield _gauge(
            "texts_sending", "Messages being sent, or waiting for a line", app.texts.sending
        )
        waiting = app.texts.waiting
        yield _gauge("texts_extensions_waiting", "Extensions whose phones lack some", waiting)
        hooks, feeds = app.webhooks, app.feeds
        tries = {**dict.fromkeys(("done", "waiting", "dead"), 0), **(hooks.tries if hooks else {})}
        yield _gauge("webhooks", "Programs that are told what happens", hooks.count if hooks else 0)
        failing = hooks.failing if hooks else 0
        yield _gauge("webhooks_failing", "Of those, what does not take it now", failing)
        yield _counter("webhook_tries", "Events told, by what became of them", tries, "result")
        listeners = feeds.listeners if feeds else 0
        yield _gauge("event_listeners", "Programs that listen to a stream of events", listeners)

    def _of_money(self) -> Iterator[Metric]:
        metering, payments = self._app.metering, self._app.payments
        waiting: Values = metering.charging.waiting if metering else {}
        yield _gauge("charges_waiting", "What calls cost and is not written yet", waiting)
        failures: Values = metering.charging.failures if metering else {}
        yield _counter("charges_failed", "Tries to write charges that failed", failures)
        watching: Values = not payments.watcher.trouble if payments else {}
        yield _gauge("payments_watched", "Whether payments can be looked for", watching)

    def _of_the_others(self) -> Iterator[Metric]:
        carried = self._app.exchange.engines.carrying
        name = "Legs whose media an rtpengine that can be asked carries for this program"
        yield _gauge("rtpengine_legs", name, carried, "engine")
        part = self._app.part
        members = part.members if part else None
        living: Values = len(members.nodes) if members else {}
        yield _gauge("cluster_nodes", "Programs of this exchange, as this one sees them", living)
        leads: Values = members.leads if members else {}
        yield _gauge("cluster_leads", "Whether this program leads", leads)
        seen: Values = members.sees if members else {}
        yield _gauge("cluster_seen", "Whether the others can be seen in the database", seen)
        buried: Values = members.buried if members else {}
        yield _counter("cluster_buried", "Dead programs whose calls this one settled", buried)


def _gauge(name: str, help: str, values: Values, label: str = "") -> Metric:
    return _filled(GaugeMetricFamily, name, help, values, label)


def _counter(name: str, help: str, values: Values, label: str = "") -> Metric:
    return _filled(CounterMetricFamily, name, help, values, label)


def _filled(
    kind: Callable[..., GaugeMetricFamily | CounterMetricFamily],
    name: str,
    help: str,
    values: Values,
    label: str,
) -> Metric:
    """A family of one value, or of one for each value of its label; of none where the program
    does not do that."""
    family = kind(f"encryptotel_{name}", f"{help}.", labels=[label] if label else [])
    if isinstance(values, Mapping):
        for value, figure in values.items():
            family.add_metric([value], figure)
    else:
        family.add_metric([], float(values))
    return family
