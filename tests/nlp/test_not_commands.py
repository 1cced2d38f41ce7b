"""What is not a command must never become one."""

import pytest

from nlp.understand import Context, Understander
from tests.nlp.conftest import sentences


@pytest.mark.parametrize("text", sentences("non_commands.txt"))
def test_talk_is_no_command(understander: Understander, context: Context, text: str) -> None:
    understood = understander.understand(text, context)
    assert understood.commands == ()
    assert understood.missing == ()
    assert understood.confidence <= 0.3


@pytest.mark.parametrize("text", sentences("other_intents.txt"))
def test_requests_that_come_later_are_no_calls(
    understander: Understander, context: Context, text: str
) -> None:
    understood = understander.understand(text, context)
    assert understood.commands == ()
    assert understood.confidence <= 0.3
