-- Times are milliseconds since 1970-01-01T00:00:00Z. Ids are 63-bit numbers that grow. Text compares by its bytes. What is written
-- once and changed soon after leaves room in its page, so that the change touches no index.

-- One journey at one surface. The challenge's columns are null until something was asked.
CREATE TABLE flows (
    id             BIGINT  PRIMARY KEY,
    handle         BYTEA   NOT NULL UNIQUE CHECK (length(handle) = 32),
    project        TEXT    COLLATE "C" NOT NULL,
    dialect        TEXT    COLLATE "C" NOT NULL,
    purpose        TEXT    COLLATE "C" NOT NULL,
    state          TEXT    COLLATE "C" NOT NULL,
    identity_id    BIGINT,
    device_id      BIGINT,
    replaces_id    BIGINT,
    attributes     TEXT    COLLATE "C",
    memo           TEXT    COLLATE "C",
    seed           BYTEA   NOT NULL CHECK (length(seed) = 16),
    issued_at      BIGINT  NOT NULL,
    expires_at     BIGINT  NOT NULL,
    channel        TEXT    COLLATE "C",
    address        TEXT    COLLATE "C",
    mailbox        TEXT    COLLATE "C",
    epoch          BIGINT,
    sends          BIGINT,
    attempts       BIGINT,
    max_attempts   BIGINT,
    sent_at        BIGINT,
    code_ends_at   BIGINT,
    code_format    TEXT    COLLATE "C",
    key_id         BIGINT,
    code_digest    BYTEA,
    message_id     BIGINT
) WITH (fillfactor = 70);

CREATE INDEX flows_by_identity ON flows (identity_id) WHERE identity_id IS NOT NULL;
CREATE INDEX flows_by_device ON flows (device_id) WHERE device_id IS NOT NULL;

CREATE TABLE identities (
    id             BIGINT  PRIMARY KEY,
    project        TEXT    COLLATE "C" NOT NULL,
    state          TEXT    COLLATE "C" NOT NULL,
    traits         TEXT    COLLATE "C" NOT NULL,
    metadata       TEXT    COLLATE "C" NOT NULL,
    revision       BIGINT  NOT NULL,
    created_at     BIGINT  NOT NULL,
    updated_at     BIGINT  NOT NULL
) WITH (fillfactor = 90);

CREATE INDEX identities_by_project ON identities (project, id);

-- `address` is the canonical form, by which one is found wherever it stands; `mailbox` is as its owner wrote it: mail goes there.
CREATE TABLE addresses (
    id             BIGINT  PRIMARY KEY,
    identity_id    BIGINT  NOT NULL REFERENCES identities (id),
    project        TEXT    COLLATE "C" NOT NULL,
    channel        TEXT    COLLATE "C" NOT NULL,
    address        TEXT    COLLATE "C" NOT NULL,
    mailbox        TEXT    COLLATE "C" NOT NULL,
    verified_at    BIGINT,
    asked_at       BIGINT,
    created_at     BIGINT  NOT NULL,
    UNIQUE (address, project, channel)
) WITH (fillfactor = 90);

CREATE INDEX addresses_by_identity ON addresses (identity_id);

CREATE TABLE sessions (
    id                  BIGINT  PRIMARY KEY,
    project             TEXT    COLLATE "C" NOT NULL,
    dialect             TEXT    COLLATE "C" NOT NULL,
    identity_id         BIGINT  NOT NULL,
    device_id           BIGINT,
    method              TEXT    COLLATE "C" NOT NULL,
    memo                TEXT    COLLATE "C",
    issued_at           BIGINT  NOT NULL,
    expires_at          BIGINT  NOT NULL,
    ended_at            BIGINT,
    generation          BIGINT  NOT NULL,
    rotated_at          BIGINT  NOT NULL,
    previous_rotated_at BIGINT  NOT NULL
) WITH (fillfactor = 80);

CREATE INDEX sessions_by_identity ON sessions (identity_id);
CREATE INDEX sessions_by_device ON sessions (device_id) WHERE device_id IS NOT NULL;

-- A browser or app installation that has had a session.
CREATE TABLE devices (
    id             BIGINT  PRIMARY KEY,
    project        TEXT    COLLATE "C" NOT NULL,
    dialect        TEXT    COLLATE "C" NOT NULL,
    generation     BIGINT  NOT NULL,
    rotated_at     BIGINT  NOT NULL,
    active_id      BIGINT,
    updated_at     BIGINT  NOT NULL
) WITH (fillfactor = 80);

-- One-time envelopes. What a ticket is called and what it holds cannot be read from its row.
CREATE TABLE tickets (
    digest         BYTEA   PRIMARY KEY CHECK (length(digest) = 32),
    project        TEXT    COLLATE "C" NOT NULL,
    binding        BYTEA   NOT NULL CHECK (length(binding) = 32),
    identity_id    BIGINT,
    method         TEXT    COLLATE "C" NOT NULL,
    sealed         BYTEA   NOT NULL,
    expires_at     BIGINT  NOT NULL,
    spent_at       BIGINT,
    session_id     BIGINT
);

CREATE INDEX tickets_by_end ON tickets (expires_at);
CREATE INDEX tickets_by_identity ON tickets (identity_id) WHERE identity_id IS NOT NULL;

-- Messages owed to the world. No code: it is derived from the flow's row, with a key that is not in here.
CREATE TABLE outbox (
    id             BIGINT  PRIMARY KEY,
    project        TEXT    COLLATE "C" NOT NULL,
    kind           TEXT    COLLATE "C" NOT NULL,
    state          TEXT    COLLATE "C" NOT NULL,
    flow_id        BIGINT  NOT NULL,
    epoch          BIGINT  NOT NULL,
    channel        TEXT    COLLATE "C" NOT NULL,
    address        TEXT    COLLATE "C" NOT NULL,
    mailbox        TEXT    COLLATE "C" NOT NULL,
    due_at         BIGINT  NOT NULL,
    attempts       BIGINT  NOT NULL,
    not_after      BIGINT  NOT NULL,
    created_at     BIGINT  NOT NULL,
    settled_at     BIGINT,
    last_error     TEXT    COLLATE "C",
    link           BYTEA,
    replaced_by    TEXT    COLLATE "C"
) WITH (fillfactor = 70);

CREATE INDEX outbox_owed ON outbox (due_at) WHERE state = 'owed';

-- What was sent to an address and what was guessed about it, by strangers and by devices it was proved on: see `Spent` in the engine.
CREATE TABLE budgets (
    address        TEXT    COLLATE "C" NOT NULL,
    project        TEXT    COLLATE "C" NOT NULL,
    channel        TEXT    COLLATE "C" NOT NULL,
    stranger       BYTEA   NOT NULL,
    known          BYTEA   NOT NULL,
    forgotten_at   BIGINT  NOT NULL,
    PRIMARY KEY (address, project, channel)
);

-- Without it a sweep would read every budget there is.
CREATE INDEX budgets_by_end ON budgets (forgotten_at);

-- Private keys, sealed. Unique by slot, so that no two nodes can both make one.
CREATE TABLE signing_keys (
    project        TEXT    COLLATE "C" NOT NULL,
    algorithm      TEXT    COLLATE "C" NOT NULL,
    slot           BIGINT  NOT NULL,
    kid            TEXT    COLLATE "C" NOT NULL UNIQUE,
    created_at     BIGINT  NOT NULL,
    sealed         BYTEA   NOT NULL,
    PRIMARY KEY (project, algorithm, slot)
);

-- What the installation knows about itself.
CREATE TABLE project_meta (
    name           TEXT    COLLATE "C" PRIMARY KEY,
    value          BYTEA   NOT NULL
);

-- The nodes that run, each with a number of its own: part of the ids that it makes.
CREATE TABLE nodes (
    number         BIGINT  PRIMARY KEY,
    holder         BYTEA   NOT NULL CHECK (length(holder) = 16),
    renewed_at     BIGINT  NOT NULL
);
