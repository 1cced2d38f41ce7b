"""What many tests start from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.peers.postgres import PASSWORD, Postgres, programs
from tests.peers.rtpengine import Rtpengine, standing

if TYPE_CHECKING:
    from sqlalchemy import URL


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for this process; each test has a database of its own on it."""
    where = programs()
    if where is None:
        if os.environ.get("CI"):
            raise AssertionError("CI must have PostgreSQL; see tools/peers.sh")
        pytest.skip("PostgreSQL is not installed")
    server = Postgres(where)
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | URL]:
    """An empty database of each kind, for `Database`."""
    if request.param == "sqlite":
        yield tmp_path / "encryptotel.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database() as url:
        yield url


@pytest.fixture(autouse=True)
def _on_postgres(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With ON_POSTGRES=1 every exchange of a test keeps its things on a server, in one database a
    test; as a configuration in its environment would have it."""
    if not os.environ.get("ON_POSTGRES"):
        yield
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database() as url:
        monkeypatch.setenv("ENCRYPTOTEL_DATABASE__URL", server.address(str(url.database)))
        monkeypatch.setenv("ENCRYPTOTEL_DATABASE__PASSWORD", PASSWORD)
        yield


@pytest.fixture(scope="session")
def rtpengine() -> Iterator[Rtpengine]:
    """An rtpengine for this process."""
    with standing() as engine:
        yield engine


@pytest.fixture(autouse=True)
def _by_rtpengine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With BY_RTPENGINE=1 the sound of every exchange goes by an engine."""
    if os.environ.get("BY_RTPENGINE"):
        engine: Rtpengine = request.getfixturevalue("rtpengine")
        monkeypatch.setenv("ENCRYPTOTEL_MEDIA__RTPENGINES", f'["{engine.asked}"]')
