import django.db.models.deletion
from django.db import migrations, models

import tenants.scope

# Looked at once a statement, not once a line: closing writes thousands of lines in one.
KEEP_LINES = """
DROP TRIGGER finalized_is_immutable ON billing_invoiceline;
CREATE FUNCTION billing_keep_finalized_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM billing_invoice i
        WHERE (i.tenant_id, i.id) IN (SELECT DISTINCT tenant_id, invoice_id FROM changed)
        ORDER BY i.id FOR SHARE;
    IF TG_OP = 'UPDATE' THEN
        PERFORM FROM billing_invoice i
            WHERE (i.tenant_id, i.id) IN (SELECT DISTINCT tenant_id, invoice_id FROM before)
            ORDER BY i.id FOR SHARE;
        IF EXISTS (SELECT FROM billing_invoice i
                   WHERE (i.tenant_id, i.id) IN (SELECT tenant_id, invoice_id FROM before)
                     AND i.finalized_at IS NOT NULL) THEN
            RAISE EXCEPTION 'the invoice is finalized and cannot change'
                USING ERRCODE = 'integrity_constraint_violation',
                    CONSTRAINT = 'finalized_is_immutable';
        END IF;
    END IF;
    IF EXISTS (SELECT FROM billing_invoice i
               WHERE (i.tenant_id, i.id) IN (SELECT tenant_id, invoice_id FROM changed)
                 AND i.finalized_at IS NOT NULL) THEN
        RAISE EXCEPTION 'the invoice is finalized and cannot change'
            USING ERRCODE = 'integrity_constraint_violation',
                CONSTRAINT = 'finalized_is_immutable';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER finalized_is_immutable AFTER INSERT ON billing_invoiceline
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_finalized_lines();
CREATE TRIGGER finalized_is_immutable_updated AFTER UPDATE ON billing_invoiceline
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_finalized_lines();
CREATE TRIGGER finalized_is_immutable_deleted AFTER DELETE ON billing_invoiceline
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_finalized_lines();
"""

KEEP_EACH_LINE = """
DROP TRIGGER finalized_is_immutable ON billing_invoiceline;
DROP TRIGGER finalized_is_immutable_updated ON billing_invoiceline;
DROP TRIGGER finalized_is_immutable_deleted ON billing_invoiceline;
DROP FUNCTION billing_keep_finalized_lines();
CREATE TRIGGER finalized_is_immutable BEFORE INSERT OR UPDATE OR DELETE ON billing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION billing_keep_finalized_part();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0011_runs"),
        ("tenants", "0003_api_access"),
    ]

    operations = [
        migrations.AlterField(
            model_name="invoiceline",
            name="invoice",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="lines",
                to="billing.invoice",
            ),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="tenant",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                default=tenants.scope.current_tenant_id,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
            ),
        ),
        migrations.RunSQL(KEEP_LINES, KEEP_EACH_LINE),
    ]
