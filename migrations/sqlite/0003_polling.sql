-- What is looked for without being told, and the other tasks that one replica at a time has; each row is leased by itself.
CREATE TABLE polls (
  name        TEXT PRIMARY KEY,
  -- Where it goes on, as JSON; NULL at its beginning.
  place       TEXT,
  -- When its end was last reached: what happened before is handled. NULL until then.
  covered_at  BIGINT,
  due_at      BIGINT NOT NULL DEFAULT 0,
  -- In a row, with what the last one said.
  failures    BIGINT NOT NULL DEFAULT 0,
  message     TEXT,
  lease_owner TEXT,
  lease_until BIGINT,
  fence       BIGINT NOT NULL DEFAULT 0
);

-- When a mapping is compared by itself; 0 until that is set, 1 for at once, since a poll has lost its place.
ALTER TABLE mappings ADD COLUMN compare_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX mappings_compare ON mappings (compare_at) WHERE deleted_at IS NULL AND state = 'active';

-- Sources of which nothing is heard, and since when we have called that silence.
CREATE TABLE silences (
  source TEXT PRIMARY KEY,
  since  BIGINT NOT NULL
);

-- For what is old to be found.
CREATE INDEX runs_completed ON runs (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
CREATE INDEX removals_removed ON removals (removed_at);
