"""The relay path: packets of one port go out of another, payload untouched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from pbx.media.port import Sink


def renumbered(
    send: Sink,
    changed: Mapping[int, int],
    foreign: Collection[int],
    on_foreign: Callable[[], None],
) -> Sink:
    """A sink in front of `send` for two legs that number their payloads differently.

    Only the payload type is rewritten. A payload of `foreign` means nothing to the other side:
    it is dropped and `on_foreign` told. Where nothing differs, this is `send` itself.
    """
    if not changed and not foreign:
        return send
    octets = [bytes((octet,)) for octet in range(256)]
    for old, new in changed.items():
        octets[old], octets[old | 0x80] = bytes((new,)), bytes((new | 0x80,))
    for payload in foreign:
        octets[payload] = octets[payload | 0x80] = b""

    def sink(data: bytes) -> None:
        octet = octets[data[1]]
        if octet:
            send(data[:1] + octet + data[2:])
        else:
            on_foreign()

    return sink
