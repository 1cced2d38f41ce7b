"""The spaCy pipeline: a blank English tokenizer and two components trained by us.

``ner`` marks roles on a small hash-embedding ``tok2vec``; ``textcat`` gives the label from word
n-grams (a linear model, which knows better than a deep one when it does not know).
"""

from typing import Any

import spacy
from spacy.language import Language

from nlp.labels import ALL, FROM_ME, LINE, TEXT, TO

#: Roles of the spans `ner` marks.
ROLES = (TO, FROM_ME, LINE, TEXT)

_WIDTH = 64

CONFIG: dict[str, Any] = {
    "ner": {
        "model": {
            "@architectures": "spacy.TransitionBasedParser.v2",
            "state_type": "ner",
            "extra_state_tokens": False,
            "hidden_width": 48,
            "maxout_pieces": 2,
            "use_upper": True,
            "tok2vec": {
                "@architectures": "spacy.Tok2Vec.v2",
                "embed": {
                    "@architectures": "spacy.MultiHashEmbed.v2",
                    "width": _WIDTH,
                    "attrs": ["NORM", "PREFIX", "SUFFIX", "SHAPE"],
                    "rows": [2000, 500, 1000, 300],
                    "include_static_vectors": False,
                },
                "encode": {
                    "@architectures": "spacy.MaxoutWindowEncoder.v2",
                    "width": _WIDTH,
                    "window_size": 1,
                    "maxout_pieces": 3,
                    "depth": 4,
                },
            },
        }
    },
    "textcat": {
        "model": {
            "@architectures": "spacy.TextCatBOW.v3",
            "exclusive_classes": True,
            "length": 32768,
            "ngram_size": 3,
            "no_output_layer": False,
        }
    },
}


def build() -> Language:
    """The untrained pipeline, with all its labels."""
    language = spacy.blank("en")
    ner = language.add_pipe("ner", config=CONFIG["ner"])
    textcat = language.add_pipe("textcat", config=CONFIG["textcat"])
    for role in ROLES:
        ner.add_label(role)  # type: ignore[attr-defined]
    for label in ALL:
        textcat.add_label(label)  # type: ignore[attr-defined]
    return language
