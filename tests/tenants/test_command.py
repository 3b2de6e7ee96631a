"""What a command says of a wrong argument is one line; its help is whole."""

import io
import runpy
import sys

import pytest
from django.core.management import get_commands, load_command_class

OURS = sorted(
    (app, name) for name, app in get_commands().items() if app in {"billing", "metering", "tenants"}
)
PROGRAMS = [("hostmeter_agent", "run"), ("hostmeter_verify", "verify")]


class TestAWrongArgument:
    @pytest.mark.parametrize(("app", "name"), OURS)
    def test_of_a_command_is_told_in_one_line(
        self, app: str, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        command = load_command_class(app, name)
        with pytest.raises(SystemExit) as refused:
            command.run_from_argv(["manage.py", name, "--nonsense"])
        assert refused.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith(f"manage.py {name}: error: ")
        assert said.count("\n") == 1
        help_text = io.StringIO()
        command.create_parser("manage.py", name).print_help(help_text)
        assert help_text.getvalue().startswith(f"usage: manage.py {name} ")

    @pytest.mark.parametrize(("program", "command"), PROGRAMS)
    def test_of_agent_and_verifier_too(
        self,
        program: str,
        command: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(sys, "argv", [program, command, "--nonsense"])
        # Run anew, whoever has imported it: running what is imported warns, in lines of its own.
        monkeypatch.delitem(sys.modules, f"{program}.__main__", raising=False)
        with pytest.raises(SystemExit) as refused:
            runpy.run_module(program, run_name="__main__")
        assert refused.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1
