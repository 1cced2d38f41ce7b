"""An exchange that only reminds, as a program of its own: python -m tests.scheduler.ringing
NODE AHEAD writes a line for each that rings. The database's URL comes on standard input."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from sqlalchemy import make_url

from scheduler import alarm as alarms
from scheduler.alarm import Alarm
from scheduler.reminders import Reminders, Result
from store.database import Database
from store.tables import RingRow

alarms.LOOK_EVERY = 2.0  # a tenth, as are the clocks of the tests


async def main(node: str, ahead: timedelta) -> None:
    database = Database(make_url(sys.stdin.readline().strip()))
    await database.open()

    async def ring(row: RingRow) -> Result:
        print(row.reminder, row.occurrence.isoformat(), flush=True)
        return Result(state="done")

    alarm = Alarm(database, node)
    await Reminders(database, alarm, ring, lambda: datetime.now(UTC) + ahead).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], timedelta(seconds=float(sys.argv[2]))))
