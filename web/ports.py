"""What the web server asks of the rest of the program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class PhoneSettings:
    """All that a phone must know to register. The account is the phone's own."""

    name: str
    "What the person calls the phone."
    owner: str
    number: str
    username: str
    "For digest; the address of record stays the number."
    secret: str = field(repr=False)
    domain: str
    "The realm of digest."
    host: str
    tls_port: int
    must_encrypt: bool
    "Whether calls whose sound is not encrypted are refused."
    encrypts: bool


class SetupRefused(Exception):
    """A phone cannot be set up; the text says why and what to do."""


class Setup(Protocol):
    """Who gives phones their accounts, for tokens that are good once and not long."""

    async def is_open(self, token: str) -> bool:
        """Whether a token is still good."""

    async def redeem(self, token: str) -> PhoneSettings | None:
        """An account for a token, which is used up then; None if it is none or was used.
        Raises `SetupRefused`; then it stays good."""

    def authority(self) -> bytes | None:
        """The certificate authority that phones must trust, as PEM; None if they do already."""
