-- Plans: what a run would do, decided as a run decides it and not done. Nothing of a plan is part of what is recorded of
-- members; a plan has what it has read in tables of its own, and is worked off beside the lanes.
CREATE TABLE plans (
  id             TEXT COLLATE "C" PRIMARY KEY,
  -- NULL for a mapping that is not made yet.
  mapping_id     TEXT COLLATE "C",
  campaign_id    TEXT COLLATE "C" NOT NULL,
  -- The mapping as it was planned with, and what it would create: JSON.
  draft          TEXT NOT NULL,
  -- computing, ready, failed, applied
  state          TEXT NOT NULL,
  -- salesforce, marketo, decide
  stage          TEXT NOT NULL,
  cursor         TEXT,
  counts         TEXT NOT NULL,
  calls_marketo    BIGINT NOT NULL DEFAULT 0,
  calls_salesforce BIGINT NOT NULL DEFAULT 0,
  seconds        BIGINT NOT NULL DEFAULT 0,
  -- Removals that are more than the mapping usually sees: they will wait for approval.
  removals_wait  BOOLEAN NOT NULL DEFAULT FALSE,
  attempts       BIGINT NOT NULL DEFAULT 0,
  due_at         BIGINT NOT NULL,
  lease_until    BIGINT,
  fence          BIGINT NOT NULL DEFAULT 0,
  message        TEXT,
  created_at     BIGINT NOT NULL,
  completed_at   BIGINT
);
CREATE INDEX plans_open ON plans (due_at, id) WHERE state = 'computing';
CREATE INDEX plans_mapping ON plans (mapping_id, id);
CREATE INDEX plans_created ON plans (created_at);

-- Whom the two scans of a plan have shown, under the id that their member has or would get; in the order of a run.
CREATE TABLE plan_people (
  plan_id       TEXT COLLATE "C" NOT NULL REFERENCES plans (id) ON DELETE CASCADE,
  id            TEXT COLLATE "C" NOT NULL,
  -- NULL for somebody who is not known yet.
  person_id     TEXT COLLATE "C",
  marketo_id    BIGINT,
  salesforce_id TEXT COLLATE "C",
  email         TEXT,
  marketo       TEXT,
  salesforce    TEXT,
  PRIMARY KEY (plan_id, id)
);
CREATE INDEX plan_people_marketo ON plan_people (plan_id, marketo_id) WHERE marketo_id IS NOT NULL;
CREATE INDEX plan_people_salesforce ON plan_people (plan_id, salesforce_id) WHERE salesforce_id IS NOT NULL;

CREATE TABLE plan_rows (
  plan_id        TEXT COLLATE "C" NOT NULL REFERENCES plans (id) ON DELETE CASCADE,
  id             TEXT COLLATE "C" NOT NULL,
  person_id      TEXT COLLATE "C",
  marketo_id     BIGINT,
  salesforce_id  TEXT COLLATE "C",
  email          TEXT,
  side           TEXT NOT NULL,
  -- add, change, remove, hold
  action         TEXT NOT NULL,
  from_status    TEXT,
  to_status      TEXT,
  rule           TEXT NOT NULL,
  reason         TEXT,
  -- Under which key somebody is created for it; NULL when nobody is.
  creates        TEXT COLLATE "C",
  conflict       BOOLEAN NOT NULL,
  -- What it has become when the plan was applied; NULL while it holds or was not applied.
  drifted        TEXT,
  PRIMARY KEY (plan_id, id)
);
CREATE INDEX plan_rows_creates ON plan_rows (plan_id, creates) WHERE creates IS NOT NULL;
CREATE INDEX plan_rows_drifted ON plan_rows (plan_id, id) WHERE drifted IS NOT NULL;

-- The plan that a run applies, and what a run has found different, by side and reason.
ALTER TABLE runs ADD COLUMN plan_id TEXT COLLATE "C";
ALTER TABLE runs ADD COLUMN differences TEXT NOT NULL DEFAULT '{}';

-- Figures by the minute, summed once the minute is over.
CREATE TABLE figures (
  minute BIGINT NOT NULL,
  metric TEXT COLLATE "C" NOT NULL,
  value  BIGINT NOT NULL,
  PRIMARY KEY (metric, minute)
);
CREATE INDEX figures_minute ON figures (minute);
