"""Many people at once, some of them hostile: nobody gets another's answers, nothing is done for
the wrong person, and nobody comes in without a code of their own."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from bot.dialogue import Dialogue
from bot.ports import Account, Person, Placed, Progress, Role, State, Step
from bot.reception import MAX_STRANGERS, MAX_WAITING, Reception
from bot.replies import Reply
from encryptotel.config import Config
from encryptotel.directory import Directory
from encryptotel.people import OWNER, PeopleOfExchange
from nlp.commands import Call, Party, Understanding
from store.database import Database
from tests.chat.talkers import by_phrase

ACCOUNTS = [Account(channel, f"user{n}") for channel in ("telegram", "xmpp") for n in range(4)]
HOSTILE = st.one_of(
    st.text(max_size=200),
    st.sampled_from(
        [
            "\u202egnp.exe", "x" * 100_000, "&lol9;" * 100, "/start", "/start " + "A" * 16,
            "'; DROP TABLE person; --", "\x00\x01", "yes", "no", "cancel", "1", "hang up", "help",
            "{0.__class__}", "%s%n", "\ud83d", "👩‍👩‍👧‍👦" * 200,
        ]
    ),
)  # fmt: skip


class Desk:
    """An operator that notes for whom it does what, and tells of it as the exchange would."""

    @property
    def handling(self) -> Desk:
        return self

    tracking = relays = handling

    def codes(self) -> Sequence[tuple[str, str]]:
        return ()

    def __init__(self) -> None:
        self.called: list[str] = []
        self.followers: dict[str, list[Callable[[Progress], None]]] = defaultdict(list)

    def quote(self, person: Person, command: Call) -> str:
        return f"somebody for {person.id}"

    async def call(self, person: Person, command: Call) -> Placed:
        self.called.append(person.id)
        call_id = f"call-of-{person.id}"
        for tell in self.followers[person.id]:
            tell(Progress(call_id=call_id, step=Step.RINGING, peer=f"phone-of-{person.id}"))
        return Placed(call_id=call_id, to=f"friend-of-{person.id}", line="", back="")

    async def hang_up(self, person: Person, call_id: str) -> None:
        assert call_id.endswith(person.id)

    async def invite(self, person: Person, name: str) -> Sequence[str]:
        return [f"invitation-of-{person.id}"]

    def answer(self, person: Person, *, yes: bool) -> str:
        return ""

    def active_calls(self, person: Person) -> Sequence[Any]:
        return []

    def state(self, person: Person) -> State:
        return State(addresses={}, lines=(), phones=(), calls=())

    def follow(self, person: Person, tell: Callable[[Progress], None]) -> Callable[[], None]:
        self.followers[person.id].append(tell)
        return lambda: self.followers[person.id].remove(tell)


async def understand(text: str, person: Person, talk: Any) -> Understanding:
    if text == "call":
        command = Call(to=(Party(extension="102"),))
        return Understanding(text=text, commands=(command,), lacks=((),), confidence=1.0)
    return await by_phrase(text, person, talk)


class Crowd(RuleBasedStateMachine):
    """Accounts that join, order, agree, and try what they must not."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(Path(self.folder.name) / "db")
        self.loop.run_until_complete(self.database.open())
        directory = Directory(Config(), self.database)
        self.loop.run_until_complete(directory.load())
        owner = Person(name="Owner", extension="101")
        self.people = PeopleOfExchange(self.database, directory, owner, timedelta(days=1))
        self.desk = Desk()
        self.got: dict[Account, list[str]] = defaultdict(list)
        self.members: dict[Account, str] = {}
        self.waiting: set[str] = set()
        self.codes: list[tuple[str, str]] = []
        self.used: list[str] = []
        self.open_reception()

    def open_reception(self) -> None:
        self.reception = Reception(self.people, self.converse)
        for channel in ("telegram", "xmpp"):
            self.reception.open_channel(
                channel, lambda who, r, c=channel: self.got[Account(c, who)].append(_words(r))
            )
        self.loop.run_until_complete(self.reception.start())

    def converse(self, person: Person, push: Callable[[Reply], None]) -> Dialogue:
        return Dialogue(person, self.desk, understand, push)

    def hear(self, account: Account, text: str) -> list[str]:
        self.got.clear()
        self.loop.run_until_complete(self.reception.hear(account, text, name="Somebody"))
        for other, said in self.got.items():
            mine = self.members.get(other)
            for text_ in said:
                for person in self.members.values():
                    assert person == mine or person not in text_, (other, text_)
        return self.got[account]

    @initialize()
    def begin(self) -> None:
        """The owner is there on two networks, and somebody else on one."""
        for account, mine in zip((ACCOUNTS[0], ACCOUNTS[4], ACCOUNTS[1]), (1, 1, 0), strict=True):
            self.invite(bool(mine), 0)
            self.join(account)
        assert len(self.members) == 3

    @rule(mine=st.booleans(), n=st.integers(0, 3))
    def invite(self, mine: bool, n: int) -> None:
        owned = mine and n == 0
        code = self.loop.run_until_complete(
            self.people.invite(
                "", role=Role.OWNER if owned else Role.MEMBER, person_id=OWNER if owned else ""
            )
        )
        self.codes.append((code, OWNER if owned else ""))
        if owned:
            self.codes = [c for c in self.codes if c[1] != OWNER or c[0] == code]

    @rule(account=st.sampled_from(ACCOUNTS))
    def join(self, account: Account) -> None:
        if not self.codes or account in self.members:
            return
        code, owner = self.codes.pop()
        self.hear(account, f"/start {code}")
        person = self.loop.run_until_complete(self.people.person_of(account))
        assert person is not None
        assert (person.id == OWNER) == (owner == OWNER)
        self.members[account] = person.id
        self.used.append(code)

    @rule(account=st.sampled_from(ACCOUNTS))
    def replay(self, account: Account) -> None:
        if self.used and account not in self.members:
            self.hear(account, self.used[-1])
            assert not self.loop.run_until_complete(self.reception.knows(account))

    @rule(account=st.sampled_from(ACCOUNTS))
    def call(self, account: Account) -> None:
        before = len(self.desk.called)
        self.hear(account, "call")
        assert len(self.desk.called) == before  # it costs: a yes comes first
        if account in self.members:
            self.waiting.add(self.members[account])

    @rule(account=st.sampled_from(ACCOUNTS))
    def agree(self, account: Account) -> None:
        before = list(self.desk.called)
        self.hear(account, "yes")
        person = self.members.get(account, "")
        expected = [person] if person in self.waiting else []
        assert self.desk.called == before + expected
        self.waiting.discard(person)

    @rule(account=st.sampled_from(ACCOUNTS), text=HOSTILE)
    def hostile(self, account: Account, text: str) -> None:
        before = list(self.desk.called)
        said = self.hear(account, text)
        assert not any("Something went wrong" in one for one in said)
        if text.strip().lower() in ("yes", "y") and self.members.get(account) in self.waiting:
            assert self.desk.called == [*before, self.members[account]]
        else:
            assert self.desk.called == before or text.lower().strip(" .!") in _AGREEMENT
        person = self.members.get(account, "")
        if person and self.loop.run_until_complete(self._awaits(person)) is False:
            self.waiting.discard(person)

    async def _awaits(self, person: str) -> bool:
        room = self.reception._rooms.get(person)
        return bool(room and room.dialogue.talk()["awaiting"])

    @rule()
    def restart(self) -> None:
        """Everybody's conversation goes on where it was."""
        self.loop.run_until_complete(self.reception.close())
        self.open_reception()

    def teardown(self) -> None:
        self.loop.run_until_complete(self.database.close())
        self.loop.close()
        self.folder.cleanup()


_AGREEMENT = frozenset(("yes", "y"))


def _words(reply: Reply) -> str:
    return f"{reply.text} {reply.card} {reply.call_id}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("examples", "steps"), [(15, 30), pytest.param(250, 50, marks=pytest.mark.soak)]
)
def test_a_crowd(examples: int, steps: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    how = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None,
        suppress_health_check=checks, database=None, derandomize=examples < 100,
    )  # fmt: skip
    run_state_machine_as_test(Crowd, settings=how)


class NobodyKnown:
    """Nobody has an account, and looking that up takes until it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()

    async def person_of(self, account: Account) -> Person | None:
        await self.let.wait()
        return None

    async def join(self, code: str, account: Account, name: str) -> Person | None:
        return None


async def test_what_is_remembered_of_strangers_is_bounded() -> None:
    people: Any = NobodyKnown()
    people.let.set()
    told: list[str] = []
    reception = Reception(people, lambda *_: None)  # type: ignore[arg-type, return-value]
    reception.open_channel("telegram", lambda who, _: told.append(who))
    for n in range(MAX_STRANGERS + 500):
        await reception.hear(Account("telegram", str(n)), "hello")
    assert len(reception._strangers) == MAX_STRANGERS
    assert len(told) == len(set(told)) <= 600
    assert reception._queues == {}


async def test_one_who_floods_waits_for_himself() -> None:
    people: Any = NobodyKnown()
    reception = Reception(people, lambda *_: None)  # type: ignore[arg-type, return-value]
    flood = [
        asyncio.ensure_future(reception.hear(Account("telegram", "1"), "x")) for _ in range(500)
    ]
    await asyncio.sleep(0)
    assert reception._queues[Account("telegram", "1")].waiting == MAX_WAITING
    people.let.set()
    await asyncio.gather(*flood)
    assert reception._queues == {}
