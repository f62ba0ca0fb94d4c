-- The program of an event's mapping, by which lists and subscriptions are filtered.
ALTER TABLE trigger_events ADD COLUMN program_id BIGINT;
UPDATE trigger_events SET program_id = CAST(CAST(body AS JSONB) #>> '{data,program_id}' AS BIGINT);
CREATE INDEX trigger_events_program ON trigger_events (program_id, position) WHERE program_id IS NOT NULL;
-- The change that an event came of, by which it is traced; NULL where a run found it.
ALTER TABLE trigger_events ADD COLUMN change_id TEXT COLLATE "C";

-- Pages of a large campaign in the order of the ids, whoever is in them.
DROP INDEX members_in_campaign;
CREATE INDEX members_of_campaign ON members (campaign_id, id);
-- Members that wait for a person, over all campaigns.
CREATE INDEX members_held ON members (sync_state, id) WHERE sync_state IN ('diverged', 'parked', 'failed');
CREATE INDEX mappings_state ON mappings (state, id) WHERE deleted_at IS NULL;

-- How many members of each campaign are where, and why; `reason` is '' without one. Counted by triggers, in the transaction that
-- changes a member, so that nobody has to count members to show them. What is there is the sum of several rows: each transaction
-- adds rows of its own, so that none waits for another, and once a minute they are made one.
CREATE TABLE member_tallies (
  campaign_id   TEXT COLLATE "C" NOT NULL,
  in_marketo    BOOLEAN NOT NULL,
  in_salesforce BOOLEAN NOT NULL,
  sync_state    TEXT COLLATE "C" NOT NULL,
  reason        TEXT COLLATE "C" NOT NULL,
  count         BIGINT NOT NULL
);
CREATE INDEX member_tallies_of ON member_tallies (campaign_id, in_marketo, in_salesforce, sync_state, reason);
INSERT INTO member_tallies (campaign_id, in_marketo, in_salesforce, sync_state, reason, count)
SELECT campaign_id, COALESCE(marketo, '') > '', COALESCE(salesforce, '') > '', sync_state, COALESCE(reason, ''), COUNT(*)
FROM members GROUP BY 1, 2, 3, 4, 5;
CREATE FUNCTION tally_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO member_tallies (campaign_id, in_marketo, in_salesforce, sync_state, reason, count)
    SELECT campaign_id, COALESCE(marketo, '') > '', COALESCE(salesforce, '') > '', sync_state, COALESCE(reason, ''), COUNT(*)
    FROM after_rows GROUP BY 1, 2, 3, 4, 5;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO member_tallies (campaign_id, in_marketo, in_salesforce, sync_state, reason, count)
    SELECT campaign_id, COALESCE(marketo, '') > '', COALESCE(salesforce, '') > '', sync_state, COALESCE(reason, ''), -COUNT(*)
    FROM before_rows GROUP BY 1, 2, 3, 4, 5;
  ELSE
    INSERT INTO member_tallies (campaign_id, in_marketo, in_salesforce, sync_state, reason, count)
    SELECT campaign_id, COALESCE(marketo, '') > '', COALESCE(salesforce, '') > '', sync_state, COALESCE(reason, ''), SUM(n) FROM (
      SELECT campaign_id, marketo, salesforce, sync_state, reason, 1 AS n FROM after_rows
      UNION ALL
      SELECT campaign_id, marketo, salesforce, sync_state, reason, -1 AS n FROM before_rows) AS moved
    GROUP BY 1, 2, 3, 4, 5 HAVING SUM(n) <> 0;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER members_tally_added AFTER INSERT ON members REFERENCING NEW TABLE AS after_rows
  FOR EACH STATEMENT EXECUTE FUNCTION tally_members();
CREATE TRIGGER members_tally_removed AFTER DELETE ON members REFERENCING OLD TABLE AS before_rows
  FOR EACH STATEMENT EXECUTE FUNCTION tally_members();
CREATE TRIGGER members_tally_moved AFTER UPDATE ON members REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
  FOR EACH STATEMENT EXECUTE FUNCTION tally_members();

-- The ledger by the day (UTC) on which records were received, over all mappings; rows as above.
CREATE TABLE ledger_days (
  day        BIGINT NOT NULL,
  received   BIGINT NOT NULL,
  applied    BIGINT NOT NULL,
  no_op      BIGINT NOT NULL,
  superseded BIGINT NOT NULL,
  waiting    BIGINT NOT NULL,
  held       BIGINT NOT NULL,
  failed     BIGINT NOT NULL,
  discarded  BIGINT NOT NULL
);
CREATE INDEX ledger_days_of ON ledger_days (day);
INSERT INTO ledger_days (day, received, applied, no_op, superseded, waiting, held, failed, discarded)
SELECT window_start - window_start % 86400000, SUM(received), SUM(applied), SUM(no_op), SUM(superseded), SUM(waiting), SUM(held),
  SUM(failed), SUM(discarded) FROM ledger GROUP BY 1;
CREATE FUNCTION tally_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO ledger_days (day, received, applied, no_op, superseded, waiting, held, failed, discarded)
    SELECT window_start - window_start % 86400000, SUM(received), SUM(applied), SUM(no_op), SUM(superseded), SUM(waiting), SUM(held),
      SUM(failed), SUM(discarded) FROM after_rows GROUP BY 1;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO ledger_days (day, received, applied, no_op, superseded, waiting, held, failed, discarded)
    SELECT window_start - window_start % 86400000, -SUM(received), -SUM(applied), -SUM(no_op), -SUM(superseded), -SUM(waiting),
      -SUM(held), -SUM(failed), -SUM(discarded) FROM before_rows GROUP BY 1;
  ELSE
    INSERT INTO ledger_days (day, received, applied, no_op, superseded, waiting, held, failed, discarded)
    SELECT window_start - window_start % 86400000, SUM(n * received), SUM(n * applied), SUM(n * no_op), SUM(n * superseded),
      SUM(n * waiting), SUM(n * held), SUM(n * failed), SUM(n * discarded)
    FROM (SELECT 1 AS n, * FROM after_rows UNION ALL SELECT -1 AS n, * FROM before_rows) AS moved GROUP BY 1;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER ledger_day_added AFTER INSERT ON ledger REFERENCING NEW TABLE AS after_rows
  FOR EACH STATEMENT EXECUTE FUNCTION tally_ledger();
CREATE TRIGGER ledger_day_removed AFTER DELETE ON ledger REFERENCING OLD TABLE AS before_rows
  FOR EACH STATEMENT EXECUTE FUNCTION tally_ledger();
CREATE TRIGGER ledger_day_moved AFTER UPDATE ON ledger REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
  FOR EACH STATEMENT EXECUTE FUNCTION tally_ledger();

-- Fewer places to write for each event and delivery. The number of a member's event is given under the fence of the lane, and the
-- index by member cost a page for each event; deliveries and attempts are written and removed under the lock of their subscription, so
-- that nothing has to be looked up for each of them.
DROP INDEX trigger_events_member;
ALTER TABLE deliveries DROP CONSTRAINT deliveries_subscription_id_fkey;
ALTER TABLE delivery_attempts DROP CONSTRAINT delivery_attempts_delivery_id_fkey;
