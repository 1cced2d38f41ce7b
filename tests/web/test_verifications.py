"""Second factors: what is said on a phone, and attacks that each fail at a defence of their own."""

from __future__ import annotations

import asyncio
import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from encryptotel import verifications
from encryptotel.demo.phone import Phone
from encryptotel.verifications import OF_BLOCK, OF_COUNTRY, OF_NUMBER, TRIES
from pbx.media.speech import Speaker
from store.tables import VerificationRow
from tests.calls.test_callback import telephone_network
from tests.calls.test_rooms import said, sounded
from tests.office import Office, quiet
from tests.web.test_api import Client, client, key, problem
from web.ports import Verification

NUMBER = "+12025550143"


async def sent(it: Client, **order: object) -> str:
    """Send a code by chat, to the owner; its id."""
    answer = await it.post("/verifications", {"to": "101", "by": "chat", **order})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def code_in_chat(office: Office) -> str:
    """The newest code that the owner was told."""
    codes: list[str] = []

    def found() -> bool:
        codes[:] = re.findall(r"(\d{4,8}) is your code", " ".join(office.told))
        return bool(codes)

    await office.until(found)
    return codes[-1]


async def check(it: Client, id: str, code: str) -> dict[str, object]:
    answer = await it.post(f"/verifications/{id}/check", {"code": code})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_code_is_approved_once(tmp_path: Path) -> None:
    async with client(tmp_path, "verify") as it:
        id = await sent(it, length=8)
        code = await code_in_chat(it.office)
        assert len(code) == 8
        wrong = str((int(code) + 1) % 10**8).zfill(8)
        assert (await check(it, id, wrong))["state"] == "sent"
        assert (await check(it, id, code))["state"] == "approved"
        again = await it.post(f"/verifications/{id}/check", {"code": code})
        assert "was used" in problem(again, 409, "verification.over")["detail"]
        assert (await it.get(f"/verifications/{id}"))["state"] == "approved"


async def test_a_code_is_said_twice_digit_by_digit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(verifications.secrets, "choice", lambda digits: "7")
    async with client(tmp_path, "verify") as it:
        bob = await it.office.phone("102", Phone(quiet))
        await it.post("/verifications", {"to": "102", "by": "call", "length": 4})
        for _ in range(2):
            await said(it.office, bob, "Your code is: 7. 7. 7. 7.")
        await it.office.ended()
        assert "7777" not in caplog.text
        assert all("7777" not in repr(event) for event in it.office.events)


@pytest.mark.parametrize(
    ("number", "language", "words"),
    [
        ("+4930123456", "de", "Ihr Code lautet: 7. 7. 7. 7."),
        ("+33142685300", "fr", "Votre code est: 7. 7. 7. 7."),
        ("+12025550143", "en-us", "Your code is: 7. 7. 7. 7."),
    ],
)
async def test_a_code_is_said_in_the_language_of_the_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str, language: str, words: str
) -> None:
    monkeypatch.setattr(verifications.secrets, "choice", lambda digits: "7")
    async with client(tmp_path, "verify", limits={"countries": ("DE", "FR", "US")}) as it:
        network = await telephone_network(it.office, Phone(quiet))
        await it.post("/verifications", {"to": number, "by": "call", "length": 4})
        await sounded(network, await Speaker(language).say(words))


async def test_guessing_ends_after_a_few(tmp_path: Path) -> None:
    async with client(tmp_path, "verify") as it:
        id = await sent(it, length=4)
        code = await code_in_chat(it.office)
        wrong = [f"{n:04}" for n in range(10_000) if f"{n:04}" != code][:TRIES]
        states = [(await check(it, id, one))["state"] for one in wrong]
        assert states == ["sent"] * (TRIES - 1) + ["failed"]
        problem(await it.post(f"/verifications/{id}/check", {"code": code}), 409,
                "verification.over")  # fmt: skip


async def test_a_hundred_at_once_are_not_more_than_a_few(tmp_path: Path) -> None:
    """A race between checks: five are looked at, and the right one among many is approved once."""
    async with client(tmp_path, "verify") as it:
        id = await sent(it, length=4)
        code = await code_in_chat(it.office)
        wrong = [f"{n:04}" for n in range(10_000) if f"{n:04}" != code][:100]
        service, person = it.office.app.verifications, it.office.app.person
        answers = await asyncio.gather(
            *(service.check(person, id, one) for one in wrong), return_exceptions=True
        )
        assert sum(isinstance(one, Verification) for one in answers) == TRIES
        id = await sent(it, length=4)
        code = await code_in_chat(it.office)
        answers = await asyncio.gather(
            *(service.check(person, id, code) for _ in range(100)), return_exceptions=True
        )
        states = [one.state for one in answers if isinstance(one, Verification)]
        assert states == ["approved"]


async def test_an_old_code_is_good_no_more(tmp_path: Path) -> None:
    async with client(tmp_path, "verify") as it:
        id = await sent(it, minutes=1)
        code = await code_in_chat(it.office)
        it.office.app.verifications._now = lambda: datetime.now(UTC) + timedelta(seconds=61)
        assert (await it.get(f"/verifications/{id}"))["state"] == "expired"
        refused = await it.post(f"/verifications/{id}/check", {"code": code})
        assert "is expired" in problem(refused, 409, "verification.over")["detail"]


async def test_others_know_nothing_of_it(tmp_path: Path) -> None:
    """What is somebody else's answers as what never was."""
    async with client(tmp_path, "verify") as it:
        id = await sent(it)
        code = await code_in_chat(it.office)
        person = await it.office.app._person_of("102")
        service = it.office.app.verifications
        for unknown in (id, "0" * 20, "x" * 500):
            with pytest.raises(Exception, match="there is no such verification"):
                await service.check(person, unknown, code)
        other = Client(it.site, await key(it.office, "calls"))
        problem(await other.post(f"/verifications/{id}/check", {"code": code}), 403, "key.scope")
        assert (await check(it, id, code))["state"] == "approved"


async def test_only_a_digest_is_kept_which_the_database_alone_does_not_open(
    tmp_path: Path,
) -> None:
    async with client(tmp_path, "verify") as it:
        id = await sent(it, length=4)
        code = await code_in_chat(it.office)
        async with it.office.app.database.reading() as session:
            row = await session.get(VerificationRow, id)
        assert row is not None
        service = it.office.app.verifications
        assert service._digest(id, code) == row.digest
        service._secret.write_text("00" * 32)
        assert service._digest(id, code) != row.digest


async def pumped(it: Client, numbers: list[str]) -> list[int]:
    answers = [await it.post("/verifications", {"to": one, "by": "sms"}) for one in numbers]
    return [answer.status_code for answer in answers]


async def test_pumping_ends(tmp_path: Path) -> None:
    """The same number, a block of numbers, a country; premium numbers at once."""
    async with client(tmp_path, "verify", limits={"texts_per_hour": 1_000}) as it:
        await telephone_network(it.office, Phone(quiet))
        assert (await pumped(it, [NUMBER] * (OF_NUMBER + 1))).count(202) == OF_NUMBER
        block = [f"+12025551{n:03}" for n in range(100, 100 + OF_BLOCK + 1)]
        statuses = await pumped(it, block)
        assert statuses == [202] * OF_BLOCK + [429]
        it.office.app.verifications._now = lambda: datetime.now(UTC) + timedelta(hours=25)
        many = [f"+1312{n:03}5000" for n in range(200, 200 + OF_COUNTRY)]
        statuses = await pumped(it, many)
        assert 429 in statuses  # hardly any was entered
        assert statuses.count(202) <= verifications.LOOKED_AT


async def test_extensions_have_limits_as_well(tmp_path: Path) -> None:
    """Their calls may lead outside, and their codes could be guessed at."""
    async with client(tmp_path, "verify") as it:
        statuses = [
            (await it.post("/verifications", {"to": "102", "by": "call"})).status_code
            for _ in range(OF_NUMBER + 1)
        ]
        assert statuses == [202] * OF_NUMBER + [429]
        problem(await it.post("/verifications", {"to": "103", "by": "sms"}), 422,
                "verification.no_sms")  # fmt: skip


async def test_premium_numbers_are_not_called(tmp_path: Path) -> None:
    """The gatekeeper refuses them, before anybody is called."""
    async with client(tmp_path, "verify") as it:
        network = await telephone_network(it.office, Phone(quiet))
        premium = await it.post("/verifications", {"to": "+19005550123", "by": "call"})
        await failed(it, premium.json()["id"])
        assert network.legs == []


async def failed(it: Client, id: str) -> None:
    async with asyncio.timeout(10):
        while (await it.get(f"/verifications/{id}"))["state"] == "sent":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await it.get(f"/verifications/{id}"))["state"] == "failed"


async def test_what_cannot_be_sent(tmp_path: Path) -> None:
    async with client(tmp_path, "verify") as it:
        problem(await it.post("/verifications", {"to": "103", "by": "chat"}), 422,
                "verification.no_chat")  # fmt: skip
        problem(await it.post("/verifications", {"to": "Zaphod"}), 404, "party.unknown_name")
        answer = await it.post("/verifications", {"to": "102", "by": "call"})  # no phone there
        await failed(it, answer.json()["id"])
