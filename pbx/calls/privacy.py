"""What two phones keep to themselves: calls that we carry and cannot read."""

from __future__ import annotations

from collections.abc import Callable, Collection

from pbx.media.port import Sink
from pbx.media.zrtp import Handshake, message_of
from pbx.ports import CallRefused

SEALED = "this call is encrypted from phone to phone: I cannot hear it"


class Privacy:
    """The key agreements (ZRTP, RFC 6189) between the two phones of a call, a stream each.

    `private` is claimed only while every stream in use is encrypted from phone to phone, which
    is when its agreement was seen to complete. `sealed` comes before: from the moment that both
    have announced one nothing of ours may touch the sound, or the phones would find it forged.
    """

    def __init__(self, on_change: Callable[[bool], None] = lambda private: None) -> None:
        self.on_change = on_change
        self.announced = False
        self.private = False
        self._streams: dict[int, Handshake] = {}
        self._between: object = None
        "Which phones, and where they are."
        self._in_use: Collection[int] = ()

    @property
    def sealed(self) -> bool:
        """Whether the sound must pass as it is."""
        return self.announced or any(stream.secured for stream in self._streams.values())

    @property
    def begun(self) -> bool:
        """Whether the phones mean to agree on keys, or did."""
        return self.announced or any(stream.begun for stream in self._streams.values())

    def meet(self, between: object, keyed: Collection[int]) -> None:
        """Sound flows between these, by these addresses; of streams that are `keyed` we hold keys.
        What others agreed on, or the same phones elsewhere, counts no more."""
        if between != self._between:
            self._between = between
            self._streams.clear()
        for index in keyed:
            self._streams.pop(index, None)

    def covers(self, index: int) -> bool:
        """Whether a stream is encrypted from phone to phone."""
        stream = self._streams.get(index)
        return stream is not None and stream.secured

    def carry(self, index: int, side: object, send: Sink) -> Sink:
        """A sink for the ZRTP of one side of a stream, which is sent on as it is."""
        stream = self._streams.setdefault(index, Handshake(self._look))

        def sink(data: bytes) -> None:
            send(data)
            stream.take(side, message_of(data))

        return sink

    def use(self, streams: Collection[int]) -> None:
        """These streams flow between the two from now on."""
        self._in_use = streams
        self._look()

    def check(self) -> None:
        """Raises `CallRefused` when the sound cannot be read."""
        if self.sealed:
            raise CallRefused(488, SEALED)

    def forget(self) -> None:
        """Other phones talk now."""
        self._streams.clear()
        self.announced = False
        self.use(())

    def _look(self) -> None:
        private = bool(self._in_use) and all(self.covers(index) for index in self._in_use)
        if private != self.private:
            self.private = private
            self.on_change(private)
