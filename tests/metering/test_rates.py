"""How often a host may deliver."""

from pytest_django import Settings

from tests.metering.delivering import Agent, batch
from tests.metering.test_enrolment import problem
from tests.metering.test_ingest import accepted


class TestRate:
    def test_over_the_hosts_limit_asks_to_wait(self, agent: Agent, settings: Settings) -> None:
        settings.INGEST_BATCHES_PER_MINUTE_HOST = 3
        answers = [agent.deliver(batch()) for _ in range(8)]
        refused = [answer for answer in answers if answer.status_code == 429]
        # A minute may end between two batches.
        assert 2 <= len(refused) <= 5
        assert 1 <= int(refused[0]["Retry-After"]) <= 60
        problem(refused[0])

    def test_without_the_cache_ingest_goes_on(self, agent: Agent, settings: Settings) -> None:
        settings.INGEST_BATCHES_PER_MINUTE_HOST = 1_000
        settings.CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": "redis://127.0.0.1:1/0",
            }
        }
        for _ in range(25):
            accepted(agent.deliver(batch()))
