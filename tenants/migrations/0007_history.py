import uuid

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import pghistory.utils
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

import tenants.models
import tenants.scope
from tenants.isolation import IsolateTable

# Contexts stand with each change; the table that pghistory brings for them stays empty and shut.
CLOSED = """
ALTER TABLE pghistory_context ENABLE ROW LEVEL SECURITY;
ALTER TABLE pghistory_context FORCE ROW LEVEL SECURITY;
"""


class Migration(migrations.Migration):
    """Each change of these is kept, with who made it and why."""

    dependencies = [
        ("tenants", "0006_environment_configuration"),
        ("pghistory", "0007_auto_20250421_0444"),
    ]

    operations = [
        migrations.CreateModel(
            name="ApiKeyChange",
            fields=[
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("pgh_id", models.BigAutoField(primary_key=True, serialize=False)),
                ("pgh_context", pghistory.utils.JSONField(null=True)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                ("name", models.CharField(max_length=120)),
                ("prefix", models.CharField(default="", editable=False, max_length=12)),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=32), default=list, size=50
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "customer",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
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
                        to="tenants.apikey",
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
            name="CustomerChange",
            fields=[
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("pgh_id", models.BigAutoField(primary_key=True, serialize=False)),
                ("pgh_context", pghistory.utils.JSONField(null=True)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                ("name", models.CharField(max_length=120)),
                (
                    "reference",
                    models.SlugField(
                        db_index=False,
                        help_text="Your own customer number or short name.",
                        max_length=60,
                    ),
                ),
                (
                    "time_zone",
                    models.CharField(
                        default="UTC", max_length=64, validators=[tenants.models.validate_time_zone]
                    ),
                ),
                (
                    "generated",
                    models.BooleanField(
                        default=False,
                        editable=False,
                        help_text="Made by the demo, not a real customer.",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.customer",
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
            name="EnrolmentTokenChange",
            fields=[
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("pgh_id", models.BigAutoField(primary_key=True, serialize=False)),
                ("pgh_context", pghistory.utils.JSONField(null=True)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(editable=False, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
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
                        to="tenants.enrolmenttoken",
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
            name="EnvironmentChange",
            fields=[
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("pgh_id", models.BigAutoField(primary_key=True, serialize=False)),
                ("pgh_context", pghistory.utils.JSONField(null=True)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                (
                    "name",
                    models.CharField(
                        help_text="Agents name it in their samples.",
                        max_length=200,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\x00-\\x1f\\x7f-\\x9f]+$", "No control characters."
                            )
                        ],
                    ),
                ),
                (
                    "application_patterns",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        blank=True,
                        default=list,
                        help_text="Names, with * for any characters. Empty: whatever the policy allows.",
                        size=100,
                        validators=[tenants.models.validate_patterns],
                        verbose_name="applications that may run here",
                    ),
                ),
                (
                    "hosts_max",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Further ones cannot enrol. Retired hosts do not count.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000000),
                        ],
                        verbose_name="hosts at most",
                    ),
                ),
                (
                    "applications_max",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="More are metered all the same, and shown as a breach.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000000),
                        ],
                        verbose_name="applications at most",
                    ),
                ),
                (
                    "version",
                    models.CharField(
                        blank=True,
                        help_text="Of what its hosts run, such as their image. A policy may ask for a newer one.",
                        max_length=27,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[0-9]{1,6}(\\.[0-9]{1,6}){0,3}\\Z",
                                "Write a version as 1.4 or 1.4.2.",
                            )
                        ],
                    ),
                ),
                (
                    "retired_at",
                    models.DateTimeField(
                        editable=False, help_text="Since then no host enrols here.", null=True
                    ),
                ),
                ("generated", models.BooleanField(default=False, editable=False)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "default_customer",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="New applications of the environment are billed to this customer. Without one they wait as unassigned.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.customer",
                        verbose_name="bill new applications to",
                    ),
                ),
                (
                    "owner_customer",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="Whose own machines these are: its people add hosts here, see them and revoke their keys. Empty: they are yours.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.customer",
                        verbose_name="run by the customer",
                    ),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.environment",
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.policy",
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
            name="PolicyChange",
            fields=[
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("pgh_id", models.BigAutoField(primary_key=True, serialize=False)),
                ("pgh_context", pghistory.utils.JSONField(null=True)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                ("name", models.CharField(max_length=120)),
                (
                    "scrape_interval_seconds",
                    models.PositiveSmallIntegerField(
                        default=10,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(300),
                        ],
                    ),
                ),
                (
                    "host_silent_after_seconds",
                    models.PositiveIntegerField(
                        default=120,
                        help_text="A host that has delivered nothing for this long is shown as silent.",
                        validators=[
                            django.core.validators.MinValueValidator(30),
                            django.core.validators.MaxValueValidator(86400),
                        ],
                    ),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.policy",
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
            model_name="apikey",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "tenants_apikeychange" ("created_at", "customer_id", "expires_at", "id", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "prefix", "revoked_at", "scopes", "tenant_id") VALUES (NEW."created_at", NEW."customer_id", NEW."expires_at", NEW."id", NEW."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'insert\', NEW."id", NEW."prefix", NEW."revoked_at", NEW."scopes", NEW."tenant_id"); RETURN NULL;',
                    hash="333f9a3d0b96eb4178c32f74ea73bd8ac86dd509",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_b7e2f",
                    table="tenants_apikey",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="apikey",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."created_at" IS DISTINCT FROM (NEW."created_at") OR OLD."customer_id" IS DISTINCT FROM (NEW."customer_id") OR OLD."expires_at" IS DISTINCT FROM (NEW."expires_at") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."prefix" IS DISTINCT FROM (NEW."prefix") OR OLD."revoked_at" IS DISTINCT FROM (NEW."revoked_at") OR OLD."scopes" IS DISTINCT FROM (NEW."scopes") OR OLD."tenant_id" IS DISTINCT FROM (NEW."tenant_id"))',
                    func='INSERT INTO "tenants_apikeychange" ("created_at", "customer_id", "expires_at", "id", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "prefix", "revoked_at", "scopes", "tenant_id") VALUES (NEW."created_at", NEW."customer_id", NEW."expires_at", NEW."id", NEW."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', NEW."id", NEW."prefix", NEW."revoked_at", NEW."scopes", NEW."tenant_id"); RETURN NULL;',
                    hash="ae923420672a86e335527fd3f65ef10ee30b3470",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_246bc",
                    table="tenants_apikey",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="apikey",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "tenants_apikeychange" ("created_at", "customer_id", "expires_at", "id", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "prefix", "revoked_at", "scopes", "tenant_id") VALUES (OLD."created_at", OLD."customer_id", OLD."expires_at", OLD."id", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."prefix", OLD."revoked_at", OLD."scopes", OLD."tenant_id"); RETURN NULL;',
                    hash="7533371a342042793a050de00bfc3fa5add6c06b",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_ed5c2",
                    table="tenants_apikey",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="customer",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "tenants_customerchange" ("created_at", "generated", "id", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "reference", "tenant_id", "time_zone") VALUES (NEW."created_at", NEW."generated", NEW."id", NEW."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'insert\', NEW."id", NEW."reference", NEW."tenant_id", NEW."time_zone"); RETURN NULL;',
                    hash="6bf6d09226d27c5d139d5123b050d1eb1252ab6a",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_9435b",
                    table="tenants_customer",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="customer",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "tenants_customerchange" ("created_at", "generated", "id", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "reference", "tenant_id", "time_zone") VALUES (NEW."created_at", NEW."generated", NEW."id", NEW."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', NEW."id", NEW."reference", NEW."tenant_id", NEW."time_zone"); RETURN NULL;',
                    hash="d236e61199736dffee708f3ee5b6bbb40af949db",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_197d7",
                    table="tenants_customer",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="customer",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "tenants_customerchange" ("created_at", "generated", "id", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "reference", "tenant_id", "time_zone") VALUES (OLD."created_at", OLD."generated", OLD."id", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."reference", OLD."tenant_id", OLD."time_zone"); RETURN NULL;',
                    hash="b2373547fdbd09c19f37b2a33758d5f55183a5ee",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_37a30",
                    table="tenants_customer",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="enrolmenttoken",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "tenants_enrolmenttokenchange" ("created_at", "environment_id", "expires_at", "id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "revoked_at", "tenant_id", "used_at") VALUES (NEW."created_at", NEW."environment_id", NEW."expires_at", NEW."id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'insert\', NEW."id", NEW."revoked_at", NEW."tenant_id", NEW."used_at"); RETURN NULL;',
                    hash="883322fb5383ef3a4b2aabd30a6bce2227ae7c88",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_8d959",
                    table="tenants_enrolmenttoken",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="enrolmenttoken",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."created_at" IS DISTINCT FROM (NEW."created_at") OR OLD."environment_id" IS DISTINCT FROM (NEW."environment_id") OR OLD."expires_at" IS DISTINCT FROM (NEW."expires_at") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."revoked_at" IS DISTINCT FROM (NEW."revoked_at") OR OLD."tenant_id" IS DISTINCT FROM (NEW."tenant_id") OR OLD."used_at" IS DISTINCT FROM (NEW."used_at"))',
                    func='INSERT INTO "tenants_enrolmenttokenchange" ("created_at", "environment_id", "expires_at", "id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "revoked_at", "tenant_id", "used_at") VALUES (NEW."created_at", NEW."environment_id", NEW."expires_at", NEW."id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', NEW."id", NEW."revoked_at", NEW."tenant_id", NEW."used_at"); RETURN NULL;',
                    hash="9a1084789fdee6108e369caf791edeb82efb19f2",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_76860",
                    table="tenants_enrolmenttoken",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="enrolmenttoken",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "tenants_enrolmenttokenchange" ("created_at", "environment_id", "expires_at", "id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "revoked_at", "tenant_id", "used_at") VALUES (OLD."created_at", OLD."environment_id", OLD."expires_at", OLD."id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."revoked_at", OLD."tenant_id", OLD."used_at"); RETURN NULL;',
                    hash="221da0e6d90742bc89cd72cf7bdf520a6ff4ad00",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_1130e",
                    table="tenants_enrolmenttoken",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="environment",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "tenants_environmentchange" ("application_patterns", "applications_max", "created_at", "default_customer_id", "generated", "hosts_max", "id", "name", "owner_customer_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "policy_id", "retired_at", "tenant_id", "version") VALUES (NEW."application_patterns", NEW."applications_max", NEW."created_at", NEW."default_customer_id", NEW."generated", NEW."hosts_max", NEW."id", NEW."name", NEW."owner_customer_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'insert\', NEW."id", NEW."policy_id", NEW."retired_at", NEW."tenant_id", NEW."version"); RETURN NULL;',
                    hash="575d26822953c52a4d6b01264f8440bb02368e56",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_cb302",
                    table="tenants_environment",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="environment",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "tenants_environmentchange" ("application_patterns", "applications_max", "created_at", "default_customer_id", "generated", "hosts_max", "id", "name", "owner_customer_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "policy_id", "retired_at", "tenant_id", "version") VALUES (NEW."application_patterns", NEW."applications_max", NEW."created_at", NEW."default_customer_id", NEW."generated", NEW."hosts_max", NEW."id", NEW."name", NEW."owner_customer_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', NEW."id", NEW."policy_id", NEW."retired_at", NEW."tenant_id", NEW."version"); RETURN NULL;',
                    hash="8c1dc6da42136e44b2c396c3e71b489ad283fd48",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_3d65a",
                    table="tenants_environment",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="environment",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "tenants_environmentchange" ("application_patterns", "applications_max", "created_at", "default_customer_id", "generated", "hosts_max", "id", "name", "owner_customer_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "policy_id", "retired_at", "tenant_id", "version") VALUES (OLD."application_patterns", OLD."applications_max", OLD."created_at", OLD."default_customer_id", OLD."generated", OLD."hosts_max", OLD."id", OLD."name", OLD."owner_customer_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."policy_id", OLD."retired_at", OLD."tenant_id", OLD."version"); RETURN NULL;',
                    hash="00094c49434505278829581a40f48f1ce8d3a16f",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_ea574",
                    table="tenants_environment",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="policy",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "tenants_policychange" ("host_silent_after_seconds", "id", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "scrape_interval_seconds", "tenant_id") VALUES (NEW."host_silent_after_seconds", NEW."id", NEW."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'insert\', NEW."id", NEW."scrape_interval_seconds", NEW."tenant_id"); RETURN NULL;',
                    hash="1b52090a05d66e2f51dad3a19d2848a986c68c90",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_25e98",
                    table="tenants_policy",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="policy",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "tenants_policychange" ("host_silent_after_seconds", "id", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "scrape_interval_seconds", "tenant_id") VALUES (NEW."host_silent_after_seconds", NEW."id", NEW."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', NEW."id", NEW."scrape_interval_seconds", NEW."tenant_id"); RETURN NULL;',
                    hash="da248821581270295c48c0eaa52dbd5ee367acd5",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_f2df9",
                    table="tenants_policy",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="policy",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "tenants_policychange" ("host_silent_after_seconds", "id", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "scrape_interval_seconds", "tenant_id") VALUES (OLD."host_silent_after_seconds", OLD."id", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."scrape_interval_seconds", OLD."tenant_id"); RETURN NULL;',
                    hash="e18638276b32e9917b760c42d1e71c906e310cac",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_2d793",
                    table="tenants_policy",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="apikeychange",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="c8d43400d2911a53457f592c7a62d75b467cf810",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_b5d3f",
                    table="tenants_apikeychange",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="customerchange",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="a5badc42c83674a6aa27a700eb1fd1e90883792d",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_19875",
                    table="tenants_customerchange",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="enrolmenttokenchange",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="2cbe4ed6f31cbb689bfbd31ed7b8deadc6b087e0",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_20a55",
                    table="tenants_enrolmenttokenchange",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="environmentchange",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="3c7ec5e633f675edeb9ada68ae1f94511be096c0",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_91382",
                    table="tenants_environmentchange",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="policychange",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="d8aa3eba75da1255899d95d4be8a8a42842f27ec",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_9bca3",
                    table="tenants_policychange",
                    when="BEFORE",
                ),
            ),
        ),
        IsolateTable("ApiKeyChange", references=False),
        IsolateTable("CustomerChange", references=False),
        IsolateTable("EnrolmentTokenChange", references=False),
        IsolateTable("EnvironmentChange", references=False),
        IsolateTable("PolicyChange", references=False),
        migrations.RunSQL(CLOSED, migrations.RunSQL.noop),
    ]
