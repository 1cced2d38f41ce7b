"""What all interop tests share: the extensions, and the tones by which sides are told apart."""

from __future__ import annotations

from tests.peers.exchange import Extension

LOW, HIGH = 440, 660  # Hz: the caller's tone, the callee's tone
SECRET = {str(number): f"secret-{number}" for number in range(101, 105)}
US = "+12025550100"  # our number on the test trunk
OUTSIDE = "+12025550143"  # somebody in the telephone network


def plain(*numbers: str) -> list[Extension]:
    """Extensions whose media is not encrypted."""
    return [Extension(number, SECRET[number]) for number in numbers]


def secure(*numbers: str) -> list[Extension]:
    """Extensions whose media must be encrypted."""
    return [Extension(number, SECRET[number], srtp="require") for number in numbers]
