"""Where everybody is at home: the one program where an extension's calls are made, its money is
spent and its chats are answered, so that nothing of that has to be agreed on between programs.

The table is the truth, and Kamailio asks it too. Who should be where follows from the names alone
(rendezvous hashing): when a program comes or goes, only its share moves. People move when they
are in no call, and only their own home sends them away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from hashlib import blake2b

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select, update

from encryptotel.cluster.membership import Membership, Node
from store.database import Database
from store.tables import HomeRow
from store.upsert import insert_new

log = logging.getLogger(__name__)

AT_ONCE = 1_000
"Rows that are taken in without looking up."


class Homes:
    """Everybody's. `numbers` are those that must have one, with whose lot each has: their own, or
    that of whoever they lead to. `with_leader` are those whose is where the leader is; `busy` are
    in a call here just now."""

    def __init__(
        self,
        database: Database,
        members: Membership,
        numbers: Callable[[], Mapping[str, str]],
        with_leader: Callable[[], Collection[str]],
        busy: Callable[[], Collection[str]],
    ) -> None:
        self._database = database
        self._members = members
        self._numbers, self._with_leader, self._busy = numbers, with_leader, busy
        self.all: dict[str, str] = {}
        "The name of the node where each number is at home."
        self._led: Collection[str] = ()
        "Those whose home is to be the leader, as of the last look."

    def node(self, number: str) -> Node | None:
        """Where a number is at home; None where that is here, or it has none."""
        name = self.all.get(number, "")
        return None if name == self._members.name else self._members.nodes.get(name)

    def writes_to(self, number: str) -> str:
        """The name of the node where somebody's chats are and their phones are written to: their
        home, but for those who are still in a call away from the leader."""
        if number in self._led:
            return self._members.leader
        node = self.node(number)
        return node.name if node is not None else self._members.name

    async def load(self, changed: Collection[str] = ()) -> set[str]:
        """Read all, or those of which there is word; those who have come home here."""
        query = select(col(HomeRow.number), col(HomeRow.node))
        if changed:
            query = query.where(col(HomeRow.number).in_(changed))
        found: dict[str, str] = {}
        async with self._database.reading() as session:
            rows = await session.stream(query)
            async for some in rows.partitions(AT_ONCE):  # calls go on meanwhile
                found.update((number, node) for number, node in some)
        here = self._members.name
        came = {one for one, node in found.items() if node == here and self.all.get(one) != here}
        for number in changed or list(self.all):
            self.all.pop(number, None)
        self.all |= found
        return came

    async def spread(self) -> set[str]:
        """Give a home to who has none, and send those away who should be elsewhere and are in no
        call; those who have come home here."""
        here, busy = self._members.name, set(self._busy())
        wanted = await asyncio.to_thread(self.wanted)
        new, moving = await asyncio.to_thread(
            differences, wanted, dict(self.all), here, busy, set(self._members.nodes)
        )
        if not new and not moving:
            return set()
        async with self._database.writing() as session:
            for number in new:
                row = {"number": number, "node": wanted[number]}
                await session.execute(insert_new("postgresql", HomeRow), row)
            for gone, to in moving.items():
                await _move(session, to, gone)
        return await self.load([*new, *(number for to in moving.values() for number in to)])

    def wanted(self) -> dict[str, str]:
        """Where everybody should be."""
        self._led = frozenset(self._with_leader())
        return place(self._numbers(), self._members.nodes, self._led)

    async def leave(self, session: AsyncSession, gone: Node, left: Mapping[str, Node]) -> None:
        """Find other homes for all of a node that is no more."""
        mine = select(col(HomeRow.number)).where(col(HomeRow.node) == gone.name)
        lots = self._numbers()
        numbers = {one: lots.get(one, one) for one in (await session.execute(mine)).scalars()}
        await _move(session, place(numbers, left, self._with_leader()), gone.name)


def differences(
    wanted: Mapping[str, str],
    known: Mapping[str, str],
    here: str,
    busy: Collection[str],
    nodes: Collection[str],
) -> tuple[list[str], dict[str, dict[str, str]]]:
    """Numbers that have no home, and by where they are now those that should be elsewhere: of ours
    who is in no call, and whoever's home is no more."""
    new = [number for number in wanted if number not in known]
    moving: dict[str, dict[str, str]] = {}
    for number, node in wanted.items():
        now = known.get(number, node)
        if now != node and (now not in nodes or (now == here and number not in busy)):
            moving.setdefault(now, {})[number] = node
    return new, moving


async def _move(session: AsyncSession, to: Mapping[str, str], gone: str) -> None:
    by_node: dict[str, list[str]] = {}
    for number, node in to.items():
        by_node.setdefault(node, []).append(number)
    for node, numbers in sorted(by_node.items()):
        theirs = col(HomeRow.number).in_(numbers) & (col(HomeRow.node) == gone)
        await session.execute(update(HomeRow).where(theirs).values(node=node))


def place(
    numbers: Mapping[str, str], nodes: Mapping[str, Node], with_leader: Collection[str]
) -> dict[str, str]:
    """Where numbers should be at home, of nodes in the order of their age: each with the node
    for which its lot is the highest. Those that are leaving take nobody, unless all are."""
    able = [name for name, node in nodes.items() if not node.leaving] or list(nodes)
    if not able:
        return {}
    leader = next(iter(nodes))
    return {
        number: leader
        if lot in with_leader
        else max(able, key=lambda name: blake2b(f"{name} {lot}".encode()).digest())
        for number, lot in numbers.items()
    }
