import base64
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import bootstrap
from config.bootstrap import BootstrapError, IndexSettings, configuration_files, index_settings

WHEEL = b"stands for the wheel that was pinned"


class PackageIndex(http.server.BaseHTTPRequestHandler):
    """A package index with one project, behind a password where one is set."""

    wheel = WHEEL
    password = ""
    links = (f"../../files/{bootstrap.PIP_WHEEL}#sha256=0",)

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(self.password.encode()).decode()
        if self.password and self.headers.get("Authorization") != expected:
            self.send_error(401)
        elif self.path == "/simple/pip/":
            links = "".join(f'<a data-x="1" href="{link}">pip</a>\n' for link in self.links)
            self.answer(f"<!DOCTYPE html><html>{links}</html>".encode())
        elif self.path == f"/files/{bootstrap.PIP_WHEEL}":
            self.answer(self.wheel)
        else:
            self.send_error(404)

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> type[PackageIndex]:
    monkeypatch.setattr(bootstrap, "PIP_SHA256", hashlib.sha256(WHEEL).hexdigest())
    monkeypatch.setenv("no_proxy", "*")
    return type("ThisIndex", (PackageIndex,), {})


@pytest.fixture
def server(handler: type[PackageIndex]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class TestFetchingPip:
    def test_takes_the_pinned_wheel(self, server: str) -> None:
        assert bootstrap.fetch_wheel(IndexSettings((f"http://{server}/simple",))) == WHEEL

    def test_refuses_a_wheel_with_another_hash(
        self, server: str, handler: type[PackageIndex]
    ) -> None:
        handler.wheel = WHEEL + b"!"

        with pytest.raises(BootstrapError, match="is not the one that was pinned"):
            bootstrap.fetch_wheel(IndexSettings((f"http://{server}/simple",)))

    def test_refuses_more_bytes_than_a_wheel_has(
        self, server: str, handler: type[PackageIndex], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bootstrap, "PIP_BYTES_MAX", len(WHEEL) - 1)

        with pytest.raises(BootstrapError, match="answers with more than was expected"):
            bootstrap.fetch_wheel(IndexSettings((f"http://{server}/simple",)))

    def test_asks_the_next_index_when_one_has_no_such_wheel(self, server: str) -> None:
        urls = (f"http://{server}/empty", f"http://{server}/simple")

        assert bootstrap.fetch_wheel(IndexSettings(urls)) == WHEEL

    def test_signs_in_with_the_urls_user_and_never_prints_the_password(
        self, server: str, handler: type[PackageIndex]
    ) -> None:
        handler.password = "user:p@ss"

        assert bootstrap.fetch_wheel(IndexSettings((f"http://user:p%40ss@{server}/simple",)))
        with pytest.raises(BootstrapError) as failure:
            bootstrap.fetch_wheel(IndexSettings((f"http://user:wrong@{server}/simple",)))
        assert "wrong" not in str(failure.value)
        assert "401" in str(failure.value)

    def test_says_what_to_set_when_no_index_answers(self, server: str) -> None:
        with pytest.raises(BootstrapError) as failure:
            bootstrap.fetch_wheel(IndexSettings(("http://127.0.0.1:1/simple",)))

        assert "set PIP_INDEX_URL" in str(failure.value)
        assert "\n" not in str(failure.value)

    def test_reads_a_folder_as_an_index(self, tmp_path: Path, handler: type[PackageIndex]) -> None:
        folder = tmp_path / "simple" / "pip"
        folder.mkdir(parents=True)
        (folder / bootstrap.PIP_WHEEL).write_bytes(WHEEL)
        (folder / "index.html").write_text(f"<a href='./{bootstrap.PIP_WHEEL}'>pip</a>")

        assert bootstrap.fetch_wheel(IndexSettings(((tmp_path / "simple").as_uri(),))) == WHEEL

    def test_follows_no_link_to_another_kind_of_address(
        self, server: str, handler: type[PackageIndex]
    ) -> None:
        handler.links = (f"ftp://127.0.0.1/{bootstrap.PIP_WHEEL}",)

        with pytest.raises(BootstrapError, match=r"is no http\(s\) or file URL"):
            bootstrap.fetch_wheel(IndexSettings((f"http://{server}/simple",)))


class TestIndexSettings:
    @pytest.fixture
    def pip_conf(self, tmp_path: Path) -> Path:
        path = tmp_path / "pip.conf"
        path.write_text(
            "[global]\nindex-url = https://mirror.example/simple/\ncert = /etc/ca.pem\n"
            "extra-index-url =\n    https://one.example/simple\n    https://two.example/simple\n"
            "[install]\nproxy = http://proxy.example:3128\n"
        )
        return path

    def test_come_from_pips_files(self, pip_conf: Path) -> None:
        assert index_settings({}, [pip_conf]) == IndexSettings(
            urls=(
                "https://mirror.example/simple",
                "https://one.example/simple",
                "https://two.example/simple",
            ),
            certificates="/etc/ca.pem",
            proxy="http://proxy.example:3128",
        )

    @pytest.mark.parametrize("name", ["PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"])
    def test_a_variable_wins_over_a_file(self, pip_conf: Path, name: str) -> None:
        settings = index_settings({name: "https://here.example/simple"}, [pip_conf])

        assert settings.urls[0] == "https://here.example/simple"

    @pytest.mark.parametrize("name", ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
    def test_certificates_come_from_the_usual_variables(self, name: str) -> None:
        assert index_settings({name: "/ca.pem"}, []).certificates == "/ca.pem"

    def test_a_later_file_wins(self, pip_conf: Path, tmp_path: Path) -> None:
        (tmp_path / "own.conf").write_text("[global]\nindex_url = https://own.example/simple\n")

        settings = index_settings({}, [pip_conf, tmp_path / "own.conf", tmp_path / "none.conf"])

        assert settings.urls[0] == "https://own.example/simple"
        assert settings.certificates == "/etc/ca.pem"

    def test_without_any_the_public_index_is_used(self) -> None:
        assert index_settings({}, []) == IndexSettings((bootstrap.PUBLIC_INDEX,))

    def test_a_damaged_file_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "pip.conf").write_text("index-url = without a section\n")

        with pytest.raises(BootstrapError, match=r"pip\.conf cannot be read"):
            index_settings({}, [tmp_path / "pip.conf"])

    def test_pips_own_places_are_read_the_personal_after_the_shared(self) -> None:
        files = configuration_files({"HOME": "/home/someone", "PIP_CONFIG_FILE": "/mine.conf"})

        assert [str(path) for path in files] == [
            "/etc/xdg/pip/pip.conf",
            "/etc/pip.conf",
            "/home/someone/.pip/pip.conf",
            "/home/someone/.config/pip/pip.conf",
            "/mine.conf",
        ]
        assert configuration_files({"PIP_CONFIG_FILE": "/dev/null"}) == []


class TestInstalled:
    @pytest.fixture
    def requirements(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        venv = tmp_path / ".venv"
        venv.mkdir()
        monkeypatch.setattr(bootstrap, "STAMP", venv / "stamp")
        monkeypatch.setattr(bootstrap, "UNFINISHED", venv / "unfinished")
        path = tmp_path / "requirements.txt"
        path.write_text("django==5.2\n")
        self.stamp(path)
        return path

    @staticmethod
    def stamp(requirements: Path, **changes: str) -> None:
        digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
        python = bootstrap._python_version()
        values = {"python": python, requirements.name: digest} | changes
        bootstrap.STAMP.write_text(json.dumps(values))

    def test_is_believed_for_the_same_requirements(self, requirements: Path) -> None:
        assert bootstrap.is_installed(requirements)

    def test_ends_with_a_change_of_the_requirements(self, requirements: Path) -> None:
        requirements.write_text("django==5.2.1\n")

        assert not bootstrap.is_installed(requirements)

    def test_ends_with_another_version_of_python(self, requirements: Path) -> None:
        self.stamp(requirements, python="3.9")

        assert not bootstrap.is_installed(requirements)

    def test_is_not_believed_when_an_installation_was_interrupted(self, requirements: Path) -> None:
        bootstrap.UNFINISHED.touch()

        assert not bootstrap.is_installed(requirements)

    def test_is_not_believed_without_a_readable_stamp(self, requirements: Path) -> None:
        bootstrap.STAMP.write_text("{")

        assert not bootstrap.is_installed(requirements)
