import uuid

import django.db.models.deletion
from django.db import migrations, models

import tenants.scope
from tenants.isolation import IsolateTable


class Migration(migrations.Migration):
    """What was over a limit of a policy is kept, with when and by how much."""

    dependencies = [
        ("metering", "0015_samples_counted"),
        ("tenants", "0014_policy_spend"),
    ]

    operations = [
        migrations.CreateModel(
            name="PolicyBreach",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "term",
                    models.CharField(
                        choices=[
                            ("cpu_millicores", "CPU, millicores"),
                            ("memory_bytes", "Memory, bytes"),
                            ("processes_max", "Processes"),
                            ("open_files_max", "Open files"),
                            ("users_max", "Concurrent users"),
                            ("rules", "Who may run what"),
                            ("application_spend_max", "Spend of an application, a month"),
                            ("customer_spend_max", "Spend of a customer, a month"),
                        ],
                        max_length=24,
                    ),
                ),
                (
                    "day",
                    models.DateField(help_text="The day in UTC; of spend, the first of the month."),
                ),
                ("limit", models.DecimalField(decimal_places=4, max_digits=54, null=True)),
                (
                    "measured",
                    models.DecimalField(
                        decimal_places=4,
                        help_text="The most that was measured.",
                        max_digits=54,
                        null=True,
                    ),
                ),
                (
                    "buckets_over",
                    models.PositiveIntegerField(
                        default=0, help_text="In how many 5-minute buckets; of spend none."
                    ),
                ),
                ("first_over_at", models.DateTimeField()),
                (
                    "last_over_at",
                    models.DateTimeField(help_text="The end of the last bucket that was over."),
                ),
                ("standing", models.BooleanField(help_text="Whether it goes on.")),
                (
                    "told",
                    models.PositiveIntegerField(
                        default=0, help_text="How often it was told to begin."
                    ),
                ),
                ("noticed_at", models.DateTimeField()),
                (
                    "application",
                    models.ForeignKey(
                        db_constraint=False,
                        help_text="None where it is all that a customer uses.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="breaches",
                        to="metering.application",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        db_constraint=False,
                        help_text="Whom it was billed to when it was noticed.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="breaches",
                        to="tenants.customer",
                    ),
                ),
                (
                    "environment",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.environment",
                    ),
                ),
                (
                    "host",
                    models.ForeignKey(
                        db_constraint=False,
                        help_text="None where all hosts count together.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="breaches",
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
                (
                    "version",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="breaches",
                        to="tenants.policyversion",
                    ),
                ),
            ],
            options={
                "verbose_name": "limit breach",
                "verbose_name_plural": "limit breaches",
                "ordering": ["-day", "-last_over_at", "id"],
                "indexes": [
                    models.Index(
                        fields=["tenant", "application", "day"], name="policy_breach_application"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
                            "tenant",
                            "day",
                            "version",
                            "term",
                            "application",
                            "host",
                            "customer",
                        ),
                        name="policy_breach_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        IsolateTable("PolicyBreach"),
    ]
