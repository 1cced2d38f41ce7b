"""A question of ours that waits for a yes, or for one of several answers."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.replies import Button
from nlp.commands import Command, Party, command_from_json, command_to_json

CONFIRM_WITHIN = timedelta(minutes=10)
"After that a yes may well be meant for something else."


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """Commands one of which is done once the person says so; with `labels`, which one. The
    buttons carry the token, so that an old one does nothing."""

    commands: tuple[Command, ...]
    labels: tuple[str, ...] = ()
    token: str = field(default_factory=lambda: secrets.token_hex(4))
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def open(self) -> bool:
        """Whether an answer still counts."""
        return datetime.now(UTC) - self.at < CONFIRM_WITHIN

    @property
    def buttons(self) -> tuple[Button, ...]:
        """The answers there are."""
        if not self.labels:
            return (self._button("Yes", "yes"), self._button("No", "no"))
        picks = (self._button(label, f"pick {n}") for n, label in enumerate(self.labels, 1))
        return (*picks, self._button("None", "no"))

    def _button(self, label: str, answer: str) -> Button:
        return Button(label=label, says=f"{answer} #{self.token}")

    def chosen(self, answer: str) -> Command | None:
        """The command that “yes”, “pick 2” or a typed “2” is for."""
        if answer == "yes" and len(self.commands) == 1:
            return self.commands[0]
        number = answer.removeprefix("pick ")
        if self.labels and number.isdecimal() and 1 <= int(number[:4]) <= len(self.commands):
            return self.commands[int(number[:4]) - 1]
        return None

    def to_json(self) -> dict[str, Any]:
        """As it outlasts a restart."""
        return {
            "commands": [command_to_json(command) for command in self.commands],
            "labels": list(self.labels),
            "token": self.token,
            "at": self.at.isoformat(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Awaited:
        """Raises KeyError, TypeError or ValueError for what `to_json` did not make."""
        return cls(
            commands=tuple(command_from_json(command) for command in data["commands"]),
            labels=tuple(map(str, data["labels"])),
            token=str(data["token"]),
            at=datetime.fromisoformat(data["at"]),
        )


def naming(command: Command, name: str, party: Party) -> Command:
    """The command with `party` wherever it named somebody so."""

    def named(value: Any) -> Any:
        if isinstance(value, Party) and value.name == name:
            return party
        return tuple(map(named, value)) if isinstance(value, tuple) else value

    changed = {one.name: named(getattr(command, one.name)) for one in fields(command)}
    return replace(command, **changed)
