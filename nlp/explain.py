"""How a message was understood, layer by layer, for people who wonder."""

import json
from functools import partial

from nlp.clauses import group
from nlp.context import MAX_CHARACTERS, Context
from nlp.cues import label_of_cue
from nlp.masking import mask_text
from nlp.model import Prediction
from nlp.normalize import normalize
from nlp.phrases import label_of_phrase
from nlp.understand import Understander

SHOWN_LABELS = 4


def explained(understander: Understander, text: str, context: Context) -> list[tuple[str, str]]:
    """Pairs of a layer's name and what came out of it."""
    understood = understander.understand(text, context)
    normal = normalize(text[:MAX_CHARACTERS])
    model, contacts = understander.model, understander.contacts
    masked = mask_text(normal, context, contacts)
    layers = [("message", text), ("normalised", normal), ("masked", masked.text)]
    if masked.spans:
        lines = [
            f"{span.kind.value}  “{normal[span.start : span.end]}”  "
            f"{span.value if span.value is not None else '(no value: to be asked)'}"
            for _, _, span in masked.spans
        ]
        layers.append(("found exactly", "\n".join(lines)))
    if masked.text.strip():
        whole = model.predict(masked.text)
        layers.append(("rule", _rule(masked.text)))
        layers.append(("label", _labels(whole)))
        if whole.roles:
            roles = (f"{role}  “{masked.words(a, b)}”" for a, b, role in whole.roles)
            layers.append(("roles", "\n".join(roles)))
        groups = group(masked.text, whole, partial(model.clause, masked.text, whole))
        clauses = (
            f"{one.label}  {one.score:.2f}  “{masked.words(one.start, one.end)}”" for one in groups
        )
        layers.append(("commands in it", "\n".join(clauses)))
    answer = understood.to_json()
    del answer["text"]
    layers.append(("understood", json.dumps(answer, indent=1, ensure_ascii=False)))
    return layers


def _rule(text: str) -> str:
    phrase, cue = label_of_phrase(text), label_of_cue(text)
    if phrase:
        return f"set phrase: {phrase}"
    return f"beginning that leaves no doubt: {cue}" if cue else "none; the model decides"


def _labels(whole: Prediction) -> str:
    best = sorted(whole.scores.items(), key=lambda item: -item[1])[:SHOWN_LABELS]
    return "\n".join(f"{label}  {score:.2f}" for label, score in best if score >= 0.01)
