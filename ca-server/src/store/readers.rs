//! Reading beside the writer: a few connections that cannot write, on threads that may block.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::StoreError;
use super::engine::{Conn, EngineError};
use super::place::Place;

/// How many read at once for callers who are known or want to be. Each costs a page cache of 2 MB at most, or a
/// connection to the server.
pub(super) const READERS: u32 = 3;

/// The same for what anybody may read, whoever they are: however many ask for that, nobody else waits for them.
pub(super) const PUBLIC_READERS: u32 = 2;

/// The readers; opened when they are first needed.
pub(super) struct Readers {
    place: Place,
    idle: Arc<Mutex<Vec<Box<dyn Conn>>>>,
    turns: Arc<Semaphore>,
    count: u32,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Readers {
    /// So many at once.
    pub(super) fn new(place: Place, count: u32) -> Self {
        let turns = Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(1)));
        Self { place, idle: Arc::default(), turns, count }
    }

    /// Reads on a connection of its own. One that failed is not used again.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Conn) -> Result<T, EngineError> + Send + 'static,
    {
        let closed = || StoreError::Unavailable(format!("{} was closed", self.place.shown()));
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| closed())?;
        let (idle, place) = (Arc::clone(&self.idle), self.place.clone());
        let read = tokio::task::spawn_blocking(move || {
            let held = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut conn = match held.and_then(alive) {
                Some(conn) => conn,
                None => place.reader()?,
            };
            let done = work(conn.as_mut());
            match &done {
                Ok(_) => idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn),
                Err(_) => conn.close(),
            }
            drop(turn);
            done.map_err(|e| place.explain(&e))
        });
        read.await.map_err(|_| closed())?
    }

    /// Waits for whoever reads, and closes.
    pub(super) async fn close(&self) {
        let _all = self.turns.acquire_many(self.count).await;
        self.turns.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        let _closed =
            tokio::task::spawn_blocking(move || idle.into_iter().for_each(|conn| conn.close())).await;
    }
}

/// A server may have gone and come back while nobody read.
fn alive(mut conn: Box<dyn Conn>) -> Option<Box<dyn Conn>> {
    if !conn.shared() || conn.select("SELECT CAST(1 AS BIGINT)", &[]).is_ok() {
        return Some(conn);
    }
    conn.close();
    None
}
