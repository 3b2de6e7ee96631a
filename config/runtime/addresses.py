"""Connection URLs of the three database roles, for embedded and for given servers."""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit

from config.runtime.failure import CannotRun
from config.runtime.ports import LOOPBACK
from config.runtime.postgres import DATABASE, OWNER

APP = "hostmeter_app"
ADMIN = "hostmeter_admin"


def embedded_database_url(port: int, password: str) -> str:
    return f"postgresql://{OWNER}:{quote(password, safe='')}@{LOOPBACK}:{port}/{DATABASE}"


def as_role(url: str, role: str, password: str) -> str:
    """The same server and database as `url`, for another role.

    Raises CannotRun when it is no PostgreSQL URL.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  which is read, and refused, only when asked for
    except ValueError as error:
        raise CannotRun(f"DATABASE_URL cannot be read: {error}") from None
    if parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
        raise CannotRun("DATABASE_URL has to look like postgresql://user:password@host:5432/name")
    server = parts.netloc.rpartition("@")[2]
    netloc = f"{quote(role, safe='')}:{quote(password, safe='')}@{server}"
    return urlunsplit(parts._replace(netloc=netloc))


def database_urls(
    owner_url: str, secrets: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """DATABASE_URL, APP_DATABASE_URL and ADMIN_DATABASE_URL; what is given stays as it is."""
    app = as_role(owner_url, APP, secrets["HOSTMETER_APP_PASSWORD"])
    admin = as_role(owner_url, ADMIN, secrets["HOSTMETER_ADMIN_PASSWORD"])
    return {
        "DATABASE_URL": owner_url,
        "APP_DATABASE_URL": given.get("APP_DATABASE_URL") or app,
        "ADMIN_DATABASE_URL": given.get("ADMIN_DATABASE_URL") or admin,
    }
