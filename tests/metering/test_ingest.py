"""Delivering a batch, answer by answer as the wire contract has it."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from backports import zstd
from django.db.models import Sum
from django.test import Client
from hostmeter_agent.wire import METERS

from metering.models import (
    Application,
    DirtyBucket,
    Host,
    HostEnvironment,
    HostKey,
    Instance,
    Sample,
    SampleBatch,
)
from metering.queries import samples_of
from tenants.models import Environment, Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import PATH, Agent, Answer, batch, last_bucket, sample
from tests.metering.test_enrolment import problem

Compress = Callable[[bytes], bytes]
COMPRESSORS: dict[str, Compress] = {"gzip": gzip.compress, "zstd": zstd.compress}


def accepted(answer: Answer) -> dict[str, Any]:
    assert answer.status_code == 200, answer.content
    members: dict[str, Any] = answer.json()
    return members


def errors(answer: Answer) -> list[tuple[int | None, str]]:
    assert answer.status_code == 422, answer.content
    return [(error["index"], error["field"]) for error in problem(answer)["errors"]]


def nothing_stored(agent: Agent) -> bool:
    with tenant_scope(agent.tenant.pk):
        return not any(
            model.objects.exists() for model in (SampleBatch, Sample, Application, DirtyBucket)
        )


class TestAcceptedBatch:
    def test_is_stored_as_sent(self, agent: Agent) -> None:
        usage = {meter.name: index for index, meter in enumerate(METERS)}
        full = sample(usage=usage | {"gpu.time": 2**63 - 1}, coverage=0.123456, role="standby")
        empty = sample(usage={}, instance="shop-2", coverage=0)
        document = batch(full, empty, sequence=7)
        assert accepted(agent.deliver(document)) == {
            "stored": 2,
            "duplicate": False,
            "sequence": 7,
        }
        with tenant_scope(agent.tenant.pk):
            rows = samples_of(Application.objects.get().pk, last_bucket())
        first, second = sorted(rows, key=lambda row: row.batch_index)
        assert dict(first.usage) == full["usage"]
        assert (first.role, first.coverage_ppm, first.batch_index) == ("standby", 123_456, 0)
        assert (first.window_start, first.window_end) == (
            last_bucket(),
            last_bucket() + timedelta(seconds=10),
        )
        assert (first.host, first.instance, first.sequence) == ("web-1", "shop-1", 7)
        assert str(first.epoch) == document["epoch"]
        assert (dict(second.usage), second.coverage_ppm, second.batch_index) == ({}, 0, 1)

    def test_leaves_what_was_not_measured_null(self, agent: Agent) -> None:
        accepted(agent.deliver(batch(sample(usage={"launches": 0}))))
        with tenant_scope(agent.tenant.pk):
            stored = Sample.objects.values("launches", "cpu_time", "more").get()
        assert stored == {"launches": 0, "cpu_time": None, "more": None}

    def test_takes_meters_in_any_order_and_none_it_knows(self, agent: Agent) -> None:
        shuffled = {"threads": 3, "gpu.b": 5, "cpu.time": 1, "gpu.a": 4, "memory.used.max": 2}
        accepted(agent.deliver(batch(sample(usage=shuffled), sample(usage={"gpu.a": 6}))))
        with tenant_scope(agent.tenant.pk):
            rows = samples_of(Application.objects.get().pk, last_bucket())
        assert [dict(row.usage) for row in rows] == [shuffled, {"gpu.a": 6}]

    @pytest.mark.parametrize(
        "usages",
        [
            [{"cpu.time": 1}, {"cpu.time": 2}],
            [{"cpu.time": 1}, {"threads": 2}, {}, {"cpu.time": 3, "threads": 4}],
            [{}, {"launches": 5}],
            [{"threads": 1, "cpu.time": 2}, {"cpu.time": 3, "threads": 4}],
            [{"cpu.time": 1, "threads": 2}, {"cpu.time": 3, "gpu.time": 4}],
            [{}, {}],
        ],
        ids=["one", "some", "later", "shuffled", "unknown", "none"],
    )
    def test_may_have_other_meters_in_each_sample(
        self, agent: Agent, usages: list[dict[str, int]]
    ) -> None:
        accepted(agent.deliver(batch(*(sample(usage=usage) for usage in usages))))
        with tenant_scope(agent.tenant.pk):
            rows = samples_of(Application.objects.get().pk, last_bucket())
        by_index = sorted(rows, key=lambda row: row.batch_index)
        assert [dict(row.usage) for row in by_index] == usages

    def test_registers_what_it_sees_for_the_first_time_once(self, agent: Agent) -> None:
        accepted(agent.deliver(batch(sample(), sample(instance="shop-2"))))
        accepted(agent.deliver(batch(sample(), sample(application="mail"))))
        with tenant_scope(agent.tenant.pk):
            assert {a.name for a in Application.objects.all()} == {"shop", "mail"}
            assert Instance.objects.count() == 3
            assert not Application.objects.filter(assignments__isnull=False).exists()

    def test_marks_its_buckets_and_moves_its_host_on(self, agent: Agent) -> None:
        accepted(agent.deliver(batch()))
        with tenant_scope(agent.tenant.pk):
            assert DirtyBucket.objects.get().bucket_start == last_bucket()
            host = Host.objects.get()
            assert host.last_window_end == last_bucket() + timedelta(seconds=10)
            assert host.last_seen_at is not None
        late = last_bucket() - timedelta(days=3)
        window = [late.isoformat(), (late + timedelta(seconds=1)).isoformat()]
        accepted(agent.deliver(batch(sample(window=window))))
        with tenant_scope(agent.tenant.pk):
            assert Host.objects.get().last_window_end == last_bucket() + timedelta(seconds=10)

    @pytest.mark.parametrize("coding", ["", "identity", "gzip", "x-gzip", "zstd", "GZIP"])
    def test_may_be_compressed(self, agent: Agent, coding: str) -> None:
        body = json.dumps(batch()).encode()
        kind = coding.lower().removeprefix("x-")
        compress = COMPRESSORS.get(kind, bytes)
        assert accepted(agent.post(compress(body), coding=coding))["stored"] == 1

    def test_may_be_of_several_gzip_members_or_zstd_frames(self, agent: Agent) -> None:
        for coding, compress in (("gzip", gzip.compress), ("zstd", zstd.compress)):
            body = json.dumps(batch()).encode()
            joined = compress(body[:50]) + compress(body[50:])
            assert accepted(agent.post(joined, coding=coding))["stored"] == 1

    def test_may_hold_5000_samples(self, agent: Agent) -> None:
        document = batch(*[sample(usage={"launches": 2})] * 5_000)
        assert accepted(agent.deliver(document))["stored"] == 5_000
        with tenant_scope(agent.tenant.pk):
            assert Sample.objects.aggregate(total=Sum("launches")) == {"total": 10_000}

    def test_ignores_members_that_it_does_not_know(self, agent: Agent) -> None:
        assert accepted(agent.deliver(batch(sample(colour="red"), note="hello")))["stored"] == 1


class TestBatchSentAgain:
    def test_is_acknowledged_as_a_duplicate_and_stored_once(self, agent: Agent) -> None:
        body = json.dumps(batch(sample(), sample(instance="shop-2"))).encode()
        assert not accepted(agent.post(body))["duplicate"]
        again = accepted(agent.post(zstd.compress(body), coding="zstd"))
        assert again == {"stored": 2, "duplicate": True, "sequence": 1}
        with tenant_scope(agent.tenant.pk):
            assert Sample.objects.count() == 2
            assert DirtyBucket.objects.count() == 1

    def test_with_other_bytes_conflicts(self, agent: Agent) -> None:
        document = batch()
        accepted(agent.deliver(document))
        answer = agent.deliver(document | {"samples": [sample(instance="other")]})
        assert answer.status_code == 409
        assert problem(answer)["type"] == "sequence-in-use"
        with tenant_scope(agent.tenant.pk):
            assert Sample.objects.count() == 1
            assert Instance.objects.count() == 1

    def test_by_another_host_names_the_host_that_has_the_epoch(self, agent: Agent) -> None:
        document = batch()
        accepted(agent.deliver(document))
        clone = Agent(agent.tenant).enrol()
        answer = clone.deliver(document | {"sequence": 2})
        assert answer.status_code == 409
        members = problem(answer)
        assert members["type"] == "epoch-in-use"
        assert members["host"] == {"id": agent.host, "name": "web-1"}
        assert "web-1" in members["detail"]
        with tenant_scope(agent.tenant.pk):
            assert SampleBatch.objects.count() == 1


START = last_bucket()


def window(start: datetime, end: datetime) -> list[str]:
    return [start.isoformat(), end.isoformat()]


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


class TestBatchOutOfContract:
    @pytest.mark.parametrize(
        ("changes", "fields"),
        [
            ({"schema": 2}, ["schema"]),
            ({"schema": "1"}, ["schema"]),
            ({"epoch": "x"}, ["epoch"]),
            ({"sequence": 0}, ["sequence"]),
            ({"sequence": 1.0}, ["sequence"]),
            ({"sequence": 2**63}, ["sequence"]),
            ({"sent_at": "2026-01-01T00:00:00"}, ["sent_at"]),
            ({"sent_at": "yesterday", "sequence": -1}, ["sequence", "sent_at"]),
            ({"sent_at": "0001-01-01T00:00:00+14:00"}, ["sent_at"]),
            ({"sent_at": "9999-12-31T23:59:59-14:00"}, ["sent_at"]),
            ({"samples": []}, ["samples"]),
            ({"samples": {}}, ["samples"]),
            ({"samples": [sample()] * 5_001}, ["samples"]),
        ],
    )
    def test_is_refused_for_its_envelope(
        self, agent: Agent, changes: dict[str, Any], fields: list[str]
    ) -> None:
        assert errors(agent.deliver(batch(**changes))) == [(None, field) for field in fields]
        assert nothing_stored(agent)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"application": ""}, "application"),
            ({"application": "x" * 201}, "application"),
            ({"instance": "a\x00b"}, "instance"),
            ({"instance": "a\x85b"}, "instance"),
            ({"instance": 5}, "instance"),
            ({"role": "main"}, "role"),
            ({"environment": "nowhere"}, "environment"),
            ({"environment": 1}, "environment"),
            ({"coverage": 1.01}, "coverage"),
            ({"coverage": -0.1}, "coverage"),
            ({"coverage": "1"}, "coverage"),
            ({"coverage": True}, "coverage"),
            ({"window": None}, "window"),
            ({"window": [START.isoformat()]}, "window"),
            ({"window": window(START, START)}, "window"),
            ({"window": window(START + minutes(1), START)}, "window"),
            ({"window": window(START, START + minutes(5.1))}, "window"),
            ({"window": ["0001-01-01T00:00:00+10:00", "0001-01-01T00:00:01+10:00"]}, "window"),
            (
                {"window": window(START - minutes(401 * 1440), START - minutes(401 * 1440 - 1))},
                "window",
            ),
            # Far ahead: START is when the tests were collected, minutes before this one may run.
            ({"window": window(START + minutes(180), START + minutes(181))}, "window"),
            ({"usage": None}, "usage"),
            ({"usage": {f"m{n}": 1 for n in range(65)}}, "usage"),
            ({"usage": {"CPU": 1}}, "usage.CPU"),
            ({"usage": {"": 1}}, "usage."),
            ({"usage": {"cpu.time": 1.0}}, "usage.cpu.time"),
            ({"usage": {"cpu.time": 1e3}}, "usage.cpu.time"),
            ({"usage": {"cpu.time": True}}, "usage.cpu.time"),
            ({"usage": {"cpu.time": "1"}}, "usage.cpu.time"),
            ({"usage": {"cpu.time": None}}, "usage.cpu.time"),
            ({"usage": {"cpu.time": -1}}, "usage.cpu.time"),
            ({"usage": {"cpu.time": 2**63}}, "usage.cpu.time"),
        ],
    )
    def test_is_refused_for_a_sample(
        self, agent: Agent, changes: dict[str, Any], field: str
    ) -> None:
        answer = agent.deliver(batch(sample(), sample(**changes)))
        assert errors(answer) == [(1, field)]
        assert nothing_stored(agent)

    def test_lists_all_that_is_wrong_up_to_100(self, agent: Agent) -> None:
        wrong = sample(role="x", usage={"cpu.time": -1, "threads": 0.5})
        assert errors(agent.deliver(batch(wrong, sample(), {}))) == [
            (0, "role"),
            (0, "usage.cpu.time"),
            (0, "usage.threads"),
            (2, "application"),
            (2, "instance"),
            (2, "role"),
            (2, "coverage"),
            (2, "window"),
            (2, "usage"),
        ]
        assert len(errors(agent.deliver(batch(*[wrong] * 200)))) == 100

    def test_accepts_the_bounds_themselves(self, agent: Agent) -> None:
        long_ago = datetime.now(UTC) - timedelta(days=400) + minutes(1)
        names = {"application": "x" * 200, "instance": "é" * 200}
        samples = [
            sample(window=window(START, START + minutes(5)), **names),
            sample(window=window(long_ago, long_ago + timedelta(microseconds=1))),
            sample(usage={f"m{n:063}"[:64]: 0 for n in range(64)}),
            sample(usage={"cpu.time": 2**63 - 1}, coverage=1.0),
        ]
        assert accepted(agent.deliver(batch(*samples)))["stored"] == 4

    @pytest.mark.parametrize(
        "body", [b" ", b"{", b'{"schema": NaN}', b"\xff", b"[" * 5_000, b"{} {}", b"nul"]
    )
    def test_that_is_no_json_is_malformed(self, agent: Agent, body: bytes) -> None:
        assert agent.post(body).status_code == 400


class TestIsolation:
    def test_a_key_of_another_tenant_is_unknown(self, agent: Agent, other_tenant: Tenant) -> None:
        body = json.dumps(batch()).encode()
        agent.key_id = agent.key_id.replace(agent.tenant.pk.hex, other_tenant.pk.hex)
        assert agent.post(body).status_code == 401

    def test_an_environment_of_another_tenant_is_unknown(
        self, agent: Agent, other_tenant: Tenant
    ) -> None:
        with tenant_scope(other_tenant.pk):
            Environment.objects.create(name="theirs")
        answer = agent.deliver(batch(sample(environment="theirs")))
        assert errors(answer) == [(0, "environment")]

    def test_an_epoch_of_another_tenant_is_free(self, agent: Agent, other_tenant: Tenant) -> None:
        document = batch()
        accepted(agent.deliver(document))
        theirs = Agent(other_tenant).enrol()
        assert accepted(theirs.deliver(document)) == {
            "stored": 1,
            "duplicate": False,
            "sequence": 1,
        }
        with tenant_scope(other_tenant.pk):
            assert Sample.objects.count() == 1


class TestEnvironment:
    def test_is_the_hosts_own_when_null_left_out_or_named(self, agent: Agent) -> None:
        named = sample(environment="production")
        left_out = sample()
        del left_out["environment"]
        accepted(agent.deliver(batch(named, left_out, sample())))
        with tenant_scope(agent.tenant.pk):
            assert Application.objects.get().environment.name == "production"

    def test_that_the_host_may_use_too_is_taken_at_once(self, agent: Agent) -> None:
        with tenant_scope(agent.tenant.pk):
            staging = Environment.objects.create(name="staging")
        document = batch(sample(environment="staging"))
        assert errors(agent.deliver(document)) == [(0, "environment")]
        with tenant_scope(agent.tenant.pk):
            HostEnvironment.objects.create(host=Host.objects.get(), environment=staging)
        accepted(agent.deliver(document))
        with tenant_scope(agent.tenant.pk):
            assert Application.objects.get().environment == staging


def test_takes_no_other_method() -> None:
    answer = Client().put(PATH, b"", content_type="application/json")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    problem(answer)


def test_a_revoked_key_is_refused_within_a_minute(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted(agent.deliver(batch()))
    with tenant_scope(agent.tenant.pk):
        HostKey.objects.update(revoked_at=datetime.now(UTC))
    body = json.dumps(batch(epoch=str(uuid4()))).encode()
    later = datetime.now(UTC) + timedelta(seconds=61)
    monkeypatch.setattr("metering.views.timezone.now", lambda: later)
    assert agent.post(body, agent.signed(body, created=later.timestamp())).status_code == 401
