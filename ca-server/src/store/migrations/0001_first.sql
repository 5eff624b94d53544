-- Schema 1. Times are seconds since the epoch; ids are text as they are written everywhere else; hashes are raw.
-- Forward only: never edit a migration that was released, add the next number. One text for both engines, which put
-- their own words for {id}, {text}, {bytes} and {by_key}; numbers are BIGINT in both.

-- `schema` (the number of the last migration), `ca_id`, and `probe`, which is written to see whether writing works.
CREATE TABLE meta (
    name  {text} NOT NULL PRIMARY KEY,
    value {text} NOT NULL
) {by_key};

-- The ledger. Columns after `kind` repeat parts of `body`, so that it can be searched without being parsed. An erased
-- event has neither body nor salt, nor the columns that tell whose it was.
CREATE TABLE events (
    leaf      {id},
    time      BIGINT NOT NULL,
    kind      {text} NOT NULL,
    issuer    {text},
    sub       {text},
    name      {text},
    session   {text},
    request   {text},
    grant_id  {text},
    authority {text},
    serial    BIGINT,
    body      {bytes},
    salt      {bytes},
    hash      {bytes} NOT NULL
);

-- What one looks for: whose, which certificate, and what happens seldom. Each new entry goes to the end of its part.
CREATE INDEX events_by_name ON events (name, leaf) WHERE name IS NOT NULL;
CREATE INDEX events_by_serial ON events (serial, leaf) WHERE serial IS NOT NULL;
CREATE INDEX events_by_kind ON events (kind, leaf)
    WHERE kind NOT IN ('session.opened', 'request.decided', 'certificate.issued');

-- The next serial of each authority.
CREATE TABLE serials (
    authority {text} NOT NULL PRIMARY KEY,
    next      BIGINT NOT NULL
) {by_key};

-- Whose each login and name is, for ever: once one identity's, never another's.
CREATE TABLE identities (
    name   {text} NOT NULL PRIMARY KEY,
    issuer {text} NOT NULL,
    sub    {text} NOT NULL,
    leaf   BIGINT NOT NULL
) {by_key};

-- Signed calls, each good once: the time they were signed at, 20 digits, a dot and their id. The time comes first so
-- that new rows lie together and old ones go together.
CREATE TABLE call_ids (
    id {text} NOT NULL PRIMARY KEY
) {by_key};

-- Sessions. The id is a function of the ID token that opened it, so that a token opens one session; `replay` is that
-- token's whole hash. A bearer token names its session, and its hash is compared. The row is kept past the later end of
-- token and session (`keep_until`). Rows are wide and come in bursts, so they lie in the order they came.
CREATE TABLE sessions (
    leaf       {id},
    id         {text} NOT NULL UNIQUE,
    token_hash {bytes} NOT NULL,
    replay     {bytes} NOT NULL,
    issuer     {text} NOT NULL,
    sub        {text} NOT NULL,
    claims     {text} NOT NULL,
    session_key {text} NOT NULL,
    opened     BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    ended      BIGINT,
    keep_until BIGINT NOT NULL
);

-- Decided requests; a granted one carries its grant. Gone some time after they or their grant ended.
CREATE TABLE requests (
    id            {text} NOT NULL PRIMARY KEY,
    session       {text} NOT NULL,
    issuer        {text} NOT NULL,
    sub           {text} NOT NULL,
    time          BIGINT NOT NULL,
    asked         {text} NOT NULL,
    refused       {text},
    grant_id      {text},
    not_before    BIGINT,
    not_after     BIGINT,
    policy_digest {text} NOT NULL,
    leaf          BIGINT NOT NULL
) {by_key};
CREATE INDEX requests_by_identity ON requests (issuer, sub, id);

-- Certificates that were determined. Gone some time after they expired. `revoked` is why, where one was.
CREATE TABLE certificates (
    authority    {text} NOT NULL,
    serial       BIGINT NOT NULL,
    grant_id     {text} NOT NULL,
    request      {text} NOT NULL,
    session      {text} NOT NULL,
    fingerprint  {text} NOT NULL,
    tbs_sha256   {text} NOT NULL,
    valid_after  BIGINT NOT NULL,
    valid_before BIGINT NOT NULL,
    leaf         BIGINT NOT NULL,
    revoked      {text},
    PRIMARY KEY (authority, serial)
) {by_key};

-- The Merkle tree over `events.hash` (RFC 6962): of level L, the root of each complete run of 256^L leaves. What lies
-- between is computed when it is needed.
CREATE TABLE tiles (
    level BIGINT NOT NULL,
    idx   BIGINT NOT NULL,
    hash  {bytes} NOT NULL,
    PRIMARY KEY (level, idx)
) {by_key};
