"""The whole program with its things on a PostgreSQL server. `ON_POSTGRES=1` runs any test so."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text as sql
from sqlalchemy.exc import IntegrityError

from encryptotel.config import Config
from encryptotel.demo.phone import Phone, plays
from store.database import Database, StoreError, postgresql
from store.journal import recent_calls
from store.shelf import Shelf
from tests.office import open_office
from tests.peers.ports import free_port
from tests.peers.postgres import PASSWORD, Postgres
from tests.peers.tone import tone

log = logging.getLogger(__name__)

REFUSE = "ALTER TABLE shelf ADD CONSTRAINT no CHECK (false) NOT VALID"


@pytest.fixture
def database(postgres: Postgres) -> Any:
    """A section of configuration."""
    with postgres.database() as url:
        yield {"url": postgres.address(str(url.database)), "password": PASSWORD}


async def test_calls_and_people_are_there_after_a_restart(
    tmp_path: Path, database: dict[str, str]
) -> None:
    async with open_office(tmp_path, database=database) as office:
        await office.phone("102", Phone(plays(tone(0.2, 440.0))))
        carol = Phone(plays(tone(0.2, 440.0)))
        await office.phone("103", carol)
        leg = await carol.call("102")
        leg.hang_up()
        await office.ended()
        await office.app.contacts.save(office.app.person, {"Dan": "+12025550143"})
    async with open_office(tmp_path, database=database) as office:
        ((call, legs),) = await recent_calls(office.app.database)
        assert (call.caller, call.callee, len(legs)) == ("103", "102", 2)
        assert office.app.contacts.of(office.app.person) == {"Dan": "+12025550143"}
    assert not (tmp_path / "encryptotel.db").exists()


async def test_what_people_write_and_the_password_are_in_no_error(
    tmp_path: Path, database: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """The server tells the row that failed."""
    async with open_office(tmp_path, database=database) as office:
        store = office.app.database
        async with store.writing() as session:
            await session.execute(sql(REFUSE))
        words = "my secret words"
        with pytest.raises(IntegrityError) as caught:
            await Shelf(store, "x").keep({"key": {"words": words}})
        log.error("it failed: %s", caught.value.orig, exc_info=caught.value)
        assert "violates check constraint" in caplog.text
        assert words not in caplog.text
        assert PASSWORD not in f"{store} {store.url} {office.app.config!r}"


async def test_a_server_that_is_not_there_is_told_and_how(tmp_path: Path) -> None:
    database = Database(postgresql(f"postgresql://me@127.0.0.1:{free_port()}/x", PASSWORD))
    with pytest.raises(
        StoreError, match=r"^postgresql://me:\*\*\*@127.*/x cannot.*refused"
    ) as caught:
        await database.open()
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me@here/x",
        "postgresql://me@here",
        f"postgresql://me:{PASSWORD.replace('@', '')}@here/x",
        "postgresql+asyncpg://me@here/x",
        "postgresql",
        "postgresql://me@here:port/x",
    ],
)
def test_a_wrong_address_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"database": {"url": url}})
    (error,) = caught.value.errors(include_url=False, include_input=False)
    assert "word@1" not in str(error)
    assert "postgresql://user@host" in error["msg"] or "option of its own" in error["msg"]
