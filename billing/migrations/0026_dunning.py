import uuid

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import tenants.scope
from tenants.isolation import IsolateTable


class Migration(migrations.Migration):
    """Steps that are taken of overdue invoices, what holds them, and who is suspended."""

    dependencies = [
        ("billing", "0025_mailed_documents"),
        ("tenants", "0012_mail"),
    ]

    operations = [
        migrations.CreateModel(
            name="DunningHold",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "cause",
                    models.CharField(
                        choices=[("hand", "By hand"), ("dispute", "An open dispute")], max_length=8
                    ),
                ),
                ("reason", models.CharField(max_length=300)),
                ("author", models.CharField(blank=True, max_length=254)),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(null=True)),
                (
                    "invoice",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="holds",
                        to="billing.invoice",
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
            options={
                "ordering": ["starts_at"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ends_at__isnull", True)),
                        fields=("tenant", "invoice", "cause"),
                        name="dunning_hold_one_open",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DunningStep",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("collect", "Try to collect again"),
                            ("remind", "Remind by e-mail"),
                            ("suspend", "Suspend the customer"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "number",
                    models.PositiveSmallIntegerField(
                        default=1,
                        help_text="The first, second … of this action. Reminders grow firmer up to the third.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(12),
                        ],
                    ),
                ),
                (
                    "days_after_due",
                    models.PositiveSmallIntegerField(
                        validators=[django.core.validators.MaxValueValidator(365)]
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
            options={
                "ordering": ["days_after_due", "action", "number"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "action", "number"), name="dunning_step_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DunningTaken",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("collect", "Try to collect again"),
                            ("remind", "Remind by e-mail"),
                            ("suspend", "Suspend the customer"),
                        ],
                        max_length=8,
                    ),
                ),
                ("number", models.PositiveSmallIntegerField()),
                ("taken_at", models.DateTimeField()),
                ("outcome", models.CharField(max_length=200)),
                (
                    "invoice",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="dunning",
                        to="billing.invoice",
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
            options={
                "verbose_name": "dunning step taken",
                "verbose_name_plural": "dunning",
                "ordering": ["taken_at", "action", "number"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "invoice", "action", "number"), name="dunning_taken_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Suspension",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("starts_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("ends_at", models.DateTimeField(null=True)),
                ("ended_because", models.CharField(blank=True, max_length=200)),
                (
                    "customer",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="suspensions",
                        to="tenants.customer",
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="suspensions",
                        to="billing.invoice",
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
            options={
                "ordering": ["-starts_at"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("ends_at__isnull", True)),
                        fields=["tenant", "customer"],
                        name="suspension_open",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ends_at__isnull", True)),
                        fields=("tenant", "invoice"),
                        name="suspension_one_open",
                    )
                ],
            },
        ),
        IsolateTable("DunningHold"),
        IsolateTable("DunningStep"),
        IsolateTable("DunningTaken"),
        IsolateTable("Suspension"),
    ]
