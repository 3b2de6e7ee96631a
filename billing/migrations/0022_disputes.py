import uuid

import django.db.models.deletion
from django.db import migrations, models

import tenants.scope
from tenants.isolation import IsolateTable

# A dispute begins open, goes as core/disputes.py says, and contests a line of its own issued
# invoice. What was contested stays; once it has ended only the note that it led to may be named.
KEEP_DISPUTES = """
CREATE FUNCTION billing_keep_dispute() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    happens CONSTANT text[] := ARRAY[
        'status', 'changed_at', 'outcome', 'upheld', 'ended_at', 'ended_by', 'note_id', 'grant_id'];
    settles CONSTANT text[] := ARRAY['note_id', 'changed_at'];
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a dispute is kept'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'dispute_is_kept';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'open' THEN
            RAISE EXCEPTION 'a dispute begins open, not %', NEW.status
                USING ERRCODE = 'integrity_constraint_violation',
                    CONSTRAINT = 'dispute_begins_open';
        END IF;
        IF NOT EXISTS (
            SELECT FROM billing_invoiceline l
            JOIN billing_invoice i ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id
            WHERE l.tenant_id = NEW.tenant_id AND l.id = NEW.line_id
              AND i.id = NEW.invoice_id AND i.finalized_at IS NOT NULL
        ) THEN
            RAISE EXCEPTION 'the line is none of an issued invoice that is disputed'
                USING ERRCODE = 'integrity_constraint_violation',
                    CONSTRAINT = 'dispute_of_issued_line';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.status <> NEW.status AND NOT (OLD.status || ' ' || NEW.status) = ANY (ARRAY[
        'open answered', 'open resolved', 'open withdrawn',
        'answered open', 'answered resolved', 'answered withdrawn'
    ]) THEN
        RAISE EXCEPTION 'a dispute does not go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'dispute_transition';
    END IF;
    IF to_jsonb(OLD) - happens IS DISTINCT FROM to_jsonb(NEW) - happens
        OR (OLD.status IN ('resolved', 'withdrawn')
            AND to_jsonb(OLD) - settles IS DISTINCT FROM to_jsonb(NEW) - settles) THEN
        RAISE EXCEPTION 'what was contested and decided stays'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'dispute_is_kept';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER dispute_life BEFORE INSERT OR UPDATE OR DELETE ON billing_dispute
    FOR EACH ROW EXECUTE FUNCTION billing_keep_dispute();

CREATE FUNCTION billing_keep_dispute_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was said in a dispute stays'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'dispute_message_is_kept';
END $$;
CREATE TRIGGER dispute_message_is_kept BEFORE UPDATE OR DELETE ON billing_disputemessage
    FOR EACH ROW EXECUTE FUNCTION billing_keep_dispute_message();
"""
FREE_DISPUTES = """
DROP TRIGGER dispute_message_is_kept ON billing_disputemessage;
DROP FUNCTION billing_keep_dispute_message();
DROP TRIGGER dispute_life ON billing_dispute;
DROP FUNCTION billing_keep_dispute();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0021_budgets"),
        ("tenants", "0005_scopes_of_webhooks_and_budgets"),
    ]

    operations = [
        migrations.CreateModel(
            name="Dispute",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("quantity", "The usage is not what we used"),
                            ("price", "The price is not what we agreed on"),
                            ("twice", "It is charged twice"),
                            ("not_ours", "The application is not ours"),
                            ("service", "The service did not work in that time"),
                            ("other", "Something else"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=4,
                        help_text="What is contested: the line with its tax.",
                        max_digits=54,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("answered", "Answered"),
                            ("resolved", "Resolved"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="open",
                        max_length=10,
                    ),
                ),
                (
                    "opened_by",
                    models.CharField(
                        help_text="Who contests it, as they signed in.", max_length=254
                    ),
                ),
                ("opened_at", models.DateTimeField()),
                (
                    "changed_at",
                    models.DateTimeField(help_text="When something was last said or decided."),
                ),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("upheld", "Upheld"),
                            ("upheld_in_part", "Upheld in part"),
                            ("rejected", "Rejected"),
                        ],
                        max_length=14,
                    ),
                ),
                (
                    "upheld",
                    models.DecimalField(
                        decimal_places=4,
                        help_text="What of the contested amount the customer is right about, with tax.",
                        max_digits=54,
                        null=True,
                        verbose_name="upheld amount",
                    ),
                ),
                ("ended_at", models.DateTimeField(null=True)),
                ("ended_by", models.CharField(blank=True, max_length=254)),
                (
                    "grant",
                    models.ForeignKey(
                        db_constraint=False,
                        help_text="The credit that an upheld dispute led to.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="settles",
                        to="billing.creditgrant",
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="billing.invoice",
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="disputes",
                        to="billing.invoiceline",
                    ),
                ),
                (
                    "note",
                    models.ForeignKey(
                        db_constraint=False,
                        help_text="The note on the invoice that an upheld dispute led to.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="settles",
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
                "ordering": ["-opened_at"],
            },
        ),
        migrations.CreateModel(
            name="DisputeMessage",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "side",
                    models.CharField(
                        choices=[("customer", "Customer"), ("operator", "Operator")], max_length=8
                    ),
                ),
                ("author", models.CharField(max_length=254)),
                ("words", models.TextField(max_length=4000)),
                ("written_at", models.DateTimeField()),
                (
                    "dispute",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="messages",
                        to="billing.dispute",
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
                "ordering": ["written_at", "id"],
            },
        ),
        migrations.AddIndex(
            model_name="dispute",
            index=models.Index(fields=["tenant", "invoice"], name="dispute_invoice"),
        ),
        migrations.AddIndex(
            model_name="dispute",
            index=models.Index(fields=["tenant", "status", "opened_at"], name="dispute_status"),
        ),
        migrations.AddConstraint(
            model_name="dispute",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["answered", "open"])),
                fields=("tenant", "line"),
                name="dispute_once_pending",
            ),
        ),
        migrations.AddConstraint(
            model_name="dispute",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("ended_at__isnull", False),
                        ("status", "resolved"),
                        ("upheld__isnull", False),
                        models.Q(("outcome", ""), _negated=True),
                    ),
                    models.Q(
                        models.Q(("status", "resolved"), _negated=True),
                        ("outcome", ""),
                        ("upheld__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="dispute_resolved_with_outcome",
            ),
        ),
        migrations.AddIndex(
            model_name="disputemessage",
            index=models.Index(fields=["tenant", "dispute", "written_at"], name="dispute_thread"),
        ),
        IsolateTable("Dispute"),
        IsolateTable("DisputeMessage"),
        migrations.RunSQL(KEEP_DISPUTES, FREE_DISPUTES),
    ]
