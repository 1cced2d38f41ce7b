"""Which call the program is at just now, so that a line of its log can say so.

What is begun within `about` (a task, a timer, a thread of `to_thread`) stays about that call, and
so does what that begins. What outlives the call, or serves all of them, is begun about none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_call: ContextVar[str] = ContextVar("call", default="")


def call_at_hand() -> str:
    """The id of the call that the program is at; empty for none."""
    return _call.get()


@contextmanager
def about(call: str) -> Iterator[None]:
    """What is done and begun within is about a call, by its id; empty for none."""
    before = _call.set(call)
    try:
        yield
    finally:
        _call.reset(before)
