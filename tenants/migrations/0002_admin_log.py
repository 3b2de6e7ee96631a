from django.db import migrations

from tenants.isolation import close_statements


class Migration(migrations.Migration):
    """The admin's log names a tenant's rows, so it is closed like them."""

    dependencies = [("tenants", "0001_initial"), ("admin", "0003_logentry_add_action_flag_choices")]

    operations = [
        migrations.RunSQL(
            [
                "ALTER TABLE django_admin_log ADD COLUMN tenant_id uuid DEFAULT hostmeter_tenant()",
                *close_statements(
                    "django_admin_log",
                    condition="tenant_id IS NOT DISTINCT FROM hostmeter_tenant()",
                ),
            ],
            migrations.RunSQL.noop,
        ),
    ]
