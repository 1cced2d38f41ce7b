"""A day of an exchange in little: every kind of call that people make, more of them at noon than at
night, against the shipped program over real sockets; and what it holds before and after.

The hours are as short as wanted; calls, PINs and registrations take the time that they take.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from pbx.calls.leg import Leg, Target, only
from pbx.ports import CallRefused
from pbx.sip.digest import Credentials
from pbx.sip.stack import Incoming
from pbx.texts import send
from tests.calls.test_recording import seed_key
from tests.endurance.program import OncePhone, Program
from tests.peers.exchange import Config, Extension, Trunk

OWNER, PIN, ROOM, SCRIPT = "101", "246810", "800", "700"
OURS, OUTSIDE = "+12025550100", "+12025550143"
GUESTS = ("105", "106", "107")
PAIRS = (("110", "111"), ("112", "113"), ("114", "115"))
HOURS = 24
SPARE = 3
"Tasks, files, sockets and threads that may come and go beside what was there before."
WITHIN = 20.0

Act = Callable[[], Awaitable[None]]


class DayPhone(OncePhone):
    """A phone that takes and writes messages, and may be busy."""

    busy = False

    def on_request(self, incoming: Incoming) -> None:
        method = incoming.request.method
        if method == "MESSAGE":
            incoming.refuse_with(200)
        elif method == "INVITE" and self.busy:
            incoming.refuse_with(486)
        else:
            super().on_request(incoming)

    async def write(self, to: str, words: str) -> bool:
        """Send a message; whether it was taken."""
        assert self._account is not None
        target = Target(
            peer=to,
            uri=f"sip:{to}@{self._domain}",
            from_uri=f"sip:{self._account.username}@{self._domain}",
            ways=only(self._flow),
            credentials=self._account,
        )
        return (await send(self._stack, target, words)).good

    def hang_up(self) -> None:
        """Leave all calls."""
        for leg in list(self.legs):
            leg.hang_up()


@dataclass
class Tally:
    """What was done, and what the process held in between."""

    done: Counter[str] = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)


def config_of(program: Program, carrier: tuple[str, int], script: str) -> str:
    """People, a room, and a line to the telephone network."""
    people = [Extension(number, f"secret-{number}") for number in program.numbers]
    text = Config(
        people,
        trunks=[Trunk("us", *carrier, [OURS])],
        routes={OURS: PAIRS[0][0]},
        rooms=[{"number": ROOM, "name": "Team", "pin": PIN, "owner": OWNER}],
        extra=program.sections,
    ).toml()
    if script:
        text += f'\n[[extension]]\nnumber = "{SCRIPT}"\nname = "Robot"\nscript = "{script}"\n'
    return text


async def live(folder: Path, hour: float, *, script: str = "", seed: int = 1) -> Tally:
    """A warm-up and a day whose hours last so many seconds. `script` is called as well."""
    numbers = [OWNER, *GUESTS, *(number for pair in PAIRS for number in pair)]
    extra: dict[str, dict[str, Any]] = {
        "log": {"level": "error"},
        "guard": {"requests_per_second": 5_000},
        "limits": {
            "ask_owner": False,
            "trunk_calls_at_once": 100,
            "trunk_calls_per_hour": 100_000,
            "trunk_minutes_per_day": 100_000,
        },
        "recording": {"key": seed_key(), "notice": False},
    }
    program, carrier, tally = Program(folder, numbers, extra=extra), DayPhone(), Tally()
    program.write_config(config_of(program, await carrier.listen(), script))
    async with program:
        carrier._server, carrier._domain = program.udp, program.udp[0]
        carrier._number = OUTSIDE
        carrier._account = Credentials(username=OUTSIDE, secret="none")
        phones = {number: await DayPhone().join(program, number) for number in numbers}
        day = _Day(program, phones, carrier, tally, Random(seed), script)
        try:
            await day.everything_once()
            await day.hours(HOURS // 4, hour)  # caches and pools fill
            tally.before = await day.rest()
            tally.memory.clear()
            await day.hours(HOURS, hour)
            tally.after = await day.rest()
        finally:
            for phone in (*phones.values(), carrier):
                await phone.stop()
        rows = await program.until(
            "SELECT * FROM call", lambda rows: all(row["ended_at"] for row in rows)
        )
        tally.done["in the journal"] = len(rows)
    return tally


def check(tally: Tally) -> None:
    """Nothing grew. Raises AssertionError with what did."""
    for what in ("tasks", "files", "sockets", "threads"):
        before, after = tally.before[what], tally.after[what]
        assert after <= before + SPARE, f"{what} grew from {before} to {after}"
    quarter = len(tally.memory) // 4
    early, late = median(tally.memory[:quarter]), median(tally.memory[-quarter:])
    assert late < 1.05 * early + 4_000, f"memory grew from {early} to {late} kB"


class _Day:
    def __init__(
        self,
        program: Program,
        phones: dict[str, DayPhone],
        carrier: DayPhone,
        tally: Tally,
        random: Random,
        script: str,
    ) -> None:
        self.program, self.phones, self.carrier = program, phones, carrier
        self.tally, self.random = tally, random
        self.desk = phones[OWNER]
        self._owner: list[Act] = [
            self.callback, self.conference, self.transfer, self.recorded, self.answerphone,
            self.room_by_chat, self.text_by_chat,
        ]  # fmt: skip
        self._others: list[Callable[[DayPhone, DayPhone], Awaitable[None]]] = [
            self.internal, self.cancelled, self.echo, self.outgoing, self.incoming,
            self.room, self.wrong_pin, self.text, self.comes_and_goes,
        ]  # fmt: skip
        if script:
            self._others.append(self.robot)

    # ── the course of it ────────────────────────────────────────────────────────────────
    async def everything_once(self) -> None:
        for act in self._owner:
            await self._do(act.__name__, act())
        pair = self.phones[PAIRS[0][0]], self.phones[PAIRS[0][1]]
        for other in self._others:
            await self._do(other.__name__, other(*pair))

    async def hours(self, count: int, seconds: float) -> None:
        """So many hours from midnight on; at noon nobody rests between two calls."""
        began = asyncio.get_running_loop().time()

        def idle() -> float | None:
            """Seconds to rest at most just now; None once the time is over."""
            hour = (asyncio.get_running_loop().time() - began) / seconds
            return None if hour >= count else (1 + math.cos(2 * math.pi * hour / 24)) / 2

        async with asyncio.TaskGroup() as group:
            group.create_task(self._look(count, seconds))
            group.create_task(self._owner_acts(idle))
            for caller, callee in PAIRS:
                group.create_task(self._pair_acts(idle, self.phones[caller], self.phones[callee]))

    async def _look(self, count: int, seconds: float) -> None:
        """Once an hour; the configuration is read again every six."""
        for hour in range(count):
            await asyncio.sleep(seconds)
            self.tally.memory.append(self.program.status_file()["rss_kb"])
            if hour % 6 == 5:
                self.program.signal(signal.SIGHUP)

    async def _owner_acts(self, idle: Callable[[], float | None]) -> None:
        while (rest := idle()) is not None:
            act = self.random.choice(self._owner)
            await self._do(act.__name__, act())
            await asyncio.sleep(self.random.uniform(0, rest))

    async def _pair_acts(self, idle: Callable[[], float | None], *pair: DayPhone) -> None:
        while (rest := idle()) is not None:
            act = self.random.choice(self._others)
            await self._do(act.__name__, act(*pair))
            await asyncio.sleep(self.random.uniform(0, rest))

    async def _do(self, name: str, act: Awaitable[None]) -> None:
        async with asyncio.timeout(2 * WITHIN):
            await act
        self.tally.done[name] += 1

    async def rest(self) -> dict[str, int]:
        """What the process holds once no call goes on, and what was said of it is written."""
        async with asyncio.timeout(60):
            while (await self.program.ask("status"))["calls"]:  # noqa: ASYNC110  # from outside
                await asyncio.sleep(0.1)
        await asyncio.sleep(2.5)  # the traces of the last calls
        health = (await self.program.ask("status"))["health"]
        proc = Path(f"/proc/{self.program.process.child.pid}")
        open_ = [os.readlink(one) for one in (proc / "fd").iterdir() if one.is_symlink()]
        return {
            "tasks": health["tasks"],
            "files": len(open_),
            "sockets": sum(one.startswith("socket:") for one in open_),
            "threads": len(list((proc / "task").iterdir())),
            "rss_kb": self.program.status_file()["rss_kb"],
        }

    # ── the owner, by chat ──────────────────────────────────────────────────────────────
    async def say(self, text: str) -> str:
        heard = await self.program.ask("say", text=text)
        return "\n".join(reply["text"] for reply in heard["replies"])

    async def _connected(self, *others: str) -> None:
        """The owner's phone and others are in a call."""
        await _until(lambda: all(len(self.phones[one].legs) == 1 for one in (OWNER, *others)))
        await _until(
            lambda: all(leg.answered for one in (OWNER, *others) for leg in self.phones[one].legs)
        )
        await asyncio.sleep(self.random.uniform(0.1, 0.6))

    async def _over(self, *others: str) -> None:
        await self.say("hang up")
        for one in (OWNER, *others):
            self.phones[one].hang_up()
        await _until(lambda: not any(self.phones[one].legs for one in (OWNER, *others)))

    async def callback(self) -> None:
        """Called back, and connected."""
        await self.say("call 105")
        await self._connected("105")
        await self._over("105")

    async def conference(self) -> None:
        """Three together."""
        await self.say("get 105 and 106 on a conference")
        await self._connected("105", "106")
        await self._over("105", "106")

    async def transfer(self) -> None:
        """A call given to somebody else."""
        await self.say("call 105")
        await self._connected("105")
        await self.say("transfer this to 106")
        await _until(lambda: not self.desk.legs and bool(self.phones["106"].legs))
        await self._over("105", "106")

    async def recorded(self) -> None:
        """A call that is recorded for a while."""
        await self.say("call 105")
        await self._connected("105")
        await self.say("record this call")
        await asyncio.sleep(1.1)
        await self._over("105")

    async def answerphone(self) -> None:
        """Somebody leaves a message."""
        self.desk.busy = True
        try:
            leg = await self.phones["107"].call(OWNER)
            await asyncio.sleep(self.random.uniform(0.2, 1.0))
            await _gone(leg)
        finally:
            self.desk.busy = False

    async def room_by_chat(self) -> None:
        """Called into the room, and somebody more."""
        await self.say("join the Team room")
        await self._connected()
        async with asyncio.timeout(WITHIN):
            while await self.say("lock the room") != "Locked.":  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # the phone took it, but is not in the room yet
        assert "Calling" in (said := await self.say("get 106 on a conference")), said
        await self._connected("106")
        await self.say("unlock the room")
        await self._over("106")

    async def text_by_chat(self) -> None:
        """A message to a phone."""
        assert "Sent to" in await self.say("text 105: see you at noon")

    # ── everybody else, by phone ────────────────────────────────────────────────────────
    async def internal(self, caller: DayPhone, callee: DayPhone) -> None:
        """A call that either side ends."""
        leg = await caller.call(_number(callee))
        await asyncio.sleep(self.random.uniform(0, 0.8))
        await _gone(self.random.choice([leg, *callee.legs]))
        await _until(lambda: not (caller.legs or callee.legs))

    async def cancelled(self, caller: DayPhone, callee: DayPhone) -> None:
        """A caller who thinks better of it."""
        calling = asyncio.ensure_future(caller.call(_number(callee)))
        await asyncio.sleep(self.random.uniform(0, 0.06))
        caller.hang_up()
        with contextlib.suppress(CallRefused):
            await calling
        caller.hang_up()
        await _until(lambda: not (caller.legs or callee.legs))

    async def echo(self, caller: DayPhone, callee: DayPhone) -> None:
        """The echo test."""
        leg = await caller.call("600")
        await asyncio.sleep(self.random.uniform(0, 0.4))
        await _gone(leg)

    async def outgoing(self, caller: DayPhone, callee: DayPhone) -> None:
        """A call over the trunk."""
        leg = await caller.call(OUTSIDE)
        await asyncio.sleep(self.random.uniform(0, 0.5))
        await _gone(leg)

    async def incoming(self, caller: DayPhone, callee: DayPhone) -> None:
        """A call from the trunk."""
        with contextlib.suppress(CallRefused):  # that phone is away, or talks
            leg = await self.carrier.call(OURS)
            await asyncio.sleep(self.random.uniform(0, 0.5))
            await _gone(leg)

    async def room(self, caller: DayPhone, callee: DayPhone) -> None:
        """Two in the room, or as many as are there."""
        legs = [await phone.call(ROOM) for phone in (caller, callee)]
        for leg in legs:
            await asyncio.sleep(0.1)
            for key in PIN + "#":
                leg.audio.send_digit(key)
        await asyncio.sleep(self.random.uniform(1.0, 2.5))
        for leg in legs:
            await _gone(leg)

    async def wrong_pin(self, caller: DayPhone, callee: DayPhone) -> None:
        """Somebody before the door."""
        leg = await caller.call(ROOM)
        leg.audio.send_digit("1")
        leg.audio.send_digit("#")
        await asyncio.sleep(self.random.uniform(0.2, 1.0))
        await _gone(leg)

    async def text(self, caller: DayPhone, callee: DayPhone) -> None:
        """A message from phone to phone."""
        assert await caller.write(_number(callee), "see you at noon")

    async def comes_and_goes(self, caller: DayPhone, callee: DayPhone) -> None:
        """A phone that leaves and comes back."""
        assert await callee._register_once(0) == 200
        assert await callee._register_once(60) == 200

    async def robot(self, caller: DayPhone, callee: DayPhone) -> None:
        """A script as an extension."""
        leg = await caller.call(SCRIPT)
        await asyncio.sleep(0.1)
        await _gone(leg)


def _number(phone: DayPhone) -> str:
    assert phone._account is not None
    return phone._account.username


async def _gone(leg: Leg) -> None:
    leg.hang_up()
    async with asyncio.timeout(WITHIN):
        await leg.ended()


async def _until(wanted: Callable[[], bool]) -> None:
    """What phones of ours see comes about without an event that could be waited for."""
    async with asyncio.timeout(WITHIN):
        while not wanted():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
