"""Whether another connection waits for a lock: what tests of things done at once wait for."""

from django.db import connection


def another_waits() -> bool:
    """Whether a connection to this database waits. The run's other processes have their own."""
    with connection.cursor() as cursor:
        # Who waits for a transaction's end waits in no database; the connection is in one.
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE NOT granted AND datname = current_database())"
        )
        return bool(cursor.fetchone()[0])
