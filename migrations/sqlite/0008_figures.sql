-- The program of an event's mapping, by which lists and subscriptions are filtered.
ALTER TABLE trigger_events ADD COLUMN program_id BIGINT;
UPDATE trigger_events SET program_id = json_extract(body, '$.data.program_id');
CREATE INDEX trigger_events_program ON trigger_events (program_id, position) WHERE program_id IS NOT NULL;
-- The change that an event came of, by which it is traced; NULL where a run found it.
ALTER TABLE trigger_events ADD COLUMN change_id TEXT;

-- Pages of a large campaign in the order of the ids, whoever is in them.
DROP INDEX members_in_campaign;
CREATE INDEX members_of_campaign ON members (campaign_id, id);
-- Members that wait for a person, over all campaigns.
CREATE INDEX members_held ON members (sync_state, id) WHERE sync_state IN ('diverged', 'parked', 'failed');
CREATE INDEX mappings_state ON mappings (state, id) WHERE deleted_at IS NULL;

-- How many members of each campaign are where, and why; `reason` is '' without one. Counted by triggers, in the transaction that
-- changes a member, so that nobody has to count members to show them.
CREATE TABLE member_tallies (
  campaign_id   TEXT NOT NULL,
  in_marketo    BOOLEAN NOT NULL,
  in_salesforce BOOLEAN NOT NULL,
  sync_state    TEXT NOT NULL,
  reason        TEXT NOT NULL,
  count         BIGINT NOT NULL,
  PRIMARY KEY (campaign_id, in_marketo, in_salesforce, sync_state, reason)
) WITHOUT ROWID;
INSERT INTO member_tallies (campaign_id, in_marketo, in_salesforce, sync_state, reason, count)
SELECT campaign_id, COALESCE(marketo, '') > '', COALESCE(salesforce, '') > '', sync_state, COALESCE(reason, ''), COUNT(*)
FROM members GROUP BY 1, 2, 3, 4, 5;
CREATE TRIGGER members_tally_added AFTER INSERT ON members BEGIN
  INSERT INTO member_tallies (campaign_id, in_marketo, in_salesforce, sync_state, reason, count)
  VALUES (NEW.campaign_id, COALESCE(NEW.marketo, '') > '', COALESCE(NEW.salesforce, '') > '', NEW.sync_state, COALESCE(NEW.reason, ''), 1)
  ON CONFLICT (campaign_id, in_marketo, in_salesforce, sync_state, reason) DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER members_tally_removed AFTER DELETE ON members BEGIN
  UPDATE member_tallies SET count = count - 1 WHERE campaign_id = OLD.campaign_id AND in_marketo = (COALESCE(OLD.marketo, '') > '')
    AND in_salesforce = (COALESCE(OLD.salesforce, '') > '') AND sync_state = OLD.sync_state AND reason = COALESCE(OLD.reason, '');
END;
CREATE TRIGGER members_tally_moved AFTER UPDATE OF campaign_id, marketo, salesforce, sync_state, reason ON members
WHEN OLD.sync_state <> NEW.sync_state OR OLD.reason IS NOT NEW.reason OR OLD.campaign_id <> NEW.campaign_id
  OR (COALESCE(OLD.marketo, '') > '') <> (COALESCE(NEW.marketo, '') > '')
  OR (COALESCE(OLD.salesforce, '') > '') <> (COALESCE(NEW.salesforce, '') > '')
BEGIN
  UPDATE member_tallies SET count = count - 1 WHERE campaign_id = OLD.campaign_id AND in_marketo = (COALESCE(OLD.marketo, '') > '')
    AND in_salesforce = (COALESCE(OLD.salesforce, '') > '') AND sync_state = OLD.sync_state AND reason = COALESCE(OLD.reason, '');
  INSERT INTO member_tallies (campaign_id, in_marketo, in_salesforce, sync_state, reason, count)
  VALUES (NEW.campaign_id, COALESCE(NEW.marketo, '') > '', COALESCE(NEW.salesforce, '') > '', NEW.sync_state, COALESCE(NEW.reason, ''), 1)
  ON CONFLICT (campaign_id, in_marketo, in_salesforce, sync_state, reason) DO UPDATE SET count = count + 1;
END;

-- The ledger by the day (UTC) on which records were received, over all mappings.
CREATE TABLE ledger_days (
  day        BIGINT PRIMARY KEY,
  received   BIGINT NOT NULL,
  applied    BIGINT NOT NULL,
  no_op      BIGINT NOT NULL,
  superseded BIGINT NOT NULL,
  waiting    BIGINT NOT NULL,
  held       BIGINT NOT NULL,
  failed     BIGINT NOT NULL,
  discarded  BIGINT NOT NULL
);
INSERT INTO ledger_days (day, received, applied, no_op, superseded, waiting, held, failed, discarded)
SELECT window_start - window_start % 86400000, SUM(received), SUM(applied), SUM(no_op), SUM(superseded), SUM(waiting), SUM(held),
  SUM(failed), SUM(discarded) FROM ledger GROUP BY 1;
CREATE TRIGGER ledger_day_added AFTER INSERT ON ledger BEGIN
  INSERT INTO ledger_days (day, received, applied, no_op, superseded, waiting, held, failed, discarded)
  VALUES (NEW.window_start - NEW.window_start % 86400000, NEW.received, NEW.applied, NEW.no_op, NEW.superseded, NEW.waiting, NEW.held,
    NEW.failed, NEW.discarded)
  ON CONFLICT (day) DO UPDATE SET received = received + excluded.received, applied = applied + excluded.applied,
    no_op = no_op + excluded.no_op, superseded = superseded + excluded.superseded, waiting = waiting + excluded.waiting,
    held = held + excluded.held, failed = failed + excluded.failed, discarded = discarded + excluded.discarded;
END;
CREATE TRIGGER ledger_day_moved AFTER UPDATE ON ledger BEGIN
  UPDATE ledger_days SET received = received + NEW.received - OLD.received, applied = applied + NEW.applied - OLD.applied,
    no_op = no_op + NEW.no_op - OLD.no_op, superseded = superseded + NEW.superseded - OLD.superseded,
    waiting = waiting + NEW.waiting - OLD.waiting, held = held + NEW.held - OLD.held, failed = failed + NEW.failed - OLD.failed,
    discarded = discarded + NEW.discarded - OLD.discarded
  WHERE day = NEW.window_start - NEW.window_start % 86400000;
END;
CREATE TRIGGER ledger_day_removed AFTER DELETE ON ledger BEGIN
  UPDATE ledger_days SET received = received - OLD.received, applied = applied - OLD.applied, no_op = no_op - OLD.no_op,
    superseded = superseded - OLD.superseded, waiting = waiting - OLD.waiting, held = held - OLD.held, failed = failed - OLD.failed,
    discarded = discarded - OLD.discarded
  WHERE day = OLD.window_start - OLD.window_start % 86400000;
END;

-- Fewer places to write for each event and delivery. The number of a member's event is given under the fence of the lane, and the
-- index by member cost a page for each event; deliveries and attempts are their own primary indexes, and are written and removed under
-- the lock of their subscription, so that nothing has to be looked up for each of them.
DROP INDEX trigger_events_member;
CREATE TABLE deliveries_by_id (
  id              TEXT PRIMARY KEY,
  subscription_id TEXT NOT NULL,
  event_id        TEXT NOT NULL,
  type            TEXT NOT NULL,
  -- Of a trigger event.
  position        BIGINT,
  -- Of any other event.
  body            TEXT,
  -- pending, retrying; delivered, failed, skipped
  state           TEXT NOT NULL,
  reason          TEXT,
  attempts        BIGINT NOT NULL DEFAULT 0,
  due_at          BIGINT NOT NULL,
  -- From when its age is counted: made, replayed or retried by hand.
  started_at      BIGINT NOT NULL,
  created_at      BIGINT NOT NULL,
  completed_at    BIGINT
) WITHOUT ROWID;
INSERT INTO deliveries_by_id SELECT * FROM deliveries;
CREATE TABLE attempts_by_delivery (
  delivery_id TEXT NOT NULL,
  attempt     BIGINT NOT NULL,
  at          BIGINT NOT NULL,
  -- HTTP status; NULL where nothing was answered.
  code        BIGINT,
  latency_ms  BIGINT NOT NULL,
  error       TEXT,
  -- The beginning of what was answered.
  body        TEXT,
  PRIMARY KEY (delivery_id, attempt)
) WITHOUT ROWID;
INSERT INTO attempts_by_delivery SELECT * FROM delivery_attempts;
DROP TABLE delivery_attempts;
DROP TABLE deliveries;
ALTER TABLE deliveries_by_id RENAME TO deliveries;
ALTER TABLE attempts_by_delivery RENAME TO delivery_attempts;
CREATE UNIQUE INDEX deliveries_event ON deliveries (subscription_id, event_id);
CREATE INDEX deliveries_due ON deliveries (subscription_id, due_at, id) WHERE state IN ('pending', 'retrying');
CREATE INDEX deliveries_listed ON deliveries (subscription_id, id);
CREATE INDEX deliveries_completed ON deliveries (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX deliveries_failed ON deliveries (subscription_id, id) WHERE state = 'failed';
CREATE INDEX delivery_attempts_bodies ON delivery_attempts (at) WHERE body IS NOT NULL;
