CREATE TABLE acks (
    user_no INTEGER NOT NULL,
    device TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    PRIMARY KEY (user_no, device)
) STRICT, WITHOUT ROWID;
CREATE TABLE approvals (
    user_no INTEGER NOT NULL,
    approval_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    open INTEGER NOT NULL,
    requested_seq INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (user_no, approval_id)
) STRICT;
CREATE INDEX approvals_of_run ON approvals (user_no, run_id);
CREATE INDEX approvals_open ON approvals (user_no, requested_seq) WHERE open = 1;
CREATE TABLE chunks (
    chunk INTEGER PRIMARY KEY,
    user_no INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    codec INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX chunks_by_seq ON chunks (user_no, last_seq, first_seq);
CREATE TABLE erasures (
    user_no INTEGER NOT NULL,
    thread_id TEXT NOT NULL,
    upto INTEGER NOT NULL,
    PRIMARY KEY (user_no, thread_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE inbox (
    user_no INTEGER NOT NULL,
    command_id TEXT NOT NULL,
    place INTEGER NOT NULL,
    waits INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (user_no, command_id)
) STRICT;
CREATE INDEX inbox_waiting ON inbox (user_no) WHERE waits = 1;
CREATE TABLE marks (
    user_no INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    mark TEXT NOT NULL,
    PRIMARY KEY (user_no, epoch)
) STRICT, WITHOUT ROWID;
CREATE INDEX marks_by_name ON marks (user_no, mark);
CREATE INDEX marks_by_seq ON marks (user_no, first_seq, epoch);
CREATE TABLE progress (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    deleted_group INTEGER NOT NULL
) STRICT;
CREATE TABLE receipts (
    user_no INTEGER NOT NULL,
    command_id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (user_no, command_id)
) STRICT;
CREATE TABLE runs (
    user_no INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    parent_run_id TEXT,
    status TEXT NOT NULL,
    queued_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER,
    pruned INTEGER NOT NULL,
    undelivered INTEGER NOT NULL,
    body TEXT NOT NULL, notice_attempts INTEGER NOT NULL DEFAULT 0, notice_ms INTEGER,
    PRIMARY KEY (user_no, run_id)
) STRICT;
CREATE INDEX runs_by_user ON runs (user_no, first_seq);
CREATE INDEX runs_newest ON runs (queued_ms, run_id);
CREATE INDEX runs_notices ON runs (notice_ms) WHERE undelivered = 1 AND notice_ms IS NOT NULL;
CREATE INDEX runs_of_parent ON runs (user_no, parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX runs_of_thread ON runs (user_no, thread_id, first_seq);
CREATE INDEX runs_open ON runs (user_no, first_seq) WHERE last_seq IS NULL;
CREATE INDEX runs_undelivered ON runs (user_no, last_seq) WHERE undelivered = 1;
CREATE INDEX runs_unpruned ON runs (pruned, ended_ms)
    WHERE parent_run_id IS NULL AND ended_ms IS NOT NULL;
CREATE TABLE tail (
    group_no INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE threads (
    user_no INTEGER NOT NULL,
    thread_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    body TEXT NOT NULL, used_ms INTEGER,
    PRIMARY KEY (user_no, thread_id)
) STRICT;
CREATE INDEX threads_newest ON threads (user_no, created_ms, thread_id);
CREATE INDEX threads_used ON threads (coalesce(used_ms, created_ms), user_no, thread_id);
CREATE TABLE users (
    user_no INTEGER PRIMARY KEY,
    user TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    mark TEXT NOT NULL,
    head INTEGER NOT NULL,
    settled_group INTEGER NOT NULL,
    last_append TEXT,
    due_ms INTEGER,
    delivered INTEGER NOT NULL
) STRICT;
CREATE INDEX users_due ON users (due_ms) WHERE due_ms IS NOT NULL;
