-- When somebody outside is to be told that nobody received an answer; null: never (again).
ALTER TABLE runs ADD COLUMN notice_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN notice_ms INTEGER;
UPDATE runs SET notice_ms = ended_ms WHERE undelivered = 1;
CREATE INDEX runs_notices ON runs (notice_ms) WHERE undelivered = 1 AND notice_ms IS NOT NULL;
