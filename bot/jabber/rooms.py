"""Group chats (XEP-0045): the bot comes where somebody of ours invites it, and answers those of
ours who mention it. Who somebody is can only be told in rooms that show real addresses."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from slixmpp import JID, ClientXMPP, Message
from slixmpp.exceptions import XMPPError

log = logging.getLogger(__name__)

MAX_ROOMS = 50
JOIN_WITHIN = 20

Knows = Callable[[JID], Awaitable[bool]]
Said = Callable[[Message, JID, str], None]
"A message, who it is really from, and its words without the mention."


class Rooms:
    """The rooms that the bot is in."""

    def __init__(self, client: ClientXMPP, nick: str, knows: Knows, said: Said) -> None:
        self._client = client
        self._nick = nick
        self._knows = knows
        self._said = said
        self._mention = re.compile(rf"@?{re.escape(nick)}\b[:,]?\s*", re.IGNORECASE)
        self._joining: set[asyncio.Task[None]] = set()
        client.add_event_handler("groupchat_invite", self._on_invitation)
        client.add_event_handler("groupchat_direct_invite", self._on_direct_invitation)
        client.add_event_handler("groupchat_message", self._on_message)

    def again(self) -> None:
        """Come back to all rooms, in a new session."""
        for room in list(self._client.plugin["xep_0045"].get_joined_rooms()):
            self._spawn(self._join(room))

    def _on_invitation(self, message: Message) -> None:
        inviter = JID(message["muc"]["invite"]["from"])
        self._spawn(self._come(message["from"], inviter))

    def _on_direct_invitation(self, message: Message) -> None:
        self._spawn(self._come(JID(message["groupchat_invite"]["jid"]), message["from"]))

    async def _come(self, room: JID, inviter: JID) -> None:
        joined = self._client.plugin["xep_0045"].get_joined_rooms()
        if len(joined) < MAX_ROOMS and await self._knows(inviter):
            await self._join(room)

    async def _join(self, room: JID) -> None:
        try:
            await self._client.plugin["xep_0045"].join_muc_wait(
                JID(room.bare), self._nick, maxstanzas=0, timeout=JOIN_WITHIN
            )
        except (XMPPError, TimeoutError) as error:
            log.warning("a Jabber room could not be joined: %s", type(error).__name__)

    def _on_message(self, message: Message) -> None:
        room, nick, body = message["from"].bare, message["from"].resource, message["body"]
        if nick == self._nick or not self._mention.search(body) or message["delay"]["stamp"]:
            return
        real: Any = self._client.plugin["xep_0045"].get_jid_property(JID(room), nick, "jid")
        if real:
            self._said(message, JID(real), self._mention.sub("", body, count=1))

    def _spawn(self, job: Any) -> None:
        task = asyncio.ensure_future(job)
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)
