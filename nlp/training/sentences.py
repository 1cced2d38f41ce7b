"""Our own training sentences: the grammar in ``sentences.txt``, and how often each label is drawn.

What is asked of us and is no command of ours (`other_requests`) teaches what the commands are not.
"""

from functools import lru_cache
from pathlib import Path

from nlp.training.names import invented_names

_FILE = Path(__file__).with_name("sentences.txt")

#: How many sentences to draw for each label; equal ones count once.
COUNTS = {
    "call": 8500, "callback": 500, "hangup": 700, "status": 600, "help": 900, "yes": 600, "no": 600,
    "cancel": 700, "detail": 500, "other": 2600, "other_requests": 2200,
    "conference": 700, "hold": 250, "resume": 250, "mute": 150, "unmute": 150, "answer": 350, "reject": 350,
    "transfer": 500, "redial": 250, "redirect": 1200, "do_not_disturb": 700, "block": 500, "unblock": 350,
    "hide_number": 500, "record": 500, "message": 1500, "remind": 1800, "reminders": 400,
    "cancel_reminder": 700, "edit_reminder": 700, "calendar": 500, "history": 900, "voicemail": 600,
    "recordings": 500, "tracking_number": 400, "statistics": 500, "contact_add": 600, "contact_remove": 300,
    "contacts": 250, "balance": 300, "tariff": 400, "top_up": 350, "send_money": 400, "scenario": 700,
    "add_device": 400, "devices": 250, "invite": 300,
}  # fmt: skip
#: Rules whose sentences teach under the label of another.
LABEL_OF = {"other_requests": "other"}


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
