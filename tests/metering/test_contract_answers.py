"""What a refused request is told."""

import gzip
import json
from typing import Any

import pytest
from django.test import Client
from gunicorn.http.body import Body, ChunkedReader  # type: ignore[import-untyped]
from gunicorn.http.unreader import IterUnreader  # type: ignore[import-untyped]

from metering.models import Host, HostEnvironment
from tenants.models import Environment
from tenants.scope import tenant_scope
from tests.metering.delivering import PATH, Agent, Answer, batch, fresh_token, sample
from tests.metering.test_enrolment import problem
from tests.metering.test_ingest import accepted, errors, nothing_stored


def reasons(answer: Answer) -> list[str]:
    return [error["reason"] for error in problem(answer)["errors"]]


class TestTheListOfErrors:
    def test_holds_environments_beside_all_else(self, agent: Agent) -> None:
        document = batch(
            sample(environment="nowhere", role="main"),
            sample(environment="production"),
            sample(environment="elsewhere"),
        )
        assert errors(agent.deliver(document)) == [
            (0, "role"),
            (0, "environment"),
            (2, "environment"),
        ]

    def test_knows_an_environment_that_the_host_was_just_given(self, agent: Agent) -> None:
        accepted(agent.deliver(batch()))
        with tenant_scope(agent.tenant.pk):
            staging = Environment.objects.create(name="staging")
            HostEnvironment.objects.create(host=Host.objects.get(), environment=staging)
        document = batch(sample(environment="staging", role="main"))
        assert errors(agent.deliver(document)) == [(0, "role")]

    def test_tells_what_is_missing_from_what_is_wrong(self, agent: Agent) -> None:
        assert reasons(agent.deliver(batch({}))) == ["is missing"] * 6
        assert set(reasons(agent.deliver({}))) == {"is missing"}
        assert "is missing" not in reasons(agent.deliver(batch(samples=None)))

    def test_names_what_only_a_repeated_member_breaks(self, agent: Agent) -> None:
        body = json.dumps(batch()).encode().replace(b'"schema": 1', b'"schema": 2, "schema": 1')
        answer = agent.post(body)
        assert answer.status_code == 422
        assert "$.schema" in reasons(answer)[0]


def chunked(data: bytes) -> dict[str, Any]:
    """A body as gunicorn hands it over when it comes in chunks."""
    return {
        "wsgi.input": Body(ChunkedReader(None, IterUnreader(iter([data])))),
        "wsgi.input_terminated": True,
        "CONTENT_LENGTH": "",
        "HTTP_TRANSFER_ENCODING": "chunked",
    }


class TestABodyInChunks:
    def test_is_taken(self, agent: Agent) -> None:
        body = json.dumps(batch()).encode()
        chunks = (
            b"5;a=b\r\n" + body[:5] + b"\r\n%x\r\n" % len(body[5:]) + body[5:] + b"\r\n0\r\n\r\n"
        )
        answer = agent.post(body, **chunked(chunks))
        assert accepted(answer)["stored"] == 1

    @pytest.mark.parametrize(
        "data", [b"zz\r\n{}", b"2\r\n{}x", b"-1\r\n", b"2\r\n{}\r\n", b"2\r\n{"]
    )
    def test_that_are_broken_is_malformed(self, agent: Agent, data: bytes) -> None:
        answer = agent.post(b"{}", **chunked(data))
        assert answer.status_code == 400
        problem(answer)

    def test_that_are_broken_changes_nothing_for_a_stranger(self) -> None:
        answer = Client().post(PATH, content_type="application/json", **chunked(b"zz\r\n"))
        assert answer.status_code == 401


class TestUnauthorized:
    def test_names_the_scheme(self, agent: Agent) -> None:
        answer = agent.post(b"{}", {})
        assert (answer.status_code, answer["WWW-Authenticate"]) == (
            401,
            'Signature realm="hostmeter"',
        )
        answer = agent.ask_to_enrol("nonsense")
        assert answer["WWW-Authenticate"].startswith("EnrolmentToken ")

    def test_is_whose_algorithm_is_no_string(self, agent: Agent) -> None:
        body = json.dumps(batch()).encode()
        headers = agent.signed(body, parameters=";alg=ed25519")
        assert agent.post(body, headers).status_code == 401
        assert nothing_stored(agent)


class TestOutsideTheViews:
    @pytest.mark.django_db
    def test_a_foreign_host_name_is_a_problem_too(self) -> None:
        answer = Client().post(PATH, b"{}", "application/json", headers={"host": "evil.example"})
        assert answer.status_code == 400
        problem(answer)

    def test_a_failure_is_a_problem_too(
        self, agent: Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError

        monkeypatch.setattr("metering.views.store_batch", fail)
        client, body = Client(raise_request_exception=False), json.dumps(batch()).encode()
        answer = client.post(PATH, body, "application/json", headers=agent.signed(body))
        assert answer.status_code == 500
        problem(answer)


def test_enrolment_takes_no_content_coding_and_keeps_the_token(agent: Agent) -> None:
    fresh = Agent(agent.tenant)
    token = fresh_token(agent.tenant)
    members = {"token": token, "name": "web-2", "public_key": fresh.public_key}
    answer = Client().post(
        "/api/v1/hosts/enrol",
        gzip.compress(json.dumps(members).encode()),
        content_type="application/json",
        headers={"Content-Encoding": "gzip"},
    )
    assert answer.status_code == 415
    problem(answer)
    assert fresh.ask_to_enrol(token).status_code == 201
