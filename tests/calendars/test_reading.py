"""What calendars hold, as their makers write them; and what becomes of those that are broken."""

from __future__ import annotations

import random
import resource
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from encryptotel.calendars.entries import MAX_BYTES, CalendarError
from encryptotel.calendars.reading import dial_of, read, summary
from tests.calendars.shapes import SHAPES, event

BEGIN, END = datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 4, 4, 22, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize("name", SHAPES)
def test_every_maker_is_understood(name: str) -> None:
    shape = SHAPES[name]
    found = read(shape.content, BEGIN, END, "Europe/Berlin")
    assert [
        f"{one.start.astimezone(BERLIN):%d %H:%M} {one.title}" for one in found.entries
    ] == shape.on
    assert len(found.left_out) == shape.left_out
    assert found.name == shape.name
    if found.entries:
        first = found.entries[0]
        assert (first.dial, first.leads, first.all_day) == (shape.dial, shape.leads, shape.all_day)


def test_all_together_are_too() -> None:
    """Thirty shapes in one file, as a feed of feeds has them."""
    parts = "".join(shape.parts for shape in SHAPES.values() if shape.encoding == "utf-8")
    content = f"BEGIN:VCALENDAR\nVERSION:2.0\n{parts}END:VCALENDAR\n".encode()
    found = read(content, BEGIN, END, "Europe/Berlin")
    wanted = [line for shape in SHAPES.values() if shape.encoding == "utf-8" for line in shape.on]
    assert len(found.entries) >= len(wanted) - 4  # two names are used twice
    assert len(found.left_out) == 1


def test_one_moved_keeps_its_name_and_two_of_a_series_have_two() -> None:
    shape = SHAPES["google: weekly, one moved, one gone"]
    found = read(shape.content, BEGIN, END, "Europe/Berlin").entries
    assert [one.uid for one in found][1] == "w@google.com@20260309T0900"
    assert len({one.uid for one in found}) == len(found)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no calendar"),
        (b"<html>sign in</html>", "no calendar"),
        (b"BEGIN:VCARD\r\nEND:VCARD\r\n", "no calendar"),
        (b"\x00" * 1000, "no calendar"),
        (b"x" * (MAX_BYTES + 1), "larger than 10 MB"),
        (
            b"BEGIN:VCALENDAR\r\n" + b"BEGIN:VEVENT\r\nEND:VEVENT\r\n" * 50_001,
            "more than 50000 events",
        ),
    ],
)
def test_what_is_none_is_said_clearly(content: bytes, why: str) -> None:
    with pytest.raises(CalendarError, match=why):
        read(content, BEGIN, END, "UTC")


@pytest.mark.parametrize(
    ("words", "dial"),
    [
        ("Call +44 20 7946 0321, passcode 12 34 56", "+442079460321,,123456#"),
        ("tel:+12025550143;77#", "+12025550143,77#"),
        ("Dial +12025550143,,1234#,,*99#", "+12025550143,,1234#,,*99#"),
        ("My old number was +12025550143.", ""),
        ("Join: +1 202 555 0143", "+12025550143"),
        ("https://meet.example.com/1234567890", ""),
        ("", ""),
        ("+" * 5000, ""),
    ],
)
def test_numbers_of_conferences(words: str, dial: str) -> None:
    assert dial_of(words) == dial


def test_what_was_left_out_is_said_in_a_sentence() -> None:
    assert summary([]) == ""
    assert summary(["a", "b", "c", "d"]) == "Left out: a; b; c and 1 more."


@pytest.mark.parametrize(
    "line",
    ["BEGIN:VEVENT\n", "END:VEVENT\n", "BEGIN:VTIMEZONE\nBEGIN:VEVENT\n", " \n", "UID", "DTSTART;"],
)
def test_a_file_full_of_one_thing_is_read_in_one_pass(line: str) -> None:
    content = ("BEGIN:VCALENDAR\n" + line * 500_000).encode()[:MAX_BYTES]
    begun = time.process_time()
    assert read(content, BEGIN, END, "UTC").entries == []
    assert time.process_time() - begun < 10


def test_series_that_never_come_cost_seconds_and_spoil_no_other() -> None:
    never = [
        event(
            f"UID:{n}",
            "SUMMARY:Never",
            "DTSTART:20260201T080000Z",
            f"RRULE:FREQ={often};BYMONTH=2;BYMONTHDAY=30",
        )
        for n, often in enumerate(["HOURLY", "MINUTELY", "SECONDLY", "DAILY"] * 3)
    ]
    good = event("UID:good", "SUMMARY:Good", "DTSTART:20260310T080000Z")
    content = f"BEGIN:VCALENDAR\n{''.join(never)}{good}END:VCALENDAR\n".encode()
    begun = time.process_time()
    found = read(content, BEGIN, END, "UTC")
    assert [one.title for one in found.entries] == ["Good"]
    assert len(found.left_out) >= 6
    assert "“Never” repeats in a way that takes too long" in found.left_out
    assert time.process_time() - begun < 30


def test_broken_calendars_crash_nothing() -> None:
    broken(2_000)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_hundred_thousand_broken_calendars_crash_nothing() -> None:
    broken(100_000)


def broken(count: int) -> None:
    """Each is a shape with bytes changed, lines lost, doubled or swapped, or cut off."""
    rng = random.Random(count)
    files = [shape.content for shape in SHAPES.values()]
    before, slowest, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0, 0
    for _ in range(count):
        content = damaged(rng, rng.choice(files))
        begun = time.process_time()
        try:
            found = read(content, BEGIN, END, "Europe/Berlin")
            assert all(BEGIN <= one.start < END for one in found.entries)
            assert all(len(one.title) <= 200 and one.title.isprintable() for one in found.entries)
        except CalendarError as error:
            refused += bool(str(error))
        slowest = max(slowest, time.process_time() - begun)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(f"{count} broken: {refused} refused, the slowest {slowest:.2f} s, {grown} MB more")
    assert slowest < 16.0
    assert grown < 200


def damaged(rng: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        match rng.randrange(6):
            case 0:
                data[rng.randrange(len(data))] = rng.randrange(256)
            case 1:
                at = rng.randrange(len(data))
                del data[at : at + rng.randint(1, 40)]
            case 2:
                del data[rng.randrange(len(data)) :]
            case 3:
                at = rng.randrange(len(data))
                data[at:at] = bytes(rng.choices(b'0123456789;:=,TZ\r\n \\"', k=rng.randint(1, 20)))
            case 4:
                lines = bytes(data).split(b"\n")
                rng.shuffle(lines)
                data = bytearray(b"\n".join(lines))
            case 5:
                lines = bytes(data).split(b"\n")
                lines.insert(rng.randrange(len(lines)), rng.choice(lines))
                data = bytearray(b"\n".join(lines))
        if not data:
            return b""
    return bytes(data)


def test_a_calendar_of_twenty_thousand_is_read_soon() -> None:
    """What is far away costs little."""
    events = [
        event(
            f"UID:{n}",
            f"DTSTART:20{20 + n % 10}{1 + n % 12:02d}{1 + n % 28:02d}T080000Z",
            "SUMMARY:x",
        )
        for n in range(20_000)
    ]
    content = f"BEGIN:VCALENDAR\n{''.join(events)}END:VCALENDAR\n".encode()
    begun = time.process_time()
    assert read(content, BEGIN, END, "UTC").entries
    assert time.process_time() - begun < 10
