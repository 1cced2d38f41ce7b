"""The API as an application of its own, with its document."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from bot.ports import OperatorError
from web.api import calls, events, kept, money, people, verifications, webhooks, wishes
from web.api.problems import Refusal, documented, refused
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

    status: str = Field(examples=["ok"])


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
    api.state.desk, api.state.buckets, api.state.listening = desk, {}, 0
    api.state.running = set()
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

    api.openapi = partial(_described, api)  # type: ignore[method-assign]
    for kind in (OperatorError, Refusal, HTTPException, RequestValidationError):
        api.add_exception_handler(kind, refused)
    return api


def _described(api: FastAPI) -> dict[str, Any]:
    """The document, with what all reads and all writes have in common."""
    if api.openapi_schema is None:
        document = get_openapi(
            title=api.title,
            version=api.version,
            description=api.description,
            routes=api.routes,
            servers=api.servers,
        )
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _complete(method, path, operation)
        for name in ("HTTPValidationError", "ValidationError"):  # which are problems here
            document["components"]["schemas"].pop(name, None)
        api.openapi_schema = document
    return api.openapi_schema


def _complete(method: str, path: str, operation: dict[str, Any]) -> None:
    """Write into an operation what its kind brings with it."""
    answers = operation["responses"]
    for status in _unreachable(method, operation):
        answers.pop(status, None)
    if "HTTPValidationError" in str(answers.get("422")):
        answers["422"] = _REPEATED["422"]
    if not operation.get("security") or path == "/events":
        return
    if method == "get":
        operation.setdefault("parameters", []).append(_IF_CHANGED)
        answers["304"] = {"description": "Nothing has changed"}
    elif method == "post":
        operation.setdefault("parameters", []).append(_ONCE)
        operation["responses"] = {**_REPEATED, **answers}


def _unreachable(method: str, operation: dict[str, Any]) -> set[str]:
    """What cannot be the answer where nothing can be wrong with a request, or with its body."""
    if "requestBody" in operation:
        return set()
    given = operation.get("parameters", [])
    bounds = any(one["in"] != "path" or "pattern" in one["schema"] for one in given)
    return {"400", "413"} if bounds or method == "post" else {"400", "413", "422"}


_REPEATED = {
    str(status): answer for status, answer in documented(409, 422).items() if status in (409, 422)
}
"What is refused under an `Idempotency-Key`."
for _answer in _REPEATED.values():
    _answer.pop("model")
_IF_CHANGED = {
    "name": "If-None-Match", "in": "header", "required": False,
    "description": "The `ETag` of what is known: 304 is the answer if it is still the same.",
    "schema": {"type": "string", "maxLength": 200},
}  # fmt: skip
_ONCE = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "A word of the program's for this request: it is done once within a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[!-~]+$"},
}  # fmt: skip
