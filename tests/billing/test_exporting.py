"""A tenant's archive holds all that is the tenant's, nothing of another, and no credential."""

import gzip
import json
import zipfile
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from billing import exporting
from billing.exporting import exported_columns
from billing.models import Invoice
from billing.operations import close_due, finalize_invoice
from billing.tasks import keep_exports
from billing.tenant_exports import archive_of, forget_old_exports, make_export
from tenants.export_models import TenantExport
from tenants.exports import ExportUnderWay, ask_for_export
from tenants.models import ApiKey, Tenant
from tenants.scope import tenant_scope
from tests.admin.filling import fill
from tests.admin.signing_in import signed_in
from tests.billing.timeline import NOVEMBER

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_home(settings: Settings, tmp_path: Path) -> None:
    settings.HOSTMETER_HOME = tmp_path


def filled(tenant: Tenant, word: str) -> None:
    fill(tenant, word)
    with tenant_scope(tenant.pk):
        TenantExport.objects.all().delete()
        close_due(as_of=NOVEMBER)
        finalize_invoice(Invoice.objects.get(), as_of=NOVEMBER)


def rows(archive: Path, table: str) -> list[dict[str, object]]:
    with zipfile.ZipFile(archive) as file, file.open(f"tables/{table}.jsonl.gz") as packed:
        return [json.loads(line) for line in gzip.open(packed, "rt", encoding="utf-8")]


def asked(tenant: Tenant) -> TenantExport:
    with patch("tenants.exports.current_app.send_task"):
        return ask_for_export(tenant.pk, "boss@first.example")


def soon() -> object:
    return timezone.now() + timedelta(minutes=1)


class TestCommand:
    def test_writes_all_of_the_tenant_and_nothing_of_another(
        self, tenant: Tenant, other_tenant: Tenant, tmp_path: Path
    ) -> None:
        filled(tenant, "ours")
        filled(other_tenant, "theirs")
        archive = tmp_path / "first.zip"
        call_command("export_tenant", tenant="first-host", output=archive)
        with zipfile.ZipFile(archive) as file:
            names = file.namelist()
            text = "".join(
                gzip.decompress(file.read(name)).decode() for name in names if name.endswith(".gz")
            )
        assert sum(name.startswith("documents/") for name in names) == 2
        assert {"tables/billing_invoice.jsonl.gz", "tables/metering_rollup.jsonl.gz"} <= {*names}
        assert "ours" in text
        assert "theirs" not in text
        with tenant_scope(tenant.pk):
            (invoice,) = rows(archive, "billing_invoice")
            assert invoice["number"] == Invoice.objects.get().number
        assert not list(tmp_path.glob(".*.parts"))

    def test_holds_no_credential_and_no_digest_of_one(self, tenant: Tenant, tmp_path: Path) -> None:
        filled(tenant, "ours")
        archive = tmp_path / "first.zip"
        call_command("export_tenant", tenant="first-host", output=archive)
        (key,) = rows(archive, "tenants_apikey")
        assert key["name"] == "ours-key"
        with tenant_scope(tenant.pk):
            digest = bytes(ApiKey.objects.get().digest).hex()
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                content = file.read(name)
                text = gzip.decompress(content) if name.endswith(".gz") else content
                assert digest.encode() not in text, name

    def test_goes_on_where_it_was_cut_off(self, tenant: Tenant, tmp_path: Path) -> None:
        filled(tenant, "ours")
        archive = tmp_path / "first.zip"
        with (
            patch.object(exporting, "document_file", side_effect=KeyboardInterrupt),
            pytest.raises(KeyboardInterrupt),
        ):
            call_command("export_tenant", tenant="first-host", output=archive)
        assert not archive.exists()
        (parts,) = tmp_path.glob(".*.parts")
        kept = parts / "tables" / "billing_invoice.jsonl.gz"
        assert kept.exists()
        # No table is written a second time.
        with patch.object(exporting, "_table_writer", return_value=None):
            call_command("export_tenant", tenant="first-host", output=archive)
        assert zipfile.is_zipfile(archive)

    def test_says_in_one_line_what_is_wrong(self, tenant: Tenant, tmp_path: Path) -> None:
        for given, said in (
            ({"tenant": "nobody", "output": tmp_path / "a.zip"}, "no tenant 'nobody'"),
            ({"tenant": "first-host", "output": Path("/proc/no/a.zip")}, "cannot write"),
        ):
            with pytest.raises(CommandError, match=said):
                call_command("export_tenant", **given)


class TestColumns:
    def test_that_sound_like_a_secret_are_left_out_until_somebody_says_otherwise(self) -> None:
        found = exported_columns(
            [
                ("billing_card", "id"),
                ("billing_card", "client_secret"),
                ("metering_measurement", "digest"),
                ("tenants_idempotencyrecord", "body"),
            ]
        )
        assert found == {"billing_card": ["id"], "metering_measurement": ["digest"]}


class TestInTheAdmin:
    def test_is_made_by_a_worker_and_downloaded_by_an_owner(self, tenant: Tenant) -> None:
        filled(tenant, "ours")
        client = signed_in(tenant)
        with patch("tenants.exports.current_app.send_task") as sent:
            client.post(reverse("admin:tenants_tenantexport_ask"))
        sent.assert_called_once()
        with tenant_scope(tenant.pk):
            export = TenantExport.objects.get()
        assert make_export(tenant.pk, export.pk, until=soon())  # type: ignore[arg-type]
        page = client.get(reverse("admin:tenants_tenantexport_change", args=[export.pk]))
        assert "ready" in page.content.decode()
        download = reverse("admin:tenants_tenantexport_download", args=[export.pk])
        answer = client.get(download)
        assert b"".join(answer.streaming_content).startswith(b"PK")  # type: ignore[attr-defined]
        assert "no-store" in answer["Cache-Control"]

    def test_is_for_owners_alone_and_no_other_tenants(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        export = asked(tenant)
        make_export(tenant.pk, export.pk, until=soon())  # type: ignore[arg-type]
        download = reverse("admin:tenants_tenantexport_download", args=[export.pk])
        for client in (
            signed_in(tenant, "billing"), signed_in(other_tenant), signed_in(None),
        ):  # fmt: skip
            answer = client.get(download, follow=True)
            assert not answer.streaming
            assert b"PK" not in answer.content[:2]

    def test_stops_in_time_and_goes_on_later(self, tenant: Tenant) -> None:
        filled(tenant, "ours")
        export = asked(tenant)
        assert not make_export(tenant.pk, export.pk, until=timezone.now())
        with tenant_scope(tenant.pk):
            assert TenantExport.objects.get().parts_done == 1
        with pytest.raises(ExportUnderWay):
            asked(tenant)
        keep_exports()
        assert zipfile.is_zipfile(archive_of(tenant.pk, export.pk))
        assert forget_old_exports(tenant.pk, as_of=timezone.now()) == 0
        later = timezone.now() + timedelta(days=8)
        assert forget_old_exports(tenant.pk, as_of=later) == 1
        page = signed_in(tenant).get(reverse("admin:tenants_tenantexport_changelist"))
        assert "removed" in page.content.decode()

    def test_is_asked_for_and_not_read_by_the_installations_owner(self, tenant: Tenant) -> None:
        client = signed_in(None)
        page = reverse("admin:tenants_tenant_export", args=[tenant.pk])
        with patch("tenants.exports.current_app.send_task"):
            assert "It has begun" in client.post(page, follow=True).content.decode()
            assert "wait for it" in client.post(page, follow=True).content.decode()
        keep_exports()
        shown = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]))
        assert "ready for its owners" in shown.content.decode()
