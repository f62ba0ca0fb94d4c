-- When a key stops being one; NULL for never.
ALTER TABLE api_keys ADD COLUMN expires_at BIGINT;
-- The entries that every day adds to, for those that are old to be found.
CREATE INDEX audit_flow_actions ON audit (id) WHERE action = 'flow_action.requested';
