"""How the applications' own words name the way in which they were taken."""

from collections.abc import Iterable, Mapping


def method(name: str, version: int | None) -> str:
    """name/1, or name/1.VERSION where the operator's rule has a version."""
    return f"{name}/1" if version is None else f"{name}/1.{version}"


def claims_of(targets: Iterable[tuple[str, str]]) -> Mapping[str, frozenset[str]]:
    """A probe's claims, from applications with their meters."""
    claims: dict[str, frozenset[str]] = {}
    for application, meter in targets:
        claims[application] = claims.get(application, frozenset()) | {meter}
    return claims
