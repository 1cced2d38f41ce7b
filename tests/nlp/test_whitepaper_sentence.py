"""The white paper's sentence, as many people would say it."""

import pytest

from nlp.commands import Call, Party
from nlp.understand import Context, Understander
from tests.nlp.conftest import sentences

CALLEE = Party(number="+12025550143")
TO_EXTENSION = Call(to=(CALLEE,), line="US", callback=Party(extension="101"))
TO_NUMBER = Call(to=(CALLEE,), line="US", callback=Party(number="+442079460321"))


def test_the_sentence_itself(understander: Understander, context: Context) -> None:
    text = (
        "Call the number +1 202 555 0143 from the USA zone number, then call me back on the "
        "number +44 20 7946 0321"
    )
    understood = understander.understand(text, context)
    assert understood.commands == (TO_NUMBER,)
    assert understood.missing == ()
    assert understood.confidence > 0.9


@pytest.mark.parametrize("text", sentences("whitepaper_paraphrases.txt"))
def test_callback_on_an_extension(understander: Understander, context: Context, text: str) -> None:
    understood = understander.understand(text, context)
    assert understood.commands == (TO_EXTENSION,)
    assert understood.missing == ()


@pytest.mark.parametrize("text", sentences("number_callback_paraphrases.txt"))
def test_callback_on_a_number(understander: Understander, context: Context, text: str) -> None:
    understood = understander.understand(text, context)
    assert understood.commands == (TO_NUMBER,)
    assert understood.missing == ()


@pytest.mark.parametrize(
    "text",
    [
        "call +1 202 555 0143 over the US trunk and ring extension 101",
        "+1 202 555 0143, over the American line, also phone 101",
    ],
)
def test_two_readings_are_asked_about(
    understander: Understander, context: Context, text: str
) -> None:
    understood = understander.understand(text, context)
    called = [party for command in understood.commands if isinstance(command, Call)
              for party in command.to]  # fmt: skip
    assert not called or called == [CALLEE]


@pytest.mark.parametrize("change", [str.upper, str.lower, lambda text: text.replace(",", "")])
def test_case_and_commas_do_not_matter(
    understander: Understander, context: Context, change: object
) -> None:
    assert callable(change)
    text = "Call the number +1 202 555 0143 from the USA zone number, then call me back on 101"
    assert understander.understand(change(text), context).commands == (TO_EXTENSION,)
