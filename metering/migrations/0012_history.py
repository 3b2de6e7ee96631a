import re
import uuid

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import pghistory.utils
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

import metering.control_models
import tenants.scope
from tenants.isolation import IsolateTable


class Migration(migrations.Migration):
    """Each change of these is kept, with who made it and why."""

    dependencies = [
        ("metering", "0011_allocation_failures"),
        ("tenants", "0007_history"),
    ]

    operations = [
        migrations.CreateModel(
            name="AgentSettingsChange",
            fields=[
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("pgh_id", models.BigAutoField(primary_key=True, serialize=False)),
                ("pgh_context", pghistory.utils.JSONField(null=True)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
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
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
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
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="metering.host",
                    ),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.agentsettings",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        default=tenants.scope.current_tenant_id,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="AssignmentChange",
            fields=[
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("pgh_id", models.BigAutoField(primary_key=True, serialize=False)),
                ("pgh_context", pghistory.utils.JSONField(null=True)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                (
                    "application",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="metering.application",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.customer",
                    ),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.assignment",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        default=tenants.scope.current_tenant_id,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="HostChange",
            fields=[
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("pgh_id", models.BigAutoField(primary_key=True, serialize=False)),
                ("pgh_context", pghistory.utils.JSONField(null=True)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                (
                    "name",
                    models.CharField(
                        max_length=200,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\x00-\\x1f\\x7f-\\x9f]+$", "No control characters."
                            )
                        ],
                    ),
                ),
                (
                    "enrolled_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "generated",
                    models.BooleanField(
                        default=False,
                        editable=False,
                        help_text="Made by the demo; no machine stands behind it.",
                    ),
                ),
                (
                    "retired_at",
                    models.DateTimeField(
                        editable=False,
                        help_text="Out of service since then: its keys are revoked, and nobody waits for it.",
                        null=True,
                    ),
                ),
                (
                    "region",
                    models.CharField(
                        blank=True,
                        help_text="Where it stands; a price can differ by it.",
                        max_length=60,
                    ),
                ),
                (
                    "host_class",
                    models.CharField(
                        blank=True,
                        help_text="What kind of machine; a price can differ by it.",
                        max_length=60,
                    ),
                ),
                (
                    "enrolled_with",
                    models.ForeignKey(
                        db_constraint=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.enrolmenttoken",
                    ),
                ),
                (
                    "environment",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.environment",
                    ),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.host",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        default=tenants.scope.current_tenant_id,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="HostKeyChange",
            fields=[
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("pgh_id", models.BigAutoField(primary_key=True, serialize=False)),
                ("pgh_context", pghistory.utils.JSONField(null=True)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                ("key_id", models.CharField(editable=False, max_length=100)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "confirmed_at",
                    models.DateTimeField(
                        editable=False,
                        help_text="When a key that replaces another was first used.",
                        null=True,
                    ),
                ),
                ("expires_at", models.DateTimeField(editable=False, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "host",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="metering.host",
                    ),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.hostkey",
                    ),
                ),
                (
                    "replaces",
                    models.ForeignKey(
                        db_constraint=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="metering.hostkey",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        default=tenants.scope.current_tenant_id,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="agentsettings",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "metering_agentsettingschange" ("environment_id", "host_id", "id", "key_rotation_days", "minimum_agent_version", "minimum_version_by", "own_cgroups", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "probes_off", "rules", "scrape_interval_seconds", "tenant_id") VALUES (NEW."environment_id", NEW."host_id", NEW."id", NEW."key_rotation_days", NEW."minimum_agent_version", NEW."minimum_version_by", NEW."own_cgroups", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'insert\', NEW."id", NEW."probes_off", NEW."rules", NEW."scrape_interval_seconds", NEW."tenant_id"); RETURN NULL;',
                    hash="4222a88918a454441cc729f375710bfe2b8becfc",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_694b6",
                    table="metering_agentsettings",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="agentsettings",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "metering_agentsettingschange" ("environment_id", "host_id", "id", "key_rotation_days", "minimum_agent_version", "minimum_version_by", "own_cgroups", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "probes_off", "rules", "scrape_interval_seconds", "tenant_id") VALUES (NEW."environment_id", NEW."host_id", NEW."id", NEW."key_rotation_days", NEW."minimum_agent_version", NEW."minimum_version_by", NEW."own_cgroups", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', NEW."id", NEW."probes_off", NEW."rules", NEW."scrape_interval_seconds", NEW."tenant_id"); RETURN NULL;',
                    hash="8a583872f829641882fe9c380289ed91402921dd",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_42307",
                    table="metering_agentsettings",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="agentsettings",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "metering_agentsettingschange" ("environment_id", "host_id", "id", "key_rotation_days", "minimum_agent_version", "minimum_version_by", "own_cgroups", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "probes_off", "rules", "scrape_interval_seconds", "tenant_id") VALUES (OLD."environment_id", OLD."host_id", OLD."id", OLD."key_rotation_days", OLD."minimum_agent_version", OLD."minimum_version_by", OLD."own_cgroups", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."probes_off", OLD."rules", OLD."scrape_interval_seconds", OLD."tenant_id"); RETURN NULL;',
                    hash="fe816185f569730f7b174e6b5f307458acae93be",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_6ff2d",
                    table="metering_agentsettings",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="assignment",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "metering_assignmentchange" ("application_id", "customer_id", "ends_at", "id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "starts_at", "tenant_id") VALUES (NEW."application_id", NEW."customer_id", NEW."ends_at", NEW."id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'insert\', NEW."id", NEW."starts_at", NEW."tenant_id"); RETURN NULL;',
                    hash="43869e9c3fdd9b6a5ae389acc84d39dfcd27ba85",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_48f7c",
                    table="metering_assignment",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="assignment",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "metering_assignmentchange" ("application_id", "customer_id", "ends_at", "id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "starts_at", "tenant_id") VALUES (NEW."application_id", NEW."customer_id", NEW."ends_at", NEW."id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', NEW."id", NEW."starts_at", NEW."tenant_id"); RETURN NULL;',
                    hash="41aee360a716122565bf2e28cf90124dbd537d05",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_ea6f9",
                    table="metering_assignment",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="assignment",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "metering_assignmentchange" ("application_id", "customer_id", "ends_at", "id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "starts_at", "tenant_id") VALUES (OLD."application_id", OLD."customer_id", OLD."ends_at", OLD."id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."starts_at", OLD."tenant_id"); RETURN NULL;',
                    hash="c6ebdaea60ca8af70781ea1a1a4cde66307f1775",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_94eb5",
                    table="metering_assignment",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="host",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "metering_hostchange" ("enrolled_at", "enrolled_with_id", "environment_id", "generated", "host_class", "id", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "region", "retired_at", "tenant_id") VALUES (NEW."enrolled_at", NEW."enrolled_with_id", NEW."environment_id", NEW."generated", NEW."host_class", NEW."id", NEW."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'insert\', NEW."id", NEW."region", NEW."retired_at", NEW."tenant_id"); RETURN NULL;',
                    hash="21065e2d8a201955cc7157b0d875817fe573a6d3",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_3a54a",
                    table="metering_host",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="host",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."enrolled_at" IS DISTINCT FROM (NEW."enrolled_at") OR OLD."enrolled_with_id" IS DISTINCT FROM (NEW."enrolled_with_id") OR OLD."environment_id" IS DISTINCT FROM (NEW."environment_id") OR OLD."generated" IS DISTINCT FROM (NEW."generated") OR OLD."host_class" IS DISTINCT FROM (NEW."host_class") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."region" IS DISTINCT FROM (NEW."region") OR OLD."retired_at" IS DISTINCT FROM (NEW."retired_at") OR OLD."tenant_id" IS DISTINCT FROM (NEW."tenant_id"))',
                    func='INSERT INTO "metering_hostchange" ("enrolled_at", "enrolled_with_id", "environment_id", "generated", "host_class", "id", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "region", "retired_at", "tenant_id") VALUES (NEW."enrolled_at", NEW."enrolled_with_id", NEW."environment_id", NEW."generated", NEW."host_class", NEW."id", NEW."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', NEW."id", NEW."region", NEW."retired_at", NEW."tenant_id"); RETURN NULL;',
                    hash="0c275ef091551b23642bbc5ce35317279a3a13e4",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_8ab5d",
                    table="metering_host",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="host",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "metering_hostchange" ("enrolled_at", "enrolled_with_id", "environment_id", "generated", "host_class", "id", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "region", "retired_at", "tenant_id") VALUES (OLD."enrolled_at", OLD."enrolled_with_id", OLD."environment_id", OLD."generated", OLD."host_class", OLD."id", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."region", OLD."retired_at", OLD."tenant_id"); RETURN NULL;',
                    hash="a77c29128f2f435e376c82c907128c2742e0ed1e",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_1057b",
                    table="metering_host",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="hostkey",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "metering_hostkeychange" ("confirmed_at", "created_at", "expires_at", "host_id", "id", "key_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "replaces_id", "revoked_at", "tenant_id") VALUES (NEW."confirmed_at", NEW."created_at", NEW."expires_at", NEW."host_id", NEW."id", NEW."key_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'insert\', NEW."id", NEW."replaces_id", NEW."revoked_at", NEW."tenant_id"); RETURN NULL;',
                    hash="3dd3eb33a03a44fa635d92673adf7f6e1a377c19",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_fb48c",
                    table="metering_hostkey",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="hostkey",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."confirmed_at" IS DISTINCT FROM (NEW."confirmed_at") OR OLD."created_at" IS DISTINCT FROM (NEW."created_at") OR OLD."expires_at" IS DISTINCT FROM (NEW."expires_at") OR OLD."host_id" IS DISTINCT FROM (NEW."host_id") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."key_id" IS DISTINCT FROM (NEW."key_id") OR OLD."replaces_id" IS DISTINCT FROM (NEW."replaces_id") OR OLD."revoked_at" IS DISTINCT FROM (NEW."revoked_at") OR OLD."tenant_id" IS DISTINCT FROM (NEW."tenant_id"))',
                    func='INSERT INTO "metering_hostkeychange" ("confirmed_at", "created_at", "expires_at", "host_id", "id", "key_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "replaces_id", "revoked_at", "tenant_id") VALUES (NEW."confirmed_at", NEW."created_at", NEW."expires_at", NEW."host_id", NEW."id", NEW."key_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', NEW."id", NEW."replaces_id", NEW."revoked_at", NEW."tenant_id"); RETURN NULL;',
                    hash="d952f82504819f1c41f4fd83e43c6605951e5a9a",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_cc642",
                    table="metering_hostkey",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="hostkey",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "metering_hostkeychange" ("confirmed_at", "created_at", "expires_at", "host_id", "id", "key_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "replaces_id", "revoked_at", "tenant_id") VALUES (OLD."confirmed_at", OLD."created_at", OLD."expires_at", OLD."host_id", OLD."id", OLD."key_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."replaces_id", OLD."revoked_at", OLD."tenant_id"); RETURN NULL;',
                    hash="71ab084dcaeef40c19165a407f4d8be741c5ea12",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_665a6",
                    table="metering_hostkey",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="agentsettingschange",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="53866d4e7049bf164f0ded805f33d5766f86f802",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_3a2e8",
                    table="metering_agentsettingschange",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="assignmentchange",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="c0a9d61bf7af730b2f8ee09184a8a7112bb790f6",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_11fa7",
                    table="metering_assignmentchange",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="hostchange",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="2ecdbcda8c3652cdee78be62d1eea6fd8efca670",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_1d09b",
                    table="metering_hostchange",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="hostkeychange",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="622913770838ee8f277b8bf5e9d1fdb732bc6282",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_4ca75",
                    table="metering_hostkeychange",
                    when="BEFORE",
                ),
            ),
        ),
        IsolateTable("HostChange", references=False),
        IsolateTable("HostKeyChange", references=False),
        IsolateTable("AssignmentChange", references=False),
        IsolateTable("AgentSettingsChange", references=False),
    ]
