"""The Jabber front end: `client` talks on one account of an XMPP server, `rooms` in group chats,
`menu` offers the same as ad-hoc commands, `privacy` decides what is encrypted with OMEMO, and
`numbers` makes phone numbers addresses that can be written to."""

from bot.jabber.client import Jabber
from bot.jabber.numbers import Component

__all__ = ["Component", "Jabber"]
