-- Fewer places to write for each delivery: the outbox is its own primary index, and what is old in the inbox is found by its ids.
DROP INDEX inbox_received;

CREATE TABLE outbox_by_id (
  id           TEXT PRIMARY KEY,
  lane         TEXT NOT NULL REFERENCES lanes (id),
  mapping_id   TEXT,
  -- hint, flow_action
  kind         TEXT NOT NULL,
  -- marketo:318592, salesforce:00Q..., member:00v..., email:a@b.c, person:<our id>, mapping
  subject      TEXT NOT NULL,
  source       TEXT NOT NULL,
  -- What the hint carried; NULL after two were merged, so that neither saves the read. Of a flow action the command.
  payload      TEXT,
  -- When the last attempt at a flow action was about to be sent.
  announced_at BIGINT,
  -- available, running, retryable, completed, parked, discarded
  state        TEXT NOT NULL,
  attempts     BIGINT NOT NULL DEFAULT 0,
  due_at       BIGINT NOT NULL,
  fence        BIGINT NOT NULL DEFAULT 0,
  reason       TEXT,
  vendor       TEXT,
  code         TEXT,
  message      TEXT,
  -- applied, no_op, superseded
  outcome      TEXT,
  -- Window of the ledger that this row is counted in.
  window_start BIGINT NOT NULL,
  created_at   BIGINT NOT NULL,
  completed_at BIGINT
) WITHOUT ROWID;
INSERT INTO outbox_by_id SELECT * FROM outbox;
DROP TABLE outbox;
ALTER TABLE outbox_by_id RENAME TO outbox;
CREATE UNIQUE INDEX outbox_waiting ON outbox (lane, subject) WHERE kind = 'hint' AND state IN ('available', 'retryable');
-- Commands go before hints, and those about one person one after the other.
CREATE INDEX outbox_due ON outbox (lane, kind, due_at, id) WHERE state IN ('available', 'retryable', 'running');
CREATE INDEX outbox_order ON outbox (lane, subject, id) WHERE kind = 'flow_action' AND state IN ('available', 'retryable', 'running');
CREATE INDEX outbox_open ON outbox (state, id) WHERE state <> 'completed';
CREATE INDEX outbox_held ON outbox (lane, subject) WHERE state IN ('parked', 'discarded');
CREATE INDEX outbox_mapping ON outbox (mapping_id, id);
CREATE INDEX outbox_completed ON outbox (completed_at) WHERE completed_at IS NOT NULL;

-- When the last webhook of each source came.
CREATE TABLE sources (
  source   TEXT PRIMARY KEY,
  heard_at BIGINT NOT NULL
);
INSERT INTO sources (source, heard_at)
SELECT source, MAX(received_at) FROM inbox WHERE source IN ('marketo', 'salesforce') GROUP BY source;
