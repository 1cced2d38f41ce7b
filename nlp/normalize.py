"""One way of writing: plain quotes and spaces, and spoken digits as digits."""

import re
import unicodedata

_REPLACED = str.maketrans(
    {
        "‘": "'", "’": "'", "‛": "'", "`": "'", "´": "'",
        "“": '"', "”": '"', "„": '"', "«": '"', "»": '"',
        "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "−": "-",
    }
)  # fmt: skip

_DIGITS = {
    "zero": "0", "oh": "0", "o": "0", "nought": "0", "one": "1", "two": "2", "three": "3",
    "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
_DIGIT = r"(?:zero|oh|o|nought|one|two|three|four|five|six|seven|eight|nine|\d)"
_REPEATED = rf"(?:double|triple|treble)[\s-]+{_DIGIT}"
_SPOKEN_DIGIT = rf"(?:{_REPEATED}|{_DIGIT})"
_PLUS = r"(?:plus\s+|\+\s*)?"
# Three digits or more in a row are a number being dictated; "one or two" is not.
_DICTATED = re.compile(
    rf"(?<![\w+]){_PLUS}(?:{_REPEATED}(?:[\s,-]+{_SPOKEN_DIGIT})+"
    rf"|{_SPOKEN_DIGIT}(?:[\s,-]+{_SPOKEN_DIGIT}){{2,}})(?!\w)",
    re.IGNORECASE,
)
_DICTATED_PART = re.compile(rf"(double|triple|treble)|({_DIGIT})(?!\w)", re.IGNORECASE)
_REPEAT = {"double": 2, "triple": 3, "treble": 3}
_SPOKEN_PLUS = re.compile(r"\bplus\s+(?=\d)", re.IGNORECASE)
_FILLER = re.compile(r"(?<!\w)(?:uh+|um+|erm+|hmm+)(?!\w)[,.]*\s*", re.IGNORECASE)
# What people type in a hurry. In lower case only: "Cal" may be somebody.
_SHORTHAND = {
    "pls": "please", "plz": "please", "plse": "please", "plase": "please", "pleas": "please",
    "u": "you", "ur": "your", "r": "are", "n": "and", "thx": "thanks", "cal": "call",
    "caal": "call",
    "calll": "call", "clal": "call", "dail": "dial", "dile": "dial", "rign": "ring",
    "fone": "phone",
    "phne": "phone", "numbr": "number", "nubmer": "number", "bak": "back", "bck": "back",
    "coud": "could", "remnid": "remind", "remidn": "remind", "reminde": "remind",
    "remined": "remind",
    "mesage": "message", "messge": "message", "foward": "forward", "forwrad": "forward",
    "recrod": "record", "blok": "block", "trasfer": "transfer", "cancle": "cancel",
    "w/": "with", "im": "i'm", "dont": "don't", "cant": "can't", "wanna": "want to",
    "gonna": "going to", "conect": "connect", "connnect": "connect", "hng": "hang",
    "msg": "message",
    "tmrw": "tomorrow", "tmr": "tomorrow", "txt": "text", "abt": "about", "lne": "line",
}  # fmt: skip
_SHORT_WORD = re.compile(
    r"(?<![\w'/@.+-])(?:" + "|".join(map(re.escape, _SHORTHAND)) + r")(?![\w'@/-]|\.\w)"
)
# … but in a message that shouts everything is in capitals.
_ANY_SHORT_WORD = re.compile(_SHORT_WORD.pattern, re.IGNORECASE)
_WORD = re.compile(r"[a-z]", re.IGNORECASE)


def normalize(text: str) -> str:
    """The text as the layers below expect it; idempotent, and never longer than it must be."""
    text = unicodedata.normalize("NFKC", text).translate(_REPLACED)
    text = "".join(
        " " if char.isspace() else char
        for char in text
        if char.isspace() or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )
    text = _FILLER.sub("", text)
    text = _SPOKEN_PLUS.sub("+", text)
    short = _ANY_SHORT_WORD if text.isupper() else _SHORT_WORD
    text = short.sub(lambda match: _SHORTHAND[match.group().lower()], text)
    text = _DICTATED.sub(_undictate, text)
    return " ".join(text.split())


def _undictate(match: re.Match[str]) -> str:
    said = match.group()
    if not _WORD.search(said):  # already digits: their grouping is worth keeping
        return said
    digits = ""
    times = 1
    for repeat, digit in _DICTATED_PART.findall(said):
        if repeat:
            times = _REPEAT[repeat.lower()]
        else:
            digits += _DIGITS.get(digit.lower(), digit) * times
            times = 1
    plus = "+" if said.lstrip().lower().startswith(("plus", "+")) else ""
    return plus + digits
