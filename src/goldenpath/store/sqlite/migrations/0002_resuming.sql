-- Runs that a shutdown has parked are `resuming`; before, their rows said `running`.
UPDATE runs INDEXED BY runs_open
    SET status = 'resuming', body = json_set(body, '$.status', 'resuming')
    WHERE last_seq IS NULL AND status = 'running' AND body ->> '$.parked' = 'shutdown';
