-- When somebody outside is to be told that nobody received an answer; null: never (again).
ALTER TABLE runs ADD COLUMN notice_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN notice_ms INTEGER;
UPDATE runs SET notice_ms = ended_ms WHERE undelivered = 1;
CREATE INDEX runs_notices ON runs (notice_ms) WHERE undelivered = 1 AND notice_ms IS NOT NULL;

-- When a thread's newest run ended (began, if open), as retention has found: until then it need not
-- look again at one that is old and still used.
ALTER TABLE threads ADD COLUMN used_ms INTEGER;
CREATE INDEX threads_used ON threads (coalesce(used_ms, created_ms), user_no, thread_id);
