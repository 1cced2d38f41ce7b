"""What happens to a person's calls, as replies: a message a call, which changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.approvals import choices
from bot.bounded import Bounded
from bot.card import Card, call_back, delete_message, told
from bot.ports import Progress, Step
from bot.reminders import answers, consents
from bot.replies import Button, Letter, Reply

MAX_CARDS = 100
"Calls whose message can still change."
YES_OR_NO = (Button(label="Yes", says="yes"), Button(label="No", says="no"))


class News:
    """`zone` is where the person's clocks are."""

    def __init__(self, zone: Callable[[], ZoneInfo]) -> None:
        self._zone = zone
        self._cards: Bounded[str, Card] = Bounded(MAX_CARDS)

    def take(self, progress: Progress) -> Reply:
        """How a step is told."""
        text = told(progress)
        if progress.step is Step.TEXT:
            return _letter(text, progress)
        if progress.step in (Step.REMINDER, Step.REMINDER_AGAIN):
            again = progress.step is Step.REMINDER_AGAIN
            return Reply(text=text, buttons=answers(progress.about, again=again))
        if progress.step is Step.INVOICE:
            return Reply(text=text, call_id=progress.call_id, card=text)
        if progress.step is Step.APPROVE:
            return Reply(text=text, buttons=choices(progress.about), private=True)
        if progress.step is Step.CONSENT:
            return Reply(text=text, buttons=consents(progress.about))
        if not progress.call_id:
            asked = progress.step is Step.QUESTION
            return Reply(text=text, buttons=YES_OR_NO if asked else call_back(progress.back))
        if progress.step in (Step.RECORDED, Step.NAMED):
            return Reply(text=text, file=progress.file)
        if progress.step is Step.VOICEMAIL:
            buttons = (*call_back(progress.back), delete_message(progress.about))
            return Reply(text=text, file=progress.file, buttons=buttons)
        call_id = progress.call_id
        card = self.card(call_id, "A call of yours")
        card.take(progress)
        if card.over:
            del self._cards[call_id]
        return Reply(text=text, buttons=card.buttons, call_id=call_id, card=card.text)

    def card(self, call_id: str, title: str) -> Card:
        """The message about a call; a call is told of before it is known by its order."""
        card = self._cards.get(call_id)
        if card is None:
            card = Card(call_id, title, lambda: datetime.now(self._zone()))
            self._cards[call_id] = card
        return card


def _letter(text: str, progress: Progress) -> Reply:
    """What somebody wrote, to be answered with a tap if we know to whom."""
    if not progress.back:
        return Reply(text=text)
    answer = Button(label="Answer", says=f"text {progress.back}")
    return Reply(text=text, buttons=(answer,), letter=Letter(progress.back, progress.text))
