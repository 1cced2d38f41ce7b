"""Plans and payments."""

import re

from nlp.commands import Money, SendMoney, Tariff, TopUp
from nlp.slots.built import Built
from nlp.spans import Kind
from nlp.view import View

_PLAN = re.compile(
    r"\b(?:to|onto|into|on|for|use|try|want|get|take)\s+(?!change|move|switch|go\b|sign)(?:the\s+|a\s+|an\s+|your\s+|my\s+)?(?P<plan>[\w-]+(?:[\s-]+[\w-]+){0,3}?)\s+(?:plan|tariff|package|subscription|rate|billing|option)\b"
    r"|\b(?:plan|tariff)\s+to\s+(?:the\s+)?(?P<end>[\w-]+(?:\s+[\w-]+)?)\W*(?:please\W*)?$"
    r"|\b(?P<named>pay[\s-]as[\s-]you[\s-]go|pre-?paid|payg|monthly|yearly|annual)\b"
)
_CHANGES = re.compile(
    r"\b(?:move|switch|change|put|upgrade|downgrade|sign|set|transfer|take|migrate|go|swap|bump|i\s+want|i'd\s+like|subscribe)\b"
)
_FIGURE = re.compile(r"\b(?P<amount>\d+(?:[.,]\d+)?)\s*(?P<asset>waves?|ett)?\b", re.IGNORECASE)
_ASSET = re.compile(r"\b(?P<asset>waves?|ett)\b", re.IGNORECASE)


def tariff(view: View) -> Built:
    """Which plan, if one is asked for."""
    plan = None
    if _CHANGES.search(view.text) and (match := _PLAN.search(view.text)):
        plan = next(said for name in ("plan", "end", "named") if (said := view.group(match, name)))
        plan = re.sub(r"^(?:the|a|an|your|my|new)\s+", "", plan, flags=re.I)
    return Built(Tariff(plan=plan or None))


def top_up(view: View) -> Built:
    """How much."""
    return Built(TopUp(money=money_in(view)))


def send_money(view: View) -> Built:
    """How much, and to which address."""
    return Built(SendMoney(money=money_in(view), to_address=view.value(Kind.ADDRESS, str)))


def money_in(view: View) -> Money | None:
    """The sum named. A figure apart from its asset counts when there is but one of each; two
    sums are a question."""
    sums = {span.value for _, _, span in view.of(Kind.AMOUNT) if isinstance(span.value, Money)}
    if len(sums) == 1:
        return sums.pop()
    if sums:
        return None
    words = view.words
    for _, _, span in view.of(Kind.ADDRESS, Kind.LINK):
        words = words.replace(view.masked.original[span.start : span.end], " ")
    figures = {match["amount"] for match in _FIGURE.finditer(words)}
    assets = {match["asset"].lower() for match in _ASSET.finditer(words)}
    if len(figures) == 1 and len(assets) == 1:
        asset = "ETT" if assets.pop() == "ett" else "WAVES"
        return Money(amount=figures.pop().replace(",", "."), asset=asset)
    return None
