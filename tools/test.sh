#!/bin/sh
# Style, types, the rules of the house, then the tests.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin
$bin/ruff check .
$bin/ruff format --check .
$bin/mypy
$bin/lint-imports --no-logo
# What mostly waits goes side by side; load and attacks have the machine to themselves.
together="tests/nlp tests/pbx tests/chat tests/program tests/calls tests/conformance tests/interop"
# shellcheck disable=SC2086
$bin/python -m pytest -n 2 $together "$@"
alone=$(find tests -mindepth 1 -maxdepth 1 -type d ! -name '_*' | sort)
for folder in $together; do
    alone=$(printf '%s\n' "$alone" | grep -vx "$folder")
done
# shellcheck disable=SC2086
exec $bin/python -m pytest $alone "$@"
