"""A host that enrols and delivers, as seen from the outside: it signs by hand, from the RFC."""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from metering.core.buckets import bucket_of
from tenants.models import Environment, Tenant
from tenants.operations import issue_enrolment_token
from tenants.scope import tenant_scope

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

    Answer = _MonkeyPatchedWSGIResponse
else:
    Answer = HttpResponse

PATH = "/api/v1/batches"
COVERED = ("@method", "@path", "content-digest")


def fresh_token(tenant: Tenant) -> str:
    with tenant_scope(tenant.pk):
        return issue_enrolment_token(
            Environment.objects.get(name="production"), as_of=timezone.now()
        )


def last_bucket() -> datetime:
    """The newest bucket that is over."""
    return bucket_of(datetime.now(UTC)) - timedelta(minutes=5)


def sample(**changes: Any) -> dict[str, Any]:
    start = last_bucket()
    return {
        "application": "shop",
        "instance": "shop-1",
        "role": "primary",
        "environment": None,
        "window": [start.isoformat(), (start + timedelta(seconds=10)).isoformat()],
        "coverage": 1,
        "usage": {"cpu.time": 1_500_000, "memory.used": 10_240},
    } | changes


def batch(*samples: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "epoch": str(uuid4()),
        "sequence": 1,
        "sent_at": datetime.now(UTC).isoformat(),
        "samples": list(samples) or [sample()],
    } | changes


def digest_field(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(sha256(body).digest()).decode()}:"


@dataclass
class Agent:
    """Holds a key and, after enrol(), the names that it goes by."""

    tenant: Tenant
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    key_id: str = ""
    host: str = ""

    @property
    def public_key(self) -> str:
        return base64.b64encode(self.key.public_key().public_bytes_raw()).decode()

    def ask_to_enrol(self, token: str, /, **changes: Any) -> Answer:
        members = {"token": token, "name": "web-1", "public_key": self.public_key} | changes
        return Client().post(
            "/api/v1/hosts/enrol", json.dumps(members), content_type="application/json"
        )

    def enrol(self) -> "Agent":
        answer = self.ask_to_enrol(fresh_token(self.tenant))
        assert answer.status_code == 201, answer.content
        self.host, self.key_id = answer.json()["host"], answer.json()["key_id"]
        return self

    def signed(
        self,
        body: bytes,
        *,
        covered: tuple[str, ...] = COVERED,
        created: float | None = None,
        parameters: str = ';alg="ed25519"',
        label: str = "hostmeter",
        digest: str | None = None,
        method: str = "POST",
        path: str = PATH,
        time: str = "",
    ) -> dict[str, str]:
        """The three header fields of a signed request."""
        digest = digest or digest_field(body)
        values = {
            "@method": method,
            "@path": path,
            "hostmeter-time": time,
            "content-digest": digest,
            "@authority": "testserver",
            "@target-uri": f"http://testserver{PATH}",
            "@scheme": "http",
            "@request-target": PATH,
            "@query": "?",
            "content-type": "application/json",
        }
        names = " ".join(f'"{name}"' for name in covered)
        created = int(datetime.now(UTC).timestamp() if created is None else created)
        inputs = f'({names});created={created};keyid="{self.key_id}"{parameters}'
        base = "".join(f'"{name}": {values[name]}\n' for name in covered)
        signature = self.key.sign(f'{base}"@signature-params": {inputs}'.encode())
        return {
            "Content-Digest": digest,
            "Signature-Input": f"{label}={inputs}",
            "Signature": f"{label}=:{base64.b64encode(signature).decode()}:",
        }

    def post(
        self, body: bytes, headers: dict[str, str] | None = None, *, coding: str = "", **more: Any
    ) -> Answer:
        headers = self.signed(body) if headers is None else headers
        if coding:
            headers["Content-Encoding"] = coding
        more.setdefault("content_type", "application/json")
        return Client().post(PATH, body, headers=headers, **more)

    def deliver(self, document: Any) -> Answer:
        return self.post(json.dumps(document).encode())

    def ask(
        self, method: str, path: str, document: Any = None, *, tag: str = "", **signing: Any
    ) -> Answer:
        """A signed request for one of the addresses beside the batches."""
        body = b"" if document is None else json.dumps(document).encode()
        headers = self.signed(body, method=method, path=path, **signing)
        if tag:
            headers["If-None-Match"] = tag
        content_type = "application/json" if body else ""
        return Client().generic(method, path, body, content_type, headers=headers)
