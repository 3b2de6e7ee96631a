"""The verifier as a distribution: its wheel, alone in a fresh virtual environment."""

import subprocess
import venv
from pathlib import Path

import pytest

from tests.agent.installed import pip, run
from tests.verify.rebuilding import CREDIT_NOTE, GOLDEN, TAKEN_BACK

_VERIFIER = Path(__file__).parents[2] / "verify"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", folder, _VERIFIER)
    (wheel,) = folder.glob("hostmeter_verify-*.whl")
    bare = folder / "bare"
    venv.create(bare)
    pip("--python", bare / "bin" / "python", "install", "--no-index", wheel)
    return bare


class TestTheWheel:
    @pytest.mark.parametrize("kept", [GOLDEN, CREDIT_NOTE, TAKEN_BACK])
    def test_verifies_bundles_where_nothing_else_is_installed(
        self, environment: Path, kept: Path
    ) -> None:
        done = run(environment / "bin" / "hostmeter", "verify", kept)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("PASS\n")

    def test_brings_neither_django_nor_a_package_of_the_servers_name(
        self, environment: Path
    ) -> None:
        (packages,) = (environment / "lib").glob("python*/site-packages")
        top = {each.name for each in packages.iterdir() if "dist-info" not in each.name}
        assert top - {"__pycache__"} == {"hostmeter_verify"}

    def test_runs_as_a_module(self, environment: Path) -> None:
        python = environment / "bin" / "python"
        done = subprocess.run(
            [python, "-I", "-m", "hostmeter_verify", "verify", GOLDEN],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
