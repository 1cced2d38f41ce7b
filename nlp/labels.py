"""The labels of the model: the intents, the parts of a command, and what is none."""

from nlp.commands import COMMANDS as _COMMANDS

#: Labels that become a command of the same name.
COMMANDS = frozenset(_COMMANDS)
#: Parts: they complete the command beside them ("then call me back on 101", "via the UK").
CALLBACK = "callback"
DETAIL = "detail"
#: Commands that carry words of the person's own: what follows may be part of those words.
CARRIES_TEXT = frozenset({"remind", "edit_reminder", "message", "scenario"})
#: Commands that say nothing but themselves.
BARE = frozenset(
    {
        "hangup", "hold", "resume", "mute", "unmute", "answer", "reject", "redial", "devices",
         "balance", "status", "help", "cancel", "yes", "no",
    }
)  # fmt: skip
#: Labels of which public corpora have real people's sentences.
TAUGHT = frozenset(
    {
        "call", "conference", "hangup", "hold", "resume", "answer", "reject", "redial", "history",
        "do_not_disturb", "remind", "reminders", "cancel_reminder", "edit_reminder", "message",
        "yes", "no", "cancel", "help",
    }
)  # fmt: skip
#: Not for us: small talk, spam, reports, other topics.
OTHER = "other"

ALL = tuple(sorted(COMMANDS | {CALLBACK, DETAIL, OTHER}))

#: Roles the model marks: who is called, where the person is, the line, and words of one's own.
TO, FROM_ME, LINE, TEXT = "TO", "CALLBACK", "LINE", "TEXT"
