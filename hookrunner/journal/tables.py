"""The tables in PostgreSQL, in a schema of their own, and how they come to be.

A release brings them up to date while the one before it still works with them. So a step only
adds; what would break an older program says so in OLDEST, and that program does not start.
"""

from __future__ import annotations

import psycopg

from hookrunner.journal.link import Db, connect, rows, run, told
from hookrunner.model import Trouble

LOCK = 0x686F6F6B  # "hook"
"""Our number among the advisory locks of the database."""

NOW = "extract(epoch FROM statement_timestamp())::float8"
"""SQL for the time of the database's clock, the only one that counts: Unix seconds."""

MIGRATIONS = (
    """
CREATE TABLE hookrunner.run (
    seq           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            text COLLATE "C" NOT NULL UNIQUE,
    hook          text COLLATE "C" NOT NULL,
    state         text COLLATE "C" NOT NULL,
    attempt       integer NOT NULL DEFAULT 0,
    failures      integer NOT NULL DEFAULT 0,
    interruptions integer NOT NULL DEFAULT 0,
    due           float8,
    recorded_at   float8 NOT NULL,
    ended_at      float8,
    current       boolean NOT NULL DEFAULT true,
    untold        boolean NOT NULL DEFAULT false,
    worker        text COLLATE "C" NOT NULL DEFAULT '',
    taken         bigint,
    held_until    float8,
    awaited_by    text COLLATE "C" NOT NULL DEFAULT '',
    dedupe_key    text COLLATE "C" NOT NULL DEFAULT '',
    replaces      text COLLATE "C" NOT NULL DEFAULT '',
    method        text COLLATE "C" NOT NULL,
    path          text COLLATE "C" NOT NULL,
    params        text COLLATE "C" NOT NULL,
    query         text COLLATE "C" NOT NULL,
    headers       text COLLATE "C" NOT NULL,
    content_type  text COLLATE "C" NOT NULL,
    remote_addr   text COLLATE "C" NOT NULL,
    delivery_id   text COLLATE "C" NOT NULL,
    event         text COLLATE "C" NOT NULL,
    body          bytea NOT NULL
);
-- Finished runs are many, and left alone: what must be found quickly has an index of its own.
CREATE INDEX run_queued ON hookrunner.run (hook, due, seq) WHERE state = 'queued';
CREATE INDEX run_running ON hookrunner.run (hook, due) WHERE state = 'running';
CREATE INDEX run_live ON hookrunner.run (hook, seq) WHERE state IN ('queued', 'running');
CREATE INDEX run_held ON hookrunner.run (hook) WHERE held_until IS NOT NULL;
CREATE INDEX run_ended ON hookrunner.run (hook, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX run_untold ON hookrunner.run (seq) WHERE untold;
CREATE UNIQUE INDEX run_delivery ON hookrunner.run (hook, dedupe_key)
    WHERE current AND dedupe_key <> '';
CREATE INDEX run_of_hook ON hookrunner.run (hook, seq);
CREATE INDEX run_failed ON hookrunner.run (seq) WHERE state = 'failed';
CREATE INDEX run_failed_of_hook ON hookrunner.run (hook, seq) WHERE state = 'failed';
CREATE INDEX run_cancelled ON hookrunner.run (seq) WHERE state = 'cancelled';
CREATE INDEX run_replaces ON hookrunner.run (replaces, seq) WHERE replaces <> '';
-- What the queue leaves behind is swept up soon: looking past it makes claims slow.
ALTER TABLE hookrunner.run SET (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 1000
);
ALTER TABLE hookrunner.run ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE hookrunner.attempt (
    run        bigint NOT NULL,
    number     integer NOT NULL,
    started_at float8 NOT NULL,
    state      text COLLATE "C" NOT NULL DEFAULT 'running',
    why        text COLLATE "C",
    exit_code  integer,
    signal     integer,
    detail     text COLLATE "C" NOT NULL DEFAULT '',
    seconds    float8 NOT NULL DEFAULT 0,
    settled    bigint,
    stdout     bytea NOT NULL DEFAULT '',
    stderr     bytea NOT NULL DEFAULT '',
    PRIMARY KEY (run, number)
);
-- Not compressed, so that a part of a long output can be read without the rest.
ALTER TABLE hookrunner.attempt ALTER COLUMN stdout SET STORAGE EXTERNAL;
ALTER TABLE hookrunner.attempt ALTER COLUMN stderr SET STORAGE EXTERNAL;
CREATE TABLE hookrunner.lane (hook text COLLATE "C" PRIMARY KEY);
CREATE TABLE hookrunner.pace (
    hook    text COLLATE "C" PRIMARY KEY,
    free_at float8 NOT NULL
);
CREATE TABLE hookrunner.seal (
    hook  text COLLATE "C" NOT NULL,
    seal  text COLLATE "C" NOT NULL,
    run   text COLLATE "C" NOT NULL,
    until float8 NOT NULL,
    PRIMARY KEY (hook, seal)
);
CREATE INDEX seal_until ON hookrunner.seal (until);
CREATE TABLE hookrunner.worker (
    name    text COLLATE "C" PRIMARY KEY,
    hooks   text[] NOT NULL,
    seen_at float8 NOT NULL
);
-- Each connection counts in rows of its own, so that none waits for another's commit.
CREATE TABLE hookrunner.tally (
    slot  bigint NOT NULL,
    hook  text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    by    integer NOT NULL,
    n     bigint NOT NULL,
    PRIMARY KEY (slot, hook, state, by)
);
CREATE TABLE hookrunner.took (
    hook text COLLATE "C" NOT NULL,
    ms   bigint NOT NULL,
    slot bigint NOT NULL,
    by   integer NOT NULL,
    n    bigint NOT NULL,
    PRIMARY KEY (hook, ms, slot, by)
);
CREATE TABLE hookrunner.refusal (
    seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      float8 NOT NULL,
    method  text COLLATE "C" NOT NULL,
    path    text COLLATE "C" NOT NULL,
    status  integer NOT NULL,
    why     text COLLATE "C" NOT NULL,
    address text COLLATE "C" NOT NULL,
    size    bigint NOT NULL
);
CREATE TABLE hookrunner.pulse (at float8 NOT NULL);
INSERT INTO hookrunner.pulse VALUES (0);
""",
)
"""What made each version of the tables from the one before it."""

OLDEST = 1
"""The version that a program must know at least, to work with the newest tables."""

BEGIN = """
CREATE SCHEMA IF NOT EXISTS hookrunner;
CREATE TABLE IF NOT EXISTS hookrunner.version (version integer NOT NULL, oldest integer NOT NULL);
"""
# A look into a table of the server's has it hear of what others have made meanwhile.
HAS_VERSION = """
SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables
               WHERE schemaname = 'hookrunner' AND tablename = 'version')
"""
VERSION = "SELECT version, oldest FROM hookrunner.version"


def migrate(db: Db) -> tuple[int, int]:
    """Bring the tables up to date; the version before, and after. Whoever does so at the same
    time waits. Raises Trouble if the tables are those of a newer program, which has left this
    one behind."""
    was = version(db)
    if was >= len(MIGRATIONS):
        return was, was
    with db.transaction():
        run(db, "SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        was = version(db)
        if was < len(MIGRATIONS):
            run(db, BEGIN)
            for step in MIGRATIONS[was:]:
                run(db, step)
            run(db, "DELETE FROM hookrunner.version")
            run(db, "INSERT INTO hookrunner.version VALUES (%s, %s)", (len(MIGRATIONS), OLDEST))
    return was, max(was, len(MIGRATIONS))


def brought(url: str) -> tuple[int, int]:
    """The same, on a connection of its own. Raises Trouble if it cannot be done."""
    with connect(url) as db:
        try:
            return migrate(db)
        except psycopg.Error as error:
            raise unmade(error) from None


def require(url: str) -> None:
    """Raise Trouble unless there are tables that this program can work with."""
    with connect(url) as db:
        try:
            known = version(db)
        except psycopg.Error as error:
            raise Trouble(f"the journal cannot be read: {told(error)}") from None
    if known < len(MIGRATIONS):
        what = f"of version {known}, and not yet {len(MIGRATIONS)}" if known else "not there yet"
        raise Trouble(
            f"the journal's tables are {what}; a server makes them as it starts, "
            "or: python runner.py migrate"
        )


def unmade(error: psycopg.Error) -> Trouble:
    """What is said where tables could not be made."""
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return Trouble(
            f"the journal's tables cannot be made: {told(error)}; "
            "GRANT CREATE ON DATABASE … TO its user, or let its owner: python runner.py migrate"
        )
    return Trouble(f"the journal's tables cannot be made: {told(error)}")


def version(db: Db) -> int:
    """The version of the tables; 0 if there are none. Raises Trouble as `migrate` does."""
    [[there]] = rows(db, HAS_VERSION)
    found = rows(db, VERSION) if there else []
    if not found:
        return 0
    [[known, oldest]] = found
    if oldest > len(MIGRATIONS):
        raise Trouble(
            f"the journal's tables are of a newer version ({known}), which this one "
            f"({len(MIGRATIONS)}) cannot work with; deploy the newer version again"
        )
    return int(known)
