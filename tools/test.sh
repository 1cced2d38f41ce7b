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
# A few of some thousand tests that fail beside others are judged by a second run alone; both runs
# are to be read. More than one in a thousand is no accident.
failures=.pytest_cache/v/cache/lastfailed
group() {
    number=$1
    shift
    status=0
    $bin/python -m pytest --cache-clear -n "$number" --dist worksteal "$@" || status=$?
    if [ "$status" -eq 1 ] && [ "$(grep -c '::' $failures)" -le 4 ]; then
        echo "FAILED BESIDE OTHERS, now alone:"
        cat $failures
        status=0
        $bin/python -m pytest --last-failed "$@" || status=$?
    fi
    return "$status"
}
# The longest first, so that nobody waits for one of them at the end.
group 4 tests/web tests/chat tests/calls tests/program tests/scheduler tests/wallet tests/calendars tests/nlp \
    tests/pbx "$@"
group 3 tests/conformance tests/interop tests/cluster "$@" # each with exchanges and phones of its own
group 2 tests/endurance "$@"
group 0 tests/attack tests/bench "$@"
