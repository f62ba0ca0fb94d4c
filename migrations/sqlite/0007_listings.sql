-- A whole read is compared page by page with what is recorded, in the order of the vendor's listing: who agrees costs no statement of
-- their own.

-- Under which id Marketo lists the member: of the person at the time of recording.
ALTER TABLE members ADD COLUMN program_member_id BIGINT;
-- What each listing showed of the person last (address, and in Salesforce the record), as a number to compare with.
ALTER TABLE members ADD COLUMN marketo_shown BIGINT;
ALTER TABLE members ADD COLUMN salesforce_shown BIGINT;
UPDATE members SET program_member_id = (SELECT p.marketo_id FROM people p WHERE p.id = members.person_id);
CREATE INDEX members_in_program_order ON members (campaign_id, program_member_id) WHERE program_member_id IS NOT NULL;
CREATE INDEX members_in_campaign_order ON members (campaign_id, campaign_member_id) WHERE campaign_member_id IS NOT NULL;
-- Whom a run has to decide; the others rest.
CREATE INDEX members_open ON members (campaign_id, id) WHERE sync_state NOT IN ('in_sync', 'closed');

-- The id that the last page of the stage ended with.
ALTER TABLE runs ADD COLUMN last_shown TEXT;

-- Looks that are due follow a person who is joined with another.
CREATE INDEX later_looks_person ON later_looks (person_id);
