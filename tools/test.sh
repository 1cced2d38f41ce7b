#!/bin/sh
# Style, types, the rules of the house, then the tests.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin
unset PYTHONDONTWRITEBYTECODE # hundreds of programs are started: none shall compile all anew
$bin/ruff check .
$bin/ruff format --check .
$bin/mypy
$bin/lint-imports --no-logo
# What mostly waits goes side by side; load and attacks have the machine to themselves.
side_by_side() {
    number=$1
    shift
    $bin/python -m pytest -n "$number" --dist worksteal "$@"
}
side_by_side 4 tests/nlp tests/pbx tests/chat tests/program tests/scheduler tests/calls tests/web "$@"
side_by_side 3 tests/conformance tests/interop "$@" # each with an exchange and phones of its own
side_by_side 2 tests/endurance "$@"
exec $bin/python -m pytest tests/attack tests/bench "$@"
