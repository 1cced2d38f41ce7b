"""The whole document of the API against the program, by schemathesis: what is sent follows it, or
breaks it in every way that it knows; nothing answers 5xx, or a status that is not documented."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from encryptotel.demo.phone import Phone
from tests.calls.test_callback import telephone_network
from tests.office import quiet
from tests.web.test_api import client

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,response_headers_conformance"
)
LIMITS = {"trunk_calls_per_hour": 100_000, "texts_per_hour": 100_000}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("examples", [2, pytest.param(200, marks=pytest.mark.soak, id="long")])
async def test_the_program_does_as_its_document_says(tmp_path: Path, examples: int) -> None:
    async with client(tmp_path, limits=LIMITS, language=True) as it:
        await telephone_network(it.office, Phone(quiet))
        await it.office.phone("102", Phone(quiet))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "run", f"{it.site.url}/v1/openapi.json",
            "--url", f"{it.site.url}/v1", "--tls-verify", "false",
            "--header", f"Authorization: Bearer {it.token}", "--checks", CHECKS,
            "--exclude-path", "/events",
            "--max-examples", str(examples), "--workers", "1", "--seed", "1",
            "--generation-database", "none", "--no-color", "--suppress-health-check", "all",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode == 0, out.decode("utf-8", "replace")[-20_000:]
