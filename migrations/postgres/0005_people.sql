-- The side that a person has said is right; settled by the next pass.
ALTER TABLE members ADD COLUMN resolution TEXT;
-- What would have been written, had the mapping not been observing only.
ALTER TABLE members ADD COLUMN would TEXT;
-- Our own writes of late: what they found, and what they left.
ALTER TABLE members ADD COLUMN own_writes TEXT;

-- Members to be looked at later, whatever is heard: a deletion is announced before it happens.
CREATE TABLE later_looks (
  lane      TEXT NOT NULL REFERENCES lanes (id),
  person_id TEXT NOT NULL,
  -- The first look or the second; another announcement moves them.
  nth       BIGINT NOT NULL,
  due_at    BIGINT NOT NULL,
  PRIMARY KEY (lane, person_id, nth)
);
CREATE INDEX later_looks_due ON later_looks (due_at);
