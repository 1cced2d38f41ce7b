"""What several tests of a cluster start from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.postgres import Postgres, programs


@pytest.fixture
def postgres_of_own() -> Iterator[Postgres]:
    """A server that may be killed."""
    found = programs()
    assert found is not None
    server = Postgres(found)
    yield server
    server.stop()
