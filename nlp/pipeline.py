"""The spaCy pipeline: a blank English tokenizer and two components trained by us.

``ner`` marks roles on a small hash-embedding ``tok2vec``; ``textcat`` gives the label from word
n-grams and pieces of words (a linear model, which knows better than a deep one when it does not
know). Pieces see what words cannot: endings, compounds, slips of the keyboard.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import spacy
from spacy.language import Language
from spacy.strings import get_string_id
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model, SparseLinear_v2, chain, softmax_activation
from thinc.types import ArrayXd, Floats2d

from nlp.labels import ALL, FROM_ME, LINE, TEXT, TO

#: Roles of the spans `ner` marks.
ROLES = (TO, FROM_ME, LINE, TEXT)

_WIDTH = 64
_WORDS_IN_A_ROW = 3
_PIECES = (3, 4, 5)
_LONGEST_WORD = 40

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
        "model": {"@architectures": "encryptotel.WordsAndPieces.v1", "length": 65536},
    },
}

#: Hashes of what occurs in some texts one after another, how often, and how many are each text's.
_Features = tuple[npt.NDArray[np.uint64], npt.NDArray[np.float32], npt.NDArray[np.int32]]


def words_and_pieces(length: int, nO: int | None = None) -> Model[list[Doc], Floats2d]:
    """A linear classifier of the words, their neighbours and their pieces, hashed to `length`."""
    linear = SparseLinear_v2(nO=nO, length=length)
    model: Model[list[Doc], Floats2d] = chain(
        Model("words_and_pieces", _features), linear, softmax_activation()
    )
    model.set_ref("output_layer", linear)
    model.attrs["multi_label"] = False
    return model


registry.architectures.register("encryptotel.WordsAndPieces.v1", func=words_and_pieces)


def _features(
    model: Model[list[Doc], _Features], docs: Sequence[Doc], is_train: bool
) -> tuple[_Features, Callable[[ArrayXd], list[Doc]]]:
    keys, counts = zip(*(_of_text(model, doc) for doc in docs), strict=True)
    lengths = np.array([len(found) for found in keys], dtype=np.int32)
    together = np.concatenate(keys), np.concatenate(counts).astype(np.float32), lengths
    return together, lambda gradient: []


def _of_text(model: Model[Any, Any], doc: Doc) -> Any:
    words: Any = doc.to_array("ORTH")
    rows = [model.ops.ngrams(size, words) for size in range(2, _WORDS_IN_A_ROW + 1)]
    pieces = [_pieces(token.text) for token in doc]
    return np.unique(np.concatenate([words, *rows, *pieces]), return_counts=True)


@lru_cache(maxsize=20_000)
def _pieces(word: str) -> npt.NDArray[np.uint64]:
    """Hashes of a word's pieces; placeholders ("PHONENUM") have none."""
    whole = "" if word.isupper() else f"<{word[:_LONGEST_WORD]}>"
    found = [whole[at : at + n] for n in _PIECES for at in range(len(whole) - n + 1)]
    return np.array([get_string_id(f"#{piece}") for piece in found], dtype=np.uint64)


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


def load(folder: Path) -> Language:
    """A trained pipeline from its folder."""
    return spacy.load(folder)
