"""Recordings: both sides apart, sealed while they are written, opened by nobody but the owner."""

from __future__ import annotations

import asyncio
import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyrage
import pytest

from bot.ports import Control, OperatorError
from encryptotel.demo.phone import Phone
from encryptotel.keys import BadKey, identity_of, recipient_of
from encryptotel.recordings import INTERRUPTED, SUFFIX
from encryptotel.sealed import opened
from nlp.commands import Call, Conference, Party
from pbx.media.codecs import G722, PCMA, PCMU
from store.tables import RecordingRow
from tests.calls.test_transfer import TONES, desk, hears
from tests.hearing import match
from tests.office import Office, open_office

SEED = "quite another fifteen words that nobody would ever guess as they are typed for tests"


def seed_key() -> str:
    """The public key that belongs to the seed, as a wallet shows it."""
    import pywaves

    pywaves.setOffline()
    return str(pywaves.Address(seed=SEED).publicKey)


async def recorded(office: Office) -> RecordingRow:
    """Wait for the recording of the owner's last call."""
    async with asyncio.timeout(15):
        while True:
            rows = await office.app.recordings.latest("101", 1)
            if rows and rows[0].failed != INTERRUPTED:
                return rows[0]
            await asyncio.sleep(0.02)


def sides(file: bytes) -> tuple[list[np.ndarray[Any, Any]], int]:
    """The two channels of a recording."""
    with av.open(io.BytesIO(file), "r", format="ogg") as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    rate = 48_000
    joined = np.concatenate([f if f.shape[0] == 2 else f.reshape(-1, 2).T for f in frames], axis=1)
    return [joined[0], joined[1]], rate


def share(sound: np.ndarray[Any, Any], rate: int, hertz: float) -> float:
    """How much of a sound's power is one tone."""
    power = np.abs(np.fft.rfft(sound * np.hanning(sound.size))) ** 2
    at = round(hertz * sound.size / rate)
    near = round(12 * sound.size / rate)
    return float(power[at - near : at + near + 1].sum() / power.sum())


async def talk(office: Office, seconds: float = 3.0, **options: Any) -> tuple[str, list[Phone]]:
    """A recorded call between Alice and Bob, and its end."""
    alice, bob = await desk(office, "101", "102", **options)
    operator, person = office.app.operator, office.app.person
    office.dialogue()
    placed = await operator.call(person, Call(to=(Party(extension="102"),), record=True))
    await office.until(lambda: "You are connected." in office.told)
    await hears(alice, "102")
    await asyncio.sleep(seconds)
    await operator.hang_up(person, placed.call_id)
    await office.ended()
    return placed.call_id, [alice, bob]


def settings(**more: Any) -> dict[str, Any]:
    return {"recording": {"key": seed_key(), "notice": False, **more}}


@pytest.mark.parametrize("codec", [PCMU, PCMA, G722])
async def test_each_side_is_on_its_own_channel(codec: Any, tmp_path: Path) -> None:
    async with open_office(tmp_path, **settings()) as office:
        await talk(office, codecs=(codec,))
        row = await recorded(office)
        file = opened(office.app.recordings.path(row), identity_of(SEED))
    (left, right), rate = sides(file)
    assert left.size / rate == pytest.approx(row.seconds, abs=1)
    middle = slice(rate, left.size - rate // 2)
    assert share(left[middle], rate, TONES["101"]) > 0.9
    assert share(right[middle], rate, TONES["102"]) > 0.9
    assert row.peer == "102"


async def test_the_age_program_opens_it_with_the_key_of_the_seed(tmp_path: Path) -> None:
    if shutil.which("age") is None:
        pytest.skip("not installed: age")
    async with open_office(tmp_path, **settings()) as office:
        await talk(office, 1.0)
        path = office.app.recordings.path(await recorded(office))
        ours = opened(path, identity_of(SEED))
    key = tmp_path / "key"
    key.write_text(identity_of(SEED) + "\n")
    opening = await asyncio.create_subprocess_exec(
        "age", "-d", "-i", key, path, stdout=asyncio.subprocess.PIPE
    )
    theirs, _ = await opening.communicate()
    assert theirs == ours
    assert ours.startswith(b"OggS")


async def test_nothing_on_the_disk_can_be_read_while_it_is_written_or_later(tmp_path: Path) -> None:
    async with open_office(tmp_path, **settings()) as office:
        alice, _ = await desk(office, "101", "102")
        office.dialogue()
        operator, person = office.app.operator, office.app.person
        await operator.call(person, Call(to=(Party(extension="102"),), record=True))
        await hears(alice, "102")
        for _ in range(30):
            for file, content in _everything(tmp_path):
                assert b"OggS" not in content, file
                assert b"OpusHead" not in content, file
            await asyncio.sleep(0.1)
        written = list((tmp_path / "recordings").iterdir())
        assert sum(file.stat().st_size for file in written) > 3_000
        assert all(file.stat().st_mode & 0o077 == 0 for file in written)


def _everything(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):  # renamed meanwhile, or a socket
            yield file, file.read_bytes()


async def test_both_hear_that_they_are_recorded(tmp_path: Path) -> None:
    async with open_office(tmp_path, recording={"key": seed_key()}) as office:
        alice, bob = await desk(office, "101", "102")
        operator, person = office.app.operator, office.app.person
        office.dialogue()
        placed = await operator.call(person, Call(to=(Party(extension="102"),)))
        await hears(alice, "102")
        await operator.control(person, placed.call_id, Control.RECORD)
        notice = await office.app.exchange.speaker.say("This call is being recorded.")
        async with asyncio.timeout(10):
            for phone in (alice, bob):
                await phone.until_heard(lambda heard: match(bytes(heard), notice) > 0.8)
        await hears(bob, "101")  # and then each other again
        (call,) = operator.active_calls(person)
        assert call.recording
        await operator.control(person, placed.call_id, Control.STOP_RECORDING)
        assert not operator.active_calls(person)[0].recording
        await recorded(office)


async def test_a_conference_is_recorded_with_all_others_on_one_side(tmp_path: Path) -> None:
    async with open_office(tmp_path, **settings()) as office:
        alice, *_ = await desk(office, "101", "102", "103")
        office.dialogue()
        operator, person = office.app.operator, office.app.person
        await operator.record_calls(person, on=True, always=False)
        order = Conference(participants=(Party(extension="102"), Party(extension="103")))
        placed = await operator.conference(person, order)
        await hears(alice, "102", "103")
        await asyncio.sleep(2.5)
        await operator.hang_up(person, placed.call_id)
        row = await recorded(office)
        (left, right), rate = sides(opened(office.app.recordings.path(row), identity_of(SEED)))
    end = slice(left.size - 2 * rate, left.size - rate // 2)
    assert share(left[end], rate, TONES["101"]) > 0.9
    others = [share(right[end], rate, TONES[number]) for number in ("102", "103")]
    assert sum(others) > 0.9
    assert min(others) > 0.25


async def test_calls_with_somebody_are_recorded_as_a_rule(tmp_path: Path) -> None:
    async with open_office(tmp_path, **settings()) as office:
        alice, bob, carol = await desk(office, "101", "102", "103")
        (reply,) = await office.dialogue().hear("record all calls with 102")
        assert reply.text == "I record all your calls with Bob (102)."
        leg = await bob.call("101")
        await hears(alice, "102")
        await asyncio.sleep(1.5)
        leg.hang_up()
        row = await recorded(office)
        assert (row.extension, row.peer) == ("101", "102")
        (await carol.call("101")).hang_up()
        await office.ended(2)
        (reply,) = await office.dialogue().hear("don't record calls with 102")
        assert reply.text == "I record calls with Bob (102) only when you say so."
        assert len(await office.app.operator.recordings(office.app.person)) == 1


async def test_without_a_key_nothing_is_recorded(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        operator, person = office.app.operator, office.app.person
        with pytest.raises(OperatorError, match="tell me your key first"):
            await operator.call(person, Call(to=(Party(extension="102"),), record=True))
        with pytest.raises(OperatorError, match="tell me your key first"):
            await operator.record_calls(person, on=True, always=True)
        assert not (tmp_path / "recordings").exists()


async def test_another_key_does_not_open_it(tmp_path: Path) -> None:
    async with open_office(tmp_path, **settings()) as office:
        await talk(office, 0.5)
        path = office.app.recordings.path(await recorded(office))
    with pytest.raises(ValueError, match="does not open it"):
        opened(path, str(pyrage.x25519.Identity.generate()))


async def test_what_was_kept_long_enough_is_deleted_for_good(tmp_path: Path) -> None:
    async with open_office(tmp_path, **settings(keep_days=0.000001)) as office:
        await talk(office, 0.5)
        await recorded(office)
        await office.app.recordings.forget_old()
        assert await office.app.recordings.latest("101", 9) == []
        assert list((tmp_path / "recordings").iterdir()) == []


async def test_a_disk_that_cannot_be_written_costs_the_recording_and_not_the_call(
    tmp_path: Path,
) -> None:
    (tmp_path / "recordings").write_text("not a folder")
    async with open_office(tmp_path, **settings()) as office:
        alice, _ = await desk(office, "101", "102")
        office.dialogue()
        operator, person = office.app.operator, office.app.person
        await operator.call(person, Call(to=(Party(extension="102"),), record=True))
        await office.until(lambda: any("Not recorded: recordings cannot" in t for t in office.told))
        await hears(alice, "102")


def test_keys() -> None:
    identity = identity_of(SEED)
    recipient = recipient_of(seed_key())
    assert str(pyrage.x25519.Identity.from_str(identity).to_public()) == recipient
    assert recipient_of(recipient) == recipient
    assert identity_of(identity.lower()) == identity
    for wrong in ("", "age1nonsense", "hello", seed_key()[:-4], "x" * 10_000):
        with pytest.raises(BadKey):
            recipient_of(wrong)


def test_the_suffix_says_what_it_is() -> None:
    assert SUFFIX == ".ogg.age"


async def test_what_a_run_that_died_left_is_deleted_like_the_rest(tmp_path: Path) -> None:
    async with open_office(tmp_path, **settings()) as office:
        alice, _ = await desk(office, "101", "102")
        office.dialogue()
        operator, person = office.app.operator, office.app.person
        await operator.call(person, Call(to=(Party(extension="102"),), record=True))
        await hears(alice, "102")
        (row,) = await office.app.recordings.latest("101", 9)
        assert row.failed == INTERRUPTED
        await office.app.recordings.forget("101")
        assert list((tmp_path / "recordings").iterdir()) == []
