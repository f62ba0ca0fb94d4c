-- Who is told of trigger events, and of what happens to the sync itself.
CREATE TABLE subscriptions (
  id                TEXT COLLATE "C" PRIMARY KEY,
  -- One of both: where it is posted to, or the smart campaign that is requested.
  url               TEXT,
  smart_campaign_id BIGINT,
  description       TEXT NOT NULL,
  -- Which events, as JSON.
  wanted            TEXT NOT NULL,
  -- enabled; paused by a person; disabled by us, with the reason
  state             TEXT NOT NULL,
  reason            TEXT,
  -- Of each event after this position there is a delivery, where it is wanted, while the subscription is enabled.
  since_position    BIGINT NOT NULL,
  -- Where that ended; events from there on are replayed on request.
  stopped_position  BIGINT,
  -- When the failures began that no success has followed.
  failing_since     BIGINT,
  last_success_at   BIGINT,
  -- The receiver asked to be left alone until then.
  not_before        BIGINT,
  -- When a delivery is due, or when the lease runs out; NULL while there is nothing to do.
  next_due_at       BIGINT,
  lease_owner       TEXT,
  lease_until       BIGINT,
  fence             BIGINT NOT NULL DEFAULT 0,
  created_at        BIGINT NOT NULL,
  updated_at        BIGINT NOT NULL
);
CREATE INDEX subscriptions_due ON subscriptions (next_due_at, id) WHERE next_due_at IS NOT NULL;

-- What deliveries are signed with: in the clear, since a hash signs nothing.
CREATE TABLE subscription_secrets (
  id              TEXT COLLATE "C" PRIMARY KEY,
  subscription_id TEXT COLLATE "C" NOT NULL REFERENCES subscriptions (id),
  secret          TEXT NOT NULL,
  created_at      BIGINT NOT NULL,
  -- Replaced by a newer one, and good until then.
  expires_at      BIGINT
);
CREATE INDEX subscription_secrets_of ON subscription_secrets (subscription_id, id);

-- One event to one subscription, stored in the transaction of the event. The body of a trigger event is in its log.
CREATE TABLE deliveries (
  id              TEXT COLLATE "C" PRIMARY KEY,
  subscription_id TEXT COLLATE "C" NOT NULL REFERENCES subscriptions (id),
  event_id        TEXT COLLATE "C" NOT NULL,
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
);
CREATE UNIQUE INDEX deliveries_event ON deliveries (subscription_id, event_id);
CREATE INDEX deliveries_due ON deliveries (subscription_id, due_at, id) WHERE state IN ('pending', 'retrying');
CREATE INDEX deliveries_listed ON deliveries (subscription_id, id);
CREATE INDEX deliveries_completed ON deliveries (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX deliveries_failed ON deliveries (subscription_id, id) WHERE state = 'failed';

CREATE TABLE delivery_attempts (
  delivery_id TEXT COLLATE "C" NOT NULL REFERENCES deliveries (id),
  attempt     BIGINT NOT NULL,
  at          BIGINT NOT NULL,
  -- HTTP status; NULL where nothing was answered.
  code        BIGINT,
  latency_ms  BIGINT NOT NULL,
  error       TEXT,
  -- The beginning of what was answered.
  body        TEXT,
  PRIMARY KEY (delivery_id, attempt)
);
CREATE INDEX delivery_attempts_bodies ON delivery_attempts (at) WHERE body IS NOT NULL;

-- Events of the log that are still to become deliveries of a subscription, a page at a time.
CREATE TABLE replays (
  id              TEXT COLLATE "C" PRIMARY KEY,
  subscription_id TEXT COLLATE "C" NOT NULL REFERENCES subscriptions (id),
  -- Both positions; exclusive, inclusive.
  after_position  BIGINT NOT NULL,
  until_position  BIGINT NOT NULL,
  -- Only those that this run found.
  run_id          TEXT,
  created_at      BIGINT NOT NULL
);
CREATE INDEX replays_of ON replays (subscription_id, id);

-- What one reconciliation found is told when it ends; when it is much, only after approval. The id is that of the run.
CREATE TABLE catch_ups (
  id          TEXT COLLATE "C" PRIMARY KEY,
  mapping_id  TEXT,
  campaign_id TEXT COLLATE "C" NOT NULL,
  -- waiting, approved, discarded
  state       TEXT NOT NULL,
  count       BIGINT NOT NULL,
  created_at  BIGINT NOT NULL,
  decided_at  BIGINT
);
CREATE INDEX catch_ups_state ON catch_ups (state, id);
-- The reconciliation that found it, while that goes on and when it found much; then the event is marked as replayed.
ALTER TABLE trigger_events ADD COLUMN run_id TEXT COLLATE "C";
CREATE INDEX trigger_events_run ON trigger_events (run_id, position) WHERE run_id IS NOT NULL;

-- Operational events that are told once in a while, by what they are about.
CREATE TABLE told (
  key TEXT COLLATE "C" PRIMARY KEY,
  at  BIGINT NOT NULL
);
