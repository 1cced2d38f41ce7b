"""The API as an application of its own, with its document."""

from __future__ import annotations

from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from bot.ports import OperatorError
from web.api import calls, events, kept, money, people, verifications, webhooks, wishes
from web.api.problems import Refusal, refused
from web.ports import Desk

VERSION = "1.0.0"
DESCRIPTION = """\
What people do by chat, for programs: calls, messages, reminders, money, second factors.

- Show a key: `Authorization: Bearer et_…`. Keys are made by chat (“make an API key for my CRM”)
  or by `encryptotel key add`.
- Refusals are problem details (RFC 9457); their `id` is stable.
- A POST with an `Idempotency-Key` is done once within a day, however often it comes.
- Lists come newest first; `next` of a page is the `cursor` of what follows.
"""


class Health(BaseModel):
    """Whether the program lives."""

    status: str


def create_api(desk: Desk) -> FastAPI:
    """Everything under `/v1`."""
    api = FastAPI(
        title="EncryptoTel",
        version=VERSION,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": "/v1"}],
    )
    api.state.desk, api.state.buckets = desk, {}
    for part in (calls, people, wishes, kept, money, verifications, events, webhooks):
        api.include_router(part.router)

    @api.get("/health", tags=["health"])
    async def health() -> Health:
        """Whether the program lives."""
        return Health(status="ok")

    @api.get(
        "/ready",
        tags=["health"],
        responses={503: {"model": Health, "description": "Not yet, or not any more"}},
    )
    async def ready(response: Response) -> Health:
        """Whether calls can be placed and taken."""
        if not desk.ready():
            response.status_code = 503
            return Health(status="not ready")
        return Health(status="ready")

    for kind in (OperatorError, Refusal, HTTPException, RequestValidationError):
        api.add_exception_handler(kind, refused)
    return api
