import uuid

import django.db.models.deletion
from django.db import migrations, models

import tenants.scope
from tenants.isolation import IsolateTable


class Migration(migrations.Migration):
    """That a host fell silent is told once, and so is that it is back."""

    dependencies = [
        ("metering", "0013_applied_policy"),
        ("tenants", "0009_key_use"),
    ]

    operations = [
        migrations.CreateModel(
            name="HostNotice",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("silent", "Silent"), ("outdated", "Outdated")], max_length=8
                    ),
                ),
                (
                    "since",
                    models.DateTimeField(
                        help_text="When the host was last seen; for others as noticed."
                    ),
                ),
                ("noticed_at", models.DateTimeField()),
                (
                    "over_at",
                    models.DateTimeField(help_text="When it was noticed to be over.", null=True),
                ),
                (
                    "host",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notices",
                        to="metering.host",
                    ),
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
            options={"ordering": ["-noticed_at"]},
        ),
        migrations.AddConstraint(
            "hostnotice",
            models.UniqueConstraint(
                condition=models.Q(over_at__isnull=True),
                fields=["tenant", "host", "kind"],
                name="host_notice_open_once",
            ),
        ),
        IsolateTable("HostNotice"),
    ]
