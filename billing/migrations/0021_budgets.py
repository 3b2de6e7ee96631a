import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import billing.models.budgets
import tenants.scope
from tenants.isolation import IsolateTable


class Migration(migrations.Migration):
    """Customers say what they mean to spend, and are told."""

    dependencies = [
        ("billing", "0020_payments"),
        ("metering", "0014_host_notices"),
        ("tenants", "0005_scopes_of_webhooks_and_budgets"),
    ]

    operations = [
        migrations.AddField(
            model_name="billingsettings",
            name="customers_may_stop_applications",
            field=models.BooleanField(
                default=False,
                help_text="A customer's budget may ask you to stop an application at its limit. You are asked in the admin and do it; nothing is stopped by itself.",
            ),
        ),
        migrations.CreateModel(
            name="Budget",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=120)),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("customer", "Everything"),
                            ("application", "One application"),
                            ("environment", "One environment"),
                            ("meter", "One meter"),
                        ],
                        default="customer",
                        max_length=12,
                    ),
                ),
                ("meter", models.CharField(blank=True, max_length=64)),
                ("limit", models.DecimalField(decimal_places=4, max_digits=24)),
                ("currency", models.CharField(blank=True, help_text="Of an amount.", max_length=3)),
                ("unit", models.CharField(blank=True, help_text="Of a quantity.", max_length=20)),
                (
                    "thresholds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=8),
                        default=billing.models.budgets.every_threshold,
                        size=4,
                    ),
                ),
                ("by_email", models.BooleanField(default=True)),
                ("by_webhook", models.BooleanField(default=True)),
                (
                    "at_limit",
                    models.CharField(
                        choices=[
                            ("tell", "Tell me"),
                            ("ask", "Ask the operator"),
                            ("stop", "Have the application stopped"),
                        ],
                        default="tell",
                        max_length=4,
                    ),
                ),
                ("month_start", models.DateTimeField(editable=False, null=True)),
                (
                    "spent",
                    models.DecimalField(
                        decimal_places=4,
                        editable=False,
                        help_text="In the month that begins then.",
                        max_digits=54,
                        null=True,
                    ),
                ),
                (
                    "foreseen_low",
                    models.DecimalField(decimal_places=4, editable=False, max_digits=54, null=True),
                ),
                (
                    "foreseen",
                    models.DecimalField(
                        decimal_places=4,
                        editable=False,
                        help_text="What the month is likely to come to; unknown in its first days.",
                        max_digits=54,
                        null=True,
                    ),
                ),
                (
                    "foreseen_high",
                    models.DecimalField(decimal_places=4, editable=False, max_digits=54, null=True),
                ),
                ("evaluated_at", models.DateTimeField(editable=False, null=True)),
                (
                    "waits_for",
                    models.CharField(
                        blank=True,
                        editable=False,
                        help_text="Why it has no figures.",
                        max_length=200,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("removed_at", models.DateTimeField(editable=False, null=True)),
                (
                    "application",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="metering.application",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="budgets",
                        to="tenants.customer",
                    ),
                ),
                (
                    "environment",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="tenants.environment",
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
                "ordering": ["created_at", "id"],
            },
        ),
        migrations.CreateModel(
            name="BudgetAlert",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("month_start", models.DateTimeField()),
                ("threshold", models.CharField(max_length=8)),
                ("limit", models.DecimalField(decimal_places=4, max_digits=24)),
                ("spent", models.DecimalField(decimal_places=4, max_digits=54)),
                (
                    "foreseen",
                    models.DecimalField(decimal_places=4, editable=False, max_digits=54, null=True),
                ),
                (
                    "told",
                    models.BooleanField(
                        help_text="Whether it was told; of several that were reached together the highest is."
                    ),
                ),
                ("noted_at", models.DateTimeField()),
                (
                    "budget",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alerts",
                        to="billing.budget",
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
                "ordering": ["-noted_at", "-spent", "id"],
            },
        ),
        migrations.CreateModel(
            name="BudgetRequest",
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
                        choices=[
                            ("ask", "Asks what to do"),
                            ("stop", "Asks to stop the application"),
                        ],
                        max_length=4,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "Open"), ("done", "Done"), ("declined", "Declined")],
                        default="open",
                        max_length=8,
                    ),
                ),
                (
                    "note",
                    models.CharField(
                        blank=True, help_text="The customer reads it.", max_length=500
                    ),
                ),
                ("decided_by", models.CharField(blank=True, max_length=254)),
                ("decided_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField()),
                (
                    "alert",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="requests",
                        to="billing.budgetalert",
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
                "ordering": ["-created_at"],
            },
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("limit__gt", 0)), name="budget_above_zero"
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("application", None),
                        ("environment", None),
                        ("meter", ""),
                        ("scope", "customer"),
                    ),
                    models.Q(
                        ("application__isnull", False),
                        ("environment", None),
                        ("meter", ""),
                        ("scope", "application"),
                    ),
                    models.Q(
                        ("application", None),
                        ("environment__isnull", False),
                        ("meter", ""),
                        ("scope", "environment"),
                    ),
                    models.Q(
                        ("application", None),
                        ("environment", None),
                        ("scope", "meter"),
                        models.Q(("meter", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="budget_of_one_scope",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("currency", ""), ("scope", "meter"), models.Q(("unit", ""), _negated=True)
                    ),
                    models.Q(
                        models.Q(("scope", "meter"), _negated=True),
                        models.Q(("currency", ""), _negated=True),
                        ("unit", ""),
                    ),
                    _connector="OR",
                ),
                name="budget_of_amount_or_quantity",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("at_limit", "stop"), _negated=True),
                    ("scope", "application"),
                    _connector="OR",
                ),
                name="budget_stops_an_application",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetalert",
            constraint=models.UniqueConstraint(
                fields=("tenant", "budget", "month_start", "threshold", "limit"),
                name="budget_alert_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetrequest",
            constraint=models.UniqueConstraint(
                fields=("tenant", "alert"), name="budget_request_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("decided_at", None), ("state", "open")),
                    models.Q(
                        models.Q(("state", "open"), _negated=True), ("decided_at__isnull", False)
                    ),
                    _connector="OR",
                ),
                name="budget_request_open_or_decided",
            ),
        ),
        IsolateTable("Budget"),
        IsolateTable("BudgetAlert"),
        IsolateTable("BudgetRequest"),
    ]
