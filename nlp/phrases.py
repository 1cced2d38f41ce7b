"""Messages that mean one thing and need no model: single words, bot commands, set phrases."""

import re

_PHRASES = {
    "help": "help|/help|/start|/commands|menu|commands|manual|instructions|usage|start",
    "status": "status|/status|ping|system status|line status|trunk status|what's the status",
    "yes": "yes|yeah|yep|yup|yes please|sure|of course|correct|right|exactly|confirm|confirmed|"
    "go ahead|"
           "do it|uh huh|y|ok|okay|affirmative|absolutely|definitely|that's right|please do",
    "no": "no|nope|nah|no thanks|no thank you|negative|don't|n|wrong|that's wrong|"
    "not really|no way",
    "cancel": "cancel|/cancel|never mind|nevermind|nvm|forget it|forget about it|cancel that|"
    "cancel it|"
              "abort|stop|stop it|drop it|leave it|scrap that|scratch that",
    "hangup": "hang up|hangup|/hangup|hang up now|end call|end the call|disconnect|drop the call|"
              "put the phone down|ring off|finish the call|stop the call",
}  # fmt: skip
_BY_PHRASE = {said: label for label, all_ in _PHRASES.items() for said in all_.split("|")}
# Asking how is asking for help, whatever it is about.
_HOW_TO = re.compile(
    r"^(?:(?:please|can you|could you|would you|tell me|show me|explain|teach me|i don't know|"
    r"i want to know|i'd like to know)\s+)*how\s+(?:do|can|could|would|should|to)\s+"
    r"(?:i\s+|you\s+|one\s+|we\s+)?"
    r"(?:(?:call|phone|ring|dial)(?!\s+(?:\w+\s+)?(?:it|this|that)\b)|hang\s+up|"
    r"(?:make|place|start|get|end|stop|record|transfer|hide|use|hold|set|send)\s+"
    r"(?:(?:a|an|the|my|your|phone|video|conference|calls?\s+from)\s+)*"
    r"(?:calls?|conferences?|callbacks?|recordings?|voicemail|reminders?|numbers?|lines?|trunks?|bot|"
    r"ZONENAME|conversation))\b[^.;,]*$"
)
# Nothing but whom to call by number: the shortest order there is, and also the end of every spam.
_BARE_CALL = re.compile(
    r"(?:(?:can|could|would|will)\s+you\s+)?(?:please\s+|kindly\s+|just\s+)?"
    r"(?:call|ring|phone|dial|telephone)(?:\s+up)?\s+"
    r"(?:(?:the|this)\s+)?(?:following\s+)?(?:(?:phone\s+)?number\s*:?\s+)?PHONENUM\??"
)
_OURS = (
    r"(?:(?:the|our|my|all|of|every|ZONENAME)\s+)*"
    r"(?:(?:phone\s+|sip\s+)?(?:lines?|trunks?|registrations?)|phones|extensions|"
    r"exchange|pbx|switchboard|gateways?|phone\s+system)"
)
_CALLS = r"(?:phone\s+)?calls?"
_STATUS = re.compile(
    r"(?:(?:what(?:'s|\s+is)|show(?:\s+me)?|tell\s+me|give\s+me|check)\s+)?(?:the\s+)?(?:current\s+)?"
    rf"(?:status|state|health)\s+of\s+{_OURS}"
    r"|(?:show|give|tell)\s+me\s+(?:the\s+|a\s+)?status"
    rf"|how(?:'s|\s+is|\s+are)\s+{_OURS}\s+(?:doing|going|working|running)"
    rf"|(?:which|what)\s+{_CALLS}\s+(?:are|is)\s+"
    r"(?:going\s+on|active|running|in\s+progress|ongoing|live|open)"
    rf"|(?:show|list)\s+(?:me\s+)?(?:(?:the|all|my)\s+)*(?:active|current|running|ongoing|live)\s+"
    rf"{_CALLS}"
    r"|who(?:'s|\s+is)\s+on\s+the\s+phone"
)
_HANGUP = re.compile(
    r"(?:end|stop|finish|drop|kill|terminate|disconnect|hang\s+up|cancel|close)\s+"
    r"(?:(?:all|every)\s+(?:(?:the|my|our|active|current|running|ongoing)\s+)*|"
    rf"(?:that|this|my)\s+(?:current\s+)?){_CALLS}"
)
_AROUND = re.compile(
    r"^(?:please|pls|ok|okay|oh|well|hey|hi|hello|so)\b[\s,]*(?=\S)|[\s,]*\b(?:please|pls|thanks|"
    r"thank you|now|bot)\W*$|^[\s\"'(]+|[\s.!,\"')]+$"
)


def label_of_phrase(text: str) -> str | None:
    """The label of a masked text that is one of the set phrases, politeness aside."""
    if _HOW_TO.match(text):
        return "help"
    said = text
    while True:
        if said in _BY_PHRASE:
            return _BY_PHRASE[said]
        if _BARE_CALL.fullmatch(said):
            return "call"
        if _STATUS.fullmatch(said.rstrip("?")):
            return "status"
        if _HANGUP.fullmatch(said):
            return "hangup"
        shorter = _AROUND.sub("", said)
        if shorter == said:
            return None
        said = shorter
