-- Keys are compared byte by byte, as SQLite does, so that pages follow the same order on both.
-- Times are epoch milliseconds. A member status is NULL while unknown and '' while absent.

CREATE TABLE settings (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

-- A tracked campaign, or the router: one lane, leased by one worker at a time.
CREATE TABLE lanes (
  id          TEXT COLLATE "C" PRIMARY KEY,
  -- The first complete read of the campaign is done; until then what is seen is nobody's news.
  baseline    BOOLEAN NOT NULL DEFAULT FALSE,
  -- A flow action has named the campaign: it stays tracked without a mapping.
  pinned      BOOLEAN NOT NULL DEFAULT FALSE,
  -- As it was called when it was pinned; a mapping has a newer one.
  campaign_name TEXT,
  -- Receives, but is not worked off: its mapping is paused.
  halted      BOOLEAN NOT NULL DEFAULT FALSE,
  -- When there is work, or when the lease runs out; NULL while there is nothing to do.
  next_due_at BIGINT,
  lease_owner TEXT,
  lease_until BIGINT,
  fence       BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX lanes_due ON lanes (next_due_at, id) WHERE next_due_at IS NOT NULL;
INSERT INTO lanes (id, baseline) VALUES ('router', TRUE);

CREATE TABLE mappings (
  id            TEXT COLLATE "C" PRIMARY KEY,
  program_id    BIGINT NOT NULL,
  campaign_id   TEXT COLLATE "C" NOT NULL REFERENCES lanes (id),
  program_name  TEXT NOT NULL,
  campaign_name TEXT NOT NULL,
  -- active, paused, failed
  state         TEXT NOT NULL,
  reason        TEXT,
  status_map    TEXT NOT NULL,
  -- Whether the status map was given, so that new statuses of the same name are not taken in.
  custom_map    BOOLEAN NOT NULL,
  -- Step of each program status.
  steps         TEXT NOT NULL,
  policies      TEXT NOT NULL,
  options       TEXT NOT NULL,
  -- What was found when program and campaign were last read: campaign statuses, costs, warnings.
  found         TEXT NOT NULL DEFAULT '{}',
  -- When both are to be read again; an active mapping that is due is looked after by whichever worker finds it first.
  refresh_at    BIGINT NOT NULL DEFAULT 0,
  version       BIGINT NOT NULL,
  created_at    BIGINT NOT NULL,
  updated_at    BIGINT NOT NULL,
  deleted_at    BIGINT
);
CREATE UNIQUE INDEX mappings_program ON mappings (program_id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX mappings_campaign ON mappings (campaign_id) WHERE deleted_at IS NULL;
CREATE INDEX mappings_refresh ON mappings (refresh_at) WHERE deleted_at IS NULL AND state = 'active';

-- Somebody is creating a campaign for this program. Stands until it is mapped: whoever takes it over looks for it first.
CREATE TABLE campaign_intents (
  program_id  BIGINT PRIMARY KEY,
  -- Written into the description of the campaign, by which it is known.
  marker      TEXT NOT NULL,
  -- Once it is known to exist.
  campaign_id TEXT,
  owner       TEXT NOT NULL,
  until       BIGINT NOT NULL,
  started_at  BIGINT NOT NULL
);

CREATE TABLE people (
  id              TEXT COLLATE "C" PRIMARY KEY,
  marketo_id      BIGINT,
  salesforce_id   TEXT COLLATE "C",
  email           TEXT,
  created_at      BIGINT NOT NULL,
  updated_at      BIGINT NOT NULL
);
CREATE UNIQUE INDEX people_marketo ON people (marketo_id) WHERE marketo_id IS NOT NULL;
CREATE UNIQUE INDEX people_salesforce ON people (salesforce_id) WHERE salesforce_id IS NOT NULL;
-- Somebody of whom a flow action has named the address and whom neither side knows yet; in lower case.
CREATE UNIQUE INDEX people_address ON people (email) WHERE marketo_id IS NULL AND salesforce_id IS NULL;

-- Somebody is creating this person on this side. Stands until it is known how that ended: whoever takes it over looks first.
CREATE TABLE intents (
  -- The address when there is one, since that is what a second record would share; else the person on the other side.
  key        TEXT COLLATE "C" NOT NULL,
  side       TEXT NOT NULL,
  owner      TEXT NOT NULL,
  until      BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  -- More than one: an earlier attempt has ended nobody knows how.
  attempts   BIGINT NOT NULL DEFAULT 1,
  PRIMARY KEY (key, side)
);

CREATE TABLE members (
  id                 TEXT COLLATE "C" PRIMARY KEY,
  campaign_id        TEXT COLLATE "C" NOT NULL REFERENCES lanes (id),
  person_id          TEXT COLLATE "C" NOT NULL REFERENCES people (id),
  campaign_member_id TEXT COLLATE "C",
  -- Last recorded value of each side.
  marketo            TEXT,
  salesforce         TEXT,
  salesforce_modstamp BIGINT,
  -- The pair on which both sides last agreed; both NULL when there is none.
  base_marketo       TEXT,
  base_salesforce    TEXT,
  -- The write announced before its call; gone when its outcome is recorded.
  sent               TEXT,
  sync_state         TEXT NOT NULL,
  reason             TEXT,
  rule               TEXT,
  -- Two people became one: the next decision knows no base and takes the furthest progress.
  after_merge        BOOLEAN NOT NULL DEFAULT FALSE,
  frozen             BOOLEAN NOT NULL DEFAULT FALSE,
  -- The run whose pages last showed the member on each side, and its generation.
  marketo_scan       TEXT,
  salesforce_scan    TEXT,
  -- Which sides this service has added the member to.
  added_to_marketo    BOOLEAN NOT NULL DEFAULT FALSE,
  added_to_salesforce BOOLEAN NOT NULL DEFAULT FALSE,
  -- Whether somebody else has changed it there since.
  edited_in_marketo    BOOLEAN NOT NULL DEFAULT FALSE,
  edited_in_salesforce BOOLEAN NOT NULL DEFAULT FALSE,
  -- Number of its last trigger event.
  sequence           BIGINT NOT NULL DEFAULT 0,
  updated_at         BIGINT NOT NULL
);
CREATE UNIQUE INDEX members_person ON members (campaign_id, person_id);
CREATE INDEX members_of_person ON members (person_id);
CREATE INDEX members_campaign_member ON members (campaign_member_id) WHERE campaign_member_id IS NOT NULL;
CREATE INDEX members_state ON members (campaign_id, sync_state, id);
CREATE INDEX members_in_campaign ON members (campaign_id, id) WHERE salesforce <> '';
CREATE INDEX members_status ON members (campaign_id, salesforce, id) WHERE salesforce <> '';

-- Every accepted record: audit, and recognition of a second delivery.
CREATE TABLE inbox (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source      TEXT NOT NULL,
  delivery_id TEXT COLLATE "C",
  position    BIGINT NOT NULL,
  -- The work that it became, or was merged into; NULL when nobody tracks what it is about.
  change_id   TEXT COLLATE "C",
  hint        TEXT NOT NULL,
  received_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX inbox_delivery ON inbox (source, delivery_id, position) WHERE delivery_id IS NOT NULL;
CREATE INDEX inbox_change ON inbox (change_id) WHERE change_id IS NOT NULL;
CREATE INDEX inbox_received ON inbox (received_at);

CREATE TABLE outbox (
  id           TEXT COLLATE "C" PRIMARY KEY,
  lane         TEXT COLLATE "C" NOT NULL REFERENCES lanes (id),
  mapping_id   TEXT COLLATE "C",
  -- hint, flow_action
  kind         TEXT NOT NULL,
  -- marketo:318592, salesforce:00Q..., member:00v..., email:a@b.c, person:<our id>, mapping
  subject      TEXT COLLATE "C" NOT NULL,
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
);
CREATE UNIQUE INDEX outbox_waiting ON outbox (lane, subject) WHERE kind = 'hint' AND state IN ('available', 'retryable');
-- Commands go before hints, and those about one person one after the other.
CREATE INDEX outbox_due ON outbox (lane, kind, due_at, id) WHERE state IN ('available', 'retryable', 'running');
CREATE INDEX outbox_order ON outbox (lane, subject, id) WHERE kind = 'flow_action' AND state IN ('available', 'retryable', 'running');
CREATE INDEX outbox_open ON outbox (state, id) WHERE state <> 'completed';
CREATE INDEX outbox_held ON outbox (lane, subject) WHERE state IN ('parked', 'discarded');
CREATE INDEX outbox_mapping ON outbox (mapping_id, id);
CREATE INDEX outbox_completed ON outbox (completed_at) WHERE completed_at IS NOT NULL;

-- Whole reads of a campaign and a program: first sync, reconciliation. Worked off in the campaign's lane, a page at a time.
CREATE TABLE runs (
  id          TEXT COLLATE "C" PRIMARY KEY,
  lane        TEXT COLLATE "C" NOT NULL REFERENCES lanes (id),
  -- NULL where a campaign is tracked without one.
  mapping_id  TEXT COLLATE "C" REFERENCES mappings (id),
  -- first_sync, reconciliation, undo, first_read
  kind        TEXT NOT NULL,
  -- running, completed, failed
  state       TEXT NOT NULL,
  -- salesforce, marketo, decide; undo
  stage       TEXT NOT NULL,
  -- Where the stage goes on.
  cursor      TEXT,
  counts      TEXT NOT NULL,
  -- Grows when the run is begun anew: a page read for an earlier one does not move it.
  generation  BIGINT NOT NULL DEFAULT 1,
  attempts    BIGINT NOT NULL DEFAULT 0,
  due_at      BIGINT NOT NULL,
  message     TEXT,
  created_at  BIGINT NOT NULL,
  completed_at BIGINT
);
CREATE INDEX runs_open ON runs (lane, due_at) WHERE state = 'running';
CREATE INDEX runs_mapping ON runs (mapping_id, id);
-- Members that an undo has left where they are, and why.
CREATE TABLE run_kept (
  run_id    TEXT NOT NULL REFERENCES runs (id),
  member_id TEXT NOT NULL,
  side      TEXT NOT NULL,
  reason    TEXT NOT NULL,
  PRIMARY KEY (run_id, member_id, side)
);
CREATE TABLE history (
  id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  member_id TEXT COLLATE "C" NOT NULL,
  at        BIGINT NOT NULL,
  kind      TEXT NOT NULL,
  detail    TEXT NOT NULL
);
CREATE INDEX history_member ON history (member_id, id);

-- Positions are taken from the one row of event_log at the end of the transaction that inserts: whoever holds it commits
-- before the next can take one, so positions become visible in their own order.
CREATE TABLE event_log (
  id            BIGINT PRIMARY KEY,
  last_position BIGINT NOT NULL
);
INSERT INTO event_log (id, last_position) VALUES (1, 0);
CREATE TABLE trigger_events (
  position    BIGINT PRIMARY KEY,
  id          TEXT COLLATE "C" NOT NULL,
  type        TEXT NOT NULL,
  campaign_id TEXT COLLATE "C" NOT NULL,
  mapping_id  TEXT COLLATE "C",
  member_id   TEXT COLLATE "C" NOT NULL,
  sequence    BIGINT NOT NULL,
  status      TEXT,
  old_status  TEXT,
  new_status  TEXT,
  body        TEXT NOT NULL,
  created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX trigger_events_member ON trigger_events (member_id, sequence);
CREATE INDEX trigger_events_campaign ON trigger_events (campaign_id, position);
CREATE INDEX trigger_events_created ON trigger_events (created_at);

-- Accepted records by mapping and hour: received is the sum of the others.
CREATE TABLE ledger (
  mapping_id   TEXT COLLATE "C" NOT NULL,
  window_start BIGINT NOT NULL,
  received     BIGINT NOT NULL DEFAULT 0,
  applied      BIGINT NOT NULL DEFAULT 0,
  no_op        BIGINT NOT NULL DEFAULT 0,
  superseded   BIGINT NOT NULL DEFAULT 0,
  waiting      BIGINT NOT NULL DEFAULT 0,
  held         BIGINT NOT NULL DEFAULT 0,
  failed       BIGINT NOT NULL DEFAULT 0,
  discarded    BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (mapping_id, window_start)
);

CREATE TABLE removals (
  mapping_id TEXT COLLATE "C" NOT NULL,
  member_id  TEXT COLLATE "C" NOT NULL,
  removed_at BIGINT NOT NULL,
  PRIMARY KEY (mapping_id, removed_at, member_id)
);

-- Removals that wait for approval: more than a mapping usually sees, so perhaps somebody's wrong filter.
CREATE TABLE guards (
  id         TEXT COLLATE "C" PRIMARY KEY,
  mapping_id TEXT COLLATE "C" NOT NULL REFERENCES mappings (id),
  -- waiting, approved, discarded
  state      TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  decided_at BIGINT
);
CREATE UNIQUE INDEX guards_waiting ON guards (mapping_id) WHERE state = 'waiting';
CREATE TABLE guard_members (
  guard_id  TEXT COLLATE "C" NOT NULL REFERENCES guards (id),
  member_id TEXT COLLATE "C" NOT NULL,
  side      TEXT NOT NULL,
  PRIMARY KEY (guard_id, member_id)
);
CREATE INDEX guard_members_member ON guard_members (member_id);

CREATE TABLE api_keys (
  id           TEXT COLLATE "C" PRIMARY KEY,
  name         TEXT NOT NULL,
  -- SHA-256 of the key, hexadecimal.
  hash         TEXT COLLATE "C" NOT NULL UNIQUE,
  scopes       TEXT NOT NULL,
  created_at   BIGINT NOT NULL,
  last_used_at BIGINT,
  revoked_at   BIGINT
);

CREATE TABLE idempotency_keys (
  key        TEXT COLLATE "C" PRIMARY KEY,
  body_hash  TEXT NOT NULL,
  status     BIGINT NOT NULL,
  headers    TEXT NOT NULL,
  body       TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE audit (
  id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at     BIGINT NOT NULL,
  actor  TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT NOT NULL,
  detail TEXT NOT NULL
);

-- What somebody asked to be done with people in a campaign; the work is in the outbox, a row for each person.
CREATE TABLE flow_actions (
  id          TEXT COLLATE "C" PRIMARY KEY,
  -- add_to_campaign, change_status, remove_from_campaign
  action      TEXT NOT NULL,
  campaign_id TEXT COLLATE "C" NOT NULL REFERENCES lanes (id),
  status      TEXT,
  program_id  BIGINT,
  actor       TEXT NOT NULL,
  created_at  BIGINT NOT NULL
);
CREATE TABLE flow_action_people (
  flow_action_id TEXT COLLATE "C" NOT NULL REFERENCES flow_actions (id),
  -- In the order in which they were named.
  position       BIGINT NOT NULL,
  -- As they were named: a JSON object with one id or address.
  person         TEXT NOT NULL,
  -- The row of the outbox; NULL for one who was rejected, with the reason.
  change_id      TEXT COLLATE "C",
  reason         TEXT,
  PRIMARY KEY (flow_action_id, position)
);
