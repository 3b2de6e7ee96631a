"""An invoice's proof in the portal: the bundle, the verifier, and the one line that runs it."""

import re
from html import unescape
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from billing.core.proof import archive
from billing.models import Invoice
from tenants.models import Member, Tenant
from tenants.scope import tenant_scope
from tests.api.calling import problem, program_of
from tests.portal.world import World, make_person, make_world, visit
from tests.verify.running import run


def downloaded(client: Client, name: str, *args: object) -> tuple[bytes, str]:
    """What an address gives, and the file name that it gives it."""
    answer = client.get(reverse(f"portal:{name}", args=args))
    assert answer.status_code == 200
    found = re.search('filename="([^"]+)"', answer["Content-Disposition"])
    assert found is not None
    return answer.getvalue(), found[1]


class TestTheProofPage:
    def test_gives_the_command_that_recomputes_the_invoice(
        self, reader: Client, world: World, tmp_path: Path
    ) -> None:
        page = reader.get(reverse("portal:invoice-proof", args=[world.invoice.pk]))
        command = re.search("<code>python3 ([^<]+)</code>", page.content.decode())
        assert command is not None
        verifier, *arguments = command[1].split()
        for name, args in (("invoice-proof-bundle", [world.invoice.pk]), ("verifier", [])):
            content, file_name = downloaded(reader, name, *args)
            (tmp_path / file_name).write_bytes(content)
        in_folder = [str(tmp_path / each) if each.endswith(".zip") else each for each in arguments]
        done = run(tmp_path / verifier, *in_folder)
        assert f"{world.line().label}  postgres  " in done.stdout
        # This provider's hosts never signed what they delivered.
        assert done.stdout.splitlines()[-2:] == [
            "not verified: 4 batches are not signed",
            "NOT VERIFIED: 1 thing could not be recomputed; what was looked at holds",
        ]

    def test_shows_the_fingerprint_that_the_verifier_prints(
        self, reader: Client, world: World, tmp_path: Path
    ) -> None:
        page = reader.get(reverse("portal:invoice-proof", args=[world.invoice.pk]))
        for name, args in (("invoice-proof-bundle", [world.invoice.pk]), ("verifier", [])):
            content, file_name = downloaded(reader, name, *args)
            (tmp_path / file_name).write_bytes(content)
        done = run(tmp_path / "hostmeter.pyz", "verify", tmp_path / "proof-1.zip")
        (printed,) = re.findall("^fingerprint (.+)$", done.stdout, re.MULTILINE)
        assert f"<code>{printed}</code>" in page.content.decode()

    def test_of_a_bundle_that_is_too_large_says_what_the_api_says(
        self, reader: Client, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(archive, "BYTES_BELOW", 1 << 16)
        page = reader.get(reverse("portal:invoice-proof-bundle", args=[world.invoice.pk]))
        program = program_of(world.tenant)
        refused = problem(program.get(f"/invoices/{world.invoice.pk}/proof"), 409)
        assert refused["type"] == "proof-too-large"
        assert refused["detail"].startswith("The proof bundle would have 4 GiB or more")
        assert (page.status_code, "no-store" in page["Cache-Control"]) == (409, True)
        assert refused["detail"] in unescape(page.content.decode())

    def test_is_linked_from_the_invoice(self, reader: Client, world: World) -> None:
        page = reader.get(reverse("portal:invoice", args=[world.invoice.pk])).content.decode()
        assert reverse("portal:invoice-proof", args=[world.invoice.pk]) in page

    def test_of_a_draft_is_not_there(self, reader: Client, world: World) -> None:
        with tenant_scope(world.tenant.pk):
            draft = Invoice.objects.create(
                customer=world.customer,
                subscription=world.invoice.subscription,
                plan_version=world.invoice.plan_version,
                period_start=world.invoice.period_end,
                period_end=world.as_of,
                currency="EUR",
                total=0,
                time_zone="UTC",
            )
        page = reader.get(reverse("portal:invoice", args=[draft.pk])).content.decode()
        assert "Proof bundle" not in page
        for name in ("invoice-proof", "invoice-proof-bundle"):
            assert reader.get(reverse(f"portal:{name}", args=[draft.pk])).status_code == 404


class TestTheBundle:
    def test_is_the_same_however_often_it_is_made(self, reader: Client, world: World) -> None:
        one, other = (
            downloaded(reader, "invoice-proof-bundle", world.invoice.pk)[0] for _ in range(2)
        )
        assert one == other


class TestTheVerifier:
    def test_is_the_same_file_for_every_customer(
        self, reader: Client, world: World, other_tenant: Tenant
    ) -> None:
        second = make_world(other_tenant)
        theirs = Client()
        theirs.force_login(make_person("owner@second.example", second.tenant, Member.Role.OWNER))
        visit(theirs, second.customer)
        assert downloaded(reader, "verifier") == downloaded(theirs, "verifier")

    def test_is_for_who_is_signed_in(self, client: Client, db: None) -> None:
        answer = client.get(reverse("portal:verifier"))
        assert answer["Location"] == "/sign-in/?next=/proof/hostmeter.pyz"


pytestmark = pytest.mark.django_db
