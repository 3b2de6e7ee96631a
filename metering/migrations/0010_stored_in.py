from django.db import migrations

import metering.stored_in

# Whether a row was there when a snapshot was taken. Without a snapshot its time of arrival tells, and
# so it does of what the very transaction stored that took the snapshot. A database that was restored
# from a dump may give ids that are lower than those of its snapshots; what was received an hour after
# a snapshot was not there. Rows of before this column have the id of the transaction that added it,
# and every snapshot is later. It is stable, as adding to a time is, or it would not be inlined.
IS_KNOWN = """
CREATE FUNCTION metering_is_known(
    stored_in xid8, received_at timestamptz, snapshot pg_snapshot, own xid8, as_of timestamptz
) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN snapshot IS NULL OR stored_in = own THEN received_at <= as_of
        ELSE pg_visible_in_snapshot(stored_in, snapshot)
            AND received_at <= as_of + interval '1 hour'
    END
$$;
"""
FORGET = "DROP FUNCTION metering_is_known(xid8, timestamptz, pg_snapshot, xid8, timestamptz)"


class Migration(migrations.Migration):
    dependencies = [("metering", "0009_allocation")]

    operations = [
        migrations.AddField(
            model_name=name, name="stored_in", field=metering.stored_in.StoredInField()
        )
        for name in ("samplebatch", "event", "correction")
    ] + [migrations.RunSQL(IS_KNOWN, FORGET)]
