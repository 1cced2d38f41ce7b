#!/bin/sh
# Style, types, the rules of the house, then the tests.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin
$bin/ruff check .
$bin/ruff format --check .
$bin/mypy
$bin/lint-imports --no-logo
exec $bin/python -m pytest "$@"
