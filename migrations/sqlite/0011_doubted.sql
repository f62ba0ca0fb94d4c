-- Members whom the pages of a run's listings doubt, until they are put down to be decided: so many at a time, and not with each page.
ALTER TABLE runs ADD COLUMN doubted TEXT NOT NULL DEFAULT '{}';
