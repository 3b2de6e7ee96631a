"""What billing's tables refuse of attempts, refunds and events: part of 0020_payments."""

# core/collecting.py holds the same transitions; a test compares the two.
ATTEMPTS = """
CREATE FUNCTION billing_keep_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    asked_for CONSTANT text[] := ARRAY[
        'id', 'tenant_id', 'invoice_id', 'number', 'way', 'amount', 'currency', 'method_id',
        'created_at'];
    asked text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'created' THEN
            RAISE EXCEPTION 'an attempt begins as created, not as %', NEW.state
                USING ERRCODE = 'integrity_constraint_violation',
                    CONSTRAINT = 'payment_attempt_begins';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'an attempt is never deleted'
            USING ERRCODE = 'integrity_constraint_violation',
                CONSTRAINT = 'payment_attempt_is_kept';
    END IF;
    FOREACH asked IN ARRAY asked_for LOOP
        IF to_jsonb(OLD) -> asked IS DISTINCT FROM to_jsonb(NEW) -> asked THEN
            RAISE EXCEPTION 'what an attempt asks for cannot change: %', asked
                USING ERRCODE = 'integrity_constraint_violation',
                    CONSTRAINT = 'payment_attempt_is_kept';
        END IF;
    END LOOP;
    IF OLD.state <> NEW.state AND NOT (OLD.state || ' ' || NEW.state) = ANY (ARRAY[
        'created submitted', 'created failed',
        'submitted requires_action', 'submitted unknown', 'submitted succeeded',
        'submitted failed',
        'requires_action submitted', 'requires_action unknown', 'requires_action succeeded',
        'requires_action failed',
        'unknown submitted', 'unknown requires_action', 'unknown succeeded', 'unknown failed'
    ]) THEN
        RAISE EXCEPTION 'an attempt does not go from % to %', OLD.state, NEW.state
            USING ERRCODE = 'integrity_constraint_violation',
                CONSTRAINT = 'payment_attempt_transition';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payment_attempt_is_kept BEFORE INSERT OR UPDATE OR DELETE ON billing_paymentattempt
    FOR EACH ROW EXECUTE FUNCTION billing_keep_attempt();
"""

REFUNDS = """
CREATE FUNCTION billing_keep_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state IN ('succeeded', 'failed')
        OR (OLD.payment_id, OLD.note_id, OLD.number, OLD.amount, OLD.currency)
            IS DISTINCT FROM (NEW.payment_id, NEW.note_id, NEW.number, NEW.amount, NEW.currency)
    THEN
        RAISE EXCEPTION 'refund % cannot change', OLD.number
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'refund_is_kept';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refund_is_kept BEFORE UPDATE OR DELETE ON billing_refund
    FOR EACH ROW EXECUTE FUNCTION billing_keep_refund();

-- The lock comes in a statement of its own: the next one sees what whoever held it committed.
CREATE FUNCTION billing_refuse_overdone_refund() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    paid numeric;
    given numeric;
BEGIN
    PERFORM FROM billing_payment p
        WHERE p.tenant_id = NEW.tenant_id AND p.id = NEW.payment_id FOR NO KEY UPDATE;
    SELECT p.amount INTO paid FROM billing_payment p
        WHERE p.tenant_id = NEW.tenant_id AND p.id = NEW.payment_id;
    SELECT coalesce(sum(r.amount), 0) INTO given FROM billing_refund r
        WHERE r.tenant_id = NEW.tenant_id AND r.payment_id = NEW.payment_id
          AND r.state <> 'failed';
    IF given > paid THEN
        RAISE EXCEPTION 'of a payment of % there would be % refunded', paid, given
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'refund_not_overdone';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refund_not_overdone AFTER INSERT ON billing_refund
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_overdone_refund();
"""

EVENTS = """
CREATE FUNCTION billing_keep_processor_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (OLD.event_id, OLD.type, OLD.body, OLD.received_at)
        IS DISTINCT FROM (NEW.event_id, NEW.type, NEW.body, NEW.received_at) THEN
        RAISE EXCEPTION 'event % is stored as it came', OLD.event_id
            USING ERRCODE = 'integrity_constraint_violation',
                CONSTRAINT = 'processor_event_is_kept';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER processor_event_is_kept BEFORE UPDATE OR DELETE ON billing_processorevent
    FOR EACH ROW EXECUTE FUNCTION billing_keep_processor_event();
"""

TRIGGERS = (ATTEMPTS, REFUNDS, EVENTS)
