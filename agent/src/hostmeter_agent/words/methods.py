"""How the applications' own words name the way in which they were taken."""

from hostmeter_agent.measured import Measured


def method(name: str, version: int | None) -> str:
    """name/1, or name/1.VERSION where the operator's rule has a version."""
    return f"{name}/1" if version is None else f"{name}/1.{version}"


def unavailable(name: str, version: int | None = None) -> Measured:
    return Measured("unavailable", method(name, version))
