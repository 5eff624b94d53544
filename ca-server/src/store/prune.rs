//! What the hot tables need not remember any longer goes, a bounded number of rows at a time, in transactions that
//! run anyway. The ledger keeps everything.

use jit_ssh_proto::{MAX_CLOCK_SKEW_SECONDS, Span, Timestamp};

use super::engine::{Conn, EngineError, Value, first};
use super::facts::Head;
use super::rows::calls_of;

/// Pruning is due after so many new call ids …
const EVERY_CALLS: usize = 256;

/// … or after so much time.
const EVERY: Span = Span::from_seconds(60);

/// So many rows a table at most: more than were added since the last time, so that the table cannot outgrow it.
const ROWS: i64 = 1024;

/// How long after it was signed a call is remembered. Once past the skew it is stale by a clock that agrees with the
/// ledger; past three times the skew, by any clock that the ledger still takes.
const CALL_KEPT: Span = Span::from_seconds(3 * MAX_CLOCK_SKEW_SECONDS);

const CALLS: &str = "DELETE \
    FROM call_ids \
    WHERE id IN \
    (SELECT id \
    FROM call_ids \
    WHERE id < $1 \
    ORDER BY id LIMIT $2)";

// Rows lie in the order they came, so the oldest come first: where the first one stays, nothing is looked through.
const OLDEST_SESSION: &str = "SELECT keep_until FROM sessions ORDER BY leaf LIMIT 1";
const SESSIONS: &str = "DELETE \
    FROM sessions \
    WHERE keep_until < $1 AND leaf IN \
    (SELECT leaf \
    FROM sessions \
    ORDER BY leaf LIMIT $2)";

// Ids begin with a time.
const OLDEST_REQUEST: &str = "SELECT time FROM requests ORDER BY id LIMIT 1";
const REQUESTS: &str = "DELETE \
    FROM requests \
    WHERE time < $1 AND (not_after IS NULL OR not_after < $1) AND id IN \
    (SELECT id \
    FROM requests \
    ORDER BY id LIMIT $2)";

const OLDEST_CERTIFICATE: &str =
    "SELECT valid_before FROM certificates WHERE authority = $1 ORDER BY serial LIMIT 1";
const CERTIFICATES: &str = "DELETE \
    FROM certificates \
    WHERE authority = $3 AND valid_before < $1 AND serial IN \
    (SELECT serial \
    FROM certificates \
    WHERE authority = $3 \
    ORDER BY serial LIMIT $2)";

const REVALIDATIONS: &str = "DELETE \
    FROM revalidations \
    WHERE session IN \
    (SELECT session \
    FROM revalidations \
    WHERE ends < $1 \
    ORDER BY ends LIMIT $2)";

/// When it was last done.
#[derive(Debug)]
pub(super) struct Pruning {
    keep: Span,
    last: Timestamp,
    calls: usize,
}

impl Pruning {
    /// Requests and certificates stay for so long after they ended.
    pub(super) fn new(keep: Span) -> Self {
        Self { keep, last: Timestamp::default(), calls: 0 }
    }

    /// Prunes if it is due, by the ledger's time. `calls` is how many call ids come now.
    pub(super) fn run(&mut self, conn: &mut dyn Conn, head: &Head, calls: usize) -> Result<(), EngineError> {
        self.calls = self.calls.saturating_add(calls);
        let time = head.time;
        if self.calls < EVERY_CALLS && time < self.last.plus(EVERY) {
            return Ok(());
        }
        self.calls = 0;
        self.last = time;
        let rows = || Value::Int(ROWS);
        conn.execute(CALLS, &[calls_of(time.minus(CALL_KEPT)).into(), rows()])?;
        if older(conn, OLDEST_SESSION, &[], time)? {
            conn.execute(SESSIONS, &[time.into(), rows()])?;
        }
        conn.execute(REVALIDATIONS, &[time.into(), rows()])?;
        let ended = time.minus(self.keep);
        if older(conn, OLDEST_REQUEST, &[], ended)? {
            conn.execute(REQUESTS, &[ended.into(), rows()])?;
        }
        for authority in head.serials.keys() {
            let authority = Value::from(authority.clone());
            if older(conn, OLDEST_CERTIFICATE, std::slice::from_ref(&authority), ended)? {
                conn.execute(CERTIFICATES, &[ended.into(), rows(), authority])?;
            }
        }
        Ok(())
    }
}

/// Whether the first row of a table is of before `time`.
fn older(conn: &mut dyn Conn, oldest: &str, args: &[Value], time: Timestamp) -> Result<bool, EngineError> {
    first(conn, oldest, args)?.map_or(Ok(false), |row| Ok(row.time(0)? < time))
}
