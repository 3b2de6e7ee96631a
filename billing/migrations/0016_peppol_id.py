from django.core.validators import RegexValidator
from django.db import migrations, models


def peppol_id() -> models.Field:
    return models.CharField(
        "Peppol id",
        max_length=60,
        blank=True,
        validators=[
            RegexValidator(
                r"^[0-9]{4}:\S+\Z", "Write the scheme and the identifier: 0184:12345678."
            )
        ],
        help_text="Where electronic invoices reach it, as scheme:identifier. Left empty, it is "
        "made of the VAT id.",
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_kept_as_issued")]

    operations = [
        migrations.AddField("billingsettings", "peppol_id", peppol_id()),
        migrations.AddField("billingdetails", "peppol_id", peppol_id()),
    ]
