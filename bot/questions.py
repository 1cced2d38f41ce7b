"""What the bot asks when a command lacks something."""

from __future__ import annotations

_QUESTIONS = {
    "call.to": "Whom shall I call?",
    "call.at": "At what time exactly?",
    "call.line": "From which line?",
    "call.callback": "On which phone shall I call you back?",
    "conference.participants": "Who shall be in the conference?",
    "transfer.to": "To whom shall I transfer the call?",
    "redirect.to": "To whom shall I send the calls?",
    "do_not_disturb.until": "Until when exactly?",
    "block.party": "Whom shall I block?",
    "unblock.party": "Whom shall I let through again?",
    "message.to": "To whom shall I write?",
    "message.text": "What shall I write?",
    "remind.when": "When exactly shall I remind you?",
    "remind.text": "What shall I remind you of?",
    "edit_reminder.when": "To what time exactly?",
    "contact_add.name": "Under which name?",
    "contact_add.party": "What is the number?",
    "contact_remove.name": "Whose contact shall I remove?",
    "top_up.money": "How much, and in WAVES or ETT?",
    "send_money.money": "How much, and in WAVES or ETT?",
    "send_money.to_address": "To which address?",
    "scenario.name": "What shall the scenario be called?",
    "scenario.action": "What shall happen then?",
    "tracking_number.label": "What is the number for?",
    "tracking_number.line": "On which line?",
}


def question_for(slot: str) -> str:
    """The question for ``intent.slot``."""
    return _QUESTIONS.get(slot) or f"What about “{slot.partition('.')[2].replace('_', ' ')}”?"
