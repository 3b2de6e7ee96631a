"""Root installs and uninstalls in a directory that the agent's user owns. What that user has put
there in place of the agent's files leads root nowhere else."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hostmeter_agent.install.accounts import Account
from hostmeter_agent.install.installing import Installation, InstallationRefused, Wanted
from hostmeter_agent.store.room import Reserve
from hostmeter_agent.store.spool import Spool, SpoolUnusable
from hostmeter_agent.store.state import StateDirectory, StateUnusable

USER = Account("hostmeter-agent", 65_534, 65_534, made_by_us=True)


def test_a_database_of_others_does_not_become_the_spool(tmp_path: Path) -> None:
    others = tmp_path / "others.sqlite3"
    with closing(sqlite3.connect(others)) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    others.chmod(0o644)
    (tmp_path / "spool.sqlite3").symlink_to(others)
    with pytest.raises(SpoolUnusable, match="must be a file"):
        Spool(tmp_path / "spool.sqlite3")
    assert others.stat().st_mode & 0o777 == 0o644
    with closing(sqlite3.connect(others)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def hold(state: Path) -> None:
    with pytest.raises(StateUnusable, match="symbolic links"), StateDirectory(state).held():
        pass


def reserve(state: Path) -> None:
    assert "symbolic links" in Reserve(state / "reserve").missing()


@pytest.mark.parametrize(("name", "use"), [("lock", hold), ("reserve", reserve)])
def test_no_file_is_made_where_a_link_leads(
    tmp_path: Path, name: str, use: Callable[[Path], None]
) -> None:
    target = tmp_path / "elsewhere"
    (tmp_path / name).symlink_to(target)
    use(tmp_path)
    assert not target.exists()


def test_a_second_name_of_anothers_file_is_not_given_away(tmp_path: Path) -> None:
    state = tmp_path / "var/lib/hostmeter-agent"
    state.mkdir(parents=True)
    others = tmp_path / "others"
    others.touch()
    os.link(others, state / "key-0")
    (state / "link").symlink_to(others)
    wanted = Wanted(
        root=tmp_path, server="http://127.0.0.1:9", token="token-1", python="/usr/bin/python3"
    )
    with pytest.raises(InstallationRefused, match="key-0: has another name elsewhere"):
        Installation(wanted)._own_state(USER)
    assert others.stat().st_uid == 0
