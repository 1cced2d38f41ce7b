"""Refusals as problem details (RFC 9457); their ids are those of chat and log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from bot.ports import OperatorError, UnclearName

MEDIA_TYPE = "application/problem+json"
_BY_ID = {
    "approval.asked": 403,
    "approval.too_often": 429,
    "chat.only": 403,
    "key.scope": 403,
    "money.free": 404,
    "role.guest": 403,
    "role.owner_only": 403,
    "conference.not_moderator": 403,
    "plan.needed": 402,
    "money.spent": 402,
    "call.over": 404,
    "tracking.none": 404,
    "verification.limit": 429,
    "verification.no_code": 409,
}
_BY_END = {
    "unknown": 404, "unknown_name": 404, "no_such_extension": 404, "nobody": 404, "gone": 404,
    "refused": 409, "over": 409, "too_many": 409, "taken": 409, "label_taken": 409,
}  # fmt: skip
"By the last part of an id; everything else is 422."


_OF_BODIES = (400, 413)
"What a body can be refused for before it is looked at."


class FieldError(BaseModel):
    """What is wrong with one part of a request."""

    field: str = Field(examples=["body.to"])
    message: str = Field(examples=["Field required"])


class Problem(BaseModel):
    """Why a request was refused."""

    type: str = Field(examples=["/problems/party.unknown_name"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["I know no Bob"])
    id: str = Field(examples=["party.unknown_name"], description="Stable, for programs.")
    errors: list[FieldError] | None = None


class Refusal(Exception):
    """A request that is refused before anybody looks at what it wants."""

    def __init__(
        self, status: int, id: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.id, self.detail, self.headers = status, id, detail, headers


def documented(*statuses: int) -> dict[int | str, dict[str, object]]:
    """These refusals, for the document; 401, 403 and 429 may come from everywhere, 400 from where
    there is a body, which then was no JSON at all."""
    return {
        status: {
            "model": Problem,
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted(
            {401, 403, 414, 429, *statuses, *(_OF_BODIES if 422 in statuses else ())}
        )
    }


def status_of(error: OperatorError) -> int:
    """The status for what the operator refuses."""
    return _BY_ID.get(error.id) or _BY_END.get(error.id.rpartition(".")[2], 422)


def problem(
    status: int,
    id: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """An answer that says why not."""
    found = Problem(
        type=f"/problems/{id}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        id=id,
        errors=list(errors) or None,
    )
    return JSONResponse(
        found.model_dump(exclude_none=True), status, headers=headers, media_type=MEDIA_TYPE
    )


def refused_now(refusal: Refusal) -> JSONResponse:
    """The answer to a request that was refused before anybody looked at it."""
    return problem(refusal.status, refusal.id, refusal.detail, headers=refusal.headers)


async def refused(request: Request, error: Exception) -> JSONResponse:
    """For `OperatorError`, `Refusal` and what the framework refuses."""
    match error:
        case Refusal():
            return refused_now(error)
        case UnclearName():
            names = ", ".join(f"{one.name} ({number})" for one, number in error.candidates)
            return problem(404, error.id, f"{error.message}: {names}")
        case OperatorError():
            status = status_of(error)
            later = {"retry-after": "3600"} if status == 429 else None  # limits are by the hour
            return problem(status, error.id, error.message, headers=later)
        case RequestValidationError():
            errors = [
                FieldError(field=".".join(map(str, one["loc"])), message=one["msg"])
                for one in error.errors()
            ]
            return problem(
                422, "request.invalid", "the request is not as documented", errors=errors
            )
        case HTTPException():
            id = {400: "request.unreadable", 404: "path.unknown", 405: "method.unknown"}.get(
                error.status_code, "request"
            )
            return problem(error.status_code, id, str(error.detail), headers=error.headers)
    raise error
