"""From signed batches to an invoice that an auditor recomputes without the server."""

from pathlib import Path

import pytest

from tenants.models import Tenant
from tests.billing.proving import Proven, prove
from tests.verify.running import run, verifier_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def proven(tenant: Tenant) -> Proven:
    return prove(tenant)


@pytest.fixture
def verifier(tmp_path: Path) -> Path:
    return verifier_in(tmp_path)


def written(folder: Path, bundle: bytes) -> Path:
    path = folder / "bundle.zip"
    path.write_bytes(bundle)
    return path


class TestAnIssuedInvoice:
    def test_is_recomputed_from_its_bundle_line_by_line(
        self, proven: Proven, verifier: Path, tmp_path: Path
    ) -> None:
        done = run(verifier, "verify", written(tmp_path, proven.bundle()))
        print(done.stdout, done.stderr)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("PASS\n")
