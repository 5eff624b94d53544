-- Schema 1. Times are seconds since the epoch; ids are text as they are written everywhere else; hashes are raw.
-- Forward only: never edit a migration that was released, add the next number.

-- `schema` (the number of the last migration), `ca_id`, and `probe`, which is written to see whether writing works.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- The ledger. Columns after `kind` repeat parts of `body`, so that it can be searched without being parsed.
CREATE TABLE events (
    leaf      INTEGER PRIMARY KEY,
    time      BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    issuer    TEXT,
    sub       TEXT,
    name      TEXT,
    session   TEXT,
    request   TEXT,
    grant_id  TEXT,
    authority TEXT,
    serial    BIGINT,
    body      BLOB NOT NULL,
    salt      BLOB NOT NULL,
    hash      BLOB NOT NULL
);

-- The next serial of each authority.
CREATE TABLE serials (
    authority TEXT NOT NULL PRIMARY KEY,
    next      BIGINT NOT NULL
) WITHOUT ROWID;

-- Whose each login and name is, for ever: once one identity's, never another's.
CREATE TABLE identities (
    name   TEXT NOT NULL PRIMARY KEY,
    issuer TEXT NOT NULL,
    sub    TEXT NOT NULL,
    leaf   BIGINT NOT NULL
) WITHOUT ROWID;

-- Signed calls, each good once: the time they were signed at, 20 digits, a dot and their id. The time comes first so
-- that new rows lie together and old ones go together.
CREATE TABLE call_ids (
    id TEXT NOT NULL PRIMARY KEY
) WITHOUT ROWID;

-- Sessions. `replay` is the ID token that opened it (its `iat`, 8 bytes big-endian, and its hash): unique, so a token
-- opens one session. The id begins with the same time, so all indexes grow at their end. A bearer token names its
-- session, and its hash is compared. The row is kept past the later end of token and session (`keep_until`).
CREATE TABLE sessions (
    id         TEXT NOT NULL PRIMARY KEY,
    token_hash BLOB NOT NULL,
    replay     BLOB NOT NULL UNIQUE,
    issuer     TEXT NOT NULL,
    sub        TEXT NOT NULL,
    claims     TEXT NOT NULL,
    session_key TEXT NOT NULL,
    opened     BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    ended      BIGINT,
    keep_until BIGINT NOT NULL,
    leaf       BIGINT NOT NULL
);
CREATE INDEX sessions_by_end ON sessions (keep_until);

-- Decided requests; a granted one carries its grant.
CREATE TABLE requests (
    id            TEXT NOT NULL PRIMARY KEY,
    session       TEXT NOT NULL,
    issuer        TEXT NOT NULL,
    sub           TEXT NOT NULL,
    time          BIGINT NOT NULL,
    asked         TEXT NOT NULL,
    refused       TEXT,
    grant_id      TEXT,
    not_before    BIGINT,
    not_after     BIGINT,
    policy_digest TEXT NOT NULL,
    leaf          BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX requests_by_identity ON requests (issuer, sub, id);

-- Certificates that were determined.
CREATE TABLE certificates (
    authority    TEXT NOT NULL,
    serial       BIGINT NOT NULL,
    grant_id     TEXT NOT NULL,
    request      TEXT NOT NULL,
    session      TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    tbs_sha256   TEXT NOT NULL,
    valid_after  BIGINT NOT NULL,
    valid_before BIGINT NOT NULL,
    leaf         BIGINT NOT NULL,
    PRIMARY KEY (authority, serial)
) WITHOUT ROWID;
