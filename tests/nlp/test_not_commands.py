"""What is not a command must never become one."""

import pytest

from nlp.commands import Call
from nlp.understand import Context, Understander
from tests.nlp.conftest import sentences


@pytest.mark.parametrize("text", sentences("non_commands.txt"))
def test_talk_is_no_command(understander: Understander, context: Context, text: str) -> None:
    understood = understander.understand(text, context)
    assert understood.commands == ()
    assert understood.missing == ()
    assert understood.confidence <= 0.3


@pytest.mark.parametrize("text", sentences("other_intents.txt"))
def test_what_is_asked_besides_calls_dials_nobody(
    understander: Understander, context: Context, text: str
) -> None:
    """ "Remind me at 5 to call Bob" is a reminder, and nothing else."""
    understood = understander.understand(text, context)
    assert not any(isinstance(command, Call) for command in understood.commands)
