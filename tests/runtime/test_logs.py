import os
from pathlib import Path

from config.runtime import logs


def test_a_log_that_grew_too_long_moves_aside_under_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    writer = logs.open_log(path)
    os.write(writer, b"old\n" * 10)

    assert logs.keep_within_bounds(path, bytes_max=39)

    os.write(writer, b"new\n")
    os.close(writer)
    assert path.read_bytes() == b"new\n"
    assert path.with_name("web.log.1").read_bytes() == b"old\n" * 10


def test_a_log_within_its_bounds_stays(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_bytes(b"x" * 40)

    assert not logs.keep_within_bounds(path, bytes_max=40)
    assert not logs.keep_within_bounds(tmp_path / "none.log", bytes_max=40)


def test_the_last_line_is_the_last_one_that_says_something(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_bytes(b"first\nwhat went wrong\n  \n\n")

    assert logs.last_line(path) == "what went wrong"
    assert logs.last_line(path, since=path.stat().st_size) == ""
    assert logs.last_line(tmp_path / "none.log") == ""
