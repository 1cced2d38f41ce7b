"""How the program does, for Prometheus. It is no part of the API: it lies beside it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from bot.ports import Role
from web.api.caller import At, allowed
from web.api.problems import Refusal
from web.ports import Program

router = APIRouter()
PATH = "/metrics"
FORMAT = "text/plain; version=0.0.4; charset=utf-8"


@router.get(PATH)
async def metrics(
    request: Request, desk: At, program: Annotated[Program, Depends(allowed("metrics"))]
) -> Response:
    """All figures as text. They are about everybody, and so for the owner only."""
    if program.person.role is not Role.OWNER:
        raise Refusal(403, "role.owner_only", "how the exchange does is for its owner's programs")
    return Response(await desk.metrics(), headers=request.state.limits, media_type=FORMAT)
