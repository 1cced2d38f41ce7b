"""What was read before and is still the same: not sent again (RFC 9110 §13.1.2)."""

from __future__ import annotations

import hashlib

from fastapi import Request, Response

from web.api.once import Handle, Once


class Tagged(Once):
    """A path whose answers to GET have a tag; who shows it is told when nothing has changed."""

    def get_route_handler(self) -> Handle:
        handle = super().get_route_handler()

        async def tagged(request: Request) -> Response:
            response = await handle(request)
            if request.method != "GET" or response.status_code != 200:
                return response
            tag = f'"{hashlib.sha256(bytes(response.body)).hexdigest()[:24]}"'
            kept = {name: response.headers[name] for name in response.headers if name in KEPT}
            if tag in [one.strip() for one in request.headers.get("if-none-match", "").split(",")]:
                return Response(status_code=304, headers={**kept, "etag": tag})
            response.headers["etag"] = tag
            return response

        return tagged


KEPT = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")
