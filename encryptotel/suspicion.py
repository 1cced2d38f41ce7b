"""Calls that cost money and are not like an extension's others: is it still its owner's phone?"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_NETWORKS = 20
"Networks remembered an extension; the one used longest ago is forgotten first."


def network_of(host: str) -> str:
    """The network an address is in: a phone gets another address of the same provider or office
    every day. Empty for what is no address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


@dataclass(slots=True)
class Habits:
    """What is usual for one extension: countries it called, networks it called from."""

    countries: set[str] = field(default_factory=set)
    networks: OrderedDict[str, None] = field(default_factory=OrderedDict)
    nights: float = 0.0
    "Until when many calls at night are known to be its owner's, by the clock in seconds."

    def learn(self, country: str, host: str) -> None:
        """A call to a country from an address was all right."""
        if country:
            self.countries.add(country)
        network = network_of(host)
        if network:
            self.networks[network] = None
            self.networks.move_to_end(network)
            if len(self.networks) > MAX_NETWORKS:
                self.networks.popitem(last=False)

    def oddities(
        self, country: str, home: Iterable[str], host: str, *, late: int, night: int, now: float
    ) -> list[str]:
        """What is unusual about a call, in words that follow "it is". `late` calls were made
        lately at night, `night` are usual. The first network of all is taken on trust: somebody
        has to begin somewhere."""
        found = []
        if country not in self.countries and country not in home:
            found.append(f"its first call to {country or 'that country code'}")
        network = network_of(host)
        if network and self.networks and network not in self.networks:
            found.append(f"its first outside call from the network address {host}")
        if late >= night and now >= self.nights:
            found.append(f"its outside call number {late + 1} within an hour at night")
        return found


@dataclass(frozen=True, kw_only=True)
class Held:
    """A call that was not let out until the owner says whose it was."""

    user: str
    number: str
    country: str
    source: str
    oddities: tuple[str, ...]
    minutes: int

    def question(self, name: str) -> str:
        """What the owner is asked; `number` readable, `name` of the extension if it has one."""
        who = f"Extension {self.user}" + (f" ({name})" if name else "")
        return (
            f"Was this you? {who} wanted to call {self.number}, {' and '.join(self.oddities)}. "
            f"I did not let the call out, and hold its outside calls for {self.minutes} minutes. "
            "Say “yes” if it was you or somebody you trust, and dial again; say “no” if it was "
            "not, and I lock its outside calls for a day."
        )
