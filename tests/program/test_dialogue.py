"""The conversation: what is asked back, what is told, and bounds on what is read."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from bot.dialogue import MAX_MESSAGE, NO_LONGER_OPEN, NOT_UNDERSTOOD, Dialogue
from bot.ports import (
    ActiveCall,
    LineState,
    OperatorError,
    Person,
    PhoneState,
    Placed,
    Progress,
    Reminder,
    State,
    Step,
    Talk,
)
from bot.reminders import leads_of
from bot.replies import Reply
from nlp import commands
from nlp.commands import Call, Remind, Understanding
from nlp.context import Context
from nlp.understand import Understander

ME = Person(name="Owner", extension="101")
CONTEXT = Context(now=datetime(2026, 11, 22, tzinfo=UTC))


class Desk:
    """An operator that notes what it is asked, so that only the conversation is under test."""

    def __init__(self) -> None:
        self.placed: list[Call] = []
        self.ended: list[str] = []
        self.calls: list[ActiveCall] = []
        self.refusal: OperatorError | None = None
        self.tell: Callable[[Progress], None] = lambda _: None
        self.said: list[bool] = []

    @property
    def handling(self) -> Desk:
        return self

    tracking = relays = reminding = handling

    async def remind(self, person: Person, command: Remind, leads: Sequence[int]) -> Reminder:
        assert command.when is not None
        return Reminder(id="0", at=command.when.at, text=command.text or "", by=command.by)

    def codes(self) -> Sequence[tuple[str, str]]:
        return (("*00", "hear this list"),)

    def answer(self, person: Person, *, yes: bool) -> str:
        self.said.append(yes)
        return ""

    def quote(self, person: Person, command: Call) -> str:
        return ""

    async def call(self, person: Person, command: Call) -> Placed:
        if self.refusal:
            raise self.refusal
        self.placed.append(command)
        return Placed(call_id="c1", to="+1 202-555-0143", line=command.line or "", back="101")

    async def hang_up(self, person: Person, call_id: str) -> None:
        self.ended.append(call_id)

    def active_calls(self, person: Person) -> Sequence[ActiveCall]:
        return self.calls

    def state(self, person: Person) -> State:
        return State(
            addresses={},
            lines=[LineState(name="us", zone="US", numbers=[], up=False, detail="answered 503")],
            phones=[PhoneState(extension="101", name="Alice", devices=2)],
            calls=self.calls,
        )

    def follow(self, person: Person, tell: Callable[[Progress], None]) -> Callable[[], None]:
        self.tell = tell
        return lambda: None


@pytest.fixture(scope="module")
def language() -> Understander:
    return Understander.load()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def pushed() -> list[Reply]:
    return []


@pytest.fixture
def chat(desk: Desk, language: Understander, pushed: list[Reply]) -> Dialogue:
    async def understand(text: str, person: Person, talk: Talk) -> Understanding:
        context = Context(
            now=datetime(2026, 11, 22, tzinfo=UTC),
            extensions=["101", "102", "103"],
            history=talk.history,
            asked=talk.asked,
        )
        return language.understand(text, context)

    return Dialogue(ME, desk, understand, pushed.append)


async def test_the_sentence_is_confirmed_in_one_line(chat: Dialogue, desk: Desk) -> None:
    (reply,) = await chat.hear("Call +1 202 555 0143 from the USA line, then call me back on 101")
    assert reply.text == "Calling +1 202-555-0143 from the US line, then calling back 101."
    assert reply.buttons[0].says == "hang up #c1"
    assert desk.placed[0].callback is not None


async def test_a_missing_callee_is_asked_for_and_the_rest_is_kept(
    chat: Dialogue, desk: Desk
) -> None:
    (question,) = await chat.hear("make a call from the UK line")
    assert question.text == "Whom shall I call?"
    await chat.hear("+44 20 7946 0321")
    assert desk.placed[0].to[0].number == "+442079460321"
    assert desk.placed[0].line == "UK"


async def test_another_command_instead_of_the_answer_is_obeyed(chat: Dialogue, desk: Desk) -> None:
    await chat.hear("make a call")
    (reply,) = await chat.hear("are the lines up?")
    assert "DOWN (answered 503)" in reply.text
    assert desk.placed == []


async def test_small_talk_gets_one_line_and_does_nothing(chat: Dialogue, desk: Desk) -> None:
    (reply,) = await chat.hear("lovely weather today, isn't it")
    assert reply.text == NOT_UNDERSTOOD
    assert desk.placed == []


async def test_hang_up_asks_which_when_there_are_several(chat: Dialogue, desk: Desk) -> None:
    desk.calls = [
        ActiveCall(call_id=f"c{n}", caller="101", callee=f"10{n}", seconds=5, joined=True)
        for n in (2, 3)
    ]
    (question,) = await chat.hear("hang up")
    assert question.text == "Which one?\n  1. 101 ↔ 102, 0:05\n  2. 101 ↔ 103, 0:05"
    await chat.hear("2")
    assert desk.ended == ["c3"]


async def test_a_number_is_no_choice_once_another_topic_came_up(chat: Dialogue, desk: Desk) -> None:
    desk.calls = [
        ActiveCall(call_id=f"c{n}", caller="101", callee=f"10{n}", seconds=5, joined=True)
        for n in (2, 3)
    ]
    await chat.hear("hang up")
    await chat.hear("help")
    await chat.hear("2")
    assert desk.ended == []


async def test_a_refusal_is_said_in_a_sentence(chat: Dialogue, desk: Desk) -> None:
    desk.refusal = OperatorError("call.refused", "calls to FR are not allowed")
    (reply,) = await chat.hear("call +33 1 42 68 53 00")
    assert reply.text == "Calls to FR are not allowed."


async def test_progress_is_told_in_words(chat: Dialogue, desk: Desk, pushed: list[Reply]) -> None:
    for progress in (
        Progress(call_id="c", step=Step.RINGING, peer="101"),
        Progress(call_id="c", step=Step.ANSWERED, peer="101"),
        Progress(call_id="c", step=Step.JOINED),
        Progress(call_id="c", step=Step.ENDED, text="hung up", seconds=190),
        Progress(call_id="c", step=Step.ENDED, text="102: busy"),
    ):
        desk.tell(progress)
    assert [reply.text for reply in pushed] == [
        "101 is ringing …",
        "101 answered.",
        "You are connected.",
        "The call ended: hung up, 3:10.",
        "The call did not come about: 102: busy.",
    ]


@pytest.mark.parametrize("text", ["", "   ", "\n"])
async def test_nothing_said_is_nothing_answered(chat: Dialogue, text: str) -> None:
    assert await chat.hear(text) == []


async def test_a_novel_is_not_read(chat: Dialogue, desk: Desk) -> None:
    (reply,) = await chat.hear("call 102 " * MAX_MESSAGE)
    assert "too long" in reply.text
    assert desk.placed == []


def test_every_command_is_done_by_the_dialogue() -> None:
    """None is understood and then cannot be done."""
    source = inspect.getsource(Dialogue._do)
    left = [one for one in commands.COMMANDS.values() if f"commands.{one.__name__}(" not in source]
    assert left == []


async def test_him_is_whom_the_conversation_was_about(chat: Dialogue, desk: Desk) -> None:
    await chat.hear("call 102")
    await chat.hear("call him again")
    await chat.hear("no, 103")
    assert [call.to[0].extension for call in desk.placed] == ["102", "102", "103"]


async def test_what_is_missing_is_asked_for_one_by_one(chat: Dialogue) -> None:
    (first,) = await chat.hear("remind me")
    assert first.text == "When exactly shall I remind you?"
    (second,) = await chat.hear("tomorrow at 9")
    assert second.text == "What shall I remind you of?"
    (done,) = await chat.hear("to call the vet")
    assert done.text.endswith("at 09:00: “call the vet”.")


class Costly(Desk):
    """Everything costs."""

    def quote(self, person: Person, command: Call) -> str:
        return "Call somebody far away?"


async def costly(language: Understander, pushed: list[Reply]) -> tuple[Costly, Dialogue]:
    desk = Costly()

    async def understand(text: str, person: Person, talk: Talk) -> Understanding:
        return language.understand(text, CONTEXT)

    return desk, Dialogue(ME, desk, understand, pushed.append)


async def test_a_yes_that_comes_too_late_is_for_something_else(
    language: Understander, pushed: list[Reply], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, chat = await costly(language, pushed)
    (asked,) = await chat.hear("call 102", confirm=True)
    assert asked.text == "Call somebody far away?"
    monkeypatch.setattr("bot.awaited.CONFIRM_WITHIN", timedelta(0))
    (late,) = await chat.hear(asked.buttons[0].says, confirm=True)
    assert late.text == NO_LONGER_OPEN
    await chat.hear("call 102", confirm=True)
    await chat.hear("yes", confirm=True)
    assert desk.placed == []


async def test_a_yes_is_for_the_latest_question(
    language: Understander, pushed: list[Reply]
) -> None:
    desk, chat = await costly(language, pushed)
    (asked,) = await chat.hear("call 102", confirm=True)
    desk.tell(Progress(call_id="", step=Step.QUESTION, text="Was this you?"))
    await chat.hear("yes", confirm=True)
    assert desk.placed == []
    assert desk.said == [True]
    (again,) = await chat.hear("call 102", confirm=True)
    (old,) = await chat.hear(asked.buttons[0].says, confirm=True)
    assert old.text == NO_LONGER_OPEN
    await chat.hear(again.buttons[0].says, confirm=True)
    assert len(desk.placed) == 1


async def test_a_conversation_goes_on_after_a_restart(
    language: Understander, pushed: list[Reply]
) -> None:
    desk, chat = await costly(language, pushed)
    await chat.hear("call 102", confirm=True)
    _, after = desk, Dialogue(ME, desk, chat._understand, pushed.append)
    after.resume(json.loads(json.dumps(chat.talk())))
    await after.hear("yes", confirm=True)
    assert len(desk.placed) == 1
    after.resume({"history": "rubbish"})
    after.resume({})


async def test_a_button_is_about_its_own_call(chat: Dialogue, desk: Desk) -> None:
    await chat.hear("hang up #0123456789")
    assert desk.ended == ["0123456789"]


async def test_half_a_command_is_not_what_again_means(chat: Dialogue, desk: Desk) -> None:
    (asked,) = await chat.hear("call 102 an hour before my dentist appointment")
    assert asked.text == "At what time exactly?"
    (again,) = await chat.hear("again")
    assert again.text == asked.text
    await chat.hear("status")
    await chat.hear("again")
    assert desk.placed == []


async def test_two_commands_of_a_kind_are_each_asked_about(chat: Dialogue, desk: Desk) -> None:
    (first,) = await chat.hear("remind me to buy milk and then remind me tomorrow at 9")
    assert first.text == "When exactly shall I remind you?"
    (reply, second) = await chat.hear("today at 6 pm")
    assert reply.text.endswith("at 18:00: “buy milk”.")
    assert second.text == "What shall I remind you of?"


async def test_a_lesson_is_what_made_us_ask_and_the_answer(
    desk: Desk, language: Understander
) -> None:
    lessons: list[tuple[str, str, str]] = []

    async def understand(text: str, person: Person, talk: Talk) -> Understanding:
        context = Context(
            now=datetime(2026, 11, 22, tzinfo=UTC), history=talk.history, asked=talk.asked
        )
        return language.understand(text, context)

    def learn(first: str, slot: str, answer: str) -> None:
        lessons.append((first, slot, answer))

    chat = Dialogue(ME, desk, understand, lambda _: None, learn)
    await chat.hear("make a call")
    await chat.hear("102")
    assert lessons == [("make a call", "call.to", "102")]
    assert language.anonymous("text Zoe to call +1 202 555 0143 at 5", CONTEXT) == (
        "text CONTACTNAME to call PHONENUM TIMEEXPR"
    )


@pytest.mark.parametrize("text", ["²", "¹²", "①", "Ⅷ", "٣"])
async def test_what_looks_like_a_number_is_no_choice_nor_trouble(chat: Dialogue, text: str) -> None:
    (reply,) = await chat.hear(text)
    assert reply.text == NOT_UNDERSTOOD


@pytest.mark.parametrize(
    ("text", "leads", "rest"),
    [
        ("15 minutes before the dentist", (15,), "the dentist"),
        ("15 minutes and one day before the dentist", (1440, 15), "the dentist"),
        ("2 days, 1 hour and half an hour before it", (2880, 60, 30), "it"),
        ("one day before and an hour before lunch", (1440, 60), "lunch"),
        ("call mum before lunch", (), "call mum before lunch"),
        ("5 minutes " + "and " * 140 + "x", (), "5 minutes " + "and " * 140 + "x"),
        ("5 minutes, " * 55 + "x", (), "5 minutes, " * 55 + "x"),
        ("1 hour and " * 54, (), "1 hour and " * 54),
    ],
)
def test_how_long_before(text: str, leads: tuple[int, ...], rest: str) -> None:
    begun = time.process_time()
    assert leads_of(text) == (leads, rest)
    assert time.process_time() - begun < 0.2
