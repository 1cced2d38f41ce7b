"""The file of menus: what it may say, and how its mistakes are explained."""

from __future__ import annotations

import wave
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from encryptotel.ivr.book import spoken
from encryptotel.ivr.drawing import drawn
from encryptotel.ivr.file import Draft, MenuError, Surroundings, parsed, read
from pbx.calls.menus import Kind
from pbx.media.codecs import RATE
from pbx.media.speech import MAX_TEXT, Speaker
from pbx.media.tones import share_of, tone

EXAMPLE = Path(__file__).parents[2] / "docs" / "menus.example.toml"
AROUND = Surroundings(zone="Europe/Berlin", extensions=("101", "102", "103"))
GOOD = """\
[hours.office]
open = ["mo-fr 09:00-17:00", "sa 22:00-02:00"]
closed = [2026-12-25]

[menu.main]
number = "800"
prompt = "For sales, press 1."
hours = "office"
closed = "hang up"
default = "extension 101"

[[menu.main.choice]]
key = "1"
words = ["sales"]
to = "extension 102"

[[menu.main.choice]]
key = "2"
to = "menu more"

[menu.more]
prompt = "Nothing more."
default = "menu main"
"""


def draft(text: str, folder: Path = Path("/nowhere")) -> Draft:
    return parsed(text, folder / "menus.toml", AROUND)


def problems(text: str, folder: Path = Path("/nowhere")) -> list[str]:
    with pytest.raises(MenuError) as raised:
        draft(text, folder)
    return raised.value.problems


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def test_the_example_of_the_docs_is_good() -> None:
    menus = read(EXAMPLE, AROUND).menus
    assert menus["main"].number == "800"
    assert [str(choice.goal) for choice in menus["support"].choices] == [
        "extension 103", "number +12025550143 for 101", "menu main",
    ]  # fmt: skip


def test_what_is_written_is_what_is_meant() -> None:
    menu = draft(GOOD).menus["main"]
    assert [choice.key for choice in menu.choices] == ["1", "2"]
    assert menu.choices[0].words == ("sales",)
    assert menu.choices[1].goal.kind is Kind.MENU
    assert menu.default.to == "101"
    assert menu.tries == 3


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-27T08:00+00:00", True),  # a Friday, 09:00 in Berlin
        ("2026-11-27T07:59+00:00", False),
        ("2026-11-27T16:00+00:00", False),
        ("2026-07-03T07:00+00:00", True),  # in summer it is 09:00 an hour earlier
        ("2026-11-28T21:00+00:00", True),  # Saturday 22:00 …
        ("2026-11-29T00:59+00:00", True),  # … to Sunday 02:00
        ("2026-11-29T01:00+00:00", False),
        ("2026-11-28T00:30+00:00", False),
        ("2026-12-25T10:00+00:00", False),  # a Friday, but a holiday
    ],
)
def test_hours_are_those_of_the_zone(moment: str, is_open: bool) -> None:
    hours = draft(GOOD).menus["main"].hours
    assert hours is not None
    assert hours.open_at(datetime.fromisoformat(moment)) is is_open


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("menu more", "menu mere", "line 19, [menu.main] choice 2 to: there is no [menu.mere]; is"
         " more meant?"),
        ('"extension 102"', '"extension 1029"', "line 15, [menu.main] choice 1 to: there is no "
         "extension 1029; is 102 meant?"),
        ('"extension 102"', '"Bob"', "line 15, [menu.main] choice 1 to: 'Bob' leads nowhere; "
         "write “extension 102”"),
        ('"extension 102"', '"number 0123 for 101"', "leads nowhere; write"),
        ('"extension 102"', '"number +4930123456 for 999"', "there is no extension 999"),
        ('hours = "office"', 'hours = "ofice"', "line 8, [menu.main] hours: there is no "
         "[hours.ofice]; is office meant?"),
        ("mo-fr 09:00", "mon-fri 09:00", "line 2, [hours.office] open: 'mon-fri 09:00-17:00' is "
         "not like “mo-fr 09:00-17:00”"),
        ("09:00-17:00", "09:00-27:00", "is not like"),
        ('prompt = "For', 'promt = "For', "line 7, [menu.main] promt: there is no such option"),
        ('prompt = "For sales, press 1."\n', "", "line 5, [menu.main]: it asks nothing"),
        ('number = "800"', 'number = "8"', "line 6, [menu.main] number: a menu's number has"),
        ('number = "800"', "", "no menu has a number"),
        ('key = "2"', 'key = "1"', "line 17, [menu.main] choice 2: key 1 is there twice"),
        ('key = "2"', 'key = "12"', "line 18, [menu.main] choice 2 key: '12' is no key"),
        ('["sales"]', '["sales", "Sales"]', "“sales” is there twice"),
        ('["sales"]', '["one"]', "no numbers, which are never taken by voice"),
        ('["sales"]', '["<s> | x"]', "cannot be a word"),
        ('to = "menu more"', "", "line 17, [menu.main] choice 2 to: it is missing"),
        ("[menu.more]", "[menu.More]", "names are small letters"),
        ("[menu.more]", "[menu.main]", "it is not TOML"),
        ('key = "1"', 'key = "1', "it is not TOML"),
        ('hours = "office"\n', "", "it has no hours in which it could be closed"),
        ("For sales, press 1.", "x" * (MAX_TEXT + 1), f"it has {MAX_TEXT + 1} characters; 500"),
        ('prompt = "For', 'sound = "no.wav"\nprompt = "For', "one of them is enough"),
        ('prompt = "For sales, press 1."', 'sound = "no.wav"', "there is no file no.wav in"),
        ('prompt = "For sales, press 1."', 'sound = "../../etc/passwd"', "lie beside this file"),
    ],
)  # fmt: skip
def test_a_mistake_is_explained_where_it_is(old: str, new: str, said: str) -> None:
    found = problems(changed(old, new))
    assert any(said in problem for problem in found), found


def test_all_mistakes_are_found_at_once() -> None:
    text = changed("menu more", "menu mere").replace("extension 101", "extension 999")
    assert len(problems(text)) == 2


@pytest.mark.parametrize("taken", ["101", "600"])
def test_a_number_in_use_cannot_be_a_menus(taken: str) -> None:
    around = Surroundings(extensions=("101", "102"), taken={taken: "something else"})
    with pytest.raises(MenuError, match=f"{taken} is something else; choose another"):
        parsed(changed('"800"', f'"{taken}"'), Path("menus.toml"), around)


def test_a_loop_without_a_prompt_is_found() -> None:
    text = """
    [hours.never]
    open = ["mo 00:00-00:01"]
    [menu.a]
    number = "800"
    prompt = "Hello."
    hours = "never"
    closed = "menu b"
    default = "hang up"
    [menu.b]
    default = "menu a"
    """
    assert all("comes back to itself without a prompt" in one for one in problems(text))
    assert len(problems(text)) == 2
    draft(text.replace('default = "menu a"', 'prompt = "Hi."\ndefault = "menu a"'))


def test_a_menu_that_leads_nowhere_is_found() -> None:
    text = """
    [menu.a]
    number = "800"
    prompt = "Press 1."
    [[menu.a.choice]]
    key = "1"
    to = "menu b"
    [menu.b]
    prompt = "Press 1."
    default = "repeat"
    [[menu.b.choice]]
    key = "1"
    to = "menu a"
    """
    assert [one.partition(": ")[2][:17] for one in problems(text)] == ["it leads nowhere:"] * 2
    draft(text.replace('default = "repeat"', 'default = "hang up"'))


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "menus.toml"
    file.write_text("#" * 300_000)
    with pytest.raises(MenuError, match="larger than 256 kB"):
        read(file, AROUND)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000 + "]" * 5000,
        "\n".join(f'[menu.m{n}]\nprompt = "x"\n' for n in range(101)),
        GOOD + "\n".join(f'[[menu.more.choice]]\nkey = "{n}"\nto = "repeat"\n' for n in range(13)),
        changed('["sales"]', str(["a" * 41])),
        changed('["sales"]', str([chr(97 + n) for n in range(9)])),
        changed('"mo-fr 09:00-17:00"', ", ".join(['"mo 09:00-17:00"'] * 21)),
    ],
)
def test_what_is_too_much_is_refused(text: str) -> None:
    assert problems(text)


def test_binary_and_missing_files_are_explained(tmp_path: Path) -> None:
    file = tmp_path / "menus.toml"
    with pytest.raises(MenuError, match="cannot be read: No such file"):
        read(file, AROUND)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MenuError, match="not UTF-8"):
        read(file, AROUND)


def test_only_the_first_problems_are_told_at_once() -> None:
    text = GOOD + "".join(
        f'[[menu.more.choice]]\nkey = "{n}"\nto = "extension 90{n}"\n' for n in range(6)
    )
    with pytest.raises(
        MenuError, match=r"900; .*901; .*902; .*; and 3 more, which `encryptotel ivr"
    ):
        draft(text)


# ── sounds ──────────────────────────────────────────────────────────────────────────────────
def write_wav(file: Path, pcm: bytes, rate: int = RATE) -> None:
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm)


SOUND = changed('prompt = "For sales, press 1."', 'sound = "hello.wav"')


async def test_a_sound_file_is_the_prompt(tmp_path: Path) -> None:
    write_wav(tmp_path / "hello.wav", tone(1.0, 500.0))
    menus = await spoken(
        draft(SOUND, tmp_path), tmp_path / "menus.toml", lambda name: Speaker(), None
    )
    assert share_of(menus["main"].prompt, 500.0) > 0.9
    assert share_of(menus["more"].prompt, 500.0) < 0.5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not a sound", "hello.wav is no sound that can be read"),
        (b"", "hello.wav is no sound that can be read"),
        (bytes(21_000_000), "larger than 20 MB"),
    ],
)
async def test_a_bad_sound_file_is_explained(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "hello.wav").write_bytes(content)
    with pytest.raises(MenuError, match=rf"line 7, \[menu.main\] sound: .*{said}"):
        await spoken(draft(SOUND, tmp_path), tmp_path / "menus.toml", lambda name: Speaker(), None)


async def test_a_long_sound_file_is_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "hello.wav", bytes(2 * RATE * 130))
    with pytest.raises(MenuError, match="longer than 120 s"):
        await spoken(draft(SOUND, tmp_path), tmp_path / "menus.toml", lambda name: Speaker(), None)


async def test_an_unknown_voice_is_explained(tmp_path: Path) -> None:
    text = changed('number = "800"', 'number = "800"\nvoice = "klingon-9"')
    with pytest.raises(MenuError, match=r"line 7, .*there is no voice 'klingon-9'"):
        await spoken(draft(text), tmp_path / "menus.toml", Speaker, None)


# ── the picture ─────────────────────────────────────────────────────────────────────────────
def test_the_picture_shows_every_menu_and_every_choice() -> None:
    menus = read(EXAMPLE, AROUND).menus
    svg = drawn(menus, "Example & Sons", lambda number: {"102": "<Bob>"}.get(number, ""))
    tree = ElementTree.fromstring(svg)  # ours
    texts = [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")]
    for menu in menus.values():
        assert texts.count(menu.name) == 1 + any(
            list(choice.words) == [menu.name] for one in menus.values() for choice in one.choices
        )
        for choice in menu.choices:
            assert choice.key in texts
            if choice.words:
                assert any(text and text.startswith(choice.label) for text in texts)
    assert "Example & Sons" in texts
    assert "102 <Bob>" in texts
    arrows = [p for p in tree.iter("{http://www.w3.org/2000/svg}path") if p.get("marker-end")]
    ways = sum(len(list(menu.goals())) for menu in menus.values())
    assert len(arrows) == ways + 1, "one for every way out, and one for callers to come in"


def test_the_picture_fits_its_frame() -> None:
    tree = ElementTree.fromstring(drawn(read(EXAMPLE, AROUND).menus))  # ours
    width, height = float(tree.get("width") or 0), float(tree.get("height") or 0)
    for box in tree.iter("{http://www.w3.org/2000/svg}rect"):
        if box.get("x"):
            x, y = float(box.get("x") or 0), float(box.get("y") or 0)
            assert 0 <= x <= x + float(box.get("width") or 0) <= width
            assert 0 <= y <= y + float(box.get("height") or 0) <= height


def test_a_menu_that_names_itself_is_drawn_once() -> None:
    text = GOOD.replace('default = "menu main"', 'default = "menu more"')
    menus = draft(text + '[[menu.more.choice]]\nkey = "0"\nto = "hang up"\n').menus
    assert drawn(menus).count(">more<") == 1
