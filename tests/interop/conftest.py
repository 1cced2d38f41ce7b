"""Fixtures of the interop tests: which programs a module needs, and the exchanges it talks to."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for `tests.peers`

from tests.peers.proc import missing


@pytest.fixture(autouse=True)
def programs(request: pytest.FixtureRequest) -> None:
    """Skip, by name, what this machine cannot run; where CI is set that is a failure."""
    absent = missing(*getattr(request.module, "NEEDS", ()))
    absent += [name for name in getattr(request.module, "NEEDS_MODULES", ())
               if importlib.util.find_spec(name) is None]  # fmt: skip
    if not absent:
        return
    reason = f"not installed: {', '.join(absent)}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
