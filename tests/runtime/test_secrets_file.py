from pathlib import Path

from config.runtime import secrets_file


def test_secrets_are_made_once(tmp_path: Path) -> None:
    first = secrets_file.load_or_create(tmp_path / "env")
    second = secrets_file.load_or_create(tmp_path / "env")

    assert first == second
    assert set(first) == set(secrets_file.GENERATED)
    assert len(set(first.values())) == len(first)


def test_only_their_owner_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "env"
    secrets_file.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600

    path.chmod(0o644)
    secrets_file.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_secret_that_a_newer_version_needs_is_added_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("# mine\nSECRET_KEY = kept=as it is\n\nEXTRA=too\n")

    values = secrets_file.load_or_create(path)

    assert values["SECRET_KEY"] == "kept=as it is"
    assert secrets_file.read(path) == values
    assert values["EXTRA"] == "too"
    assert values["HOSTMETER_DEMO_PASSWORD"]
