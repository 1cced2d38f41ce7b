"""Voice messages to words, offline, by the recogniser that also hears callers of menus.

One that knows a few words only knows some sentences and nothing else; what was said otherwise is
often, not always, found to be none of them. So everything that is heard is read back before it is
done. Numbers are not taken by voice.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

from encryptotel.ivr.ear import MAX_SOUND, ProcessEar
from pbx.media import ogg

MAX_NAMES = 500
"Contacts that can be called by voice; with more, only the first."
SENTENCES = (
    "hang up", "status", "help", "any missed calls", "play my last voicemail", "mute me",
    "unmute me", "put the call on hold", "take the call off hold", "show my contacts",
    "call again", "who called me today", "who called me yesterday",
)  # fmt: skip
_NAME = re.compile(r"[a-z']+(?: [a-z']+)*")


async def heard(ear: ProcessEar, file: bytes, names: Iterable[str]) -> str:
    """What was said in a voice message (Opus in Ogg): any words, where the recogniser can write
    them down; else one of `SENTENCES` or “call” with one of the names. Empty when it is none of
    them, or no sound."""
    try:
        pcm = await asyncio.to_thread(ogg.decoded, file)
    except ogg.OggError:
        return ""
    if written := await ear.write(pcm):
        return written
    if len(pcm) > MAX_SOUND:
        return ""  # half a message is another
    called = [name.lower() for name in list(names)[:MAX_NAMES]]
    known = [f"call {name}" for name in called if _NAME.fullmatch(name)]
    return await ear.hear(pcm, (*SENTENCES, *known))
