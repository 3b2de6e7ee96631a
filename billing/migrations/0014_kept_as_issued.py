import uuid

import django.db.models.deletion
from django.db import migrations, models
from django.db.models.fields.json import KeyTextTransform

import billing.models.fields
import tenants.scope
from tenants.isolation import IsolateTable

# Issued documents show a logo by its digest.
KEEP_LOGOS = """
CREATE FUNCTION billing_keep_logo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'documents show the logo %, so it cannot change', left(OLD.digest, 12)
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'logo_is_immutable';
END $$;
CREATE TRIGGER logo_is_immutable BEFORE UPDATE OR DELETE ON billing_logo
    FOR EACH ROW EXECUTE FUNCTION billing_keep_logo();
"""
FREE_LOGOS = """
DROP TRIGGER logo_is_immutable ON billing_logo;
DROP FUNCTION billing_keep_logo();
"""

# A discount that stands on an issued invoice, or on a note of one, can only be ended, or its end
# moved, and not in a way that an issued period of its subject would have it, or not have it, then.
# Finalizing holds the customer FOR NO KEY UPDATE and the plan FOR SHARE, so one that is under way is
# waited for; the questions are statements of their own, which see what it has committed.
KEEP_DISCOUNTS = """
CREATE FUNCTION billing_keep_invoiced_discount() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved tstzrange;
    subject uuid := OLD.customer_id;
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) = to_jsonb(NEW) THEN
        RETURN NEW;
    END IF;
    IF OLD.subscription_id IS NOT NULL THEN
        SELECT s.customer_id INTO subject FROM billing_subscription s
            WHERE s.tenant_id = OLD.tenant_id AND s.id = OLD.subscription_id;
    END IF;
    PERFORM FROM tenants_customer c
        WHERE c.tenant_id = OLD.tenant_id AND c.id = subject FOR SHARE;
    PERFORM FROM billing_plan p
        WHERE p.tenant_id = OLD.tenant_id AND p.id = OLD.plan_id FOR UPDATE;
    IF NOT EXISTS (
        SELECT FROM billing_invoiceline l
        JOIN billing_invoice i ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id
        WHERE l.tenant_id = OLD.tenant_id AND l.kind IN ('discount', 'late_usage')
          AND l.facts ->> 'discount' = OLD.id::text AND i.finalized_at IS NOT NULL
    ) THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'issued invoices have the discount, so it can only be ended'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'discount_is_invoiced';
    END IF;
    IF to_jsonb(OLD) - 'ends_at' <> to_jsonb(NEW) - 'ends_at' THEN
        RAISE EXCEPTION 'issued invoices have the discount, so it can only be ended'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'discount_is_invoiced';
    END IF;
    moved := tstzrange(
        least(OLD.ends_at, NEW.ends_at),
        CASE WHEN OLD.ends_at IS NOT NULL AND NEW.ends_at IS NOT NULL
            THEN greatest(OLD.ends_at, NEW.ends_at) END);
    IF EXISTS (
        SELECT FROM billing_invoice i
        JOIN billing_subscription s ON s.tenant_id = i.tenant_id AND s.id = i.subscription_id
        WHERE i.tenant_id = OLD.tenant_id AND i.kind = 'invoice' AND i.finalized_at IS NOT NULL
          AND i.period_start <@ moved
          AND (i.customer_id = OLD.customer_id OR i.subscription_id = OLD.subscription_id
               OR s.plan_id = OLD.plan_id)
    ) THEN
        RAISE EXCEPTION 'periods between the old end and the new one are invoiced and finalized'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'discount_is_invoiced';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoiced_discount_stays BEFORE UPDATE OR DELETE ON billing_discount
    FOR EACH ROW EXECUTE FUNCTION billing_keep_invoiced_discount();
"""
FREE_DISCOUNTS = """
DROP TRIGGER invoiced_discount_stays ON billing_discount;
DROP FUNCTION billing_keep_invoiced_discount();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0013_invoice_terms"),
        ("tenants", "0003_api_access"),
    ]

    operations = [
        migrations.CreateModel(
            name="Logo",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "digest",
                    models.CharField(
                        help_text="SHA-256 of the SVG, in hexadecimal.", max_length=64
                    ),
                ),
                ("svg", models.TextField()),
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
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "digest"), name="logo_once")
                ],
            },
        ),
        IsolateTable("Logo"),
        migrations.RunSQL(KEEP_LOGOS, FREE_LOGOS),
        migrations.AlterField(
            model_name="billingsettings",
            name="logo_svg",
            field=billing.models.fields.LogoField(
                blank=True, max_length=200000, verbose_name="logo, as SVG"
            ),
        ),
        migrations.AddIndex(
            model_name="invoiceline",
            index=models.Index(
                models.F("tenant"),
                KeyTextTransform("discount", "facts"),
                condition=models.Q(("kind__in", ["discount", "late_usage"])),
                name="invoice_line_of_discount",
            ),
        ),
        migrations.RunSQL(KEEP_DISCOUNTS, FREE_DISCOUNTS),
    ]
