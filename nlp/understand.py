"""A message becomes commands: the layers in their order.

normalise → mask what is exact → label and roles from the model → clauses and commands → guards →
slots → typed commands. Anything doubtful ends as no command, or as a slot to ask for.
"""

import threading
from dataclasses import dataclass
from functools import partial

from nlp import commands, labels
from nlp.clauses import Group, group
from nlp.commands import Party
from nlp.contacts import Contacts
from nlp.context import MAX_CHARACTERS, Context
from nlp.conversation import Said, complete, with_pronouns
from nlp.frame import build_call
from nlp.guards import forbids, forbids_call
from nlp.labels import CALLBACK
from nlp.masking import mask_text
from nlp.model import Model, Prediction, without_names
from nlp.normalize import normalize
from nlp.slots import BUILDERS
from nlp.slots.scenario import says_scenario, scenario
from nlp.spans import Masked
from nlp.view import View

__all__ = ["MAX_CHARACTERS", "Context", "Understander"]

#: Below these the bot says that it did not understand.
_SURE_OF_CALL = 0.6
_SURE_OF_TAUGHT = 0.5
#: Of what no real people's sentences taught.
_SURE_OF_UNTAUGHT = 0.7
#: … unless hardly anything speaks for nothing at all.
_UNLIKELY = 0.12
#: From here on, a text that is about something else as a whole yields no command at all.
_SURE_OF_NOTHING = 0.6
#: Clauses that are each as sure as this are commands, whatever the whole looks like.
_CERTAIN = 0.85
#: From here on, the label of the whole text counts more than those of its clauses.
_TRUSTED = 0.9
#: From here on, a call is likely enough to go by its roles alone.
_LIKELY = 0.4
#: How sure the roles of both parties must be where the label is not.
_PLAIN_ROLES = 0.75
_IMPERATIVE_CALLBACK = ("call me", "ring me", "phone me", "call back", "callback", "connect me")

_PLAIN = {label: commands.COMMANDS[label] for label in labels.BARE}


@dataclass(frozen=True)
class _Part:
    """What one group of clauses became."""

    command: commands.Command | None
    missing: tuple[str, ...]
    confidence: float


class Understander:
    """Understands messages. One instance serves the whole program, from a worker thread."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.contacts = Contacts(model.language)
        self._lock = threading.Lock()

    @classmethod
    def load(cls) -> "Understander":
        """With the model that is part of the package, warmed up."""
        understander = cls(Model.load())
        understander.model.predict("call PHONENUM from the ZONENAME line")
        return understander

    def understand(self, text: str, context: Context) -> commands.Understanding:
        """The commands in `text`; none where it is not for us. Never raises."""
        nothing = commands.Understanding(text=text, commands=(), lacks=(), confidence=0.0)
        if len(text) > MAX_CHARACTERS:
            return nothing
        normal = normalize(text)
        if not any(char.isalnum() for char in normal):
            return nothing
        if not any(char.isalpha() for char in normal) and not (context.asked or context.history):
            return nothing  # figures alone are no order
        with self._lock:
            masked = mask_text(normal, context, self.contacts)
            whole = self.model.predict(masked.text)
            groups = group(masked.text, whole, partial(self.model.clause, masked.text, whole))
        parts = self._parts(groups, masked, whole, context)
        if context.history or context.asked:
            parts = self._in_conversation(parts, masked, whole, context)
        understood = [part for part in parts if part.command is not None]
        if not understood:
            doubt = min((part.confidence for part in parts), default=0.0)
            return commands.Understanding(
                text=text, commands=(), lacks=(), confidence=min(doubt, 0.3)
            )
        confidence = min(part.confidence for part in understood)
        if len(understood) < len(parts):
            confidence *= 0.7  # something was said besides that nobody will do
        return commands.Understanding(
            text=text,
            commands=tuple(part.command for part in understood if part.command is not None),
            lacks=tuple(part.missing for part in understood),
            confidence=confidence,
        )

    def anonymous(self, text: str, context: Context) -> str:
        """The message as the classifier sees it: no names, numbers, times or sums."""
        with self._lock:
            masked = mask_text(normalize(text[:MAX_CHARACTERS]), context, self.contacts)
            return without_names(masked.text, self.model.roles(masked.text))

    def _parts(
        self, groups: list[Group], masked: Masked, whole: Prediction, context: Context
    ) -> list[_Part]:
        plain = all(found.score >= _CERTAIN for found in groups)
        if len(groups) > 1 and not plain and whole.scores[labels.OTHER] >= _SURE_OF_NOTHING:
            return [_Part(None, (), 1 - whole.scores[labels.OTHER])]
        parts: list[_Part] = []
        for found in groups:
            part = self._part(found, masked, whole, context)
            before = tuple(one.command for one in parts if one.command is not None)
            if part.command is not None and before:
                view = View(masked, whole.roles, found.start, found.end, context)
                command = with_pronouns(part.command, view, before)
                if command is not part.command:
                    part = _Part(command, command.missing(), part.confidence)
            parts.append(part)
        return parts

    def _part(self, found: Group, masked: Masked, whole: Prediction, context: Context) -> _Part:
        text = masked.text[found.start : found.end]
        if found.label in _PLAIN:
            sure = _is_sure(found, whole) and not forbids(found.label, text)
            return _Part(_PLAIN[found.label]() if sure else None, (), found.score)
        if found.label in BUILDERS or found.label == "scenario":
            return self._built(found, masked, whole, context)
        score = found.score
        if found.start == 0 and found.end == len(masked.text):
            # A callback is half a call: for the whole message both count.
            score = max(score, whole.scores["call"] + whole.scores[CALLBACK])
        is_call = found.label in ("call", CALLBACK) and score >= _SURE_OF_CALL
        if not is_call and whole.scores[labels.OTHER] >= _TRUSTED:
            return _Part(None, (), 1 - found.score)
        if forbids_call(text) is not None:
            return _Part(None, (), 0.2)
        framed = build_call(masked, whole.roles, found.start, found.end, context)
        if not is_call:
            # The words are unusual, but somebody to call and a phone to ring are both plain.
            likely = framed.call.callback or whole.scores["call"] >= _LIKELY
            plain = likely and framed.confidence >= _PLAIN_ROLES and _all_reached(framed.call)
            return _Part(framed.call, framed.missing, 0.7) if plain else _Part(None, (), 0.3)
        orders = any(words in text for words in _IMPERATIVE_CALLBACK)
        if found.label == CALLBACK and not framed.call.to and not orders:
            return _Part(None, (), 0.3)  # "I'm on 101" tells, and asks for nothing
        if framed.call.to == (Party(me=True),) and "call.at" in framed.missing:
            return _Part(
                None, (), 0.3
            )  # "call me before every meeting": the calendar's, not a call
        return _Part(framed.call, framed.missing, min(1.0, score) * framed.confidence)

    def _in_conversation(
        self, parts: list[_Part], masked: Masked, whole: Prediction, context: Context
    ) -> list[_Part]:
        """What the parts are after what went before."""
        found = tuple(part.command for part in parts if part.command is not None)
        view = View(masked, whole.roles, 0, len(masked.text), context)
        completed = complete(Said(view, found), context)
        if completed is None:
            return parts
        return [_Part(command, _lacked(command, context), 0.9) for command in completed]

    def _built(self, found: Group, masked: Masked, whole: Prediction, context: Context) -> _Part:
        """A command that its builder reads."""
        if not _is_sure(found, whole):
            return _Part(None, (), found.score)
        view = View(masked, whole.roles, found.start, found.end, context)
        if forbids(found.label, view.text):
            return _Part(None, (), 0.2)
        if found.label == "scenario":
            built = scenario(view, lambda start, end: self._action(view, whole, start, end))
            if "action" in built.unclear and not says_scenario(view):
                return _Part(None, (), 0.2)  # "when I call NUMBER it's always busy"
        else:
            built = BUILDERS[found.label](view)
        return _Part(built.command, built.missing, min(1.0, found.score) * built.confidence)

    def _action(
        self, view: View, whole: Prediction, start: int, end: int
    ) -> commands.Command | None:
        """What a scenario does: the command in a stretch of its words."""
        start, end = view.start + start, view.start + end
        with self._lock:
            said = self.model.clause(view.masked.text, whole, start, end)
        group = Group(start, end, said.label, said.scores[said.label])
        if group.label == "scenario":
            return None
        return self._part(group, view.masked, whole, view.context).command


def _lacked(command: commands.Command, context: Context) -> tuple[str, ...]:
    """What a command still lacks: "again" after "At what time?" does not mean at once."""
    lacks = command.missing()
    intent, _, slot = context.asked.partition(".")
    if context.asked in lacks or intent != command.intent or not context.history:
        return lacks
    still = getattr(command, slot, None) is None and context.history[-1].intent == intent
    return (*lacks, context.asked) if still else lacks


def _is_sure(found: Group, whole: Prediction) -> bool:
    """Whether a label counts: the less sure it is, the less the whole may be about nothing."""
    enough = _SURE_OF_TAUGHT if found.label in labels.TAUGHT else _SURE_OF_UNTAUGHT
    if found.score >= enough:
        return True
    return found.score >= _LIKELY and whole.scores[labels.OTHER] < _UNLIKELY


def _all_reached(call: commands.Call) -> bool:
    """Whether there is somebody to call, and everybody by an address that can be dialled."""
    return bool(call.to) and all(party.number or party.extension or party.me for party in call.to)
