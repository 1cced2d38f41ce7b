"""What the bot says, as data; a front end only renders it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Button:
    """Something to tap instead of typing; `says` is what tapping it means."""

    label: str
    says: str


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One message to the person. `call_id` names the call it tells about, if any."""

    text: str
    buttons: tuple[Button, ...] = ()
    call_id: str = ""
