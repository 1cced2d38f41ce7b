"""How a code is said: in the language of the country whose number it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from pbx.calls.numbers import region_of
from pbx.media.speech import Speaker, Voice

_SAID = {
    "de": "Ihr Code lautet: {}.",
    "es": "Su código es: {}.",
    "fr": "Votre code est: {}.",
    "it": "Il suo codice è: {}.",
    "nl": "Uw code is: {}.",
    "pl": "Twój kod to: {}.",
    "pt": "O seu código é: {}.",
    "ru": "Ваш код: {}.",
    "sv": "Din kod är: {}.",
    "tr": "Kodunuz: {}.",
    "uk": "Ваш код: {}.",
}
"In English where nothing else is known. The names are those of espeak-ng's voices."
ENGLISH = "Your code is: {}."
_SPOKEN_IN = {
    "AR": "es", "AT": "de", "BO": "es", "BR": "pt", "BY": "ru", "CH": "de", "CL": "es", "CO": "es",
    "CR": "es", "CU": "es", "DE": "de", "DO": "es", "EC": "es", "ES": "es", "FR": "fr", "GT": "es",
    "HN": "es", "IT": "it", "KZ": "ru", "LI": "de", "LU": "fr", "MC": "fr", "MX": "es", "NI": "es",
    "NL": "nl", "PA": "es", "PE": "es", "PL": "pl", "PT": "pt", "PY": "es", "RU": "ru", "SE": "sv",
    "SM": "it", "SV": "es", "TR": "tr", "UA": "uk", "UY": "es", "VA": "it", "VE": "es",
}  # fmt: skip
"Where one language is understood by nearly all, or by most; Belgium is not such a place."


def words(number: str, code: str) -> tuple[str, str]:
    """What to say to a number, digit by digit, and in which language; "" is our usual one."""
    language = _SPOKEN_IN.get(region_of(number) or "", "")
    return _SAID.get(language, ENGLISH).format(". ".join(code)), language


def voices(usual: Voice) -> Callable[[str], Voice]:
    """The voice of each language."""

    @cache
    def voice(language: str) -> Voice:
        return Speaker(language) if language else usual

    return voice
