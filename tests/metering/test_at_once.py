"""Hosts and workers doing the same thing at the same moment, in connections of their own."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar
from uuid import uuid4

import pytest
from django.db import connections

from metering.models import Application, Host, HostKey, Instance, Measurement, Sample, SampleBatch
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import Agent, batch, fresh_token, sample

Result = TypeVar("Result")

pytestmark = pytest.mark.django_db(transaction=True)


def together(*works: Callable[[], Result]) -> list[Result]:
    barrier = Barrier(len(works))

    def work(each: Callable[[], Result]) -> Result:
        barrier.wait(30)
        try:
            return each()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(work, works))


class TestTheSameBatch:
    def test_is_stored_once_and_acknowledged_to_both(self, tenant: Tenant) -> None:
        agent = Agent(tenant).enrol()
        for _ in range(5):
            body = json.dumps(batch(*[sample()] * 50)).encode()
            answers = together(*[lambda body=body: agent.post(body)] * 4)
            assert [answer.status_code for answer in answers] == [200] * 4
            seen = [answer.json() for answer in answers]
            assert sorted(each["duplicate"] for each in seen) == [False, True, True, True]
            assert {each["stored"] for each in seen} == {50}
        with tenant_scope(tenant.pk):
            assert (SampleBatch.objects.count(), Sample.objects.count()) == (5, 250)

    def test_number_with_other_bytes_has_one_winner(self, tenant: Tenant) -> None:
        agent = Agent(tenant).enrol()
        documents = [batch(sample(instance=f"i{number}"), epoch="") for number in range(4)]
        epoch = str(uuid4())
        works = [lambda d=d: agent.deliver(d | {"epoch": epoch}) for d in documents]
        answers = together(*works)
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        with tenant_scope(tenant.pk):
            assert Instance.objects.count() == 1


class TestNewApplications:
    def test_are_registered_once_in_whatever_order_hosts_name_them(self, tenant: Tenant) -> None:
        agents = [Agent(tenant).enrol() for _ in range(4)]
        names = [f"application-{number}" for number in range(40)]
        orders = [names, names[::-1], names[20:] + names[:20], names[::2] + names[1::2]]
        works = [
            lambda agent=agent, order=order: agent.deliver(
                batch(*(sample(application=name) for name in order))
            )
            for agent, order in zip(agents, orders, strict=True)
        ]
        assert [answer.status_code for answer in together(*works)] == [200] * 4
        with tenant_scope(tenant.pk):
            assert (Application.objects.count(), Instance.objects.count()) == (40, 160)
            assert Sample.objects.count() == 160


class TestNewProfiles:
    def test_are_kept_once_in_whatever_order_hosts_bring_them(self, tenant: Tenant) -> None:
        agents = [Agent(tenant).enrol() for _ in range(4)]
        for causes in ([f"a{number}" for number in range(40)], [f"b{n}" for n in range(40)]):
            orders = [causes, causes[::-1], causes[20:] + causes[:20], causes[::2] + causes[1::2]]
            works = [
                lambda agent=agent, order=order: agent.deliver(
                    batch(
                        *(sample(measured=cause) for cause in order),
                        measurements={cause: {"gap": cause} for cause in order},
                    )
                )
                for agent, order in zip(agents, orders, strict=True)
            ]
            assert [answer.status_code for answer in together(*works)] == [200] * 4
        with tenant_scope(tenant.pk):
            assert Measurement.objects.count() == 80
            told = Sample.objects.values_list("measurement__body__gap", flat=True)
            assert sorted(told) == sorted(4 * [f"{of}{n}" for of in "ab" for n in range(40)])


class TestEnrolling:
    def test_with_one_token_lets_one_host_in(self, tenant: Tenant) -> None:
        token = fresh_token(tenant)
        agents = [Agent(tenant) for _ in range(4)]
        answers = together(*[lambda agent=agent: agent.ask_to_enrol(token) for agent in agents])
        assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401]
        with tenant_scope(tenant.pk):
            assert (Host.objects.count(), HostKey.objects.count()) == (1, 1)

    def test_with_one_key_lets_one_host_in(self, tenant: Tenant) -> None:
        agent = Agent(tenant)
        tokens = [fresh_token(tenant) for _ in range(4)]
        answers = together(*[lambda token=token: agent.ask_to_enrol(token) for token in tokens])
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
        with tenant_scope(tenant.pk):
            assert (Host.objects.count(), HostKey.objects.count()) == (1, 1)


class TestOneEpoch:
    def test_of_two_hosts_belongs_to_one(self, tenant: Tenant) -> None:
        agents = [Agent(tenant).enrol() for _ in range(2)]
        document = batch()
        answers = together(*[lambda agent=agent: agent.deliver(document) for agent in agents])
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        with tenant_scope(tenant.pk):
            assert Sample.objects.count() == 1
