"""What goes wrong. No key, and nothing that holds one, is in any of these."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from encryptotel_client.shapes import FieldError


class Refused(Exception):
    """The exchange answered no (problem details, RFC 9457). `status` is that of HTTP; `id` is
    stable and for programs, empty if something between answered; `detail` is for people; `errors`
    says what is wrong with the request, field by field."""

    def __init__(
        self, status: int, id: str, detail: str, errors: Sequence[FieldError] = ()
    ) -> None:
        super().__init__(status, id, detail, errors)
        self.status, self.id, self.detail, self.errors = status, id, detail, tuple(errors)

    def __str__(self) -> str:
        fields = "".join(f"; {one['field']}: {one['message']}" for one in self.errors)
        return f"{self.detail} ({self.id or 'no id'}, {self.status}){fields}"


class Unreachable(Exception):
    """There was no answer, or none of an exchange, however often it was tried. What was asked may
    have been done all the same."""


def refusal(answer: httpx.Response) -> Refused:
    """What an answer refuses."""
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict) or "id" not in told:
        return Refused(answer.status_code, "", answer.reason_phrase)
    detail, errors = str(told.get("detail", "")), told.get("errors") or ()
    return Refused(answer.status_code, str(told["id"]), detail, errors)
