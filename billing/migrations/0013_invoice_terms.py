import uuid

import django.db.models.deletion
from django.db import migrations, models

import tenants.scope
from tenants.isolation import IsolateTable

# The terms are a part of the document, like its lines: none is added or changed once it is issued.
KEEP = """
CREATE TRIGGER finalized_is_immutable BEFORE INSERT OR UPDATE OR DELETE ON billing_invoiceterms
    FOR EACH ROW EXECUTE FUNCTION billing_keep_finalized_part();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0012_bulk_lines"),
        ("tenants", "0003_api_access"),
    ]

    operations = [
        migrations.CreateModel(
            name="InvoiceTerms",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("body", models.JSONField()),
                (
                    "invoice",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="terms",
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
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "invoice"), name="invoice_terms_once")
                ],
            },
        ),
        IsolateTable("InvoiceTerms"),
        migrations.RunSQL(KEEP, migrations.RunSQL.noop),
    ]
