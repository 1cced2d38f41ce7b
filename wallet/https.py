"""Whom HTTPS trusts."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def authorities() -> ssl.SSLContext:
    """The public ones. They are read once: that takes 30 ms, in which nothing else is done."""
    return httpx.create_ssl_context()
