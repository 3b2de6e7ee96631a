"""Real programs pass their own test suites under the library: a short form of intercept_suites."""

from pathlib import Path

from tests.agent.intercept_suites import Outcome, compared, cpython, fetched, redis

CPYTHON_SHORT = "test_fileio test_fcntl test_pty test_mmap test_epoll test_httpservers"
REDIS_SHORT = "unit/protocol unit/networking unit/pubsub unit/type/incr unit/quit"


def network_bytes(outcome: Outcome, program: str) -> int:
    pages = [page for page in outcome.pages if page.name == program]
    return sum(page.rows["network"].read + page.rows["network"].written for page in pages)


def test_cpython_has_the_same_results() -> None:
    plain, intercepted = compared(cpython(CPYTHON_SHORT))
    assert intercepted.results == plain.results
    assert intercepted.passed > 200
    assert network_bytes(intercepted, "python3.11") > 0


def test_redis_has_the_same_results(tmp_path: Path) -> None:
    plain, intercepted = compared(redis(fetched("redis-server", tmp_path), REDIS_SHORT))
    assert intercepted.results == plain.results
    assert intercepted.passed > 50
    assert network_bytes(intercepted, "redis-server") > 100_000
