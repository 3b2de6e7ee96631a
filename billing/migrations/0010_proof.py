import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import tenants.scope
from tenants.isolation import IsolateTable


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0007_ledger"),
        ("tenants", "0002_admin_log"),
    ]

    operations = [
        migrations.CreateModel(
            name="ProofKey",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("public_key", models.BinaryField(max_length=32)),
                (
                    "sealed_key",
                    models.BinaryField(
                        help_text="The private key, encrypted under the installation's secret."
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        default=tenants.scope.current_tenant_id,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at"],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "public_key"), name="proof_key_once")
                ],
            },
        ),
        IsolateTable("ProofKey"),
    ]
