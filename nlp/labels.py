"""The labels of the model: the intents, the parts of a command, and what is none (yet)."""

#: Labels that become a command of the same name.
COMMANDS = frozenset({"call", "hangup", "status", "help", "yes", "no", "cancel"})
#: Parts: they complete the command beside them ("then call me back on 101", "via the UK").
CALLBACK = "callback"
DETAIL = "detail"
#: Other people's requests of us that are not commands yet, kept apart from small talk because what
#: stands before or after them may still be one ("call Bob then remind me in an hour").
UNSUPPORTED = frozenset(
    {"remind", "message", "history", "control", "conference", "settings", "money", "contacts"}
)
#: Requests that carry words of the person's own: what follows may be part of those words.
CARRIES_TEXT = frozenset({"remind", "message", "settings", "contacts"})
#: Not for us: small talk, spam, reports, other topics.
OTHER = "other"

ALL = tuple(sorted(COMMANDS | {CALLBACK, DETAIL, OTHER} | UNSUPPORTED))

#: Roles the model marks.
TO, FROM_ME, LINE = "TO", "CALLBACK", "LINE"
