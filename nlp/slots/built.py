"""What a builder makes."""

from dataclasses import dataclass

from nlp.commands import Command


@dataclass(frozen=True)
class Built:
    """A command; `unclear` are slots that were said but not understood, to be asked for."""

    command: Command
    unclear: tuple[str, ...] = ()
    confidence: float = 1.0

    @property
    def missing(self) -> tuple[str, ...]:
        """All slots to ask for, as ``intent.slot``."""
        said = (f"{self.command.intent}.{slot}" for slot in self.unclear)
        return tuple(dict.fromkeys((*self.command.missing(), *said)))
