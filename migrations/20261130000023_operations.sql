-- What a process and its operators know of themselves.

-- Written by each process every few seconds, to see whether the database takes writes.
CREATE TABLE write_probes (
    process    TEXT PRIMARY KEY,
    written_at BIGINT NOT NULL
);

-- When what is to run every night has last run. Also written by deploy/systemd/stagedoor-backup and
-- deploy/kubernetes/base/backup-postgres, which copy the database.
CREATE TABLE task_runs (
    -- 'backup' or 'audit'.
    task         TEXT PRIMARY KEY,
    ended_at     BIGINT NOT NULL,
    -- 1: the last run went well.
    succeeded    BIGINT NOT NULL CHECK (succeeded IN (0, 1)),
    -- When one last went well; null: none has.
    succeeded_at BIGINT
);
