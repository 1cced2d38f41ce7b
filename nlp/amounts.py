"""What is written with figures or signs and is neither a number to dial nor a time."""

import re
from collections.abc import Iterator

from nlp.spans import Kind, Span

_ASSET = (
    r"(?:ETT|WAVES|BTC|ETH|USDT|USDN|USD|EUR|GBP|RUB|dollars?|euros?|pounds?|bucks|cents?|pence|"
    r"tokens?|coins?|bitcoins?|satoshis?|roubles?|rubles?|quid)\b"
)
_AMOUNT = re.compile(
    rf"(?<![\w+])(?:[$€£₽]\s?\d[\d,. ]*\d|[$€£₽]\s?\d|\d[\d,. ]*\d\s?(?:[$€£₽%]|{_ASSET})|"
    rf"\d\s?(?:[$€£₽%]|{_ASSET}))",
    re.IGNORECASE,
)
_LINK = re.compile(
    r"(?:https?://|www\.)\S+|[\w.+-]+@[\w-]+\.[\w.]+|\b3[PMN][1-9A-HJ-NP-Za-km-z]{33}\b"
)
_STAR_CODE = re.compile(r"(?<!\w)[*#][\d*#]{1,12}")


def find_amounts(text: str) -> Iterator[Span]:
    """Sums of money."""
    for match in _AMOUNT.finditer(text):
        yield Span(match.start(), match.end(), Kind.AMOUNT)


def find_links(text: str) -> Iterator[Span]:
    """Links, mail and wallet addresses, star codes."""
    for pattern in (_LINK, _STAR_CODE):
        for match in pattern.finditer(text):
            yield Span(match.start(), match.end(), Kind.LINK)
