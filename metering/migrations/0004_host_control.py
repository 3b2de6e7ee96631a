import re
import uuid

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import metering.control_models
import tenants.scope
from tenants.isolation import IsolateTable

REPLACES = """
ALTER TABLE metering_hostkey ADD CONSTRAINT metering_hostkey_replaces_id_fk
    FOREIGN KEY (tenant_id, replaces_id) REFERENCES metering_hostkey (tenant_id, id)
    ON DELETE SET NULL (replaces_id) DEFERRABLE INITIALLY DEFERRED
"""


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0003_measurements"),
        ("tenants", "0002_admin_log"),
    ]

    operations = [
        migrations.AddField(
            model_name="host",
            name="clock_skew_ms",
            field=models.IntegerField(
                editable=False,
                help_text="How far its clock was ahead of ours at its last push (behind: negative).",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="hostkey",
            name="confirmed_at",
            field=models.DateTimeField(
                editable=False,
                help_text="When a key that replaces another was first used.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="hostkey",
            name="expires_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="hostkey",
            name="replaces",
            field=models.ForeignKey(
                db_constraint=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                to="metering.hostkey",
            ),
        ),
        migrations.CreateModel(
            name="AgentSettings",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "scrape_interval_seconds",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="How often an agent measures. Empty: as the environment's policy says.",
                        null=True,
                        validators=[metering.control_models.validate_interval],
                    ),
                ),
                (
                    "own_cgroups",
                    models.BooleanField(
                        blank=True,
                        help_text="Whether the agent may put the processes that a rule matches into cgroups that it makes. Short processes are then metered exactly.",
                        null=True,
                        verbose_name="cgroups of its own",
                    ),
                ),
                (
                    "probes_off",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text='As a list: ["network", "users"].',
                        validators=[metering.control_models.validate_probes],
                        verbose_name="probes switched off",
                    ),
                ),
                (
                    "key_rotation_days",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="A host makes itself a new key when its own is this old. Empty: 90 days.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(3650),
                        ],
                    ),
                ),
                (
                    "minimum_agent_version",
                    models.CharField(
                        blank=True,
                        max_length=27,
                        validators=[
                            django.core.validators.RegexValidator(
                                re.compile("[0-9]{1,6}(\\.[0-9]{1,6}){0,3}\\Z"),
                                "Write a version as 1.4 or 1.4.2.",
                            )
                        ],
                    ),
                ),
                (
                    "minimum_version_by",
                    models.DateTimeField(
                        blank=True,
                        help_text="By when the agents have to have that version.",
                        null=True,
                    ),
                ),
                (
                    "rules",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text='As the [[application]] tables of the agent\'s file, in JSON: [{"name": "mail", "process": "postfix*"}]. The first that matches wins.',
                        validators=[metering.control_models.validate_rules],
                        verbose_name="application rules",
                    ),
                ),
                (
                    "environment",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="For the hosts of one environment.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="tenants.environment",
                    ),
                ),
                (
                    "host",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="For one host. With neither, these are for every host.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="metering.host",
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
                "verbose_name": "agent settings",
                "verbose_name_plural": "agent settings",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "environment", "host"),
                        name="agent_settings_once",
                        nulls_distinct=False,
                        violation_error_message="There are settings for these hosts already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("environment__isnull", True), ("host__isnull", True), _connector="OR"
                        ),
                        name="agent_settings_one_scope",
                        violation_error_message="Choose an environment or a host, not both.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AppliedState",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "etag",
                    models.CharField(help_text="Of the state that it fetched last.", max_length=80),
                ),
                ("refused", models.BooleanField(help_text="It works on with what it had before.")),
                ("agent_version", models.CharField(max_length=40)),
                ("errors", models.JSONField(default=list)),
                (
                    "probes",
                    models.JSONField(default=dict, help_text="What each probe says of itself."),
                ),
                ("applied_at", models.DateTimeField(help_text="By the host's clock.")),
                ("reported_at", models.DateTimeField()),
                (
                    "host",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="applied",
                        to="metering.host",
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
                    models.UniqueConstraint(fields=("tenant", "host"), name="applied_state_once")
                ],
            },
        ),
        migrations.RunSQL(REPLACES, migrations.RunSQL.noop),
        IsolateTable("AgentSettings"),
        IsolateTable("AppliedState"),
    ]
