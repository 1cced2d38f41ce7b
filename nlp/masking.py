"""The exact layer: every finder in its order of precedence, then the placeholders."""

from nlp.amounts import find_amounts, find_links
from nlp.contacts import Contacts
from nlp.context import Context
from nlp.numbers import find_extensions, find_international, find_national, find_other
from nlp.spans import Masked, Spans, mask
from nlp.times import find_times
from nlp.zones import find_zones

MONTH_FIRST = frozenset({"US", "PH", "PR"})
"Regions that write 12/24/2026 for Christmas Eve."


def mask_text(text: str, context: Context, contacts: Contacts) -> Masked:
    """Claim what is certain before what is less so: a `+` number is nothing else, a date's year is
    no extension, and "Berlin time" is no country."""
    spans = Spans()
    spans.claim(find_links(text))
    spans.claim(find_international(text, context.region))
    spans.claim(contacts.find(text, context.contacts, context.region))
    spans.claim(find_amounts(text))
    month_first = context.region in MONTH_FIRST
    spans.claim(find_times(text, context.local_now(), month_first=month_first))
    spans.claim(find_national(text, context.region))
    spans.claim(find_zones(text, context.lines))
    spans.claim(find_extensions(text, context.extensions))
    spans.claim(find_other(text))
    return mask(text, spans.ordered())
