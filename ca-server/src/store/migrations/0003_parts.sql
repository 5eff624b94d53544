-- Schema 3: what is looked for by person lies in parts of 1024 leaves (store/parts.rs), by person within a part. So
-- what is written at one moment lies on few pages, whoever it is about; over all leaves each row had a page of its own.
DROP INDEX events_by_name;
CREATE INDEX events_by_name ON events ((leaf / 1024), name, leaf) WHERE name IS NOT NULL;
DROP INDEX requests_by_identity;
CREATE INDEX requests_by_identity ON requests ((leaf / 1024), issuer, sub, leaf);
DROP INDEX sessions_by_identity;
CREATE INDEX sessions_by_identity ON sessions ((leaf / 1024), issuer, sub) WHERE ended IS NULL;
DROP INDEX sessions_by_sid;
CREATE INDEX sessions_by_sid ON sessions ((leaf / 1024), issuer, sid) WHERE sid IS NOT NULL AND ended IS NULL;
