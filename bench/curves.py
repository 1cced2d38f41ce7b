"""``python -m bench --curves``: how cost grows with calls and registrations, drawn as pictures.

Writes ``calls.svg``, ``registrations.svg`` and ``pyvoip.svg``, and what was measured as JSON beside
them. Lines and letters are readable on a light and on a dark page.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.asterisk import Asterisk, installed
from bench.conference import Mixed, meeting
from bench.crowd import Crowd, CrowdedExchange, rest
from bench.process import Unavailable
from bench.report import machine
from bench.rows import Options, pyvoip
from bench.rows.registrations import IDLE, WARM
from bench.server import CORE, Wiring
from bench.traffic import Bridged, Sample, Traffic, bridged, limit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CALLS = (1, 25, 50, 100, 150, 200, 300, 400)
PHONES = (1, 1000, 5000, 10_000, 15_000, 20_000)
PARTIES = (2, 5, 10, 20, 30, 40, 50)
QUICK_CALLS, QUICK_PHONES, QUICK_PARTIES = (1, 20, 60), (1, 500, 1000), (2, 20, 50)
RUNS = 3
"""Runs for each number of calls; the one that neighbours disturbed least is drawn."""
REFRESHED = 1000
OURS = "EncryptoTel"
COLOURS = {
    OURS: "#2f81f7",
    "Asterisk": "#d4761f",
    "PyVoIP": "#c9384b",
    "C relay": "#7a828c",
}
INK, GRID = "#7a828c", "#7a828c55"


@dataclass(frozen=True, slots=True)
class CallPoint:
    """One system with so many calls: memory in MB above what it had with one."""

    system: str
    calls: int
    cpu_percent: float
    delay_p99_ms: float
    loss_percent: float
    memory_mb: float
    sample: Sample


@dataclass(frozen=True, slots=True)
class PhonePoint:
    """The exchange with so many idle registrations."""

    phones: int
    memory_mb: float
    refresh_us: float


def measure_calls(options: Options) -> list[CallPoint]:
    """Ours, Asterisk and the C relay, on one core each time."""
    steps, seconds = (QUICK_CALLS, 1.0) if options.quick else (CALLS, 2.0)
    found: list[CallPoint] = []
    with contextlib.ExitStack() as stack:
        most = steps[-1]
        folder = options.folder / "calls"
        systems: list[tuple[str, Traffic]] = [
            (OURS, stack.enter_context(_calls(options.subject, folder / "ours", most))),
            ("C relay", stack.enter_context(limit(folder / "limit", most, core=CORE))),
        ]
        if installed():
            peer = stack.enter_context(_calls(Asterisk, folder / "peer", most))
            systems.append(("Asterisk", peer))
        first: dict[str, int] = {}
        for calls in steps:
            for name, traffic in systems:
                traffic.grow(calls)
                traffic.run(1.0)
                runs = [traffic.run(seconds) for _ in range(RUNS)]
                sample = min(runs, key=lambda run: run.others)
                held = traffic.system.memory()
                found.append(
                    CallPoint(
                        system=name,
                        calls=calls,
                        cpu_percent=100 * sample.cpu_share,
                        delay_p99_ms=sample.delay_p99_us / 1000,
                        loss_percent=sample.loss,
                        memory_mb=(held - first.setdefault(name, held)) / 1e6,
                        sample=sample,
                    )
                )
    return found


@contextlib.contextmanager
def _calls(kind: Any, folder: Path, most: int) -> Iterator[Bridged]:
    with bridged(kind, folder, most, core=CORE, up=1) as traffic:
        yield traffic


def measure_phones(options: Options) -> list[PhonePoint]:
    """Memory after each step came to rest, and CPU of a refresh; the first point is the zero."""
    steps = QUICK_PHONES if options.quick else PHONES
    idle = 1.0 if options.quick else IDLE
    found: list[PhonePoint] = []
    server = CrowdedExchange(Wiring.fresh(), options.folder / "crowd")
    server.phones = steps[-1] + WARM
    with server:
        crowd = Crowd(server.address)
        crowd.register(range(WARM))  # what only the first ones need is not counted
        rest(server, 1.0)
        before = server.memory()
        there = 0
        for phones in steps:
            crowd.register(range(WARM + there, WARM + phones))
            there = phones
            rest(server, idle)
            held = (server.memory() - before) / 1e6
            again = range(0, phones, max(1, phones // REFRESHED))
            for _ in range(max(1, 50 // len(again)) if phones == 1 else 1):
                busy = server.cpu()
                crowd.register([WARM + index for index in again])
                refresh = (server.cpu() - busy) / len(again) * 1e6
            found.append(PhonePoint(phones, held, refresh))
    return found


def measure_parties(options: Options) -> list[Mixed]:
    """A room with more and more people who all speak."""
    steps, seconds = (QUICK_PARTIES, 2.0) if options.quick else (PARTIES, 4.0)
    found: list[Mixed] = []
    with meeting(options.folder / "parties", CORE) as parties:
        for count in steps:
            parties.grow(count)
            parties.run(6.0)
            found.append(min((parties.run(seconds) for _ in range(RUNS)), key=lambda r: r.others))
    return found


# ── pictures ────────────────────────────────────────────────────────────────────────────────────
def _figure(rows: int, columns: int, title: str, below: str) -> tuple[Any, list[Axes]]:
    try:
        import matplotlib  # noqa: PLC0415 - only the pictures need it
    except ImportError:
        raise Unavailable("matplotlib is not installed: pip install matplotlib") from None
    matplotlib.use("svg")
    from matplotlib import pyplot  # noqa: PLC0415

    pyplot.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "encryptotel",
            "font.family": "sans-serif",
            "font.size": 10,
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": GRID,
            "grid.linewidth": 0.6,
            "xtick.color": INK,
            "ytick.color": INK,
            "legend.frameon": False,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
        }
    )
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(4.6 * columns, 2.7 * rows + 0.9), squeeze=False
    )
    figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
    figure.text(0.01, 0.01, below, fontsize=8)
    return figure, [axes for line in grid for axes in line]


def _line(axes: Axes, name: str, x: Sequence[float], y: Sequence[float]) -> None:
    style = "--" if name == "C relay" else "-"
    width = 2.2 if name == OURS else 1.5
    axes.plot(x, y, style, color=COLOURS[name], linewidth=width, marker="o", ms=3.5, label=name)


def _save(figure: Any, file: Path) -> None:
    for axes in figure.axes:
        axes.locator_params(axis="x", nbins=6)
    figure.tight_layout(rect=(0, 0.18 / figure.get_figheight(), 1, 1))
    figure.savefig(file, metadata={"Date": None})
    text = file.read_text()
    file.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


def draw_calls(points: Sequence[CallPoint], file: Path, where: str) -> None:
    """Four panels over the number of calls."""
    last = max((point for point in points if point.system == OURS), key=lambda point: point.calls)
    peer = [point for point in points if point.system == "Asterisk" and point.calls == last.calls]
    beside = f" (Asterisk {peer[0].cpu_percent:.0f} %)" if peer else ""
    title = (
        f"{last.calls} bridged G.711 calls: {last.cpu_percent:.0f} % of one core{beside}, "
        f"{last.loss_percent:.2g} % lost, p99 delay {last.delay_p99_ms:.1f} ms"
    )
    below = f"One core for the server, one for the generator; 100 packets a second a call. {where}"
    figure, panels = _figure(2, 2, title, below)
    shown = (
        ("CPU of one core (%)", "cpu_percent"),
        ("delay of a packet, 99th percentile (ms)", "delay_p99_ms"),
        ("packets lost (%)", "loss_percent"),
        ("memory above that with one call (MB)", "memory_mb"),
    )
    for axes, (label, field) in zip(panels, shown, strict=True):
        for name in COLOURS:
            its = [point for point in points if point.system == name]
            if its:
                _line(axes, name, [p.calls for p in its], [getattr(p, field) for p in its])
        axes.set_title(label, loc="left")
        axes.set_xlabel("bridged calls")
        top = max(getattr(point, field) for point in points)
        axes.set_ylim(0, 1.1 * top if top > 0 else 1)
        axes.set_xlim(0)
    panels[2].axhline(0.1, color=INK, linewidth=0.8, linestyle=":")
    panels[2].annotate("goal: below 0.1 %", (0, 0.1), fontsize=8, va="bottom")
    panels[2].set_ylim(0, max(0.15, 1.1 * max(point.loss_percent for point in points)))
    panels[0].legend(loc="upper left")
    _save(figure, file)


def draw_phones(points: Sequence[PhonePoint], file: Path, where: str) -> None:
    """Two panels over the number of registrations."""
    zero, last = points[0], points[-1]
    each = (last.memory_mb - zero.memory_mb) * 1e6 / (last.phones - zero.phones)
    title = (
        f"{last.phones:,} idle registrations take {last.memory_mb:.0f} MB "
        f"({each / 1000:.1f} kB each)".replace(",", " ")
    )
    below = f"UDP, an extension and an address for each phone, idle for {IDLE:.0f} s. {where}"
    figure, (memory, cost) = _figure(1, 2, title, below)
    phones = [point.phones for point in points]
    _line(memory, OURS, phones, [point.memory_mb for point in points])
    memory.plot(
        [0, last.phones],
        [0, last.phones * 8e-3],
        ":",
        color=INK,
        linewidth=1,
        label="goal: 8 kB each",
    )
    memory.set_title("memory of the exchange, above none registered (MB)", loc="left")
    memory.legend(loc="upper left")
    _line(cost, OURS, phones[1:], [point.refresh_us for point in points[1:]])
    cost.set_title("CPU of a REGISTER refresh, with its challenge (µs)", loc="left")
    for axes in (memory, cost):
        axes.set_xlabel("registered phones")
        axes.set_xlim(0)
        axes.set_ylim(0)
    _save(figure, file)


def draw_parties(points: Sequence[Mixed], file: Path, where: str) -> None:
    """Two panels over the number of parties."""
    last = points[-1]
    title = (
        f"A conference of {last.parties} who all speak: {last.cpu_percent:.0f} % of one core, "
        f"p99 {last.late_p99_ms:.1f} ms late"
    )
    below = f"G.711, 20 ms; each hears all others and not themselves. {where}"
    figure, (busy, late) = _figure(1, 2, title, below)
    parties = [point.parties for point in points]
    _line(busy, OURS, parties, [point.cpu_percent for point in points])
    busy.set_title("CPU of one core (%)", loc="left")
    _line(late, OURS, parties, [point.late_p99_ms for point in points])
    late.set_title("lateness of the mix, 99th percentile (ms)", loc="left")
    late.axhline(5.0, color=INK, linewidth=0.8, linestyle=":")
    late.annotate("goal: below 5 ms", (2, 5.0), fontsize=8, va="bottom")
    for axes in (busy, late):
        axes.set_xlabel("parties")
        axes.set_xlim(0)
        axes.set_ylim(0)
    _save(figure, file)


def draw_pyvoip(
    ours: Sequence[pyvoip.Point], theirs: Sequence[pyvoip.Point], file: Path, where: str
) -> None:
    """Two panels over the number of legs."""
    last = theirs[-1]
    dearer = last.cpu_ms / ours[-1].cpu_ms
    title = (
        f"At {last.legs} legs stock PyVoIP sends {last.packets_a_leg:.1f} of 50 packets a second "
        f"and costs {dearer:.0f} × the CPU"
    )
    figure, (paces, costs) = _figure(1, 2, title, f"Bridged G.711 calls, two legs each. {where}")
    for name, points in ((OURS, ours), ("PyVoIP", theirs)):
        legs = [point.legs for point in points]
        _line(paces, name, legs, [point.packets_a_leg for point in points])
        _line(costs, name, legs, [point.cpu_ms for point in points])
    paces.set_title("packets a second sent on each leg (50 wanted)", loc="left")
    costs.set_title("CPU of a leg (ms a second)", loc="left")
    for axes in (paces, costs):
        axes.set_xlabel("legs")
        axes.set_xlim(0)
        axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
    costs.legend(loc="center right")
    _save(figure, file)


def curves(options: Options, target: Path) -> None:
    """Measure all and write pictures and figures into a folder."""
    target.mkdir(parents=True, exist_ok=True)
    about = machine()
    where = f"{about['date']}, {about['processor']}, Linux {about['kernel']}."
    legs = pyvoip.QUICK_LEGS if options.quick else pyvoip.LEGS
    ours, theirs = pyvoip.points(options, legs)
    draw_pyvoip(ours, theirs, target / "pyvoip.svg", where)
    calls = measure_calls(options)
    draw_calls(calls, target / "calls.svg", where)
    parties = measure_parties(options)
    draw_parties(parties, target / "conference.svg", where)
    phones = measure_phones(options)
    draw_phones(phones, target / "registrations.svg", where)
    document = {
        "machine": about,
        "calls": [asdict(point) for point in calls],
        "parties": [asdict(point) for point in parties],
        "registrations": [asdict(point) for point in phones],
        "legs": [asdict(point) for point in (*ours, *theirs)],
    }
    (target / "curves.json").write_text(json.dumps(document, indent=1) + "\n")
