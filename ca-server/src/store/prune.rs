//! What the hot tables need not remember any longer goes, a bounded number of rows at a time, in transactions that
//! run anyway. The ledger keeps everything.

use jit_ssh_proto::{MAX_CLOCK_SKEW_SECONDS, Span, Timestamp};
use sqlx::AnyConnection;

use super::rows::{calls_of, int};

/// Pruning is due after so many new call ids …
const EVERY_CALLS: usize = 256;

/// … or after so much time.
const EVERY: Span = Span::from_seconds(60);

/// So many rows a table at most: more than were added since the last time, so that the table cannot outgrow it.
const ROWS: i64 = 1024;

/// How long after it was signed a call is remembered. Once past the skew it is stale by a clock that agrees with the
/// ledger; past three times the skew, by any clock that the ledger still takes.
const CALL_KEPT: Span = Span::from_seconds(3 * MAX_CLOCK_SKEW_SECONDS);

/// When it was last done.
#[derive(Debug, Default)]
pub(super) struct Pruning {
    last: Timestamp,
    calls: usize,
}

impl Pruning {
    /// Prunes if it is due. `time` is the ledger's, `calls` how many call ids come now.
    pub(super) async fn run(
        &mut self,
        conn: &mut AnyConnection,
        time: Timestamp,
        calls: usize,
    ) -> Result<(), sqlx::Error> {
        self.calls = self.calls.saturating_add(calls);
        if self.calls < EVERY_CALLS && time < self.last.plus(EVERY) {
            return Ok(());
        }
        self.calls = 0;
        self.last = time;
        let calls = "DELETE \
            FROM call_ids \
            WHERE id IN \
            (SELECT id \
            FROM call_ids \
            WHERE id < $1 \
            ORDER BY id LIMIT $2)";
        let stale = calls_of(time.minus(CALL_KEPT));
        sqlx::query(calls).bind(stale).bind(ROWS).execute(&mut *conn).await?;
        let sessions = "DELETE \
            FROM sessions \
            WHERE id IN \
            (SELECT id \
            FROM sessions \
            WHERE keep_until < $1 \
            ORDER BY keep_until LIMIT $2)";
        sqlx::query(sessions).bind(int(time.seconds())).bind(ROWS).execute(&mut *conn).await?;
        Ok(())
    }
}
