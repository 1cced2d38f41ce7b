"""`encryptotel run`: start, say that it serves, converse, and stop in order."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import resource
import shutil
import signal
import sys
from pathlib import Path

from bot.console import Console
from encryptotel.app import App
from encryptotel.config import Config
from encryptotel.errors import UserError
from encryptotel.logs import log_to

log = logging.getLogger(__name__)

LOG = "encryptotel.log"
MAX_FILES = 65_536

WELCOME = """\
Type what you want, for example:
  Call the number +1 202 555 0143 from the USA zone number, then call me back on 101
  hang up · status · help
Softphone settings:  {program} extension show 101 --data {data}
What happened:       {program} calls --data {data}
                     {program} trace last --data {data}
Stop with Ctrl-C."""
DEMO = """\
DEMO: the lines US, UK and DE lead to a toy carrier inside this program that answers any
number, speaks and echoes."""
OWNERLESS = (
    "The first to use one of these owns the exchange (good for a week, and until the next start):"
)
DEMO_PHONES = "Extensions {phones} have a built-in phone until yours registers."


async def serve(config: Config, file: Path, data: Path, *, console: bool, as_json: bool) -> None:
    """Run until SIGTERM or SIGINT. Raises what `App.start` raises."""
    log_to(data / LOG if console else None, config)
    _allow_many_files()
    stopping, hurry, hung_up = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (hurry if stopping.is_set() else stopping).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    # A terminal that is closed sends the same signal, and there it means what it says.
    at_terminal = console and sys.stdin.isatty()
    loop.add_signal_handler(signal.SIGHUP, stop if at_terminal else hung_up.set)
    while not stopping.is_set():
        app = App(config, data, file)
        try:
            await app.start()
        except BaseException:
            await app.language.close()
            raise
        for note in app.notes:
            print(note, file=sys.stderr)
        _spare_collector()
        _announce(app, as_json)
        beside = [asyncio.ensure_future(_reload_at(hung_up, app))]
        beside.append(asyncio.ensure_future(_offer(app)))
        if console:
            beside.append(asyncio.ensure_future(_converse(app)))
        if await _first(stopping, app.lost):
            log.warning("the other nodes have taken over what went on here: beginning anew")
            hurry.set()
        for task in beside:
            task.cancel()
        await app.stop(hurry)
        config = app.config
        if not stopping.is_set():
            hurry.clear()


async def _first(stopping: asyncio.Event, lost: asyncio.Event) -> bool:
    """Wait for either; whether it was the second alone."""
    waiting = [asyncio.ensure_future(event.wait()) for event in (stopping, lost)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()
    return not stopping.is_set()


async def _reload_at(hung_up: asyncio.Event, app: App) -> None:
    """SIGHUP: take up the configuration; the person hears of it when that cannot be done."""
    while True:
        await hung_up.wait()
        hung_up.clear()
        try:
            await app.reload()
        except (UserError, OSError) as error:
            app.tell_owner(f"The configuration was not taken up, the old one stays: {error}.")
        except Exception:
            log.exception("the configuration could not be taken up")  # and the next may be better


async def _offer(app: App) -> None:
    """Show how to own the exchange by chat, to whoever sits at the machine, and to no log."""
    if ways := await app.ways_in():
        print("\n".join([OWNERLESS, *ways]), file=sys.stderr, flush=True)


def _allow_many_files() -> None:
    """Each call takes four sockets; the usual limit of 1024 files is for programs without."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _spare_collector() -> None:
    """What stands after the start stays for good: the garbage collector need not walk through
    it, which would hold the loop for tens of milliseconds, and calls leave few cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _program() -> str:
    """How to call the command line from here."""
    installed = Path(sys.executable).with_name("encryptotel")
    if not installed.exists() or shutil.which("encryptotel") == str(installed):
        return "encryptotel"
    here = Path.cwd()
    return str(installed.relative_to(here) if installed.is_relative_to(here) else installed)


def _announce(app: App, as_json: bool) -> None:
    ca = str(app.certificates.ca)
    if as_json:
        print(
            json.dumps({"ready": True, **app.addresses, "ca": ca, "notes": app.notes}), flush=True
        )
        return
    where = " ".join(f"{name}={address}" for name, address in app.addresses.items())
    print(f"ready {where} ca={ca}", flush=True)


async def _converse(app: App) -> None:
    """The console chat; when its input ends, the exchange and its news go on."""
    if app.carrier is not None:
        print(DEMO)
    if app.demo_phones:
        print(DEMO_PHONES.format(phones=" and ".join(app.demo_phones)))
    print(WELCOME.format(data=app.data, program=_program()), flush=True)
    console = Console()
    await console.run(app.dialogue(console.show))
