"""The web application: what is served, within bounds."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from web.bounds import Bounds
from web.pages import notice
from web.ports import Setup
from web.setup import routes

NOTHING_HERE = "There is nothing here."


def create_app(setup: Setup, public_url: str) -> Bounds:
    """Everything that is served; `public_url` is how it is reached from outside, without a slash
    at its end."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(routes(setup, public_url), prefix=urlsplit(public_url).path)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    return Bounds(app)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = notice("Not found", NOTHING_HERE, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def _malformed(request: Request, error: Exception) -> Response:
    return notice("Not understood", NOTHING_HERE, 400)
