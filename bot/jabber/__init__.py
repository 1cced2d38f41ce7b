"""The Jabber front end: `client` talks on one account of an XMPP server, `rooms` in group chats,
`menu` offers the same as ad-hoc commands, `privacy` decides what is encrypted with OMEMO."""

from bot.jabber.client import Jabber

__all__ = ["Jabber"]
