import pytest

from config.runtime.addresses import as_role, database_urls, embedded_database_url
from config.runtime.failure import CannotRun

SECRETS = {"HOSTMETER_APP_PASSWORD": "p/a", "HOSTMETER_ADMIN_PASSWORD": "p@b"}


@pytest.mark.parametrize(
    ("given", "derived"),
    [
        (
            "postgresql://boss:secret@db.example:6432/metering",
            "postgresql://hostmeter_app:p%2Fa@db.example:6432/metering",
        ),
        (
            "postgres://db.example/metering?sslmode=verify-full",
            "postgres://hostmeter_app:p%2Fa@db.example/metering?sslmode=verify-full",
        ),
        (
            "postgresql://boss@/metering?host=/run/postgresql",
            "postgresql://hostmeter_app:p%2Fa@/metering?host=/run/postgresql",
        ),
        (
            "postgresql://boss:a%40b@[::1]:5432/metering",
            "postgresql://hostmeter_app:p%2Fa@[::1]:5432/metering",
        ),
    ],
)
def test_another_role_goes_to_the_same_database(given: str, derived: str) -> None:
    assert as_role(given, "hostmeter_app", "p/a") == derived


@pytest.mark.parametrize("url", ["mysql://boss@db/metering", "postgresql://boss@db", "db:5432"])
def test_what_names_no_postgresql_database_is_refused(url: str) -> None:
    with pytest.raises(CannotRun, match="DATABASE_URL has to look like"):
        as_role(url, "hostmeter_app", "secret")


def test_given_urls_of_the_roles_are_kept() -> None:
    owner = "postgresql://boss@db/metering"

    urls = database_urls(owner, SECRETS, {"APP_DATABASE_URL": "postgresql://mine@db/metering"})

    assert urls == {
        "DATABASE_URL": owner,
        "APP_DATABASE_URL": "postgresql://mine@db/metering",
        "ADMIN_DATABASE_URL": "postgresql://hostmeter_admin:p%40b@db/metering",
    }


def test_the_embedded_database_is_reached_on_loopback() -> None:
    url = embedded_database_url(5000, "a:b")

    assert url == "postgresql://hostmeter_owner:a%3Ab@127.0.0.1:5000/hostmeter"
