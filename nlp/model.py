"""The trained model at work: a probability for each label, and roles, for one masked text.

Set phrases ("hang up", "/help") need no statistics and are certain.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from spacy.language import Language

from nlp import pipeline
from nlp.cues import label_of_cue
from nlp.labels import ALL, TAUGHT, TO
from nlp.phrases import label_of_phrase
from nlp.spans import Kind

#: Marks of the two ends: "call bob" and "did you call bob" begin differently.
BEGIN, END = "BEGIN", "END"
_EXACT = re.compile("|".join(kind.value for kind in Kind if kind is not Kind.CONTACT))
# "CONTACTNAME smith" is one name in two pieces.
_ONE_NAME = re.compile(rf"{Kind.CONTACT}(?:\s+{Kind.CONTACT})+")
#: How many times likelier a label is where a rule names it, chosen on the `dev` part: of what the
#: model has seen real people say it may disagree, of the rest it has little to say.
_CUE_ODDS = 300.0
_CUE_ODDS_UNTAUGHT = 10_000.0
#: What the model gives, at least, to a label of which it has not seen such a sentence.
_UNSEEN = 0.001
MODEL_FOLDER = Path(__file__).parent / "model"


@dataclass(frozen=True)
class Prediction:
    """What the model says of a text: a probability for each label, and the roles in it."""

    scores: dict[str, float]
    roles: tuple[tuple[int, int, str], ...]

    @property
    def label(self) -> str:
        """The most probable label."""
        return max(self.scores, key=self.scores.__getitem__)


class Model:
    """A loaded pipeline."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._ner = language.get_pipe("ner")
        self._textcat = language.get_pipe("textcat")

    @classmethod
    def load(cls, folder: Path = MODEL_FOLDER) -> "Model":
        """Read the model from its folder."""
        return cls(pipeline.load(folder))

    def predict(self, text: str) -> Prediction:
        """Label and roles of a masked text."""
        roles = self.roles(text)
        return Prediction(self.scores(text, roles), roles)

    def clause(self, text: str, whole: Prediction, start: int, end: int) -> Prediction:
        """The prediction for ``text[start:end]`` alone, with the roles the whole text gave it."""
        roles = tuple(
            (a - start, b - start, role) for a, b, role in whole.roles if start <= a and b <= end
        )
        return Prediction(self.scores(text[start:end], roles), roles)

    def roles(self, text: str) -> tuple[tuple[int, int, str], ...]:
        """The roles alone."""
        doc = self._ner(self.language.make_doc(text))
        return tuple((span.start_char, span.end_char, span.label_) for span in doc.ents)

    def scores(self, text: str, roles: tuple[tuple[int, int, str], ...]) -> dict[str, float]:
        """A probability for each label, of a text whose roles are known."""
        phrase = label_of_phrase(text)
        if phrase is not None:
            return {label: float(label == phrase) for label in ALL}
        doc = self._textcat(self.language.make_doc(with_names_masked(text, roles)))
        cue = label_of_cue(text)
        return _weighed(doc.cats, cue) if cue else dict(doc.cats)


def _weighed(scores: dict[str, float], cue: str) -> dict[str, float]:
    """Probabilities of the model once a rule has spoken: strong evidence, but no more than that."""
    factor = _CUE_ODDS if cue in TAUGHT else _CUE_ODDS_UNTAUGHT
    odds = {**scores, cue: factor * (scores[cue] + _UNSEEN)}
    total = sum(odds.values())
    return {label: weight / total for label, weight in odds.items()}


def without_names(text: str, roles: tuple[tuple[int, int, str], ...]) -> str:
    """A masked text in which names that are in no contacts are placeholders as well."""
    return with_names_masked(text, roles).removeprefix(f"{BEGIN} ").removesuffix(f" {END}")


def with_names_masked(text: str, roles: tuple[tuple[int, int, str], ...]) -> str:
    """What the classifier sees: where the text begins and ends, and no names."""
    out, at = [BEGIN, " "], 0
    for start, end, role in roles:
        if role == TO and _EXACT.search(text, start, end) is None:
            out += [text[at:start], Kind.CONTACT.value]
            at = end
    return _ONE_NAME.sub(Kind.CONTACT.value, "".join([*out, text[at:], " ", END]))
