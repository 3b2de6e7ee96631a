"""Error answers of the API: problem details (RFC 9457)."""

import json
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse


class Problem(Exception):
    """An error that is the caller's to mend; it becomes the answer.

    `members` are the type's own: errors, host, allow. `headers` go out with it.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        kind: str = "about:blank",
        title: str = "",
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}
        self.members = {
            "type": kind,
            "title": title or status.phrase,
            "status": status.value,
            "detail": detail,
            **members,
        }

    def response(self) -> HttpResponse:
        return HttpResponse(
            json.dumps(self.members),
            status=self.status,
            content_type="application/problem+json",
            headers=self.headers,
        )


def unauthorized(scheme: str) -> Problem:
    """One answer for everything that is wrong with a credential: it tells a stranger nothing.

    HTTP has every 401 name the scheme that would be accepted.
    """
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "The credential is missing, wrong or no longer valid.",
        headers={"WWW-Authenticate": f'{scheme} realm="hostmeter"'},
    )
