"""Legs of stock PyVoIP: ``python -m bench.pyvoip_peer LEGS HOST FIRST_PORT``.

Every leg is PyVoIP's own RTP client, as a call of its phone has it; a thread a leg carries what
one leg of a pair hears to the other, which is how a program on PyVoIP must bridge calls. Prints its
ports, reads one line ``IP:PORT …`` saying where each leg sends to, and runs until it is ended.
"""

from __future__ import annotations

import json
import socket
import sys
import threading

import pyVoIP.VoIP  # noqa: F401 - it must come before the other parts
from pyVoIP.RTP import PayloadType, RTPClient, TransmitType


def _carry(heard: RTPClient, said: RTPClient) -> None:
    while heard.NSD:
        said.write(heard.read(160))


def _free(host: str, first: int, count: int) -> list[int]:
    """Even ports nobody holds."""
    found: list[int] = []
    for port in range(first, 65_536, 2):
        if len(found) == count:
            break
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind((host, port))
            except OSError:
                continue
        found.append(port)
    return found


def main() -> None:
    """Run the legs."""
    legs, host, first = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    ports = _free(host, first, legs)
    print(json.dumps({"ports": ports}), flush=True)
    targets = [word.rpartition(":") for word in sys.stdin.readline().split()]
    clients = [
        RTPClient(
            {0: PayloadType.PCMU}, host, port, where, int(number), TransmitType.SENDRECV, None
        )
        for port, (where, _, number) in zip(ports, targets, strict=True)
    ]
    for client in clients:
        client.start()
    for one, other in zip(clients[::2], clients[1::2], strict=True):
        for pair in ((one, other), (other, one)):
            threading.Thread(target=_carry, args=pair, daemon=True).start()
    print(json.dumps({"running": legs}), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
