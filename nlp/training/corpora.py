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
from nlp.labels import OTHER, TO
from nlp.masking import mask_text
from nlp.normalize import normalize
from nlp.spans import Masked
from nlp.training.grammar import Example

_LABELS = {
    "IN:CREATE_CALL": "call", "IN:END_CALL": "hangup", "IN:CANCEL_CALL": "hangup",
    "IN:UPDATE_CALL": "control", "IN:IGNORE_CALL": "control", "IN:SWITCH_CALL": "control",
    "IN:ANSWER_CALL": "control", "IN:HOLD_CALL": "control", "IN:RESUME_CALL": "control",
    "IN:UPDATE_METHOD_CALL": "control", "IN:MERGE_CALL": "control", "IN:GET_CALL": "history",
    "IN:GET_CALL_TIME": "history", "IN:GET_CALL_CONTACT": "history",
    "IN:SET_AVAILABLE": "settings", "IN:SET_UNAVAILABLE": "settings",
    "IN:SET_DEFAULT_PROVIDER_CALLING": "settings", "IN:CREATE_REMINDER": "remind",
    "IN:DELETE_REMINDER": "remind", "IN:GET_REMINDER": "remind",
    "IN:UPDATE_REMINDER_DATE_TIME": "remind", "IN:UPDATE_REMINDER_TODO": "remind",
    "IN:UPDATE_REMINDER": "remind", "IN:GET_REMINDER_DATE_TIME": "remind",
    "IN:GET_REMINDER_LOCATION": "remind", "IN:GET_REMINDER_AMOUNT": "remind",
    "IN:HELP_REMINDER": "remind", "IN:UPDATE_REMINDER_LOCATION": "remind",
    "IN:CREATE_ALARM": "remind", "IN:DELETE_ALARM": "remind", "IN:UPDATE_ALARM": "remind",
    "IN:GET_ALARM": "remind", "IN:SEND_MESSAGE": "message", "IN:GET_MESSAGE": "message",
    "make_call": "call", "reminder": "remind", "reminder_update": "remind", "alarm": "remind",
    "text": "message", "yes": "yes", "no": "no", "cancel": "cancel", "what_can_i_ask_you": "help",
    "balance": OTHER, "alarm_set": "remind", "alarm_remove": "remind", "alarm_query": "remind",
    "email_sendemail": "message",
}  # fmt: skip
# Agreement, refusal and stopping of HWU64 mean other things than ours; its other parts contain
# plain orders to call under other names, which would teach the opposite of what they say.
_SKIPPED = frozenset(
    {"general_commandstop", "general_affirm", "general_confirm", "general_negate",
     "general_dontcare", "general_repeat", "account_blocked", "transfer"}
)  # fmt: skip
_ORDER_TO_CALL = re.compile(r"\b(?:call|phone|dial|ring)\b(?!\s+(?:log|history))", re.IGNORECASE)
_CONFERENCE = re.compile(r"\b(?:conference|group call)\b", re.IGNORECASE)
_REDIAL = re.compile(r"\b(?:redial|re-dial|last number|call again)\b", re.IGNORECASE)
_LISTED = re.compile(r"\s*(?:,|\band\b|&)\s*", re.IGNORECASE)
_BY_NAME = frozenset({"CONTACT", "GROUP", "PHONE_NUMBER"})


@dataclass(frozen=True)
class Row:
    """A corpus sentence as the model sees it, and where it comes from."""

    example: Example
    utterance: str
    source: str
    source_intent: str
    part: str


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
    if label == "call":
        if _CONFERENCE.search(text):
            return "conference"
        return "control" if _REDIAL.search(text) else "call"
    if row.get("source") != "MTOP" and label in (OTHER, "remind") and _ORDER_TO_CALL.search(text):
        return None if row.get("source") == "HWU64" or "call" in text.split()[:3] else label
    return label


def _row(row: dict[str, Any], label: str, contacts: Contacts, context: Context) -> Row:
    utterance = row["utterance"]
    masked = mask_text(normalize(utterance), context, contacts)
    roles = _roles(masked, row) if label == "call" and row.get("source") == "MTOP" else None
    if label not in ("call", "conference"):
        roles = ()  # nobody is called here
    return Row(
        Example(masked.text, label, roles),
        utterance,
        row.get("source", ""),
        row["source_intent"],
        part_of(utterance),
    )


def _roles(masked: Masked, row: dict[str, Any]) -> tuple[tuple[int, int, str], ...] | None:
    """Where the slots' words are in the masked text; None if one cannot be found."""
    roles: list[tuple[int, int, str]] = []
    searched = 0
    for slot in row["slots"]:
        if slot["slot"] not in _BY_NAME:
            continue
        words = slot["text"].lower().split()
        start = masked.text.find(words[0], searched)
        last = masked.text.find(words[-1], start + (len(words[0]) if len(words) > 1 else 0))
        if start < 0 or last < 0 or last + len(words[-1]) - start > len(slot["text"]) + 16:
            return None
        end = last + len(words[-1])
        searched = end
        at = start
        for gap in [*_LISTED.finditer(masked.text, start, end), None]:
            stop = gap.start() if gap else end
            if stop > at:
                roles.append((at, stop, TO))
            at = gap.end() if gap else end
    return tuple(roles)
