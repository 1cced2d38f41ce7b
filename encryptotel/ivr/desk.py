"""The menus of a running exchange, put together from its configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from encryptotel.config import Config
from encryptotel.directory import Directory
from encryptotel.ivr.book import MenuBook
from encryptotel.ivr.drawing import drawn
from encryptotel.ivr.ear import ProcessEar
from encryptotel.ivr.file import Surroundings
from pbx.exchange import Exchange
from pbx.ivr import Ivr
from pbx.media.piper import PiperVoice
from pbx.media.speech import Speaker, Voice
from pbx.onward import Onward


class MenuDesk:
    """Everything that answers callers with menus: voices, the ear, and the book."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        exchange: Exchange,
        directory: Directory,
        tell: Callable[[str], None],
    ) -> None:
        self._title, self._directory = config.exchange.name, directory
        self.ear = ProcessEar(config.menus, folder)
        self.ivr = Ivr(Onward(exchange), self.ear)
        self.book = MenuBook(
            folder / config.menus.file,
            around=lambda: surroundings(config, directory),
            voices=Voices(config, folder),
            ear=self.ear,
            services=directory.services,
            ivr=self.ivr,
            tell=tell,
        )

    async def start(self) -> None:
        """Answer from now on."""
        await self.book.start()

    def drawn(self) -> str:
        """The menus as one picture (SVG)."""
        names = {one.number: one.name for one in self._directory.extensions()}
        return drawn(self.book.menus, self._title, lambda number: names.get(number, ""))

    async def stop(self) -> None:
        """Answer no more."""
        await self.book.stop()
        await self.ear.close()


class Voices:
    """The voices of the prompts: the one configured, and others of espeak-ng by name."""

    def __init__(self, config: Config, folder: Path) -> None:
        media = config.media
        usual: Voice = Speaker(media.voice)
        if media.piper_voice:
            usual = PiperVoice(folder / media.piper_voice)
        self._voices = {"": usual}

    def __call__(self, name: str) -> Voice:
        """A voice of espeak-ng; the usual one without a name."""
        if name not in self._voices:
            self._voices[name] = Speaker(name)
        return self._voices[name]


def surroundings(config: Config, directory: Directory) -> Surroundings:
    """What menus may lead to, and the numbers that are in use."""
    extensions = directory.extensions()
    taken = {service.number: f"what {service.says}" for service in directory.services.all()}
    taken |= {one.number: f"the extension {one.number} {one.name}".rstrip() for one in extensions}
    return Surroundings(
        zone=config.owner.timezone,
        extensions=[one.number for one in extensions],
        taken=taken,
    )
