"""Plays every case of `cases.py`: SIPp on all sides, several cases at a time, one exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.peers.proc import missing

from . import cases
from .field import Case, Field

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(bool(missing("sipp")), reason="not installed: sipp"),
]
AT_ONCE = 8
"Cases played at a time: SIPp waits most of the time."
Results = dict[str, Exception | None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def results(request: pytest.FixtureRequest) -> AsyncIterator[Results]:
    """How each case of this run went."""
    wanted = [
        item.callspec.params["case"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == "test_case"
    ]
    found: Results = {}
    async with Field([*cases.ALL, *cases.SLOW]).open() as field:
        room = asyncio.Semaphore(AT_ONCE)

        async def play(case: Case) -> None:
            async with room:
                try:
                    await field.play(case)
                    found[case.name] = None
                except Exception as error:
                    found[case.name] = error

        await asyncio.gather(*map(play, wanted))
        well = [case for case in wanted if found[case.name] is None]
        found.update(await field.check_journal(well))
        yield found


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "case",
    [*cases.ALL, *(pytest.param(case, marks=pytest.mark.soak) for case in cases.SLOW)],
    ids=lambda case: case.name,
)
async def test_case(case: Case, results: Results) -> None:
    error = results[case.name]
    if error is not None:
        raise error
