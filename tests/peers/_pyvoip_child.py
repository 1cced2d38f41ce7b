"""Runs in a process of its own: stock pyVoIP 1.6.8 as a phone. Lines of JSON out, commands in."""

import json
import sys
import threading
import time
import wave
from typing import Any

import pyVoIP.VoIP  # before pyVoIP.SIP: they import each other
from pyVoIP.VoIP import CallState, VoIPCall, VoIPPhone

_lock = threading.Lock()


def say(event: str, **more: object) -> None:
    with _lock:
        print(json.dumps({"event": event, **more}), flush=True)


class Phone:
    """One registered phone; it plays a tone into each call and keeps what it hears."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.call: VoIPCall | None = None
        self.heard = bytearray()
        with wave.open(options["tone"]) as file:  # 8-bit unsigned: the only sound pyVoIP has
            self.tone = file.readframes(file.getnframes())
        self.phone = VoIPPhone(
            options["host"], options["port"], options["number"], options["password"],
            myIP="127.0.0.1", callCallback=self.ringing, sipPort=options["sip_port"],
            rtpPortLow=options["rtp"], rtpPortHigh=options["rtp"] + 18,
        )  # fmt: skip

    def run(self) -> None:
        self.phone.start()
        while self.phone.get_status().value != "REGISTERED":
            if self.phone.get_status().value == "FAILED":
                say("register_failed")
                return
            time.sleep(0.01)
        say("registered")
        for line in sys.stdin:
            command, _, value = line.strip().partition(" ")
            try:
                if command == "dial":
                    self.call = self.phone.call(value)
                    threading.Thread(target=self.talk, args=(self.call,), daemon=True).start()
                    say("dialing", to=value)
                elif command == "hangup" and self.call is not None:
                    self.call.hangup()
                elif command == "save":
                    with wave.open(value, "wb") as file:
                        file.setparams((1, 1, 8000, 0, "NONE", ""))
                        file.writeframes(bytes(self.heard))
                    say("saved", path=value, seconds=len(self.heard) / 8000)
                elif command == "quit":
                    break
            except Exception as error:
                say("error", command=command, text=repr(error))
        self.phone.stop()
        say("stopped")

    def ringing(self, call: VoIPCall) -> None:
        say("incoming", sender=str(call.request.headers["From"]["number"]))
        if not self.options["auto_answer"]:
            call.deny()
            say("denied")
            return
        try:
            call.answer()
        except Exception as error:
            say("error", command="answer", text=repr(error))
            return
        self.call = call
        self.talk(call)

    def talk(self, call: VoIPCall) -> None:
        while call.state in (CallState.DIALING, CallState.RINGING):
            time.sleep(0.01)
        if call.state != CallState.ANSWERED:
            say("ended")
            return
        say("established")
        call.write_audio(self.tone)
        digits, frames = "", 0
        while call.state == CallState.ANSWERED:
            frame = call.read_audio(160, blocking=True)
            self.heard += frame
            frames += frame != b"\x80" * 160
            if frames and frames % 25 == 0:
                say("sound", seconds=frames / 50)
            if digit := call.get_dtmf():
                digits += digit
                say("digits", digits=digits)
        say("ended")


if __name__ == "__main__":
    Phone(json.loads(sys.argv[1])).run()
    assert pyVoIP.VoIP
