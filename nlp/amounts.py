"""What is written with figures or signs and is neither a number to dial nor a time."""

import re
from collections.abc import Iterator

from nlp.commands import Money
from nlp.spans import Kind, Span

_ASSET = (
    r"(?:ETT|WAVES?|BTC|ETH|USDT|USDN|USD|EUR|GBP|RUB|dollars?|euros?|pounds?|bucks|cents?|pence|"
    r"tokens?|coins?|bitcoins?|satoshis?|roubles?|rubles?|quid)\b"
)
_AMOUNT = re.compile(
    rf"(?<![\w+])(?:[$€£₽]\s?\d[\d,. ]*\d|[$€£₽]\s?\d|\d[\d,. ]*\d\s?(?:[$€£₽%]|{_ASSET})|"
    rf"\d\s?(?:[$€£₽%]|{_ASSET}))",
    re.IGNORECASE,
)
_SUM = re.compile(r"\d[\d,. ]*")
_LINK = re.compile(r"(?:https?://|webcals?://|caldavs?://|www\.)\S+|[\w.+-]+@[\w-]+\.[\w.]+")
_LINK_END = ".,;:!?)>'\""
_WALLET = re.compile(r"\b3[PMN][1-9A-HJ-NP-Za-km-z]{33}\b")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){3,7}(?:\s?[A-Z0-9]{1,4})?(?!\w)")
_STAR_CODE = re.compile(r"(?<![\w+])[*#][\d*#]{1,12}")
_ASSETS = {
    "ett": "ETT", "waves": "WAVES", "wave": "WAVES", "btc": "BTC", "bitcoin": "BTC",
    "bitcoins": "BTC",
    "eth": "ETH", "usdt": "USDT", "usdn": "USDN", "usd": "USD", "dollar": "USD", "dollars": "USD",
    "bucks": "USD", "$": "USD", "eur": "EUR", "euro": "EUR", "euros": "EUR", "€": "EUR",
    "gbp": "GBP", "pound": "GBP", "pounds": "GBP", "quid": "GBP", "£": "GBP",
}  # fmt: skip


def find_amounts(text: str) -> Iterator[Span]:
    """Sums of money; those of an asset we know with their value."""
    for match in _AMOUNT.finditer(text):
        yield Span(match.start(), match.end(), Kind.AMOUNT, _money(match.group()))


def _money(text: str) -> Money | None:
    """A sum as it was said; None where figures or asset cannot be told ("1,5,2 coins")."""
    said = _SUM.search(text)
    if said is None:
        return None
    figures = said.group().strip(" .,").replace(" ", "")
    asset = _ASSETS.get((text[: said.start()] + text[said.end() :]).strip().lower())
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", figures):
        figures = figures.replace(",", "")
    elif re.fullmatch(r"\d+,\d{1,8}", figures):
        figures = figures.replace(",", ".")
    if asset is None or not re.fullmatch(r"\d+(?:\.\d+)?", figures):
        return None
    return Money(amount=figures, asset=asset)


def find_links(text: str) -> Iterator[Span]:
    """Links, mail and wallet addresses, star codes."""
    for match in _LINK.finditer(text):
        end = match.start() + len(match.group().rstrip(_LINK_END))
        yield Span(match.start(), end, Kind.LINK, text[match.start() : end])
    for match in _IBAN.finditer(text):
        yield Span(match.start(), match.end(), Kind.LINK, match.group())
    for kind, pattern in ((Kind.ADDRESS, _WALLET), (Kind.CODE, _STAR_CODE)):
        for match in pattern.finditer(text):
            yield Span(match.start(), match.end(), kind, match.group())
