from django.db import migrations, models


class Migration(migrations.Migration):
    """A customer's own key may read its webhook endpoints and budgets."""

    dependencies = [("tenants", "0004_webhooks")]

    operations = [
        migrations.RemoveConstraint("apikey", "api_key_of_a_customer_reads"),
        migrations.AddConstraint(
            "apikey",
            models.CheckConstraint(
                condition=models.Q(customer__isnull=True)
                | models.Q(
                    scopes__contained_by=[
                        "applications:read",
                        "budgets:read",
                        "credit:read",
                        "customers:read",
                        "invoices:read",
                        "plans:read",
                        "subscriptions:read",
                        "usage:read",
                        "webhooks:read",
                    ]
                ),
                name="api_key_of_a_customer_reads",
            ),
        ),
    ]
