"""The journal keeps what was acknowledged."""

import threading
from contextlib import closing
from pathlib import Path

import pytest
from hostmeter_agent.words.journal import Journal, JournalUnusable


class TestTheJournal:
    def test_gives_back_what_was_kept_up_to_a_torn_end(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        with closing(Journal(path)) as journal:
            name = journal.name
            for value in range(5):
                journal.append([value])
            journal.forget(2)
        with path.open("ab") as file:
            file.write(b'[6,["torn')
        with closing(Journal(path)) as journal:
            assert journal.name == name
            assert [number for number, _ in journal.after(2)] == [3, 4, 5]
            journal.append(["more"])
            assert journal.after(5) == [(6, ["more"])]

    def test_numbers_go_on_when_everything_was_forgotten(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        with closing(Journal(path)) as journal:
            for _ in range(3):
                journal.append(["x" * 500_000])
            assert path.stat().st_size > 1_000_000
            journal.forget(3)
            assert path.stat().st_size < 100
        with closing(Journal(path)) as journal:
            journal.append(["new"])
            assert journal.after(0) == [(4, ["new"])]

    def test_is_safe_to_write_from_many_threads(self, tmp_path: Path) -> None:
        with closing(Journal(tmp_path / "journal")) as journal:

            def fill() -> None:
                for _ in range(20):
                    journal.append([1])

            threads = [threading.Thread(target=fill) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        with closing(Journal(tmp_path / "journal")) as journal:
            assert [number for number, _ in journal.after(0)] == list(range(1, 161))

    def test_where_it_cannot_be_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(JournalUnusable, match="No such file or directory"):
            Journal(tmp_path / "missing" / "journal")
