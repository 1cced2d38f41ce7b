"""The documentation site: it builds without a warning, no link in it leads nowhere, and what its
guides tell people to write, run and say is taken by the program."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
import typer

from bot.dialogue import NOT_UNDERSTOOD
from encryptotel.cli import app
from encryptotel.config import Config, load
from tests.office import open_office

pytest.importorskip("myst_parser")
pytest.importorskip("furo")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
GUIDES = sorted((DOCS / "howto").glob("*.md"))

MINIMAL = """
[[extension]]
number = "102"
secret = "a secret of sixteen"
"""
"What a snippet is put behind."
RUNNERS = ("sudo", "exec", "env")
CONTAINERS = ("podman", "docker")
"Programs that start another one, which is further on in the line."
ALL_ALIKE = {"src", "srcset", "poster", "data"}
"Attributes whose address is fetched without being asked for."


# ── the site ────────────────────────────────────────────────────────────────────────────────
class _Page(HTMLParser):
    """What a page has and leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        "Where people may go."
        self.fetched: list[str] = []
        "What the browser gets by itself."
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.ids.add(value)
            elif name in ALL_ALIKE or (tag == "link" and name == "href"):
                self.fetched.append(value)
            elif name == "href":
                self.links.append(value)


@dataclass(frozen=True)
class Site:
    """The built site, read once."""

    folder: Path
    pages: dict[Path, _Page] = field(default_factory=dict)

    def target(self, page: Path, address: str) -> tuple[Path, str] | None:
        """The file and anchor that an address on a page means; None for one elsewhere."""
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            return None
        path = unquote(parts.path)
        file = (page.parent / path).resolve() if path else page
        return file, unquote(urldefrag(address).fragment)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One build for all tests, with warnings as errors as `make docs` has them."""
    folder = tmp_path_factory.mktemp("site").resolve()
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-E"]
    doctrees = str(folder.with_name("doctrees"))
    done = subprocess.run(
        [*build, "-d", doctrees, str(DOCS), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = Site(folder)
    for file in folder.rglob("*.html"):
        found.pages[file] = _Page(file.read_text("utf-8"))
    return found


def test_every_page_is_there_and_can_be_reached(site: Site) -> None:
    wanted = {site.folder / page.relative_to(DOCS).with_suffix(".html") for page in PAGES}
    assert wanted <= site.pages.keys()
    reached, ahead = set(), [site.folder / "index.html"]
    while ahead:
        page = ahead.pop()
        if page in reached or page not in site.pages:
            continue
        reached.add(page)
        targets = (site.target(page, link) for link in site.pages[page].links)
        ahead += [target[0] for target in targets if target is not None]
    assert wanted <= reached


def test_every_page_is_in_a_table_of_contents() -> None:
    """Links may lead to a page, and still nobody who looks for it finds it."""
    trees = re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text(), re.S)
    listed = [
        line.strip()
        for tree in trees
        for line in tree.splitlines()
        if line.strip() and not line.startswith(":")
    ]
    pages = [str(page.relative_to(DOCS).with_suffix("")) for page in PAGES]
    assert sorted([*listed, "index"]) == sorted(pages)


def test_no_link_leads_nowhere(site: Site) -> None:
    broken, anchors = [], 0
    for page, content in site.pages.items():
        for address in {*content.links, *content.fetched}:
            target = site.target(page, address)
            if target is None:
                continue
            file, anchor = target
            if not file.is_file():
                broken.append(f"{page.name}: {address}: no such file")
            elif anchor and file in site.pages:
                anchors += 1
                if anchor not in site.pages[file].ids:
                    broken.append(f"{page.name}: {address}: no such place")
    assert not broken
    assert anchors > len(PAGES)  # they were looked at


def test_nothing_comes_from_elsewhere(site: Site) -> None:
    outside = [
        f"{page.name}: {address}"
        for page, content in site.pages.items()
        for address in content.fetched
        if site.target(page, address) is None and not address.startswith("data:")
    ]
    for sheet in site.folder.rglob("*.css"):
        text = sheet.read_text("utf-8")
        found = re.findall(r"url\(\s*['\"]?(?:https?:)?//[^)]*\)|@import[^;]*//[^;]*;", text)
        outside += [f"{sheet.name}: {one}" for one in found]
    assert not outside


# ── the guides ──────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True)
class Block:
    """A block of code in a guide."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def _blocks() -> Iterator[Block]:
    fence = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.S | re.M)
    for page in GUIDES:
        text = page.read_text("utf-8")
        for found in fence.finditer(text):
            indent, language, inner = found.groups()
            inner = re.sub(rf"^{indent}", "", inner, flags=re.M)
            yield Block(page.name, text.count("\n", 0, found.start()) + 1, language, inner)


BLOCKS = list(_blocks())
TOML = [block for block in BLOCKS if block.language == "toml"]
SHELL = [block for block in BLOCKS if block.language in ("sh", "console")]


@pytest.mark.parametrize("block", TOML, ids=str)
def test_configuration_is_taken(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"{MINIMAL}\n{block.text}", "utf-8")
    load(file)


def _commands(text: str) -> Iterator[list[str]]:
    """What comes behind `encryptotel` in each line of a shell, also where `sudo`, `podman exec`
    and the like run it. Users, containers and images have the same name as the program."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in _split(shlex.split(line.removeprefix("$ "), comments=True)):
            names = [Path(word).name for word in part]
            at = [place for place, name in enumerate(names) if name == "encryptotel"]
            if names and names[0] in CONTAINERS:  # the program is behind its container or image
                at = [place for place in at if place - 1 in at]
            elif not names or names[0] not in ("encryptotel", *RUNNERS):
                continue
            if at and part[at[-1] + 1 :] != ["$@"]:
                yield part[at[-1] + 1 :]


def _split(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "||", "|", ";", "do", "then"):
            parts.append([])
        elif word == ">":
            break
        else:
            parts[-1].append(word)
    return parts


def _fits(words: list[str]) -> None:
    """Raises what is wrong with a command line, as the command line itself would say it."""
    command: Any = typer.main.get_command(app)
    context = command.context_class(command, info_name="encryptotel")
    while words and getattr(command, "commands", None) and not words[0].startswith("-"):
        found = command.commands.get(words[0])
        assert found is not None, f"there is no command {words[0]}"
        command = found
        context = command.context_class(command, info_name=words[0], parent=context)
        words = words[1:]
    values, left, _ = command.make_parser(context).parse_args(list(words))
    assert not left, f"too much: {left}"
    for parameter in command.params:
        if parameter.required:
            assert values.get(parameter.name) is not None, f"{parameter.name} is missing"


def test_commands_exist() -> None:
    wrong, tried = [], 0
    for block in SHELL:
        for words in _commands(block.text):
            tried += 1
            try:
                _fits(words)
            except Exception as error:
                wrong.append(f"{block}: {shlex.join(words)}: {error}")
    assert not wrong
    assert tried > 40


@pytest.mark.parametrize(
    "line",
    [
        "encryptotel recieve",
        "encryptotel status --jsno",
        "encryptotel extension add",
        "encryptotel reload now",
        "sudo -u encryptotel /opt/bin/encryptotel dial 101",
        "podman exec encryptotel encryptotel extension ad 104",
        "cd /tmp && encryptotel device revoke",
    ],
)
def test_wrong_commands_are_found(line: str) -> None:
    """The check itself."""
    (words,) = _commands(line)
    with pytest.raises(Exception, match=r"."):
        _fits(words)


def test_inline_commands_exist() -> None:
    """`encryptotel …` within a sentence: at least its command must be one."""
    for page in PAGES:
        for words in re.findall(r"`encryptotel ([a-z][^`\n]*)`", page.read_text("utf-8")):
            command: Any = typer.main.get_command(app)
            for word in words.split():
                if not getattr(command, "commands", None) or not word.isalpha():
                    break
                assert word in command.commands, f"{page.name}: encryptotel {words}"
                command = command.commands[word]


def test_options_exist() -> None:
    """Those named within a sentence, as `[section] option`, and as variables."""
    missing = []
    for page in PAGES:
        text = page.read_text("utf-8")
        named = re.findall(r"`\[([a-z]+)\] ([a-z_]+)", text)
        named += re.findall(r"\[\[([a-z]+)\]\] ([a-z_]+)", text)
        named += [
            (section.lower(), option.lower())
            for section, option in re.findall(r"\bENCRYPTOTEL_([A-Z]+)__([A-Z_]+)", text)
        ]
        missing += [f"{page.name}: [{one[0]}] {one[1]}" for one in named if not _is_option(*one)]
    assert not missing


def _is_option(section: str, option: str) -> bool:
    field = Config.model_fields.get(section)
    annotation: Any = field.annotation if field else None
    inner = get_args(annotation)  # of a list of sections
    fields = getattr(inner[0] if inner else annotation, "model_fields", {})
    return any(option in (name, known.alias) for name, known in fields.items())


SAYINGS = [
    (page.name, saying)
    for page in GUIDES
    for saying in re.findall(r"^> Say “(.+?)”", page.read_text("utf-8"), re.M)
]


async def test_what_to_say_is_understood(tmp_path: Path) -> None:
    """Through the whole conversation, since set phrases never reach the parser. Each is said in a
    conversation of its own; that there is no such calendar or line here is another matter."""
    assert len(SAYINGS) > 20
    (tmp_path / "rates.csv").write_text("prefix,name,price\n49,Germany,0.02\n")
    async with open_office(tmp_path, language=True, money={"rates": "rates.csv"}) as office:
        answers = {}
        for page, saying in (*SAYINGS, ("the check itself", "the weather was lovely in May")):
            dialogue = office.app.dialogue(office._hear)
            answers[page, saying] = [reply.text for reply in await dialogue.hear(saying)]
            dialogue.close()
        nonsense = answers.pop(("the check itself", "the weather was lovely in May"))
        assert nonsense == [NOT_UNDERSTOOD]
        lost = [key for key, texts in answers.items() if not texts or NOT_UNDERSTOOD in texts]
        assert not lost
