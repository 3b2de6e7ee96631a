"""The database counts invoices while they become many at once, and not up to a minute later."""

from django.db import migrations

# Only the owner may have a table counted. Once it is large, plans do not hang on how large.
CREATE = """
CREATE FUNCTION billing_count_new_invoices()
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    counted integer := relpages FROM pg_class WHERE oid = 'public.billing_invoice'::regclass;
    pages bigint := pg_relation_size('public.billing_invoice')
        / current_setting('block_size')::integer;
BEGIN
    IF counted < 1000 AND pages > 2 * counted THEN
        ANALYZE (SKIP_LOCKED) public.billing_invoice;
    END IF;
END $$;
REVOKE ALL ON FUNCTION billing_count_new_invoices FROM public;
GRANT EXECUTE ON FUNCTION billing_count_new_invoices TO hostmeter_app;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0018_accepted_late_usage")]

    operations = [
        migrations.RunSQL(CREATE, "DROP FUNCTION billing_count_new_invoices()"),
    ]
