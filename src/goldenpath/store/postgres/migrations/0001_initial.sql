-- oldest usable: 1
-- Hosts call functions whose names end in a version; what they do to the tables is theirs alone.
-- A later migration adds functions and columns; hosts of before go on with those they know.

-- One row for each user: the fence of the log, the lease, and when somebody must look.
-- It is written with every append, so it is small, and its pages keep room for new versions.
CREATE TABLE users (
    user_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text COLLATE "C" NOT NULL UNIQUE,
    epoch bigint NOT NULL DEFAULT 0,
    mark text COLLATE "C" NOT NULL DEFAULT '0',
    head bigint NOT NULL DEFAULT 0,
    holder text COLLATE "C",
    last_append text COLLATE "C",
    due_ms bigint
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX users_due ON users (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX users_held ON users (holder) WHERE holder IS NOT NULL;

CREATE TABLE marks (
    user_no bigint NOT NULL,
    epoch bigint NOT NULL,
    first_seq bigint NOT NULL,
    mark text COLLATE "C" NOT NULL,
    PRIMARY KEY (user_no, epoch)
);
CREATE INDEX marks_by_name ON marks (user_no, mark);

-- The log, one row for each append: rows lie in order of arrival, the key finds a user's.
CREATE TABLE chunks (
    user_no bigint NOT NULL,
    last_seq bigint NOT NULL,
    first_seq bigint NOT NULL,
    codec smallint NOT NULL,
    mark text COLLATE "C" NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (user_no, last_seq)
);

-- `used_ms`: when its newest run ended (began, if open), as retention has found: until then it need
-- not look again at one that is old and still used.
CREATE TABLE threads (
    user_no bigint NOT NULL,
    thread_id text COLLATE "C" NOT NULL,
    created_ms bigint NOT NULL,
    created_seq bigint NOT NULL,
    body bytea NOT NULL,
    used_ms bigint,
    PRIMARY KEY (user_no, thread_id)
);
CREATE INDEX threads_newest ON threads (user_no, created_ms, thread_id);
CREATE INDEX threads_used ON threads (coalesce(used_ms, created_ms), user_no, thread_id);

-- Question and output stand beside the rest, so that a step does not write them again.
-- `notice_ms`: when somebody outside is to be told that nobody received the answer.
CREATE TABLE runs (
    user_no bigint NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    thread_id text COLLATE "C" NOT NULL,
    parent_run_id text COLLATE "C",
    status text COLLATE "C" NOT NULL,
    queued_ms bigint NOT NULL,
    ended_ms bigint,
    first_seq bigint NOT NULL,
    last_seq bigint,
    pruned boolean NOT NULL DEFAULT false,
    undelivered boolean NOT NULL DEFAULT false,
    notice_attempts integer NOT NULL DEFAULT 0,
    notice_ms bigint,
    question bytea NOT NULL,
    output bytea,
    body bytea NOT NULL,
    PRIMARY KEY (user_no, run_id)
) WITH (fillfactor = 70);
CREATE INDEX runs_of_thread ON runs (user_no, thread_id, first_seq);
CREATE INDEX runs_of_parent ON runs (user_no, parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX runs_open ON runs (user_no, first_seq) WHERE last_seq IS NULL;
CREATE INDEX runs_newest ON runs (queued_ms, run_id);
CREATE INDEX runs_by_user ON runs (user_no, first_seq);
CREATE INDEX runs_ended ON runs (pruned, ended_ms)
    WHERE parent_run_id IS NULL AND ended_ms IS NOT NULL;
CREATE INDEX runs_undelivered ON runs (user_no, last_seq) WHERE undelivered;
CREATE INDEX runs_notices ON runs (notice_ms) WHERE undelivered AND notice_ms IS NOT NULL;

CREATE TABLE approvals (
    user_no bigint NOT NULL,
    approval_id text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    open boolean NOT NULL,
    requested_seq bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (user_no, approval_id)
);
CREATE INDEX approvals_open ON approvals (user_no, requested_seq) WHERE open;
CREATE INDEX approvals_of_run ON approvals (user_no, run_id);

CREATE TABLE receipts (
    user_no bigint NOT NULL,
    command_id text COLLATE "C" NOT NULL,
    thread_id text COLLATE "C",
    run_id text COLLATE "C",
    body_hash text COLLATE "C",
    body bytea NOT NULL,
    PRIMARY KEY (user_no, command_id)
);

-- Commands that wait, and (with `refusal`) those that were refused for now.
CREATE TABLE inbox (
    user_no bigint NOT NULL,
    command_id text COLLATE "C" NOT NULL,
    place bigint GENERATED ALWAYS AS IDENTITY,
    body bytea NOT NULL,
    body_hash text COLLATE "C" NOT NULL,
    refusal bytea,
    refused_ms bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (user_no, command_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX inbox_waiting ON inbox (user_no) WHERE refusal IS NULL;

-- Device '' is every reader that cannot acknowledge.
CREATE TABLE acks (
    user_no bigint NOT NULL,
    device text COLLATE "C" NOT NULL,
    cursor bigint NOT NULL,
    PRIMARY KEY (user_no, device)
) WITH (fillfactor = 70);

-- `beat` alone decides about leases; the times are for people, and for clearing the table.
CREATE TABLE hosts (
    host_id text COLLATE "C" PRIMARY KEY,
    beat bigint NOT NULL,
    about bytea NOT NULL,
    leave boolean NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    renewed_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);


-- The functions lock users in order of their numbers, so that groups of several hosts cannot wait
-- for one another in a circle. After the locks each statement sees what others committed before.

CREATE FUNCTION enter_1(p_user text[]) RETURNS void LANGUAGE sql AS $$
    -- Users are made on their first write.
    INSERT INTO goldenpath.users (user_id)
        SELECT DISTINCT a.user_id FROM unnest(p_user) AS a(user_id)
        WHERE NOT EXISTS (SELECT 1 FROM goldenpath.users u WHERE u.user_id = a.user_id)
        ORDER BY a.user_id
        ON CONFLICT (user_id) DO NOTHING;
$$;

CREATE FUNCTION submit_1(
    p_user text[], p_command text[], p_body bytea[], p_hash text[], p_now bigint[]
) RETURNS TABLE (place bigint, state text, receipt bytea, receipt_hash text)
LANGUAGE plpgsql AS $$
DECLARE
    asked record;
    settled goldenpath.receipts;
    waiting goldenpath.inbox;
    v_user bigint;
BEGIN
    PERFORM goldenpath.enter_1(p_user);
    PERFORM 1 FROM goldenpath.users u WHERE u.user_id = ANY (p_user)
        ORDER BY u.user_no FOR NO KEY UPDATE;
    FOR asked IN
        SELECT * FROM unnest(p_user, p_command, p_body, p_hash, p_now)
            WITH ORDINALITY AS a(user_id, command_id, body, hash, now_ms, place)
        ORDER BY a.place
    LOOP
        place := asked.place;
        receipt := NULL;
        receipt_hash := NULL;
        SELECT u.user_no INTO v_user FROM goldenpath.users u WHERE u.user_id = asked.user_id;
        SELECT * INTO settled FROM goldenpath.receipts r
            WHERE r.user_no = v_user AND r.command_id = asked.command_id;
        IF FOUND THEN
            state := CASE WHEN settled.body_hash <> asked.hash THEN 'reused' ELSE 'settled' END;
            receipt := settled.body;
            receipt_hash := settled.body_hash;
            RETURN NEXT;
            CONTINUE;
        END IF;
        DELETE FROM goldenpath.inbox i WHERE i.user_no = v_user
            AND i.refusal IS NOT NULL AND i.refused_ms + 3600000 < asked.now_ms;
        SELECT * INTO waiting FROM goldenpath.inbox i
            WHERE i.user_no = v_user AND i.command_id = asked.command_id;
        IF FOUND AND waiting.body_hash <> asked.hash THEN
            state := 'reused';
        ELSIF FOUND AND waiting.refusal IS NULL THEN
            state := 'waiting';
        ELSE
            DELETE FROM goldenpath.inbox i
                WHERE i.user_no = v_user AND i.command_id = asked.command_id;
            INSERT INTO goldenpath.inbox (user_no, command_id, body, body_hash)
                VALUES (v_user, asked.command_id, asked.body, asked.hash);
            state := 'new';
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- A lease is given to whoever has it, or has seen its holder's beat stand still for long enough:
-- p_dead names those holders, with the beat that they had then.
CREATE FUNCTION acquire_1(
    p_user text[], p_mark text[], p_host text, p_dead text[], p_dead_beat bigint[]
) RETURNS TABLE (
    user_id text, user_no bigint, granted boolean, holder text, beat bigint, epoch bigint,
    head bigint, runs bytea[], questions bytea[], approvals bytea[]
) LANGUAGE plpgsql AS $$
DECLARE
    v_granted bigint[];
BEGIN
    PERFORM goldenpath.enter_1(p_user);
    PERFORM 1 FROM goldenpath.users u WHERE u.user_id = ANY (p_user)
        ORDER BY u.user_no FOR NO KEY UPDATE;
    WITH given AS (
        UPDATE goldenpath.users u SET epoch = u.epoch + 1, mark = a.mark, holder = p_host
        FROM unnest(p_user, p_mark) AS a(user_id, mark)
        WHERE u.user_id = a.user_id AND (
            u.holder IS NULL OR u.holder = p_host OR EXISTS (
                SELECT 1 FROM unnest(p_dead, p_dead_beat) AS d(host_id, beat)
                WHERE d.host_id = u.holder AND d.beat = coalesce(
                    (SELECT h.beat FROM goldenpath.hosts h WHERE h.host_id = u.holder), 0)))
        RETURNING u.user_no, u.epoch, u.head, u.mark
    ), written AS (
        INSERT INTO goldenpath.marks (user_no, epoch, first_seq, mark)
        SELECT g.user_no, g.epoch, g.head + 1, g.mark FROM given g
    )
    SELECT coalesce(array_agg(g.user_no), '{}') INTO v_granted FROM given g;
    RETURN QUERY
        SELECT u.user_id, u.user_no, u.user_no = ANY (v_granted), u.holder, coalesce(h.beat, 0),
            u.epoch, u.head, o.bodies, o.questions, w.bodies
        FROM goldenpath.users u
        LEFT JOIN goldenpath.hosts h ON h.host_id = u.holder
        LEFT JOIN LATERAL (
            SELECT array_agg(r.body ORDER BY r.first_seq) AS bodies,
                array_agg(r.question ORDER BY r.first_seq) AS questions
            FROM goldenpath.runs r WHERE r.user_no = u.user_no AND r.last_seq IS NULL
        ) o ON u.user_no = ANY (v_granted)
        LEFT JOIN LATERAL (
            SELECT array_agg(a.body ORDER BY a.requested_seq) AS bodies
            FROM goldenpath.approvals a WHERE a.user_no = u.user_no AND a.open
        ) w ON u.user_no = ANY (v_granted)
        WHERE u.user_id = ANY (p_user);
END $$;

-- True if somebody of them waits for another engine.
CREATE FUNCTION release_1(p_user text[], p_epoch bigint[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_given bigint[];
BEGIN
    PERFORM 1 FROM goldenpath.users u WHERE u.user_id = ANY (p_user)
        ORDER BY u.user_no FOR NO KEY UPDATE;
    WITH given AS (
        UPDATE goldenpath.users u SET holder = NULL
        FROM unnest(p_user, p_epoch) AS a(user_id, epoch)
        WHERE u.user_id = a.user_id AND u.epoch = a.epoch
        RETURNING u.user_no
    )
    SELECT coalesce(array_agg(g.user_no), '{}') INTO v_given FROM given g;
    RETURN EXISTS (SELECT 1 FROM goldenpath.users u WHERE u.user_no = ANY (v_given) AND u.due_ms = 0)
        OR EXISTS (SELECT 1 FROM goldenpath.inbox i
            WHERE i.user_no = ANY (v_given) AND i.refusal IS NULL);
END $$;

-- The one write of logs: many users in one statement, each accepted, repeated or refused alone.
-- `c_` is what an append says of commands, `t_`, `r_`, `a_`, `s_` the rows that its entries change
-- (threads, runs, approvals, receipts), `d_` threads that went with all that was theirs. Hosts leave
-- out what has no rows.
CREATE FUNCTION append_1(
    p_user bigint[], p_epoch bigint[], p_mark text[], p_head bigint[], p_id text[],
    p_count bigint[], p_due bigint[], p_now bigint[], p_codec smallint, p_body bytea[],
    c_user bigint[] = '{}', c_command text[] = '{}', c_refusal bytea[] = '{}',
    d_user bigint[] = '{}', d_thread text[] = '{}',
    t_user bigint[] = '{}', t_thread text[] = '{}', t_created bigint[] = '{}',
    t_seq bigint[] = '{}', t_body bytea[] = '{}',
    r_user bigint[] = '{}', r_run text[] = '{}', r_thread text[] = '{}', r_parent text[] = '{}',
    r_status text[] = '{}', r_queued bigint[] = '{}', r_ended bigint[] = '{}',
    r_first bigint[] = '{}', r_last bigint[] = '{}', r_question bytea[] = '{}',
    r_output bytea[] = '{}', r_body bytea[] = '{}',
    a_user bigint[] = '{}', a_approval text[] = '{}', a_run text[] = '{}',
    a_open boolean[] = '{}', a_seq bigint[] = '{}', a_body bytea[] = '{}',
    s_user bigint[] = '{}', s_command text[] = '{}', s_thread text[] = '{}', s_run text[] = '{}',
    s_hash text[] = '{}', s_body bytea[] = '{}'
) RETURNS TABLE (user_no bigint, outcome text, epoch bigint, mark text, head bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_applied bigint[];
BEGIN
    PERFORM 1 FROM goldenpath.users u WHERE u.user_no = ANY (p_user)
        ORDER BY u.user_no FOR NO KEY UPDATE;
    -- What cannot be applied is answered with what the store has. A repeat has taken its lock too:
    -- with a synchronous standby its answer waits for the same replication as the first one's.
    RETURN QUERY
        SELECT u.user_no, CASE WHEN u.last_append = a.id THEN 'repeated' ELSE 'refused' END,
            u.epoch, u.mark, u.head
        FROM unnest(p_user, p_epoch, p_mark, p_head, p_id) AS a(user_no, epoch, mark, head, id)
        JOIN goldenpath.users u ON u.user_no = a.user_no
        WHERE u.last_append IS NOT DISTINCT FROM a.id
            OR (u.epoch, u.mark, u.head) <> (a.epoch, a.mark, a.head);
    WITH applied AS (
        UPDATE goldenpath.users u
        SET head = u.head + a.count, last_append = a.id, due_ms = a.due_ms
        FROM unnest(p_user, p_epoch, p_mark, p_head, p_id, p_count, p_due)
            AS a(user_no, epoch, mark, head, id, count, due_ms)
        WHERE u.user_no = a.user_no AND u.last_append IS DISTINCT FROM a.id
            AND (u.epoch, u.mark, u.head) = (a.epoch, a.mark, a.head)
        RETURNING u.user_no
    )
    SELECT coalesce(array_agg(f.user_no), '{}') INTO v_applied FROM applied f;
    INSERT INTO goldenpath.chunks (user_no, last_seq, first_seq, codec, mark, body)
        SELECT a.user_no, a.head + a.count, a.head + 1, p_codec, a.mark, a.body
        FROM unnest(p_user, p_mark, p_head, p_count, p_body) AS a(user_no, mark, head, count, body)
        WHERE a.count > 0 AND a.user_no = ANY (v_applied);
    IF cardinality(d_user) > 0 THEN
        WITH gone AS (
            SELECT r.user_no, r.run_id FROM goldenpath.runs r
            JOIN unnest(d_user, d_thread) AS a(user_no, thread_id)
                ON r.user_no = a.user_no AND r.thread_id = a.thread_id
            WHERE r.user_no = ANY (v_applied)
        ), runs AS (
            DELETE FROM goldenpath.runs r USING gone g
            WHERE r.user_no = g.user_no AND r.run_id = g.run_id
        )
        DELETE FROM goldenpath.approvals a USING gone g
            WHERE a.user_no = g.user_no AND a.run_id = g.run_id;
        DELETE FROM goldenpath.threads t USING unnest(d_user, d_thread) AS a(user_no, thread_id)
            WHERE t.user_no = a.user_no AND t.thread_id = a.thread_id
                AND t.user_no = ANY (v_applied);
        UPDATE goldenpath.receipts s SET body_hash = NULL
            FROM unnest(d_user, d_thread) AS a(user_no, thread_id)
            WHERE s.user_no = a.user_no AND s.thread_id = a.thread_id
                AND s.user_no = ANY (v_applied);
    END IF;
    IF cardinality(t_user) > 0 THEN
        -- A host may know a thread that was erased by age since: that does not bring it back.
        INSERT INTO goldenpath.threads AS t (user_no, thread_id, created_ms, created_seq, body)
            SELECT a.* FROM unnest(t_user, t_thread, t_created, t_seq, t_body)
                AS a(user_no, thread_id, created_ms, created_seq, body)
            JOIN unnest(p_user, p_head) AS p(user_no, head) ON p.user_no = a.user_no
            WHERE a.user_no = ANY (v_applied) AND (a.created_seq > p.head OR EXISTS (
                SELECT 1 FROM goldenpath.threads k
                WHERE k.user_no = a.user_no AND k.thread_id = a.thread_id))
            ON CONFLICT ON CONSTRAINT threads_pkey DO UPDATE
            SET created_ms = excluded.created_ms, created_seq = excluded.created_seq,
                body = excluded.body;
    END IF;
    IF cardinality(r_user) > 0 THEN
        INSERT INTO goldenpath.runs AS r (user_no, run_id, thread_id, parent_run_id, status,
                queued_ms, ended_ms, first_seq, last_seq, question, output, body, undelivered,
                notice_ms)
            SELECT a.*, a.parent IS NULL AND a.last_seq IS NOT NULL,
                CASE WHEN a.parent IS NULL THEN a.ended END
            FROM unnest(r_user, r_run, r_thread, r_parent, r_status, r_queued, r_ended, r_first,
                r_last, r_question, r_output, r_body)
                AS a(user_no, run_id, thread_id, parent, status, queued, ended, first_seq,
                    last_seq, question, output, body)
            WHERE a.user_no = ANY (v_applied)
            ON CONFLICT ON CONSTRAINT runs_pkey DO UPDATE
            SET status = excluded.status, ended_ms = excluded.ended_ms,
                last_seq = excluded.last_seq, body = excluded.body,
                output = coalesce(excluded.output, r.output), undelivered = excluded.undelivered,
                notice_ms = excluded.notice_ms;
    END IF;
    IF cardinality(a_user) > 0 THEN
        INSERT INTO goldenpath.approvals AS w (user_no, approval_id, run_id, open, requested_seq,
                body)
            SELECT * FROM unnest(a_user, a_approval, a_run, a_open, a_seq, a_body) AS a(user_no)
            WHERE a.user_no = ANY (v_applied)
            ON CONFLICT ON CONSTRAINT approvals_pkey DO UPDATE
            SET open = excluded.open, body = excluded.body;
    END IF;
    IF cardinality(s_user) > 0 THEN
        INSERT INTO goldenpath.receipts AS s (user_no, command_id, thread_id, run_id, body_hash,
                body)
            SELECT * FROM unnest(s_user, s_command, s_thread, s_run, s_hash, s_body) AS a(user_no)
            WHERE a.user_no = ANY (v_applied)
            ON CONFLICT ON CONSTRAINT receipts_pkey DO UPDATE
            SET thread_id = excluded.thread_id, run_id = excluded.run_id,
                body_hash = excluded.body_hash, body = excluded.body;
        DELETE FROM goldenpath.inbox i USING unnest(s_user, s_command) AS a(user_no, command_id)
            WHERE i.user_no = a.user_no AND i.command_id = a.command_id
                AND i.user_no = ANY (v_applied);
    END IF;
    IF cardinality(c_user) > 0 THEN
        -- Whoever sends it again sends its text again; what is kept is whose id it is.
        UPDATE goldenpath.inbox i SET refusal = a.refusal, body = '', refused_ms = n.now_ms
            FROM unnest(c_user, c_command, c_refusal) AS a(user_no, command_id, refusal)
            JOIN unnest(p_user, p_now) AS n(user_no, now_ms) ON n.user_no = a.user_no
            WHERE i.user_no = a.user_no AND i.command_id = a.command_id
                AND i.user_no = ANY (v_applied);
    END IF;
END $$;

-- For each asked position: is it one of this log, the head, and the next chunks with their marks.
-- One row for each chunk, or one without a chunk.
CREATE FUNCTION read_1(
    p_user text[], p_mark text[], p_cursor bigint[], p_limit bigint[], p_bytes bigint[]
) RETURNS TABLE (
    place bigint, valid boolean, user_no bigint, head bigint, first_seq bigint, codec smallint,
    mark text, body bytea
) LANGUAGE sql STABLE AS $$
    SELECT a.place,
        (a.mark = '0' AND a.cursor = 0) OR (a.cursor BETWEEN 0 AND p.last_seq AND a.mark <> '0'),
        u.user_no, coalesce(u.head, 0), c.first_seq, c.codec, c.mark, c.body
    FROM unnest(p_user, p_mark, p_cursor, p_limit, p_bytes)
        WITH ORDINALITY AS a(user_id, mark, cursor, most, bytes, place)
    LEFT JOIN goldenpath.users u ON u.user_id = a.user_id
    LEFT JOIN LATERAL (
        SELECT coalesce((
            SELECT n.first_seq - 1 FROM goldenpath.marks n
            WHERE n.user_no = m.user_no AND n.epoch > m.epoch ORDER BY n.epoch LIMIT 1
        ), u.head) AS last_seq
        FROM goldenpath.marks m WHERE m.user_no = u.user_no AND m.mark = a.mark
        ORDER BY m.epoch DESC LIMIT 1
    ) p ON true
    LEFT JOIN LATERAL (
        SELECT b.* FROM (
            SELECT k.last_seq, k.first_seq, k.codec, k.mark, k.body,
                sum(octet_length(k.body)) OVER (ORDER BY k.last_seq) - octet_length(k.body)
                    AS before
            FROM (
                SELECT * FROM goldenpath.chunks i
                WHERE i.user_no = u.user_no AND i.last_seq > a.cursor
                ORDER BY i.last_seq LIMIT a.most
            ) k
            WHERE k.first_seq <= a.cursor + a.most
        ) b WHERE b.before < a.bytes
    ) c ON u.head > a.cursor
    ORDER BY a.place, c.last_seq
$$;

CREATE FUNCTION acknowledge_1(
    p_user text[], p_device text[], p_mark text[], p_cursor bigint[], p_most bigint[]
) RETURNS TABLE (place bigint, valid boolean) LANGUAGE plpgsql AS $$
DECLARE
    asked record;
    owner goldenpath.users;
    v_last bigint;
    v_device text;
BEGIN
    PERFORM goldenpath.enter_1(p_user);
    PERFORM 1 FROM goldenpath.users u WHERE u.user_id = ANY (p_user)
        ORDER BY u.user_no FOR NO KEY UPDATE;
    FOR asked IN
        SELECT * FROM unnest(p_user, p_device, p_mark, p_cursor, p_most)
            WITH ORDINALITY AS a(user_id, device, mark, cursor, most, place)
        ORDER BY a.place
    LOOP
        place := asked.place;
        SELECT * INTO owner FROM goldenpath.users u WHERE u.user_id = asked.user_id;
        SELECT coalesce((
                SELECT n.first_seq - 1 FROM goldenpath.marks n
                WHERE n.user_no = m.user_no AND n.epoch > m.epoch ORDER BY n.epoch LIMIT 1
            ), owner.head) INTO v_last
            FROM goldenpath.marks m WHERE m.user_no = owner.user_no AND m.mark = asked.mark
            ORDER BY m.epoch DESC LIMIT 1;
        IF asked.mark = '0' THEN
            v_last := 0;
        END IF;
        valid := coalesce(asked.cursor BETWEEN 0 AND v_last, false);
        IF valid THEN
            v_device := asked.device;
            IF NOT EXISTS (SELECT 1 FROM goldenpath.acks k
                    WHERE k.user_no = owner.user_no AND k.device = v_device)
                AND (SELECT count(*) FROM goldenpath.acks k
                    WHERE k.user_no = owner.user_no AND k.device <> '') >= asked.most
            THEN
                v_device := '';
            END IF;
            INSERT INTO goldenpath.acks AS k (user_no, device, cursor)
                VALUES (owner.user_no, v_device, asked.cursor)
                ON CONFLICT (user_no, device) DO UPDATE SET cursor = excluded.cursor
                WHERE k.cursor < excluded.cursor;
            UPDATE goldenpath.runs r SET undelivered = false
                WHERE r.user_no = owner.user_no AND r.undelivered AND r.last_seq <= asked.cursor;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- The beat of a host, and what it sees of all of them.
CREATE FUNCTION renew_1(p_host text, p_about bytea)
RETURNS TABLE (host_id text, beat bigint, about bytea, now_ms bigint, leave boolean)
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO goldenpath.hosts AS h (host_id, beat, about) VALUES (p_host, 1, p_about)
        ON CONFLICT ON CONSTRAINT hosts_pkey DO UPDATE
        SET beat = h.beat + 1, about = excluded.about, renewed_at = clock_timestamp();
    RETURN QUERY
        SELECT h.host_id, h.beat, h.about,
            (extract(epoch FROM clock_timestamp()) * 1000)::bigint, h.leave
        FROM goldenpath.hosts h;
    -- Nobody counts on the row of a host that was killed; what it holds is free for whoever wants it.
    DELETE FROM goldenpath.hosts h WHERE h.renewed_at < clock_timestamp() - interval '1 minute'
        AND NOT EXISTS (SELECT 1 FROM goldenpath.users u WHERE u.holder = h.host_id);
END $$;

-- Who waits for an engine. With a host: without those whom a host in p_alive serves, and of its own
-- only those with a new command, since their engines know when they are due.
CREATE FUNCTION demand_1(p_now bigint, p_limit bigint, p_host text, p_alive text[])
RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT u.user_id FROM goldenpath.users u
    WHERE u.user_no IN (
            SELECT i.user_no FROM goldenpath.inbox i WHERE i.refusal IS NULL
            UNION
            SELECT d.user_no FROM goldenpath.users d
            WHERE d.due_ms <= p_now AND (p_host IS NULL OR d.holder IS DISTINCT FROM p_host))
        AND (u.holder IS NULL OR NOT u.holder = ANY (p_alive))
    LIMIT p_limit
$$;

CREATE FUNCTION fetched_1(p_user text, p_run text[]) RETURNS void LANGUAGE sql AS $$
    SELECT 1 FROM goldenpath.users u WHERE u.user_id = p_user FOR NO KEY UPDATE;
    UPDATE goldenpath.runs r SET undelivered = false
        FROM goldenpath.users u
        WHERE u.user_id = p_user AND r.user_no = u.user_no AND r.undelivered
            AND r.run_id = ANY (p_run)
$$;

-- Rows that another host claims right now are left to it, so that nobody waits. Those that ended too
-- long ago have no time of a next attempt in the answer, and none afterwards.
CREATE FUNCTION claim_notices_1(
    p_now bigint, p_after bigint, p_before bigint, p_first bigint, p_most bigint,
    p_stretch double precision, p_limit bigint
) RETURNS TABLE (
    user_id text, run_id text, thread_id text, status text, ended_ms bigint, attempt integer,
    again_ms bigint, body bytea
) LANGUAGE sql AS $$
    WITH due AS (
        SELECT r.user_no, r.run_id, r.notice_ms FROM goldenpath.runs r
        WHERE r.undelivered AND r.notice_ms <= p_now AND r.ended_ms <= p_before
        ORDER BY r.notice_ms LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE goldenpath.runs r SET notice_attempts = r.notice_attempts + 1,
            notice_ms = CASE WHEN r.ended_ms > p_after THEN p_now + round(
                least(p_first * 2::bigint ^ least(r.notice_attempts, 30), p_most) * p_stretch
            )::bigint END
        FROM due d WHERE r.user_no = d.user_no AND r.run_id = d.run_id
        RETURNING d.notice_ms AS since, r.*
    )
    SELECT u.user_id, c.run_id, c.thread_id, c.status, c.ended_ms, c.notice_attempts, c.notice_ms,
        c.body
    FROM claimed c JOIN goldenpath.users u ON u.user_no = c.user_no ORDER BY c.since
$$;

CREATE FUNCTION notified_1(p_user text, p_run text) RETURNS void LANGUAGE sql AS $$
    UPDATE goldenpath.runs r SET notice_ms = NULL
        FROM goldenpath.users u
        WHERE u.user_id = p_user AND r.user_no = u.user_no AND r.run_id = p_run
            AND r.ended_ms IS NOT NULL
$$;
