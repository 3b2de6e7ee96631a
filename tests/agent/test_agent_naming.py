"""A program is called what its user would call it."""

import pytest
from hostmeter_agent.measure.naming import clean, program_name, runs_code_from_arguments

PYTHON = "/usr/bin/python3.11"


@pytest.mark.parametrize(
    ("executable", "argv", "comm", "name"),
    [
        ("/usr/sbin/nginx", ["nginx: master process /usr/sbin/nginx"], "nginx", "nginx"),
        ("/x/bin/postgres", ["postgres: checkpointer "], "postgres", "postgres"),
        ("/x/bin/postgres", ["/x/bin/postgres", "-D", "/d"], "postgres", "postgres"),
        ("/x/valkey-server", ["valkey-server 127.0.0.1:6379"], "valkey-server", "valkey-server"),
        (PYTHON, ["/v/bin/python", "/v/bin/gunicorn", "config.wsgi"], "gunicorn", "gunicorn"),
        (PYTHON, ["gunicorn: worker [config.wsgi]"], "gunicorn: worke", "gunicorn"),
        (PYTHON, ["/v/bin/python3", "-m", "celery", "-A", "config", "worker"], "python3", "celery"),
        (PYTHON, ["[celeryd: celery@host:MainProcess] -active-"], "[celeryd: celer", "celeryd"),
        (PYTHON, ["python3", "-m", "http.server"], "python3", "http.server"),
        (PYTHON, ["python3", "-W", "error", "-u", "/opt/job/report.py"], "python3", "report"),
        (PYTHON, ["python3", "/opt/job/__main__.py"], "python3", "job"),
        (PYTHON, ["/usr/bin/python3", "./burn.py"], "burn.py", "burn"),
        (PYTHON, ["python3", "-c", "pass"], "python3", "python"),
        (PYTHON, ["python3", "-c", "pass"], "burner", "burner"),
        (PYTHON, ["burner", "-c", "pass"], "python3", "burner"),
        ("/opt/burner", ["/opt/burner", "-c", "pass"], "burner", "burner"),
        ("/bin/sleep", ["named", "9"], "sleep", "named"),
        ("/bin/busybox", ["httpd", "-f"], "httpd", "httpd"),
        ("/bin/bash", ["-bash"], "bash", "bash"),
        ("/bin/bash", ["/bin/bash", "/opt/nightly.sh"], "nightly.sh", "nightly"),
        ("/bin/bash", ["bash", "/dev/fd/3"], "bash", "bash"),
        ("/usr/bin/node", ["node", "/srv/shop/server.js"], "MainThread", "server"),
        ("/usr/bin/java", ["java", "-Xmx1g", "-jar", "/srv/shop.jar"], "java", "shop"),
        ("/usr/bin/java", ["java", "-cp", "a:b", "org.example.Main"], "java", "Main"),
        ("/opt/a-very-long-executable-name", ["/opt/a-very-long-executable-name"],
         "a-very-long-exe", "a-very-long-executable-name"),
        ("/usr/bin/app (deleted)", ["/usr/bin/app"], "app", "app"),
        ("/memfd:sealed (deleted)", ["tools/backend", "-x"], "memfd:sealed", "backend"),
        ("/usr/bin/dockerd", ["/proc/self/exe", "init"], "exe", "dockerd"),
        ("", [], "hidden", "hidden"),
        (PYTHON, ["python3", "-Bum", "shop.worker"], "python3", "shop.worker"),
    ],
)  # fmt: skip
def test_a_program_gets_the_name_that_its_user_knows(
    executable: str, argv: list[str], comm: str, name: str
) -> None:
    assert program_name(executable, argv, comm) == name


@pytest.mark.parametrize(
    ("executable", "argv"),
    [
        ("/usr/bin/perl", ["perl", "-lne", "secret; code", "file"]),
        ("/usr/bin/perl", ["perl", "-MData::Dumper", "-e", "secret"]),
        ("/usr/bin/perl", ["perl", "-esecret"]),
        (PYTHON, ["python3", "-Ic", "secret=1"]),
        (PYTHON, ["python3", "-X", "dev", "-csecret"]),
        ("/bin/bash", ["bash", "-o", "pipefail", "-ec", "secret"]),
        ("/usr/bin/node", ["node", "-pe", "secret"]),
        ("/usr/bin/ruby", ["ruby", "-ne", "secret"]),
        ("/usr/bin/php", ["php", "-r", "secret;"]),
        (PYTHON, ["python3", "secret with blanks"]),
        ("/usr/bin/perl", ["perl", "--", "if (secret) {}"]),
        ("/usr/bin/tool", ["{secret}", "x"]),
    ],
)
def test_code_on_a_command_line_never_becomes_a_name(executable: str, argv: list[str]) -> None:
    name = program_name(executable, argv, executable.rpartition("/")[2])
    assert name in ("perl", "python", "bash", "node", "ruby", "php", "tool")


@pytest.mark.parametrize(
    ("family", "argv", "code"),
    [
        ("python", ["python3", "-u", "-c", "pass"], True),
        ("python", ["python3", "-m", "celery", "-c", "2"], False),
        ("python", ["python3", "report.py", "-c"], False),
        ("bash", ["bash", "-lc", "ls"], True),
        ("bash", ["-bash"], False),
        ("perl", ["perl", "-w", "tool.pl", "-e"], False),
    ],
)
def test_an_interpreter_with_code_from_its_arguments_is_known(
    family: str, argv: list[str], code: bool
) -> None:
    assert runs_code_from_arguments(family, argv) is code


def test_a_name_fits_the_wire_contract() -> None:
    assert clean("a\x00b\n" + "c" * 300) == "ab" + "c" * 198
    assert clean("\x01\x02") == "unnamed"
