"""Text messages among several programs: the one sees to them that is their recipient's."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlmodel import select

from store.tables import TextRow
from tests.calls.writers import Writer
from tests.cluster.nodes import another, home_of, nodes, part_of, until
from tests.cluster.test_nodes import MANY, NUMBERS
from tests.office import Office
from tests.peers.postgres import Postgres


def at_home(office: Office, offices: list[Office], count: int = 1) -> list[str]:
    """Extensions of people who do not chat, at home at one program."""
    return [n for n in NUMBERS[1:] if home_of(n, offices) is office][:count]


async def until_none_left(office: Office) -> None:
    async with asyncio.timeout(10):
        while await owners(office):  # noqa: ASYNC110  # the others cannot tell us
            await asyncio.sleep(0.02)


async def owners(office: Office, recipient: str = "") -> set[str]:
    """Who looks after messages, for one or for all."""
    async with office.app.database.reading() as session:
        rows = (await session.execute(select(TextRow))).scalars()
        return {row.node for row in rows if recipient in ("", row.recipient)}


async def write(office: Office, sender: str, recipient: str, *words: str) -> None:
    phone = await office.phone(sender, Writer())
    for one in words:
        assert (await phone.write(recipient, one)).status == 202


async def test_whoever_only_chats_reads_what_was_written_elsewhere_once(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with nodes(tmp_path, postgres, 2, extension=MANY) as offices:
        leader, other = offices
        leader.dialogue()
        (number,) = at_home(other, offices)
        await write(other, number, "101", "one", "two")
        await leader.until(lambda: len(leader.told) >= 2)
        who = f"Person {number} ({number})"
        assert leader.told == [f"{who} writes:\n{words}" for words in ("one", "two")]
        owner = await leader.phone("101", Writer())  # the words wait for a phone too
        await owner.reads(number, "two")
        await until_none_left(leader)
        assert list(owner.read.items) == [(number, "one"), (number, "two")]
        assert len(leader.told) == 2


async def test_a_phone_gets_once_what_came_from_two_homes_while_it_was_off(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with nodes(tmp_path, postgres, 2, extension=MANY) as offices:
        here, there = offices
        (far,) = at_home(there, offices)
        near, recipient = at_home(here, offices, 2)
        await write(there, far, recipient, "from there")
        await write(here, near, recipient, "from here")
        await until(lambda: here.app.texts.waiting == 1)
        phone = await there.phone(recipient, Writer())  # wherever it registers
        await phone.reads(near, "from here")
        await until_none_left(here)
        assert list(phone.read.items) == [(far, "from there"), (near, "from here")]


async def test_what_waits_follows_its_recipient(tmp_path: Path, postgres: Postgres) -> None:
    writer, *others = NUMBERS[1:]
    async with nodes(tmp_path, postgres, 2, extension=MANY) as offices:
        first, _ = offices
        phone = await first.phone(writer, Writer())
        for number in others:
            assert (await phone.write(number, "wait")).status == 202
        async with another(tmp_path, first, extension=MANY) as third:

            def moved() -> bool:
                homes = part_of(third).homes.all
                theirs = [n for n in others if homes[n] == part_of(third).name]
                return bool(theirs) and third.app.texts.waiting == len(theirs)

            await until(moved)
            number = next(n for n in at_home(third, [*offices, third], 2) if n in others)
            assert await owners(first, number) == {part_of(third).name}
            reader = await first.phone(number, Writer())
            await reader.reads(writer, "wait")
        left = {part_of(one).name for one in offices}  # whoever leaves, leaves what waits there
        async with asyncio.timeout(20):
            while not await owners(first) <= left:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        reader = await first.phone(next(n for n in others if n != number), Writer())
        await reader.reads(writer, "wait")
