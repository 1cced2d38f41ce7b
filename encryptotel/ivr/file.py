"""The file of menus: read, checked as a whole, and explained line by line where it is wrong."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from encryptotel.errors import UserError
from pbx.calls.menus import DAYS, HANG_UP, KEYS, Choice, Goal, Hours, Kind, Menu, Span
from pbx.media.speech import MAX_TEXT

MAX_FILE = 262_144
MAX_MENUS, MAX_HOURS = 100, 50
MAX_WORDS = 8
"Words for one choice."
MAX_SOUND_SECONDS = 120
SHOWN = 3
"Problems told at once; the rest is counted."

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Word = Annotated[str, StringConstraints(max_length=40)]
_WORD = re.compile(r"[^\W\d_]+('[^\W\d_]+)?( [^\W\d_]+('[^\W\d_]+)?){0,3}")
_GOAL = re.compile(
    r"(?P<kind>extension|answerphone) (?P<number>\d{2,6})"
    r"|(?P<out>number) (?P<e164>\+[1-9]\d{6,14}) for (?P<payer>\d{2,6})"
    r"|(?P<menu>menu) (?P<name>\S+)"
    r"|(?P<plain>repeat|hang up)"
)
GOALS = (
    "“extension 102”, “number +12025550143 for 101”, “menu NAME”, “answerphone 101”, “repeat” "
    "or “hang up”"
)
_SPAN = re.compile(r"(\w\w)(?:-(\w\w))? (\d\d):(\d\d)-(\d\d):(\d\d)")
_NUMERALS = frozenset(
    ("zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
)


class MenuError(UserError):
    """A file of menus that cannot be used; `problems` says everything that is wrong with it."""

    def __init__(self, file: Path, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        more = len(problems) - SHOWN
        rest = f"; and {more} more, which `encryptotel ivr check` lists" if more > 0 else ""
        super().__init__(f"{file}: " + "; ".join(problems[:SHOWN]) + rest)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class _Hours(_Section):
    zone: str = ""
    open: tuple[str, ...] = Field(min_length=1, max_length=20)
    closed: tuple[date, ...] = Field((), max_length=100)


class _Choice(_Section):
    key: str
    words: tuple[Word, ...] = Field((), max_length=MAX_WORDS)
    to: str
    hours: str = ""


class _Menu(_Section):
    number: str = Field("", pattern=r"^(\d{2,6})?$")
    prompt: str = Field("", max_length=MAX_TEXT)
    sound: str = Field("", max_length=200)
    voice: str = Field("", max_length=40)
    hours: str = ""
    closed: str = ""
    default: str = ""
    tries: int = Field(3, ge=1, le=10)
    wait: float = Field(5, ge=1, le=30)
    choice: tuple[_Choice, ...] = Field((), max_length=len(KEYS))


class _File(_Section):
    hours: dict[Name, _Hours] = Field({}, max_length=MAX_HOURS)
    menu: dict[Name, _Menu] = Field(min_length=1, max_length=MAX_MENUS)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a file of menus refers to. `extensions` is None where that is not known."""

    zone: str = "UTC"
    extensions: Sequence[str] | None = None
    taken: Mapping[str, str] = field(default_factory=dict)
    "Numbers that a menu cannot have, and what they are."

    @property
    def key(self) -> object:
        """What is the same as long as nothing changed."""
        extensions = None if self.extensions is None else tuple(sorted(self.extensions))
        return self.zone, extensions, tuple(sorted(self.taken.items()))


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a good file says: menus without sound yet. `sounds` are files to be played, `voices`
    the voices asked for, both by menu; `places` finds the line of something."""

    menus: Mapping[str, Menu]
    sounds: Mapping[str, Path]
    voices: Mapping[str, str]
    where: Callable[..., str]


def read(file: Path, around: Surroundings) -> Draft:
    """Read a file. Raises `MenuError` with everything that is wrong."""
    try:
        if file.stat().st_size > MAX_FILE:
            raise MenuError(
                file, [f"it is larger than {MAX_FILE // 1024} kB: split prompts into sound files"]
            )
        text = file.read_text("utf-8")
    except OSError as error:
        raise MenuError(file, [f"it cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise MenuError(file, ["it is not UTF-8: save it as that"]) from error
    return parsed(text, file, around)


def parsed(text: str, file: Path, around: Surroundings) -> Draft:
    """The same for the text of one; sound files lie beside `file`."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MenuError(file, [f"it is not TOML: {error}"]) from error
    where = _Places(text)
    try:
        content = _File.model_validate(data)
    except ValidationError as error:
        raise MenuError(file, [_explained(one, where) for one in error.errors()]) from error
    reader = _Reader(content, file, around, where)
    draft = reader.draft()
    if reader.problems:
        raise MenuError(file, reader.problems)
    return draft


def _explained(error: Any, where: _Places) -> str:
    """What pydantic found, for people."""
    place = [part for part in error["loc"] if part != "[key]"]
    given = error.get("input")
    match error["type"]:
        case "extra_forbidden":
            what = "there is no such option; docs/menus.md lists them"
        case "missing" if place == ["menu"]:
            what = "there is no [menu.NAME] in it"
        case "missing":
            what = "it is missing"
        case "string_too_long":
            limit = error["ctx"]["max_length"]
            what = f"it has {len(str(given))} characters; {limit} are possible"
        case "too_long":
            what = f"there are too many; {error['ctx']['max_length']} are possible"
        case "string_pattern_mismatch" if place and place[-1] == "number":
            what = "a menu's number has two to six digits, like an extension's"
        case "string_pattern_mismatch":
            what = "names are small letters, digits, - and _, and begin with a letter"
        case _:
            what = str(error["msg"])
    return where(*place) + what


class _Places:
    """Finds the line of something in the text, so that an error can be found by its reader."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()

    def __call__(self, *place: object) -> str:
        """The line and the name of a place, such as `("menu", "main", "choice", 1, "to")`; what
        is written in another style is named only."""
        tables = [part for part in place if not isinstance(part, int)]
        index = next((part for part in place if isinstance(part, int)), None)
        called = ".".join(str(part) for part in tables)
        if len(tables) > 2 and tables[0] == "menu" and tables[2] == "choice" and index is not None:
            head, option = f"[[{'.'.join(map(str, tables[:3]))}]]", tables[3:]
            called = f"[menu.{tables[1]}] choice {index + 1}" + "".join(f" {o}" for o in option)
        else:
            head, index = f"[{'.'.join(map(str, tables[:2]))}]", 0
            option = tables[2:]
            if len(tables) > 1:
                called = head + "".join(f" {o}" for o in option)
        line = self._line(head, index, str(option[0]) if option else "")
        return (f"line {line}, " if line else "") + (f"{called}: " if called else "")

    def _line(self, head: str, index: int, option: str) -> int:
        heads = [n for n, line in enumerate(self._lines, 1) if _bare(line) == head]
        if index >= len(heads):
            return 0
        first = heads[index]
        for number, line in enumerate(self._lines[first:], first + 1):
            if line.lstrip().startswith("["):
                break
            if option and re.match(rf"\s*{re.escape(option)}\s*=", line):
                return number
        return first


def _bare(line: str) -> str:
    return line.partition("#")[0].strip().replace(" ", "")


class _Reader:
    """Turns the sections of a file into menus and collects what is wrong with them."""

    def __init__(
        self, content: _File, file: Path, around: Surroundings, where: Callable[..., str]
    ) -> None:
        self.problems: list[str] = []
        self._content, self._file, self._around, self._where = content, file, around, where
        self._hours: dict[str, Hours] = {}

    def draft(self) -> Draft:
        """All of it; look at `problems` before using it."""
        content = self._content
        for name, hours in content.hours.items():
            self._hours[name] = self._hours_of(name, hours)
        menus = {name: self._menu(name, menu) for name, menu in content.menu.items()}
        self._numbers()
        if not self.problems:
            for name, what in (*_silent_loops(menus), *_nowhere(menus, content)):
                self._wrong(what, "menu", name)
        folder = self._file.parent
        return Draft(
            menus=menus,
            sounds={n: folder / menu.sound for n, menu in content.menu.items() if menu.sound},
            voices={name: menu.voice for name, menu in content.menu.items()},
            where=self._where,
        )

    def _wrong(self, what: str, *place: object) -> None:
        self.problems.append(self._where(*place) + what)

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _hours_of(self, name: str, section: _Hours) -> Hours:
        zone = section.zone or self._around.zone
        if zone not in available_timezones():
            self._wrong(f"{zone!r} is no time zone; write Europe/Berlin", "hours", name, "zone")
            zone = "UTC"
        spans = [self._span(name, one) for one in section.open]
        return Hours(
            zone=ZoneInfo(zone),
            spans=[span for span in spans if span is not None],
            closed=frozenset(section.closed),
        )

    def _span(self, name: str, written: str) -> Span | None:
        found = _SPAN.fullmatch(written.lower())
        try:
            if found is None:
                raise ValueError
            first, last, *clock = found.groups()
            begin = DAYS.index(first)
            count = (DAYS.index(last or first) - begin) % 7
            days = frozenset((begin + n) % 7 for n in range(count + 1))
            hour, minute, until, past = map(int, clock)
            ends = time.max if (until, past) == (24, 0) else time(until, past)
            return Span(days=days, begins=time(hour, minute), ends=ends)
        except ValueError:
            self._wrong(
                f"{written!r} is not like “mo-fr 09:00-17:00” or “sa 10:00-14:00”",
                "hours", name, "open",
            )  # fmt: skip
            return None

    def _menu(self, name: str, section: _Menu) -> Menu:
        here = ("menu", name)
        if section.prompt and section.sound:
            self._wrong("it has a prompt and a sound; one of them is enough", *here)
        if section.choice and not section.prompt and not section.sound:
            self._wrong("it asks nothing: give it a prompt, or a sound file", *here)
        if section.sound:
            self._sound(name, section.sound)
        self._distinct(name, section)
        closed = self._goal(section.closed, *here, "closed") if section.closed else HANG_UP
        hours = self._known_hours(section.hours, *here, "hours")
        if section.closed and not section.hours:
            self._wrong("it has no hours in which it could be closed", *here, "closed")
        return Menu(
            name=name,
            number=section.number,
            text=section.prompt or f"♪ {section.sound}" * bool(section.sound),
            choices=[self._choice(name, n, one) for n, one in enumerate(section.choice)],
            hours=hours,
            closed=closed,
            default=self._goal(section.default, *here, "default") if section.default else HANG_UP,
            tries=section.tries,
            wait=section.wait,
        )

    def _choice(self, name: str, index: int, section: _Choice) -> Choice:
        here = ("menu", name, "choice", index)
        if len(section.key) != 1 or section.key not in KEYS:
            self._wrong(f"{section.key!r} is no key; there are {' '.join(KEYS)}", *here, "key")
        words = tuple(" ".join(word.lower().split()) for word in section.words)
        for word in words:
            if _NUMERALS & set(word.split()) or not _WORD.fullmatch(word):
                self._wrong(
                    f"{word!r} cannot be a word: up to four words in letters, no numbers, which "
                    f"are never taken by voice",
                    *here, "words",
                )  # fmt: skip
        return Choice(
            key=section.key,
            words=words,
            goal=self._goal(section.to, *here, "to"),
            hours=self._known_hours(section.hours, *here, "hours"),
        )

    def _distinct(self, name: str, section: _Menu) -> None:
        keys: set[str] = set()
        words: set[str] = set()
        for index, choice in enumerate(section.choice):
            if choice.key in keys:
                self._wrong(f"key {choice.key} is there twice", "menu", name, "choice", index)
            keys.add(choice.key)
            for word in map(str.lower, choice.words):
                if word in words:
                    self._wrong(f"“{word}” is there twice", "menu", name, "choice", index)
                words.add(word)

    def _known_hours(self, wanted: str, *place: object) -> Hours | None:
        if wanted and wanted not in self._hours:
            self._wrong(f"there is no [hours.{wanted}]" + _meant(wanted, self._hours), *place)
        return self._hours.get(wanted)

    def _goal(self, written: str, *place: object) -> Goal:
        found = _GOAL.fullmatch(" ".join(written.split()))
        if found is None:
            self._wrong(f"{written[:60]!r} leads nowhere; write {GOALS}", *place)
            return HANG_UP
        parts = found.groupdict()
        if parts["menu"]:
            if parts["name"] not in self._content.menu:
                meant = _meant(parts["name"], self._content.menu)
                self._wrong(f"there is no [menu.{parts['name']}]{meant}", *place)
            return Goal(kind=Kind.MENU, to=parts["name"])
        if parts["plain"]:
            return Goal(kind=Kind(parts["plain"]))
        self._extension(parts["number"] or parts["payer"], *place)
        if parts["out"]:
            return Goal(kind=Kind.NUMBER, to=parts["e164"], payer=parts["payer"])
        return Goal(kind=Kind(parts["kind"]), to=parts["number"])

    def _extension(self, number: str, *place: object) -> None:
        known = self._around.extensions
        if known is not None and number not in set(known):
            self._wrong(f"there is no extension {number}{_meant(number, known)}", *place)

    def _sound(self, name: str, sound: str) -> None:
        path = Path(sound)
        if path.is_absolute() or ".." in path.parts:
            self._wrong("sound files lie beside this file or in a folder there", "menu", name,
                        "sound")  # fmt: skip
        elif not (self._file.parent / path).is_file():
            self._wrong(f"there is no file {sound} in {self._file.parent}", "menu", name, "sound")

    def _numbers(self) -> None:
        seen: dict[str, str] = {}
        for name, menu in self._content.menu.items():
            number = menu.number
            if not number:
                continue
            taken = self._around.taken.get(number) or seen.get(number)
            if taken:
                self._wrong(f"{number} is {taken}; choose another", "menu", name, "number")
            seen[number] = f"the number of [menu.{name}]"
        if not seen:
            first = next(iter(self._content.menu))
            self._wrong("no menu has a number, so nobody can call one", "menu", first)


def _meant(wrong: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(wrong, list(known), 1)
    return f"; is {close[0]} meant?" if close else ""


def _silent_loops(menus: Mapping[str, Menu]) -> Iterator[tuple[str, str]]:
    """Menus that lead to each other without ever asking anything: closed ones, and those without
    a prompt."""

    def silent(menu: Menu) -> Iterator[str]:
        if menu.hours is not None and menu.closed.kind is Kind.MENU:
            yield menu.closed.to
        if not menu.text:
            if menu.default.kind is Kind.MENU:
                yield menu.default.to
            elif menu.default.kind is Kind.REPEAT:
                yield menu.name
        if menu.hours is not None and menu.closed.kind is Kind.REPEAT:
            yield menu.name

    for name in menus:
        reached, open_ = set[str](), list(silent(menus[name]))
        while open_:
            one = open_.pop()
            if one not in reached:
                reached.add(one)
                open_ += silent(menus[one])
        if name in reached:
            yield (
                name,
                (
                    "it comes back to itself without a prompt, for ever; let its default or closed "
                    "lead elsewhere"
                ),
            )


def _nowhere(menus: Mapping[str, Menu], content: _File) -> Iterator[tuple[str, str]]:
    """Menus from which nothing that can be chosen ever leads out of the menus."""
    wanted: dict[str, list[Goal]] = {}
    for name, menu in menus.items():
        wanted[name] = [choice.goal for choice in menu.choices]
        if content.menu[name].default:
            wanted[name].append(menu.default)
        if menu.hours is not None:
            wanted[name].append(menu.closed)
    good: set[str] = set()
    while True:
        more = {
            name
            for name, goals in wanted.items()
            if name not in good
            and any(
                goal.kind not in (Kind.MENU, Kind.REPEAT)
                or (goal.kind is Kind.MENU and goal.to in good)
                for goal in goals
            )
        }
        if not more:
            break
        good |= more
    for name in menus:
        if name not in good:
            yield (
                name,
                (
                    "it leads nowhere: give it a choice or a default that reaches an extension, a "
                    "number, an answerphone or “hang up”"
                ),
            )
