"""What a busy chat adds to the delay of sound: 20 sentences a second while 50 calls are up.

The sentences are understood in full and then declined (no line of that zone), so that the language
is measured and not further calls.
"""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import threading
import time
from dataclasses import asdict

from bench.exchange import Exchange
from bench.process import BenchError
from bench.report import Row
from bench.rows import Options
from bench.rows.sentence import control_of
from bench.traffic import Sample, bridged

CALLS = 50
SENTENCES_A_SECOND = 20
LIMIT_MS = 3.0
_TEXT = "Call the number +33 1 99 00 {0:02} {1:02} from the France zone number, then call me on 101"


class Chatter:
    """Types sentences at a steady rate and reads the replies, in a thread of its own."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self.answered = 0
        self.last = ""

    def __enter__(self) -> Chatter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _talk(self) -> None:
        due = time.monotonic()
        lines = self._control.makefile("r", encoding="utf-8")
        while not self._stop.is_set():
            text = _TEXT.format(self.answered // 100 % 100, self.answered % 100)
            request = json.dumps({"do": "say", "text": text}) + "\n"
            self._control.sendall(request.encode())
            self.last = lines.readline()
            self.answered += 1
            due += 1 / SENTENCES_A_SECOND
            self._stop.wait(max(0.0, due - time.monotonic()))


def measure(options: Options) -> list[Row]:
    """Runs with and without the chat in turn."""
    rounds, seconds = (3, 2.0) if options.quick else (8, 2.5)
    quiet: list[Sample] = []
    busy: list[Sample] = []
    answered, talking = 0, 0.0
    with contextlib.ExitStack() as stack:
        traffic = stack.enter_context(bridged(Exchange, options.folder / "chat", CALLS))
        assert isinstance(traffic.server, Exchange)
        control = stack.enter_context(control_of(traffic.server.data))
        traffic.run(1.0)
        for _ in range(rounds):
            quiet.append(traffic.run(seconds))
            begun = time.monotonic()
            with Chatter(control) as chatter:
                busy.append(traffic.run(seconds))
            answered += chatter.answered
            talking += time.monotonic() - begun
            if "France" not in chatter.last and "FR" not in chatter.last:
                raise BenchError(f"the sentence was not understood: {chatter.last}")
    still, talked = (
        statistics.median(sample.delay_p99_us for sample in samples) / 1000
        for samples in (quiet, busy)
    )
    row = Row("chat", f"RTP delay p99 while {SENTENCES_A_SECOND} sentences/s are parsed", "ms more")
    row.against(talked - still, LIMIT_MS)
    lost = sum(sample.sent - sample.received for sample in busy)
    row.detail = (
        f"{CALLS} G.711 calls; p99 {still:.2f} ms without, {talked:.2f} ms with "
        f"{answered / talking:.1f} sentences answered a second; {lost} of "
        f"{sum(sample.sent for sample in busy)} packets lost meanwhile"
    )
    row.rounds = [asdict(sample) for sample in (*quiet, *busy)]
    return [row]
