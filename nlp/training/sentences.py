"""Our own training sentences: the grammar in ``sentences.txt``, and how often each label is drawn.

Labels that are not yet commands ("remind", "message", …) teach the model what a call is not.
"""

from functools import lru_cache
from pathlib import Path

from nlp.training.names import invented_names

_FILE = Path(__file__).with_name("sentences.txt")

#: How many sentences to draw for each label; equal ones count once.
COUNTS = {
    "call": 8500,
    "callback": 500,
    "hangup": 700,
    "status": 600,
    "help": 900,
    "yes": 600,
    "no": 600,
    "cancel": 700,
    "detail": 500,
    "remind": 500,
    "message": 500,
    "history": 500,
    "control": 350,
    "conference": 300,
    "settings": 900,
    "money": 250,
    "contacts": 250,
    "other": 2600,
}


@lru_cache(maxsize=1)
def rules() -> dict[str, list[str]]:
    """The rules by name; each is a list of blocks, a block a choice of lines."""
    found: dict[str, list[list[str]]] = {"rare": [invented_names(1500)]}
    name = ""
    for line in _FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        if line.startswith("["):
            name = line.strip("[]")
            found[name] = [[]]
        elif not line:
            if found.get(name, [[]])[-1]:
                found[name].append([])
        else:
            quoted = len(line) > 1 and line[0] == line[-1] == '"'
            found[name][-1].append(line[1:-1] if quoted else line)
    return {rule: ["|".join(block) for block in blocks if block] for rule, blocks in found.items()}
