"""A call as one message that changes: who with whom, how far it is, and what can be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from bot.ports import ActiveCall, Progress, Step
from bot.replies import Button

MAX_NOTICES = 3
RECORDING = "● Recording."
PRIVATE = "Private: end to end. Your phones encrypt the call for each other; I cannot hear it."
NOT_PRIVATE = "Not private any more: a phone ended the encryption from end to end."
HOW_TO_OPEN = "Only you can open it: encryptotel recording open FILE, or age -d."


@dataclass
class Card:
    """What is known of a call so far. `clock` gives the person's time of day."""

    call_id: str
    title: str
    clock: Callable[[], datetime]
    over: bool = False
    _step: Step = Step.RINGING
    _state: str = "Dialling …"
    _held: bool = False
    _muted: bool = False
    _back: str = ""
    _recording: bool = False
    _private: bool = False
    _conferring: str = ""
    _locked: bool = False
    _moderates: bool = False
    _speaking: str = ""
    _third: str = ""
    "Somebody who is being called as well."
    _notices: list[str] = field(default_factory=list)

    def take(self, progress: Progress) -> None:
        """The next step of the call."""
        match progress.step:
            case Step.PLACED:
                self.title = progress.text
            case Step.INCOMING:
                self._step, self.title, self._state = progress.step, told(progress), ""
                self._back = progress.back
            case Step.RINGING | Step.ANSWERED if self._step is Step.JOINED:
                self._third = told(progress)
            case Step.RINGING | Step.ANSWERED:
                self._state = told(progress)
            case Step.JOINED:
                self._step, self._state = progress.step, f"Connected since {self.clock():%H:%M}."
            case Step.HELD | Step.RESUMED:
                self._held = progress.step is Step.HELD
            case Step.MUTED | Step.UNMUTED:
                self._muted = progress.step is Step.MUTED
            case Step.INVOICE | Step.NOTICE | Step.CODE | Step.QUESTION:
                self._notices = [*self._notices, progress.text][-MAX_NOTICES:]
                self._third = ""
            case Step.RECORDING | Step.NOT_RECORDING:
                self._recording = progress.step is Step.RECORDING
            case Step.PRIVATE | Step.NOT_PRIVATE:
                self._private = progress.step is Step.PRIVATE
            case Step.CONFERRING:
                self._conferring, self._third = progress.text, ""
                self._locked, self._moderates = progress.locked, progress.moderates
            case Step.BROADCAST | Step.BROADCAST_OVER:
                self._step, self.title, self._state = progress.step, told(progress), ""
                self.over = progress.step is Step.BROADCAST_OVER
            case Step.SPEAKING:
                self._speaking = f"Speaking: {progress.peer}."
            case Step.TRANSFERRED:
                self.over, self._state = True, told(progress)
            case Step.MISSED:
                self.over, self.title, self._state = True, told(progress), ""
                self._back = progress.back
            case Step.ENDED:
                self.over, self._state = True, told(progress)

    @property
    def text(self) -> str:
        """The whole message."""
        held = "On hold: they hear music." if self._held and not self.over else ""
        muted = "Muted: they do not hear you." if self._muted and not self.over else ""
        more = () if self.over else (self._conferring, self._speaking, self._third)
        recording = RECORDING if self._recording and not self.over else ""
        private = PRIVATE if self._private else ""
        lines = [self.title, self._state, private, *more, recording, held, muted, *self._notices]
        return "\n".join(line for line in lines if line)

    @property
    def buttons(self) -> tuple[Button, ...]:
        """What can be done with the call now."""
        if self.over:
            return call_back(self._back)
        if self._step is Step.BROADCAST:
            return ()
        if self._step is Step.INCOMING:
            buttons = (self._button("Answer"), self._button("Reject"), self._button("Mailbox"))
            if not self._back:
                return buttons
            later = Button(label="Call back in 10 min", says=f"later #{self.call_id}")
            return (*buttons, later, Button(label="Block", says=f"block {self._back}"))
        if self._step is Step.RINGING:
            return (self._button("Hang up"),)
        if self._private:  # what needs its sound cannot be done
            return (self._button("Hang up"), self._button("Keypad"))
        mute = self._button("Unmute" if self._muted else "Mute")
        record = self._button("Stop recording" if self._recording else "Record")
        if self._conferring:
            lock = self._button("Unlock" if self._locked else "Lock")
            moderating = (lock, self._button("Kick")) if self._moderates else ()
            return (self._button("Hang up"), mute, record, self._button("Add"), *moderating)
        return (
            self._button("Hang up"),
            mute,
            self._button("Resume" if self._held else "Hold"),
            self._button("Keypad"),
            record,
            self._button("Transfer"),
            self._button("Add"),
        )

    def _button(self, label: str) -> Button:
        return Button(label=label, says=f"{label.lower()} #{self.call_id}")


def told(progress: Progress) -> str:
    """One step in words; what the person just did themselves needs none."""
    match progress.step:
        case Step.INCOMING:
            return f"{progress.peer} is calling you."
        case Step.RINGING:
            return f"{progress.peer} is ringing …"
        case Step.ANSWERED:
            return f"{progress.peer} answered."
        case Step.JOINED:
            return "You are connected."
        case (
            Step.INVOICE
            | Step.NOTICE
            | Step.CODE
            | Step.QUESTION
            | Step.REMINDER
            | Step.REMINDER_AGAIN
            | Step.CONSENT
        ):
            return progress.text
        case Step.APPROVE:
            return f"{stopped(progress.text)} Do you approve?"
        case Step.NAMED:
            return "They say who they are."
        case Step.PRIVATE:
            return PRIVATE
        case Step.NOT_PRIVATE:
            return NOT_PRIVATE
        case Step.RECORDED:
            length = clock(progress.seconds)
            cut = f" It stopped too early: {progress.text}." if progress.text else ""
            return f"Recording of your call with {progress.peer}, {length}.{cut} {HOW_TO_OPEN}"
        case Step.TRANSFERRED:
            return f"Transferred to {progress.peer}."
        case Step.CONFERRING | Step.BROADCAST | Step.BROADCAST_OVER | Step.INVOICE:
            return progress.text
        case Step.TEXT:
            return f"{progress.peer} writes:\n{progress.text}"
        case Step.MISSED:
            return f"You missed a call from {progress.peer}."
        case Step.VOICEMAIL:
            length = clock(progress.seconds)
            said = f"\n“{progress.text}”" if progress.text else ""
            return f"Voice message from {progress.peer}, {length}.{said}"
        case Step.ENDED:
            if progress.text == "declined":
                return "The call was declined."
            if progress.seconds or progress.text in ("hung up", "hung up by command"):
                return f"The call ended: {progress.text}, {clock(progress.seconds)}."
            return f"The call did not come about: {progress.text}."
    return ""


def clock(seconds: int) -> str:
    """A duration as people write it: 3:10."""
    return f"{seconds // 60}:{seconds % 60:02d}"


def pair(call: ActiveCall) -> str:
    """Who with whom."""
    return f"{call.caller} ↔ {call.callee}"


def call_back(number: str) -> tuple[Button, ...]:
    """A button that calls somebody back whose number is known."""
    return (Button(label="Call back", says=f"call {number}"),) if number else ()


def delete_message(id: str) -> Button:
    """A button that deletes a voice message."""
    return Button(label="Delete", says=f"delete message #{id}")


def sentence(text: str) -> str:
    """What is wrong, as a sentence of its own."""
    return stopped(text[:1].upper() + text[1:])


def stopped(text: str) -> str:
    """With a stop at its end, if it has none."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
