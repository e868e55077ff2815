-- Times are milliseconds since 1970-01-01T00:00:00Z. Ids are 63-bit numbers that grow. Text compares by its bytes.

-- One journey at one surface. The challenge's columns are null until something was asked.
CREATE TABLE flows (
    id             INTEGER PRIMARY KEY,
    handle         BLOB    NOT NULL UNIQUE CHECK (length(handle) = 32),
    project        TEXT    NOT NULL,
    dialect        TEXT    NOT NULL,
    purpose        TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    identity_id    INTEGER,
    device_id      INTEGER,
    replaces_id    INTEGER,
    attributes     TEXT,
    memo           TEXT,
    seed           BLOB    NOT NULL CHECK (length(seed) = 16),
    issued_at      INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    channel        TEXT,
    address        TEXT,
    mailbox        TEXT,
    epoch          INTEGER,
    sends          INTEGER,
    attempts       INTEGER,
    max_attempts   INTEGER,
    sent_at        INTEGER,
    code_ends_at   INTEGER,
    code_format    TEXT,
    key_id         INTEGER,
    code_digest    BLOB,
    message_id     INTEGER
) STRICT;

CREATE INDEX flows_by_identity ON flows (identity_id) WHERE identity_id IS NOT NULL;
CREATE INDEX flows_by_device ON flows (device_id) WHERE device_id IS NOT NULL;

CREATE TABLE identities (
    id             INTEGER PRIMARY KEY,
    project        TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    traits         TEXT    NOT NULL,
    metadata       TEXT    NOT NULL,
    revision       INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
) STRICT;

CREATE INDEX identities_by_project ON identities (project, id);

-- `address` is the canonical form, by which one is found wherever it stands; `mailbox` is as its owner wrote it: mail goes there.
CREATE TABLE addresses (
    id             INTEGER PRIMARY KEY,
    identity_id    INTEGER NOT NULL REFERENCES identities (id),
    project        TEXT    NOT NULL,
    channel        TEXT    NOT NULL,
    address        TEXT    NOT NULL,
    mailbox        TEXT    NOT NULL,
    verified_at    INTEGER,
    asked_at       INTEGER,
    created_at     INTEGER NOT NULL,
    UNIQUE (address, project, channel)
) STRICT;

CREATE INDEX addresses_by_identity ON addresses (identity_id);

CREATE TABLE sessions (
    id                  INTEGER PRIMARY KEY,
    project             TEXT    NOT NULL,
    dialect             TEXT    NOT NULL,
    identity_id         INTEGER NOT NULL,
    device_id           INTEGER,
    method              TEXT    NOT NULL,
    memo                TEXT,
    issued_at           INTEGER NOT NULL,
    expires_at          INTEGER NOT NULL,
    ended_at            INTEGER,
    generation          INTEGER NOT NULL,
    rotated_at          INTEGER NOT NULL,
    previous_rotated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_by_identity ON sessions (identity_id);
CREATE INDEX sessions_by_device ON sessions (device_id) WHERE device_id IS NOT NULL;

-- A browser or app installation that has had a session.
CREATE TABLE devices (
    id             INTEGER PRIMARY KEY,
    project        TEXT    NOT NULL,
    dialect        TEXT    NOT NULL,
    generation     INTEGER NOT NULL,
    rotated_at     INTEGER NOT NULL,
    active_id      INTEGER,
    updated_at     INTEGER NOT NULL
) STRICT;

-- One-time envelopes. What a ticket is called and what it holds cannot be read from its row.
CREATE TABLE tickets (
    digest         BLOB    PRIMARY KEY CHECK (length(digest) = 32),
    project        TEXT    NOT NULL,
    binding        BLOB    NOT NULL CHECK (length(binding) = 32),
    identity_id    INTEGER,
    method         TEXT    NOT NULL,
    sealed         BLOB    NOT NULL,
    expires_at     INTEGER NOT NULL,
    spent_at       INTEGER,
    session_id     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tickets_by_end ON tickets (expires_at);
CREATE INDEX tickets_by_identity ON tickets (identity_id) WHERE identity_id IS NOT NULL;

-- Messages owed to the world. No code: it is derived from the flow's row, with a key that is not in here.
CREATE TABLE outbox (
    id             INTEGER PRIMARY KEY,
    project        TEXT    NOT NULL,
    kind           TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    flow_id        INTEGER NOT NULL,
    epoch          INTEGER NOT NULL,
    channel        TEXT    NOT NULL,
    address        TEXT    NOT NULL,
    mailbox        TEXT    NOT NULL,
    due_at         INTEGER NOT NULL,
    attempts       INTEGER NOT NULL,
    not_after      INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    settled_at     INTEGER,
    last_error     TEXT,
    link           BLOB,
    replaced_by    TEXT
) STRICT;

CREATE INDEX outbox_owed ON outbox (due_at) WHERE state = 'owed';

-- What was sent to an address and what was guessed about it, by strangers and by devices it was proved on: see `Spent` in the engine.
CREATE TABLE budgets (
    address        TEXT    NOT NULL,
    project        TEXT    NOT NULL,
    channel        TEXT    NOT NULL,
    stranger       BLOB    NOT NULL,
    known          BLOB    NOT NULL,
    forgotten_at   INTEGER NOT NULL,
    PRIMARY KEY (address, project, channel)
) STRICT, WITHOUT ROWID;

-- Private keys, sealed. Unique by slot, so that no two nodes can both make one.
CREATE TABLE signing_keys (
    project        TEXT    NOT NULL,
    algorithm      TEXT    NOT NULL,
    slot           INTEGER NOT NULL,
    kid            TEXT    NOT NULL UNIQUE,
    created_at     INTEGER NOT NULL,
    sealed         BLOB    NOT NULL,
    PRIMARY KEY (project, algorithm, slot)
) STRICT, WITHOUT ROWID;

-- What the installation knows about itself.
CREATE TABLE project_meta (
    name           TEXT    PRIMARY KEY,
    value          BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
