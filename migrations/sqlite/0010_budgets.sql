-- What all processes together have had of a vendor's calls.
CREATE TABLE budgets (
  vendor          TEXT PRIMARY KEY,
  -- The vendor's present day, as in 2026-11-27; empty before the first call.
  day             TEXT NOT NULL DEFAULT '',
  -- Calls of that day by processes that are no more.
  calls           BIGINT NOT NULL DEFAULT 0,
  -- Calls that the vendor grants the whole instance in a day, once it has said so.
  granted         BIGINT,
  -- The vendor said that the day's calls are used up, and that it was asked too fast; NULL when that is over.
  exhausted_until BIGINT,
  paused_until    BIGINT
);
INSERT INTO budgets (vendor) VALUES ('marketo'), ('salesforce');

-- What each process may use of them, and has used. A process settles about once a second while it calls, and not at all while it does not.
CREATE TABLE budget_parts (
  vendor            TEXT NOT NULL REFERENCES budgets,
  replica           TEXT NOT NULL,
  -- The most that it can have in flight, and in any window.
  concurrency       BIGINT NOT NULL,
  calls             BIGINT NOT NULL,
  wants_concurrency BIGINT NOT NULL,
  wants_calls       BIGINT NOT NULL,
  -- Begun in this day, as it last said, and the most that it can have begun since.
  day               TEXT NOT NULL,
  calls_today       BIGINT NOT NULL,
  may_call          BIGINT NOT NULL,
  -- It begins no call after the first; none of its calls is in flight after the second, nor counts in a window after the third.
  lease_until       BIGINT NOT NULL,
  slots_until       BIGINT NOT NULL,
  window_until      BIGINT NOT NULL,
  -- It gave the lease up by itself, and goes on counting.
  resting           BOOLEAN NOT NULL,
  PRIMARY KEY (vendor, replica)
);
