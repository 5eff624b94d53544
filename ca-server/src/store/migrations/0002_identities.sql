-- Schema 2: who may log in, and what ends or changes a session while it lives.

-- Identities that may not log in, as `ISSUER/SUB` (an issuer's name holds no slash). No row once enabled again.
CREATE TABLE disabled (
    id     {text} NOT NULL PRIMARY KEY,
    reason {text} NOT NULL,
    time   BIGINT NOT NULL,
    leaf   BIGINT NOT NULL
) {by_key};

-- Which issuer each issuer's name stands for: whose subjects have what is that name's.
CREATE TABLE issuers (
    name {text} NOT NULL PRIMARY KEY,
    url  {text} NOT NULL,
    leaf BIGINT NOT NULL
) {by_key};

-- The provider's own session, where the ID token named it (`sid`); it may be logged out by that name alone.
ALTER TABLE sessions ADD COLUMN sid {text};
CREATE INDEX sessions_by_identity ON sessions (issuer, sub) WHERE ended IS NULL;
CREATE INDEX sessions_by_sid ON sessions (issuer, sid) WHERE sid IS NOT NULL AND ended IS NULL;

-- What the provider is asked about live sessions with: the refresh token, encrypted under a key that is not here. One
-- process at a time has it: the one that wrote `holder`, until `held`. Gone with the session's end.
CREATE TABLE revalidations (
    session {text} NOT NULL PRIMARY KEY,
    token   {bytes} NOT NULL,
    due     BIGINT NOT NULL,
    holder  {text} NOT NULL,
    held    BIGINT NOT NULL,
    ends    BIGINT NOT NULL
) {by_key};
CREATE INDEX revalidations_due ON revalidations (due);
CREATE INDEX revalidations_end ON revalidations (ends);
