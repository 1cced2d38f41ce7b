"""A client of the exchange's API: `Client`, and `AsyncClient` for programs with asyncio."""

from encryptotel_client.aio import AsyncClient
from encryptotel_client.client import Client
from encryptotel_client.events import Event
from encryptotel_client.refused import Refused, Unreachable
from encryptotel_client.webhooks import BadSignature, opened

__all__ = [
    "AsyncClient",
    "BadSignature",
    "Client",
    "Event",
    "Refused",
    "Unreachable",
    "opened",
]
