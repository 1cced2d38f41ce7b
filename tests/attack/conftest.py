"""One exchange for all attacks that leave it as it was."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.peers.exchange import Config, Exchange

from .attacker import EXTENSIONS


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    async with Exchange(Config(EXTENSIONS)) as running:
        yield running
