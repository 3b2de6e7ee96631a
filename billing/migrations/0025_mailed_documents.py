from django.db import migrations, models


class Migration(migrations.Migration):
    """A tenant says whether documents go out by e-mail."""

    dependencies = [("billing", "0024_reviews")]

    operations = [
        migrations.AddField(
            "billingsettings",
            "mails_documents",
            models.BooleanField(
                default=True,
                help_text="Invoices and notes are sent when they are issued, and receipts when they are paid.",
                verbose_name="send documents by e-mail",
            ),
        ),
    ]
