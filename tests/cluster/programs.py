"""Several programs of one exchange as processes that can be killed, and phones beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from encryptotel.cluster.homes import place
from encryptotel.cluster.membership import Node
from store.database import Database
from tests.endurance.program import Program
from tests.peers.exchange import Config, Extension, Trunk
from tests.peers.network import HERE, Host
from tests.peers.postgres import PASSWORD, Postgres

NUMBERS = [str(number) for number in range(101, 113)]
WITHIN = 30.0


@dataclass
class Cluster:
    """Programs by the name each has among the others, the first leading, and their database."""

    programs: dict[str, Program]
    database: Database

    async def ask(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        async with self.database.reading() as session:
            return [tuple(row) for row in (await session.execute(text(query), values)).all()]

    async def until(
        self, query: str, wanted: Callable[[list[tuple[Any, ...]]], bool], within: float = WITHIN
    ) -> list[tuple[Any, ...]]:
        """The rows once they are as wanted."""
        found: list[tuple[Any, ...]] = []
        try:
            async with asyncio.timeout(within):
                while not wanted(found := await self.ask(query)):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            logs = "\n".join(one.process.lines.tail(30) for one in self.programs.values())
            raise AssertionError(f"{query}: {found}\n{logs}") from None
        return found

    async def gone(self, name: str) -> None:
        """Wait until the others have settled what a program left."""
        await self.until("SELECT name FROM node", lambda rows: (name,) not in rows)

    async def homes(self) -> dict[str, str]:
        """The name of the program where each number is at home."""
        return dict(await self.ask("SELECT number, node FROM home"))  # type: ignore[arg-type]

    async def spread(self) -> dict[str, str]:
        """Wait until all that run are home to somebody, and nobody is at home elsewhere."""
        names = set(self.running)
        rows = await self.until(
            "SELECT number, node FROM home",
            lambda rows: len(rows) >= len(NUMBERS) and {node for _, node in rows} == names,
        )
        return dict(rows)  # type: ignore[arg-type]

    async def settled(self) -> None:
        """Wait until everybody but those with the leader is where they should be."""
        rows = await self.ask("SELECT name, address, since FROM node ORDER BY since")
        found = {name: Node(name=name, address=at, since=since) for name, at, since in rows}
        wanted = place({one: one for one in NUMBERS[1:]}, found, ())
        await self.until(
            "SELECT number, node FROM home", lambda rows: wanted.items() <= dict(rows).items()
        )

    @property
    def running(self) -> list[str]:
        return [name for name, one in self.programs.items() if one.process.child.returncode is None]


async def _nothing(database: Database) -> None:
    """Put nothing in."""


@asynccontextmanager
async def cluster(
    folder: Path,
    postgres: Postgres,
    count: int,
    *,
    trunks: tuple[Trunk, ...] = (),
    extra: Mapping[str, Mapping[str, Any]] | None = None,
    before: Callable[[Database], Awaitable[None]] = _nothing,
    hosts: Sequence[Host] = (),
    data: Mapping[int, Path] | None = None,
    names: Sequence[str] = (),
) -> AsyncIterator[Cluster]:
    """So many programs that run, the first leading, each at one of the `hosts` if there are any,
    with its `data` folder there, and one of the `names`; `before` puts something in their
    database."""
    async with AsyncExitStack() as stack:
        url = stack.enter_context(postgres.database())
        database = Database(url)
        await database.open()
        await before(database)
        stack.push_async_callback(database.close)
        found = Cluster({}, database)
        made: list[Program] = []
        for number in range(count):
            place = folder / f"node{number}"
            place.mkdir()
            host = hosts[number] if hosts else HERE
            program = Program(place, NUMBERS, data=(data or {}).get(number), extra=extra)
            program.before = host.before
            if names:
                program.data.mkdir(mode=0o700)
                (program.data / "node").write_text(names[number])
            program.sections["exchange"]["host"] = host.address
            program.sections["database"] = {
                "url": postgres.address(str(url.database)), "password": PASSWORD,
            }  # fmt: skip
            program.sections["cluster"] = {
                "address": f"{host.address}:{program.ports['udp']}",
                **program.sections.get("cluster", {}),
            }
            people = [Extension(one, f"secret-{one}", srtp="offer") for one in NUMBERS]
            program.write_config(Config(people, trunks, extra=program.sections).toml())
            made.append(program)
        await _start(made[0], stack)  # which makes the tables, and leads
        async with asyncio.TaskGroup() as starting:
            for program in made[1:]:
                starting.create_task(_start(program, stack))
        found.programs |= {(program.data / "node").read_text(): program for program in made}
        await found.spread()
        try:
            yield found
        except BaseException as error:
            for name, one in found.programs.items():
                error.add_note(f"--- {name} at {one.ports['udp']}\n{one.process.lines.tail(60)}")
            raise


async def _start(program: Program, stack: AsyncExitStack) -> None:
    await program.start()
    stack.push_async_callback(_end, program)


async def _end(program: Program) -> None:
    if program.process.child.returncode is None:
        await program.kill()
