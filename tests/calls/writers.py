"""A phone that writes and reads text messages (MESSAGE, RFC 3428)."""

from __future__ import annotations

from encryptotel.demo.phone import Behaviour, Phone
from pbx.calls.leg import Target, only
from pbx.sip.stack import Incoming
from pbx.texts import Delivery, send, words_of
from tests.office import quiet
from tests.peers.proc import Feed


class Writer(Phone):
    """`read` is what came, as (sender, words); `answer` the status it is answered with."""

    def __init__(self, behave: Behaviour = quiet, *, answer: int = 200) -> None:
        super().__init__(behave)
        self.read: Feed[tuple[str, str]] = Feed("writer")
        self.answer = answer

    def on_request(self, incoming: Incoming) -> None:
        request = incoming.request
        if request.method != "MESSAGE":
            super().on_request(incoming)
            return
        incoming.refuse_with(self.answer)
        self.read.push((request.from_.uri.user or "", words_of(request)))

    async def write(self, to: str, words: str) -> Delivery:
        """Send words through the exchange; what it answers."""
        assert self._account is not None
        target = Target(
            peer=to,
            uri=f"sip:{to}@{self._domain}",
            from_uri=f"sip:{self._account.username}@{self._domain}",
            ways=only(self._flow),
            credentials=self._account,
        )
        return await send(self._stack, target, words)

    async def reads(self, sender: str, words: str) -> None:
        """Wait for a message."""
        await self.read.wait(lambda one: one == (sender, words), 10)
