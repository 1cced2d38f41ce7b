"""Figures as pictures, by matplotlib, in a process of their own."""

from __future__ import annotations

import io

from bot.ports import Figures

ANSWERED, MISSED, OTHER = "#2a7f62", "#d1495b", "#3d5a80"


def drawn(chart: Figures) -> bytes:
    """A PNG. Takes a second or two."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    figure, ((days, hours), (sources, callers)) = pyplot.subplots(
        2, 2, figsize=(10, 6.5), dpi=100, layout="constrained"
    )
    figure.suptitle(chart.title)
    places = range(len(chart.days))
    days.set_title("by day")
    days.bar(places, chart.answered_by_day, color=ANSWERED, label="answered")
    days.bar(
        places, chart.missed_by_day, bottom=chart.answered_by_day, color=MISSED, label="missed"
    )
    every = max(1, len(chart.days) // 7)
    days.set_xticks(list(places)[::every], list(chart.days)[::every])
    days.legend(frameon=False)
    hours.set_title("by hour")
    hours.bar(range(24), chart.answered_by_hour, color=ANSWERED)
    hours.bar(range(24), chart.missed_by_hour, bottom=chart.answered_by_hour, color=MISSED)
    hours.set_xticks(range(0, 24, 3))
    sources.set_title("by source")
    sources.barh(list(chart.sources), list(chart.sources.values()), color=OTHER)
    sources.invert_yaxis()
    callers.set_title("callers")
    callers.barh(["new", "known"], [chart.new, chart.known], color=[ANSWERED, OTHER])
    callers.invert_yaxis()
    for axes in (days, hours):
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (sources, callers):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (days, hours, sources, callers):
        axes.spines[["top", "right"]].set_visible(False)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    pyplot.close(figure)
    return out.getvalue()
