"""What the ledger's and the credit's tables refuse, whoever asks: part of 0007_ledger."""

APPEND_ONLY = """
CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are only ever added', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'append_only';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_journalentry
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_posting
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_creditmovement
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();
"""

# Looked at when the transaction ends, which is after its tenant's scope has: the function opens it
# again for its questions. The trigger's argument is the column that names the entry.
ENTRIES_BALANCE = """
CREATE FUNCTION billing_require_entry_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    scope text := coalesce(current_setting('hostmeter.tenant_id', true), '');
    entry uuid := (to_jsonb(NEW) ->> TG_ARGV[0])::uuid;
    postings bigint;
    unbalanced text;
BEGIN
    PERFORM set_config('hostmeter.tenant_id', NEW.tenant_id::text, true);
    SELECT coalesce(sum(c.postings), 0),
           string_agg(c.amount || ' ' || c.currency, ', ') FILTER (WHERE c.amount <> 0)
        INTO postings, unbalanced
        FROM (SELECT p.currency, count(*) AS postings, sum(p.amount) AS amount
              FROM billing_posting p
              WHERE p.tenant_id = NEW.tenant_id AND p.entry_id = entry
              GROUP BY p.currency) c;
    PERFORM set_config('hostmeter.tenant_id', scope, true);
    IF postings < 2 THEN
        RAISE EXCEPTION 'journal entry % has fewer than two postings', entry
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entry_has_postings';
    END IF;
    IF unbalanced IS NOT NULL THEN
        RAISE EXCEPTION 'journal entry % does not sum to zero: % left over', entry, unbalanced
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entry_balances';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON billing_journalentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION billing_require_entry_balanced('id');
CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON billing_posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION billing_require_entry_balanced('entry_id');
"""

# The lock comes in a statement of its own: the next one then sees what whoever held it committed.
NEVER_OVERSPENT = """
CREATE FUNCTION billing_refuse_overspent_grant() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    granted numeric;
    used numeric;
BEGIN
    SELECT g.amount INTO granted FROM billing_creditgrant g
        WHERE g.tenant_id = NEW.tenant_id AND g.id = NEW.grant_id FOR NO KEY UPDATE;
    SELECT coalesce(sum(m.amount), 0) INTO used FROM billing_creditmovement m
        WHERE m.tenant_id = NEW.tenant_id AND m.grant_id = NEW.grant_id;
    IF used > granted OR used < 0 THEN
        RAISE EXCEPTION 'of a grant of % there would be % used', granted, used
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'grant_not_overspent';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER grant_not_overspent AFTER INSERT ON billing_creditmovement
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_overspent_grant();

CREATE FUNCTION billing_refuse_overspent_wallet() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owed numeric;
BEGIN
    PERFORM FROM tenants_customer c
        WHERE c.tenant_id = NEW.tenant_id AND c.id = NEW.customer_id FOR NO KEY UPDATE;
    SELECT coalesce(sum(p.amount), 0) INTO owed FROM billing_posting p
        WHERE p.tenant_id = NEW.tenant_id AND p.customer_id = NEW.customer_id
          AND p.currency = NEW.currency AND p.account = 'wallet';
    IF owed > 0 THEN
        RAISE EXCEPTION 'the wallet would be overdrawn by % %', owed, NEW.currency
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'wallet_not_overspent';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER wallet_not_overspent AFTER INSERT ON billing_posting
    FOR EACH ROW WHEN (NEW.account = 'wallet' AND NEW.amount > 0)
    EXECUTE FUNCTION billing_refuse_overspent_wallet();
"""

CHANGES_ALLOWED = """
CREATE FUNCTION billing_refuse_change_of_grant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.voided_at IS NOT NULL
       OR to_jsonb(NEW) - 'voided_at' - 'void_reason'
          <> to_jsonb(OLD) - 'voided_at' - 'void_reason' THEN
        RAISE EXCEPTION 'a credit grant can only be voided, once'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'grant_only_voided';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER grant_only_voided BEFORE UPDATE OR DELETE ON billing_creditgrant
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change_of_grant();

CREATE FUNCTION billing_refuse_change_of_top_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state <> 'requested'
       OR to_jsonb(NEW) - 'state' - 'settled_at' - 'reason'
          <> to_jsonb(OLD) - 'state' - 'settled_at' - 'reason' THEN
        RAISE EXCEPTION 'a top-up can only be settled, once'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'top_up_only_settled';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER top_up_only_settled BEFORE UPDATE OR DELETE ON billing_topup
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change_of_top_up();

CREATE TRIGGER wallet_keeps_its_owner BEFORE UPDATE OF customer_id, currency ON billing_wallet
    FOR EACH ROW WHEN (OLD.customer_id <> NEW.customer_id OR OLD.currency <> NEW.currency)
    EXECUTE FUNCTION billing_refuse_change();
"""

TRIGGERS = (APPEND_ONLY, ENTRIES_BALANCE, NEVER_OVERSPENT, CHANGES_ALLOWED)
