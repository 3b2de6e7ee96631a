import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import billing.core.collecting
import tenants.scope
from billing.migrations._triggers_0020 import TRIGGERS
from tenants.isolation import IsolateTable


class Migration(migrations.Migration):
    """Invoices are collected through a payment processor."""

    dependencies = [
        ("billing", "0019_counted"),
        ("tenants", "0005_scopes_of_webhooks_and_budgets"),
    ]

    operations = [
        migrations.CreateModel(
            name="PayingCustomer",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("processor_id", models.CharField(max_length=255)),
                (
                    "method_id",
                    models.CharField(
                        blank=True,
                        help_text="What invoices are paid with by themselves.",
                        max_length=255,
                    ),
                ),
                ("method_label", models.CharField(blank=True, max_length=80)),
                (
                    "customer",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.customer",
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
        ),
        migrations.CreateModel(
            name="PaymentAttempt",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveSmallIntegerField()),
                (
                    "way",
                    models.CharField(
                        choices=[
                            ("off_session", "By itself"),
                            ("saved", "By the customer, with a saved method"),
                            ("checkout", "By the customer, on the payment page"),
                        ],
                        max_length=12,
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=4, max_digits=54)),
                ("currency", models.CharField(max_length=3)),
                ("method_id", models.CharField(blank=True, max_length=255)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("created", "Created"),
                            ("submitted", "Submitted"),
                            ("requires_action", "Requires action"),
                            ("unknown", "Unknown"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                        ],
                        default="created",
                        max_length=16,
                    ),
                ),
                ("intent_id", models.CharField(blank=True, max_length=255)),
                ("session_id", models.CharField(blank=True, max_length=255)),
                (
                    "hand_over_url",
                    models.URLField(
                        blank=True, help_text="Where the customer confirms it.", max_length=2000
                    ),
                ),
                ("failure_code", models.CharField(blank=True, max_length=100)),
                ("failure_message", models.CharField(blank=True, max_length=500)),
                ("created_at", models.DateTimeField()),
                ("submitted_at", models.DateTimeField(null=True)),
                ("checked_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "invoice",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="attempts",
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
                "ordering": ["-created_at", "-number"],
            },
        ),
        migrations.CreateModel(
            name="ProcessorAccount",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("sealed_secret_key", models.TextField(editable=False)),
                ("sealed_webhook_secret", models.TextField(blank=True, editable=False)),
                (
                    "updated_at",
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
                "verbose_name": "Stripe account",
                "verbose_name_plural": "Stripe account",
            },
        ),
        migrations.CreateModel(
            name="ProcessorEvent",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("event_id", models.CharField(max_length=255)),
                ("type", models.CharField(max_length=100)),
                ("body", models.TextField()),
                ("received_at", models.DateTimeField()),
                ("handled_at", models.DateTimeField(null=True)),
                ("tries", models.PositiveIntegerField(default=0)),
                ("error", models.CharField(blank=True, max_length=500)),
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
                "verbose_name": "event from Stripe",
                "verbose_name_plural": "events from Stripe",
                "ordering": ["-received_at"],
            },
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveSmallIntegerField()),
                ("amount", models.DecimalField(decimal_places=4, max_digits=54)),
                ("currency", models.CharField(max_length=3)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("created", "Created"),
                            ("submitted", "Submitted"),
                            ("unknown", "Unknown"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                        ],
                        default="created",
                        max_length=10,
                    ),
                ),
                ("refund_id", models.CharField(blank=True, max_length=255)),
                ("failure_message", models.CharField(blank=True, max_length=500)),
                ("author", models.CharField(max_length=254)),
                ("created_at", models.DateTimeField()),
                ("submitted_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "note",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="refunds",
                        to="billing.invoice",
                    ),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="refunds",
                        to="billing.payment",
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
        migrations.RemoveConstraint(
            model_name="creditmovement",
            name="credit_movement_has_its_kind",
        ),
        migrations.RemoveConstraint(
            model_name="journalentry",
            name="journal_entry_kind",
        ),
        migrations.AddField(
            model_name="billingsettings",
            name="collects_automatically",
            field=models.BooleanField(
                default=True,
                help_text="Issued invoices are collected at once where the customer has saved a payment method.",
            ),
        ),
        migrations.AlterField(
            model_name="creditmovement",
            name="kind",
            field=models.CharField(
                choices=[
                    ("applied", "Applied to an invoice"),
                    ("returned", "Returned by a credit note"),
                    ("lapsed", "Lapsed with its expiry"),
                    ("voided", "Voided"),
                    ("refunded", "Refunded"),
                    ("refund_failed", "Back from a refund that failed"),
                ],
                max_length=14,
            ),
        ),
        migrations.AlterField(
            model_name="creditmovement",
            name="note",
            field=models.ForeignKey(
                db_constraint=False,
                help_text="The credit note that returned it, or for which it was refunded.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.invoice",
            ),
        ),
        migrations.AlterField(
            model_name="journalentry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("issued", "issued"),
                    ("payment", "payment"),
                    ("write_off", "write off"),
                    ("recovery", "recovery"),
                    ("surplus", "surplus"),
                    ("credit_granted", "credit granted"),
                    ("credit_applied", "credit applied"),
                    ("credit_returned", "credit returned"),
                    ("credit_lapsed", "credit lapsed"),
                    ("credit_voided", "credit voided"),
                    ("top_up", "top up"),
                    ("wallet_applied", "wallet applied"),
                    ("wallet_returned", "wallet returned"),
                    ("refunded", "refunded"),
                    ("refund_failed", "refund failed"),
                ],
                max_length=20,
            ),
        ),
        migrations.AddConstraint(
            model_name="creditmovement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("amount__gt", 0),
                        ("invoice__isnull", False),
                        ("kind", "applied"),
                        ("note__isnull", True),
                    ),
                    models.Q(
                        ("amount__lt", 0),
                        ("invoice__isnull", False),
                        ("kind", "returned"),
                        ("note__isnull", False),
                    ),
                    models.Q(
                        ("amount__gt", 0),
                        ("invoice__isnull", True),
                        ("kind__in", ["lapsed", "voided"]),
                        ("note__isnull", True),
                    ),
                    models.Q(
                        ("amount__gt", 0),
                        ("invoice__isnull", True),
                        ("kind", "refunded"),
                        ("note__isnull", False),
                    ),
                    models.Q(
                        ("amount__lt", 0),
                        ("invoice__isnull", True),
                        ("kind", "refund_failed"),
                        ("note__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="credit_movement_has_its_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="journalentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        [
                            "issued",
                            "payment",
                            "write_off",
                            "recovery",
                            "surplus",
                            "credit_granted",
                            "credit_applied",
                            "credit_returned",
                            "credit_lapsed",
                            "credit_voided",
                            "top_up",
                            "wallet_applied",
                            "wallet_returned",
                            "refunded",
                            "refund_failed",
                        ],
                    )
                ),
                name="journal_entry_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="payingcustomer",
            constraint=models.UniqueConstraint(
                fields=("tenant", "customer"), name="paying_customer_once"
            ),
        ),
        migrations.AddIndex(
            model_name="paymentattempt",
            index=models.Index(fields=["tenant", "intent_id"], name="payment_attempt_intent"),
        ),
        migrations.AddIndex(
            model_name="paymentattempt",
            index=models.Index(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            billing.core.collecting.State["CREATED"],
                            billing.core.collecting.State["REQUIRES_ACTION"],
                            billing.core.collecting.State["SUBMITTED"],
                            billing.core.collecting.State["UNKNOWN"],
                        ],
                    )
                ),
                fields=["tenant", "state", "checked_at"],
                name="payment_attempt_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentattempt",
            constraint=models.UniqueConstraint(
                fields=("tenant", "invoice", "number"), name="payment_attempt_number"
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentattempt",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            billing.core.collecting.State["CREATED"],
                            billing.core.collecting.State["REQUIRES_ACTION"],
                            billing.core.collecting.State["SUBMITTED"],
                            billing.core.collecting.State["UNKNOWN"],
                        ],
                    )
                ),
                fields=("tenant", "invoice"),
                name="payment_attempt_one_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentattempt",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="payment_attempt_of_something"
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentattempt",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("ended_at__isnull", True),
                        (
                            "state__in",
                            [
                                billing.core.collecting.State["CREATED"],
                                billing.core.collecting.State["REQUIRES_ACTION"],
                                billing.core.collecting.State["SUBMITTED"],
                                billing.core.collecting.State["UNKNOWN"],
                            ],
                        ),
                    ),
                    models.Q(
                        models.Q(
                            (
                                "state__in",
                                [
                                    billing.core.collecting.State["CREATED"],
                                    billing.core.collecting.State["REQUIRES_ACTION"],
                                    billing.core.collecting.State["SUBMITTED"],
                                    billing.core.collecting.State["UNKNOWN"],
                                ],
                            ),
                            _negated=True,
                        ),
                        ("ended_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="payment_attempt_ends_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="processoraccount",
            constraint=models.UniqueConstraint(fields=("tenant",), name="processor_account_once"),
        ),
        migrations.AddIndex(
            model_name="processorevent",
            index=models.Index(
                condition=models.Q(("handled_at__isnull", True)),
                fields=["tenant", "received_at"],
                name="processor_event_waiting",
            ),
        ),
        migrations.AddConstraint(
            model_name="processorevent",
            constraint=models.UniqueConstraint(
                fields=("tenant", "event_id"), name="processor_event_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.UniqueConstraint(
                fields=("tenant", "note", "number"), name="refund_number"
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="refund_of_something"
            ),
        ),
        *(
            IsolateTable(name)
            for name in (
                "ProcessorAccount",
                "PayingCustomer",
                "PaymentAttempt",
                "Refund",
                "ProcessorEvent",
            )
        ),
        *(migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in TRIGGERS),
    ]
