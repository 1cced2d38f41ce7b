"""The Telegram front end: `client` talks with people, `updates` takes up what they send once and
for all, `texts` fits what is said into messages."""

from bot.telegram.client import Telegram, Webhook

__all__ = ["Telegram", "Webhook"]
