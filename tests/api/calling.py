"""A program that calls the API with a key."""

import json
from collections.abc import Collection
from datetime import timedelta
from itertools import count
from typing import Any

from django.test import Client
from django.utils import timezone

from tenants.models import Customer, Tenant
from tenants.operations import issue_api_key
from tenants.scope import tenant_scope
from tenants.scopes import CUSTOMER_SCOPES, SCOPES

_names = count()
PREFIX = "/api/v1"


class Program:
    """Speaks JSON; each POST names itself unless it is told a name, or None for none."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.client = Client(raise_request_exception=False)

    def get(self, path: str, *, headers: dict[str, str] | None = None, **query: Any) -> Any:
        return self.client.get(PREFIX + path, query, headers=self._headers(headers))

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        named: str | None = "",
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Any:
        named = f"request-{next(_names)}" if named == "" else named
        return self.client.post(
            PREFIX + path,
            data=body if isinstance(body, bytes) else json.dumps(body),
            content_type=content_type,
            headers=self._headers(headers, named),
        )

    def patch(self, path: str, body: Any) -> Any:
        return self.client.patch(
            PREFIX + path, json.dumps(body), "application/json", headers=self._headers(None)
        )

    def put(self, path: str, body: Any) -> Any:
        return self.client.put(
            PREFIX + path, json.dumps(body), "application/json", headers=self._headers(None)
        )

    def delete(self, path: str) -> Any:
        return self.client.delete(PREFIX + path, headers=self._headers(None))

    def _headers(self, more: dict[str, str] | None, named: str | None = None) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.secret}", **(more or {})}
        return headers if named is None else {**headers, "Idempotency-Key": named}


def program_of(
    tenant: Tenant,
    scopes: Collection[str] = tuple(SCOPES),
    *,
    customer: Customer | None = None,
    days: int = 1,
) -> Program:
    """A program with a fresh key of the tenant's, or of one of its customers."""
    now = timezone.now()
    if customer is not None and scopes == tuple(SCOPES):
        scopes = CUSTOMER_SCOPES
    with tenant_scope(tenant.pk):
        return Program(
            issue_api_key(
                "a program",
                scopes,
                customer=customer,
                expires_at=now + timedelta(days=days),
                as_of=now,
            )
        )


def done(answer: Any, status: int = 200) -> Any:
    """The JSON of an answer that went well."""
    assert answer.status_code == status, answer.content
    return answer.json()


def problem(answer: Any, status: int) -> Any:
    """The problem that an answer is, and nothing else."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


def fields(answer: Any) -> set[str]:
    """Which fields a refusal names."""
    return {error["field"] for error in problem(answer, 422)["errors"]}
