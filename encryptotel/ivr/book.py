"""The menus as they are in the file now, spoken, and answered under their numbers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from encryptotel.ivr.file import Draft, MenuError, Surroundings, read
from encryptotel.ivr.recognisers import RecogniserError
from encryptotel.ivr.sounds import MAX_SOUNDS, SoundError, sound_of
from pbx.calls.cause import Ending
from pbx.calls.menus import Menu, Menus, Phrases
from pbx.calls.services import App, Service, Services, Visit
from pbx.ivr import NO, YES, Ivr
from pbx.media.hearing import Ear
from pbx.media.speech import SpeechError, Voice
from pbx.ports import CallRefused

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"Seconds between looks for an edit, so that new numbers are known before they are called."
READ_WITHIN = 3.0
"Seconds a caller waits for an edit to be read; then they get the menus as they were."
SORRY = "Sorry, I did not understand."
UNREACHABLE = "Sorry, nobody can be reached there now."
GOODBYE = "Goodbye."
ASK = "{word}? Press {key}, or say yes."

Voices = Callable[[str], Voice]
"The voice of a name; the one configured for none."


class MenuBook:
    """Keeps the menus of a file. `around` says what they may refer to, `tell` gets a sentence for
    the owner about an edit that cannot be used: then the last good one stays."""

    def __init__(
        self,
        file: Path,
        *,
        around: Callable[[], Surroundings],
        voices: Voices,
        ear: Ear | None,
        services: Services,
        ivr: Ivr,
        tell: Callable[[str], None],
    ) -> None:
        self.file = file
        self.menus: Menus = {}
        self._around, self._voices, self._ear = around, voices, ear
        self._services, self._ivr, self._tell = services, ivr, tell
        self._seen: object = None
        self._watched: Sequence[Path] = (file,)
        self._broken = False
        self._answering: dict[str, App] = {}
        "What answers the numbers of the menus."
        self._reading: asyncio.Future[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the file and look for edits from now on."""
        await self.refresh()
        self._watch = asyncio.ensure_future(self._look())

    async def stop(self) -> None:
        """Answer no menu any more."""
        if self._watch is not None:
            self._watch.cancel()
        if self._reading is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        self._serve({})

    async def refresh(self) -> None:
        """Read the file if it was edited. Those who come meanwhile wait for the same reading."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._refresh())
            self._reading.add_done_callback(self._read)
        await asyncio.shield(self._reading)

    def _read(self, reading: asyncio.Future[None]) -> None:
        self._reading = None
        if not reading.cancelled() and reading.exception() is not None:
            log.error("menus: %s", reading.exception(), exc_info=reading.exception())

    async def _refresh(self) -> None:
        around = self._around()
        taken = {n: what for n, what in around.taken.items() if n not in self._answering}
        around = replace(around, taken=taken)
        seen = (await asyncio.to_thread(_state, self._watched), around.key)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            draft = await asyncio.to_thread(read, self.file, around)
            menus = await spoken(draft, self.file, self._voices, self._ear)
        except MenuError as error:
            kept = "the menus stay as they were" if self.menus else "there are no menus until then"
            self._broken = True
            self._tell(f"The file of menus cannot be used; {kept}. {error}")
            return
        self._watched = (self.file, *draft.sounds.values())
        self._seen = (await asyncio.to_thread(_state, self._watched), around.key)
        self.menus = menus
        self._serve(menus)
        log.info("%s: %d menus", self.file, len(menus))
        if self._broken:
            self._broken = False
            self._tell("The file of menus is good again.")

    def _serve(self, menus: Menus) -> None:
        """Answer the numbers of these menus and no others."""
        wanted = {menu.number: menu for menu in menus.values() if menu.number}
        for number in self._answering.keys() - wanted.keys():
            self._services.remove(number, self._answering.pop(number))
        for number, menu in wanted.items():
            answer = self._answering.setdefault(number, partial(self._answer, number))
            self._services.add(service(menu, answer))

    async def _answer(self, number: str, visit: Visit) -> Ending:
        """Take a call with the menus as the file is now."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READ_WITHIN):
                await self.refresh()
        menus = self.menus
        first = next((menu.name for menu in menus.values() if menu.number == number), None)
        if first is None:
            raise CallRefused(404, f"there is no menu under {number} any more")
        return await self._ivr.take(visit, menus, first)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            with contextlib.suppress(Exception):  # told of by `_read`
                await self.refresh()


def service(menu: Menu, app: App) -> Service:
    """A menu under its number."""
    return Service(number=menu.number, says=f"asks what is wanted (menu {menu.name})", app=app)


def _state(files: Sequence[Path]) -> object:
    """What changes when one of the files does."""
    found: list[tuple[int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
            found.append((status.st_mtime_ns, status.st_size))
        except OSError:
            found.append(None)
    return tuple(found)


async def spoken(draft: Draft, file: Path, voices: Voices, ear: Ear | None) -> Menus:
    """A draft with all its sounds: read from files, or spoken. Raises `MenuError`."""
    problems: list[str] = []
    if len(draft.sounds) > MAX_SOUNDS:
        raise MenuError(file, [f"there are more than {MAX_SOUNDS} sound files"])
    menus: dict[str, Menu] = {}
    for name, menu in draft.menus.items():
        try:
            menus[name] = await _spoken(menu, draft.sounds.get(name), voices(draft.voices[name]))
        except SoundError as error:
            problems.append(f"{draft.where('menu', name, 'sound')}{error}")
        except SpeechError as error:
            problems.append(f"{draft.where('menu', name, 'voice')}{error}")
    problems += await _unheard(draft, ear)
    if problems:
        raise MenuError(file, problems)
    return menus


async def _spoken(menu: Menu, sound: Path | None, voice: Voice) -> Menu:
    if sound is not None:
        prompt = await asyncio.to_thread(sound_of, sound)
    else:
        prompt = await voice.say(menu.text) if menu.text else b""
    choices = [
        replace(
            choice,
            asks=await voice.say(
                ASK.format(word=choice.words[0].capitalize(), key=_key(choice.key))
            )
            if choice.words
            else b"",
        )
        for choice in menu.choices
    ]
    phrases = Phrases(
        sorry=await voice.say(SORRY),
        unreachable=await voice.say(UNREACHABLE),
        goodbye=await voice.say(GOODBYE),
    )
    return replace(menu, prompt=prompt, choices=choices, phrases=phrases)


def _key(key: str) -> str:
    return {"*": "star", "#": "hash"}.get(key, key)


async def _unheard(draft: Draft, ear: Ear | None) -> list[str]:
    """Words that the recogniser cannot know, each with its place."""
    places = {
        word: draft.where("menu", name, "choice", index, "words")
        for name, menu in draft.menus.items()
        for index, choice in enumerate(menu.choices)
        for word in choice.words
    }
    if not places or ear is None:
        return []
    try:
        unknown = await ear.unknown([*places, YES, NO])
    except RecogniserError as error:
        return [f"words cannot be heard: {error}"]
    return [
        f"{places[word]}the recogniser does not know “{word}”: choose another word, or leave it "
        f"to the key"
        for word in unknown
        if word in places
    ]
