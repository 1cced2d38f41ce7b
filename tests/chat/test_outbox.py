"""What waits to be sent: order, bounds, and what becomes of it when we stop."""

from __future__ import annotations

import asyncio

from bot.outbox import MAX_WAITING, Later, Outbox
from bot.replies import Reply


def card(call: str, text: str) -> Reply:
    return Reply(text=text, call_id=call, card=text)


class Network:
    """Takes replies while it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.got: list[str] = []

    async def deliver(self, address: str, reply: Reply) -> None:
        await self.open.wait()
        self.got.append(reply.card or reply.text)


async def test_a_card_shows_what_is_true_when_it_is_sent() -> None:
    network = Network()
    outbox = Outbox(network.deliver)
    outbox.put("a", Reply(text="first"))
    await asyncio.sleep(0)  # it is being sent
    for state in ("ringing", "answered", "over"):
        outbox.put("a", card("c1", state))
    outbox.put("a", card("c2", "another"))
    last = outbox.put("a", Reply(text="last"))
    network.open.set()
    await last
    assert network.got == ["first", "over", "another", "last"]


async def test_what_waits_is_bounded_and_words_outlive_cards() -> None:
    network = Network()
    outbox = Outbox(network.deliver)
    outbox.put("a", Reply(text="first"))
    await asyncio.sleep(0)
    dropped = outbox.put("a", card("c1", "news"))
    kept = [outbox.put("a", Reply(text=str(n))) for n in range(MAX_WAITING)]
    assert dropped.done()
    network.open.set()
    await asyncio.gather(*kept)
    assert network.got == ["first", *map(str, range(MAX_WAITING))]


async def test_a_network_that_is_away_is_asked_again_in_order() -> None:
    tries: list[str] = []

    async def deliver(address: str, reply: Reply) -> None:
        tries.append(reply.text)
        if len(tries) < 3:
            raise Later(0.01)

    outbox = Outbox(deliver)
    await asyncio.gather(outbox.put("a", Reply(text="1")), outbox.put("a", Reply(text="2")))
    assert tries == ["1", "1", "1", "2"]


async def test_a_reply_that_cannot_be_sent_at_all_is_in_nobodys_way() -> None:
    async def deliver(address: str, reply: Reply) -> None:
        if reply.text == "bad":
            raise ValueError

    outbox = Outbox(deliver)
    await asyncio.gather(outbox.put("a", Reply(text="bad")), outbox.put("a", Reply(text="good")))


async def test_what_was_not_sent_when_we_stop_is_known_to_be_unsent() -> None:
    network = Network()
    outbox = Outbox(network.deliver)
    gone = [outbox.put("a", Reply(text=str(n))) for n in range(3)]
    await outbox.close()
    assert all(one.cancelled() for one in gone)
