"""Money in the chat: what one has, what calls cost, and what was paid."""

from __future__ import annotations

import asyncio
import re

from bot.moments import moment
from bot.ports import Operator, OperatorError, Person
from bot.qr import qr_code
from bot.replies import Button, Reply
from bot.wishes import party_said
from nlp.commands import Balance, Tariff, TopUp

ASK = "Ask “what does a call to +49 30 123456 cost?”, or “… to Germany”."
NO_ADDRESS = "nobody can pay in here; whoever runs this exchange can give you credit"
NOTHING_YET = "Nothing was paid yet."
_PRICE = re.compile(
    r"(?:what|how much) (?:does|would|will|do|is|are) (?:an? |the )?(?:calls?|minutes?|calling)(?: (?:to|with))? (?P<a>.{2,60}?)(?: cost(?: me)?)?"
    r"|how much (?:does|would|will) it cost (?:me )?to (?:call|ring|phone) (?P<b>.{2,60}?)"
    r"|(?:what (?:is|are)|what's|whats) the (?:prices?|rates?|costs?) (?:of|for) (?:an? )?(?:calls? (?:to )?)?(?P<c>.{2,60}?)"
    r"|(?:prices?|rates?) (?:for|to) (?:calls to )?(?P<d>.{2,60}?)",
    re.I,
)
_PLANS = re.compile(
    r"(?:(?:what|which) (?:monthly )?plans (?:are there|do you have|can i have)|(?:show )?(?:me )?(?:the |your |all )?(?:monthly )?plans|(?:what is |what's |show )?my (?:monthly )?plan)",
    re.I,
)
_CANCEL = re.compile(r"(?:cancel|end|stop|terminate) my (?:monthly )?plan", re.I)
_CHOOSE = re.compile(
    r"(?:i (?:want|take|would like|'d like) |give me |get me |buy |choose |switch (?:me )?to |move me to )(?:the |a )?(?P<plan>[\w-]{1,30}(?: [\w-]{1,20})?) plan",
    re.I,
)
_LINES = re.compile(
    r"(?:show |list )?(?:me )?(?:my )?(?:account(?: statement)?|statement|payments|history of payments|payment history)"
    r"|what (?:did|have) (?:i|my calls) (?:pay|paid|spend|spent|cost)(?: so far| for)?",
    re.I,
)


async def about_money(operator: Operator, person: Person, text: str) -> Reply | None:
    """What set phrases about money do; None for anything else. Raises `OperatorError`."""
    words = " ".join(text.split()).rstrip(".!?")
    if _LINES.fullmatch(words):
        return await _statement(operator, person)
    if _PLANS.fullmatch(words):
        return Reply(text=await operator.accounts.plans(person), private=True)
    if _CANCEL.fullmatch(words):
        return Reply(text=await operator.accounts.cancel_plan(person), private=True)
    if found := _CHOOSE.fullmatch(words):
        return Reply(text=await operator.accounts.choose(person, found["plan"]), private=True)
    if found := _PRICE.fullmatch(words):
        return price(operator, person, next(filter(None, found.groups())))
    return None


async def money(
    operator: Operator, person: Person, command: Balance | Tariff | TopUp
) -> list[Reply]:
    """What somebody has; what calls cost, and plans; or an invoice. Raises `OperatorError`."""
    if isinstance(command, TopUp):
        return await _top_up(operator, person, command)
    has = operator.accounts.balance(person)
    if isinstance(command, Balance):
        statement = Button(label="Statement", says="my account statement")
        buttons = (statement,) if operator.accounts.pays(person) else ()
        return [Reply(text=has, buttons=buttons, private=True)]
    if command.plan:
        plan = re.sub(r"(?i)\s*\bplan$", "", command.plan)
        return [Reply(text=await operator.accounts.choose(person, plan), private=True)]
    return [Reply(text=f"{has} {ASK}\n{await operator.accounts.plans(person)}", private=True)]


async def _top_up(operator: Operator, person: Person, command: TopUp) -> list[Reply]:
    """An invoice, as a picture and to copy, and how it stands."""
    if operator.payments is None:
        raise OperatorError("money.off", NO_ADDRESS)
    assert command.money is not None
    one = await operator.payments.top_up(person, command.money.amount, command.money.asset)
    text = (
        f"To top up {one.worth}, send exactly\n"
        f"{one.amount} {one.coin}\nto\n{one.address}\nwith the memo (attachment)\n{one.id}\n"
        f"The asset is {one.asset}. The price holds until {moment(one.until, person)}. "
        f"Scan the picture, or pay here: {one.link}"
    )
    picture = await asyncio.to_thread(qr_code, one.link, "invoice.png")
    pay = Button(label=f"Pay {one.coin}", link=one.link)
    state = f"Top-up {one.id}: waiting for {one.amount} {one.coin}."
    return [
        Reply(text=text, file=picture, buttons=(pay,), private=True),
        Reply(text=state, card=state, call_id=f"invoice {one.id}", private=True),
    ]


def price(operator: Operator, person: Person, said: str) -> Reply:
    """What calling a number, somebody, or somewhere costs. Raises `OperatorError`."""
    place = re.sub(r"^(?:to|the) ", "", said, flags=re.I)
    party = party_said(place)
    if party.name and (found := operator.accounts.prices(person, place)):
        return Reply(text=found)
    try:
        return Reply(text=operator.accounts.price(person, party))
    except OperatorError as error:
        if error.id != "party.unknown_name":
            raise
        raise OperatorError(
            "money.where", f"I have no price for “{place}”; ask for a number, or a country"
        ) from error


async def _statement(operator: Operator, person: Person) -> Reply:
    lines = await operator.accounts.lines(person)
    shown = [f"  {moment(one.at, person)}: {one.amount}, {one.what}" for one in lines]
    said = operator.accounts.balance(person)
    return Reply(text="\n".join([said, *(shown or [NOTHING_YET])]), private=True)
