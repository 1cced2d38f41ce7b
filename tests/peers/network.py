"""A network of one's own: hosts that are network namespaces, each with an address on one bridge,
and whose packets can be kept from each other, in either direction."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from .ports import HOST
from .proc import missing


@dataclass(frozen=True)
class Host:
    """Where a program can run."""

    address: str
    before: tuple[str, ...] = ()
    "What to put in front of a command that is to run there."


HERE = Host(HOST)


def why_not() -> str:
    """Why there can be no such network; empty if there can."""
    if os.geteuid():
        return "network namespaces are root's to make"
    if lacking := missing("ip", "nft"):
        return f"not installed: {', '.join(lacking)}"
    probe = subprocess.run(["ip", "netns", "add", "probe"], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "delete", "probe"], capture_output=True, check=False)
    return f"no network namespaces: {probe.stderr.decode().strip()}" if probe.returncode else ""


class Network:
    """We are on it too, as `here`."""

    def __init__(self, bridge: str, subnet: str) -> None:
        self._bridge, self._subnet = bridge, subnet
        self.here = f"{subnet}.1"
        self._spaces: dict[str, str] = {}

    def add(self, name: str) -> Host:
        """One more host."""
        number = len(self._spaces) + 2
        address, space = f"{self._subnet}.{number}", f"{self._bridge}-{name}"
        self._spaces[address] = space
        end = f"{self._bridge}-{number}"
        _do("ip", "netns", "add", space)
        _do("ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", space)
        _do("ip", "link", "set", end, "master", self._bridge, "up")
        _do("ip", "-n", space, "address", "add", f"{address}/24", "dev", "eth0")
        _do("ip", "-n", space, "link", "set", "eth0", "up")
        _do("ip", "-n", space, "link", "set", "lo", "up")
        host = Host(address, ("ip", "netns", "exec", space))
        _do(*host.before, "nft", "add table inet cuts")
        _do(*host.before, "nft", "add chain inet cuts in { type filter hook input priority 0; }")
        return host

    def cut(self, source: Host, target: Host) -> None:
        """Nothing that one sends reaches the other any more."""
        _do(*target.before, "nft", f"add rule inet cuts in ip saddr {source.address} drop")

    def heal(self, *hosts: Host) -> None:
        """All that is sent to these reaches them again."""
        for host in hosts:
            _do(*host.before, "nft", "flush chain inet cuts in")

    def remove(self) -> None:
        for number, space in enumerate(self._spaces.values(), 2):
            _do("ip", "link", "delete", f"{self._bridge}-{number}")
            _do("ip", "netns", "delete", space)
        _do("ip", "link", "delete", self._bridge)


@contextmanager
def network() -> Iterator[Network]:
    """An empty one, beside those of others."""
    for number in count():
        bridge, subnet = f"calls{number}", f"10.77.{number}"
        made = subprocess.run(
            ["ip", "link", "add", bridge, "type", "bridge"], capture_output=True, check=False
        )
        if not made.returncode:
            break
        assert b"exists" in made.stderr, made.stderr
    found = Network(bridge, subnet)
    try:
        _do("ip", "address", "add", f"{found.here}/24", "dev", bridge)
        _do("ip", "link", "set", bridge, "up")
        yield found
    finally:
        found.remove()


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False)
    assert not done.returncode, f"{' '.join(command)}: {done.stderr.decode()}"
