"""Readers of the public corpora (MTOP, CLINC150, HWU64), one JSON object a line.

Their sentences are masked by the product's own layers, their intents mapped to our labels, and
split by a hash of the words: ``train`` (80 %), ``dev`` (10 %, to look at), ``held-out`` (10 %,
only ever counted).
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp.contacts import Contacts
from nlp.context import Context
from nlp.labels import OTHER, TEXT, TO
from nlp.masking import mask_text
from nlp.normalize import normalize
from nlp.spans import Masked
from nlp.training.grammar import Example

_LABELS = {
    "IN:CREATE_CALL": "call", "IN:END_CALL": "hangup", "IN:CANCEL_CALL": "hangup",
    "IN:ANSWER_CALL": "answer", "IN:IGNORE_CALL": "reject", "IN:HOLD_CALL": "hold",
    "IN:RESUME_CALL": "resume", "IN:GET_CALL": "history", "IN:GET_CALL_TIME": "history",
    "IN:GET_CALL_CONTACT": "history", "IN:SET_AVAILABLE": "do_not_disturb",
    "IN:SET_UNAVAILABLE": "do_not_disturb", "IN:CREATE_REMINDER": "remind",
    "IN:DELETE_REMINDER": "cancel_reminder", "IN:GET_REMINDER": "reminders",
    "IN:GET_REMINDER_DATE_TIME": "reminders", "IN:GET_REMINDER_LOCATION": "reminders",
    "IN:GET_REMINDER_AMOUNT": "reminders", "IN:UPDATE_REMINDER": "edit_reminder",
    "IN:UPDATE_REMINDER_DATE_TIME": "edit_reminder", "IN:UPDATE_REMINDER_TODO": "edit_reminder",
    "IN:UPDATE_REMINDER_LOCATION": "edit_reminder", "IN:CREATE_ALARM": "remind",
    "IN:DELETE_ALARM": "cancel_reminder", "IN:GET_ALARM": "reminders",
    "IN:UPDATE_ALARM": "edit_reminder", "IN:SEND_MESSAGE": "message",
    "make_call": "call", "reminder": "reminders", "reminder_update": "remind", "alarm": "remind",
    "text": "message", "yes": "yes", "no": "no", "cancel": "cancel", "what_can_i_ask_you": "help",
    "alarm_set": "remind", "alarm_remove": "cancel_reminder", "alarm_query": "reminders",
}  # fmt: skip
# What means other things there than here, or is neither a command of ours nor plainly none:
# agreement and stopping of HWU64, what is put into a calendar, help with reminders, snoozing.
_SKIPPED = frozenset(
    {"general_commandstop", "general_affirm", "general_confirm", "general_negate",
     "general_dontcare", "general_repeat", "account_blocked", "transfer", "calendar_set",
     "calendar_remove", "IN:HELP_REMINDER", "IN:SNOOZE_ALARM", "IN:SILENCE_ALARM", "IN:GET_MESSAGE",
     "calendar_update", "IN:SWITCH_CALL", "IN:MERGE_CALL", "todo_list_update", "email_addcontact"}
)  # fmt: skip
_ORDER_TO_CALL = re.compile(r"\b(?:call|phone|dial|ring)\b(?!\s+(?:log|history))", re.IGNORECASE)
_CONFERENCE = re.compile(r"\b(?:conference|group call)\b", re.IGNORECASE)
_REDIAL = re.compile(r"\b(?:redial|re-dial|last number|call again)\b", re.IGNORECASE)
_ALL_CALLS = re.compile(r"\bcalls\b", re.IGNORECASE)
_LISTED = re.compile(r"\s*(?:,|\band\b|&)\s*", re.IGNORECASE)
_PEOPLE = frozenset({"CONTACT", "GROUP", "PHONE_NUMBER", "CONTACT_ADDED"})
_WITH_ROLES = frozenset({"call", "conference", "remind", "cancel_reminder", "reminders", "history"})


@dataclass(frozen=True)
class Row:
    """A corpus sentence as the model sees it, and where it comes from."""

    example: Example
    utterance: str
    source: str
    source_intent: str
    part: str
    slots: tuple[tuple[str, str], ...] = ()
    "Names and words of the source's own slots."
    nested: bool = False
    "Its words to be reminded of leave something out: they were annotated as an order."


def read_folder(folder: Path, contacts: Contacts, context: Context) -> Iterator[Row]:
    """All rows of all files that have a meaning for us."""
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                label = _label(row)
                if label is not None:
                    yield _row(row, label, contacts, context)


def part_of(utterance: str) -> str:
    """``train``, ``dev`` or ``held-out``: the same for the same words in whatever file."""
    digest = hashlib.sha256(" ".join(utterance.lower().split()).encode()).digest()
    return {0: "held-out", 1: "dev"}.get(digest[0] % 10, "train")


def _label(row: dict[str, Any]) -> str | None:
    intent, text = row["source_intent"], row["utterance"]
    if intent in _SKIPPED:
        return None
    label = _LABELS.get(intent, OTHER)
    if intent == "IN:UPDATE_CALL":
        added = any(slot["slot"] == "CONTACT_ADDED" for slot in row["slots"])
        return "conference" if added else OTHER
    if label == "reject" and _ALL_CALLS.search(text):
        return "block" if any(slot["slot"] == "CONTACT" for slot in row["slots"]) else None
    if label == "call":
        if _CONFERENCE.search(text):
            return "conference"
        return "redial" if _REDIAL.search(text) else "call"
    if row.get("source") != "MTOP" and label in (OTHER, "remind") and _ORDER_TO_CALL.search(text):
        return None if row.get("source") == "HWU64" or "call" in text.split()[:3] else label
    return label


def _row(row: dict[str, Any], label: str, contacts: Contacts, context: Context) -> Row:
    utterance = row["utterance"]
    masked = mask_text(normalize(utterance), context, contacts)
    annotated = row.get("source") == "MTOP" and "slots" in row
    roles = _roles(masked, row) if label in _WITH_ROLES and annotated else None
    if label not in _WITH_ROLES and label != "message":
        roles = ()  # nobody is called here
    return Row(
        Example(masked.text, label, roles),
        utterance,
        row.get("source", ""),
        row["source_intent"],
        part_of(utterance),
        tuple((slot["slot"], slot["text"]) for slot in row.get("slots", ())),
        "[SL:TODO [IN:" in row.get("parse", ""),
    )


def _roles(masked: Masked, row: dict[str, Any]) -> tuple[tuple[int, int, str], ...] | None:
    """Where the slots' words are in the masked text; None if one cannot be found."""
    if "[SL:TODO [IN:" in row.get("parse", ""):
        return None  # such a span leaves out the verb
    roles: list[tuple[int, int, str]] = []
    searched = 0
    for slot in row["slots"]:
        if slot["slot"] not in _PEOPLE and slot["slot"] != "TODO":
            continue
        words = slot["text"].lower().replace(" '", "'").split()
        if not words:
            return None
        start = masked.text.find(words[0], searched)
        last = masked.text.find(words[-1], start + (len(words[0]) if len(words) > 1 else 0))
        if start < 0 or last < 0 or last + len(words[-1]) - start > len(slot["text"]) + 16:
            return None
        end = last + len(words[-1])
        if slot["slot"] == "TODO":
            roles.append((start, end, TEXT))
            searched = end
            continue
        searched = end
        at = start
        for gap in [*_LISTED.finditer(masked.text, start, end), None]:
            stop = gap.start() if gap else end
            if stop > at:
                roles.append((at, stop, TO))
            at = gap.end() if gap else end
    return tuple(roles)
