"""The web application: what is served, within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from web import console
from web.api import metrics
from web.api.app import create_api
from web.api.problems import Refusal, refused
from web.bounds import Bounds, is_under
from web.pages import notice
from web.ports import Desk, Setup
from web.setup import routes

NOTHING_HERE = "There is nothing here."


API, CONSOLE = "/v1", "/console"


def of_each(public_url: str) -> Sequence[str]:
    """What each of several programs answers by itself."""
    path = urlsplit(public_url).path
    return path + metrics.PATH, f"{path}{API}/health"


def create_app(setup: Setup, public_url: str, desk: Desk) -> Bounds:
    """Everything that is served; `public_url` is how it is reached from outside, without a slash
    at its end."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    path = urlsplit(public_url).path
    app.include_router(routes(setup, public_url), prefix=path)
    app.include_router(console.routes(desk.sessions), prefix=path)
    app.mount(path + API, api := create_api(desk))
    app.state.desk, app.state.buckets = desk, api.state.buckets
    app.include_router(metrics.router, prefix=path)
    app.state.programs = path + API, path + metrics.PATH
    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    return Bounds(app, programs=app.state.programs, page=path + CONSOLE, answered=desk.answered)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if is_under(request.scope["path"], request.app.state.programs):  # such as no path there has
        return await refused(request, error)
    answer = notice("Not found", NOTHING_HERE, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def _malformed(request: Request, error: Exception) -> Response:
    return notice("Not understood", NOTHING_HERE, 400)
