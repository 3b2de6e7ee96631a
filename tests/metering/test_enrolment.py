"""Enrolling a host, answer by answer as the wire contract has it."""

import base64
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from metering.models import Host, HostKey
from tenants.models import EnrolmentToken, Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import Agent, Answer, fresh_token

# Encodings of points of small order: anyone can sign for these.
KEYS_OF_NOBODY = [
    base64.b64encode(bytes.fromhex(text)).decode()
    for text in (
        "00" * 32,
        "00" * 31 + "80",
        "01" + "00" * 31,
        "ec" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    )
]


def problem(answer: Answer) -> dict[str, Any]:
    assert answer["Content-Type"] == "application/problem+json"
    members: dict[str, Any] = answer.json()
    assert members["status"] == answer.status_code
    assert {"type", "title", "detail"} <= members.keys()
    return members


class TestEnrolling:
    def test_registers_the_host_and_its_key(self, tenant: Tenant) -> None:
        agent = Agent(tenant)
        answer = agent.ask_to_enrol(fresh_token(tenant))
        assert answer.status_code == 201
        members = answer.json()
        assert members.keys() == {"host", "key_id", "server_time"}
        with tenant_scope(tenant.pk):
            key = HostKey.objects.select_related("host__environment").get()
        assert key.key_id == members["key_id"]
        assert key.host_id == UUID(members["host"])
        assert bytes(key.public_key) == agent.key.public_key().public_bytes_raw()
        assert (key.host.name, key.host.environment.name) == ("web-1", "production")

    def test_answers_alike_whatever_is_wrong_with_the_token(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        used, expired, revoked = (fresh_token(tenant) for _ in range(3))
        with tenant_scope(tenant.pk):
            rows = list(EnrolmentToken.objects.order_by("created_at"))
            for row, changes in zip(
                rows[1:],
                ({"expires_at": timezone.now()}, {"revoked_at": timezone.now()}),
                strict=True,
            ):
                EnrolmentToken.objects.filter(pk=row.pk).update(**changes)
        assert Agent(tenant).ask_to_enrol(used).status_code == 201
        elsewhere = used.replace(tenant.pk.hex, other_tenant.pk.hex)
        answers = [
            Agent(tenant).ask_to_enrol(token)
            for token in (used, expired, revoked, "nonsense", elsewhere, used[:-1] + "_")
        ]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.content for answer in answers}) == 1
        problem(answers[0])

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": "x" * 201}, "name"),
            ({"name": "a\nb"}, "name"),
            ({"name": None}, "name"),
            ({"public_key": "AAAA"}, "public_key"),
            ({"public_key": "!" * 44}, "public_key"),
            ({"public_key": base64.b64encode(bytes(33)).decode()}, "public_key"),
            ({"public_key": 1}, "public_key"),
            *(({"public_key": key}, "public_key") for key in KEYS_OF_NOBODY),
            ({"token": 5}, "token"),
        ],
    )
    def test_refuses_malformed_input_and_keeps_the_token(
        self, tenant: Tenant, changes: dict[str, Any], field: str
    ) -> None:
        agent, token = Agent(tenant), fresh_token(tenant)
        answer = agent.ask_to_enrol(token, **changes)
        assert answer.status_code == 422
        assert [error["field"] for error in problem(answer)["errors"]] == [field]
        assert agent.ask_to_enrol(token).status_code == 201

    def test_refuses_a_key_that_is_enrolled_and_keeps_the_token(self, tenant: Tenant) -> None:
        agent = Agent(tenant).enrol()
        token = fresh_token(tenant)
        answer = agent.ask_to_enrol(token)
        assert answer.status_code == 409
        assert problem(answer)["type"] == "key-already-enrolled"
        assert Agent(tenant).ask_to_enrol(token).status_code == 201
        with tenant_scope(tenant.pk):
            assert Host.objects.count() == 2

    def test_takes_the_same_key_in_another_tenant(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        agent = Agent(tenant).enrol()
        assert agent.ask_to_enrol(fresh_token(other_tenant)).status_code == 201

    def test_refuses_what_is_no_json(self, tenant: Tenant) -> None:
        post = Client().post
        url = "/api/v1/hosts/enrol"
        assert post(url, b"{", content_type="application/json").status_code == 422
        assert post(url, b"[]", content_type="application/json").status_code == 422
        assert post(url, b"{}", content_type="text/plain").status_code == 415
        assert post(url, b" " * 20_000, content_type="application/json").status_code == 413

    def test_takes_no_other_method(self) -> None:
        answer = Client().get("/api/v1/hosts/enrol")
        assert (answer.status_code, answer["Allow"]) == (405, "POST")
        problem(answer)

    def test_lets_a_token_live_for_an_hour(self, tenant: Tenant) -> None:
        fresh_token(tenant)
        with tenant_scope(tenant.pk):
            row = EnrolmentToken.objects.get()
        assert row.expires_at - row.created_at == timedelta(hours=1)


def test_other_addresses_of_the_api_are_unknown() -> None:
    for path in ("/api/v1/nothing", "/api/v1/", "/api/v2/batches", "/api/"):
        answer = Client().post(path, b"{}", content_type="application/json")
        assert answer.status_code == 404
        problem(answer)
