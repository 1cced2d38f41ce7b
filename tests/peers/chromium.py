"""Chromium, driven as a person drives it; it trusts the certificate of one exchange only."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import Browser, async_playwright


def installed() -> bool:
    """Whether there is one."""
    return shutil.which("chromium") is not None


def pin_of(certificate: Path) -> str:
    """What a public key is known by (RFC 7469 §2.4)."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(info).digest()).decode()


@asynccontextmanager
async def chromium(certificate: Path) -> AsyncIterator[Browser]:
    """A browser that takes this certificate for a good one, so that it keeps what it fetched."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    pin = await asyncio.to_thread(pin_of, certificate)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                f"--ignore-certificate-errors-spki-list={pin}",
                "--allow-loopback-in-peer-connection",
                "--autoplay-policy=no-user-gesture-required",
            ],
        )
        try:
            yield browser
        finally:
            await browser.close()
