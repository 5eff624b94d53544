//! What others may see of the writer without asking it: how far the ledger is, and whether writing works.

use std::sync::{Mutex, PoisonError};

use jit_ssh_proto::Timestamp;
use tokio::sync::watch;

use super::StoreError;
use super::tree::TreeHead;

/// Seen by everybody who holds the store.
#[derive(Debug)]
pub(super) struct Seen {
    sight: Mutex<Sight>,
    /// The ledger's size, for those who wait for it to grow.
    size: watch::Sender<u64>,
}

#[derive(Debug)]
struct Sight {
    time: Timestamp,
    head: TreeHead,
    trouble: Option<StoreError>,
}

impl Default for Seen {
    fn default() -> Self {
        let sight = Sight { time: Timestamp::default(), head: TreeHead::EMPTY, trouble: None };
        Self { sight: Mutex::new(sight), size: watch::Sender::new(0) }
    }
}

impl Seen {
    fn get<T>(&self, what: impl FnOnce(&mut Sight) -> T) -> T {
        what(&mut self.sight.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The time of the last durable event.
    pub(super) fn time(&self) -> Timestamp {
        self.get(|sight| sight.time)
    }

    pub(super) fn set_time(&self, time: Timestamp) {
        self.get(|sight| sight.time = time);
    }

    /// The ledger after the last transaction.
    pub(super) fn head(&self) -> TreeHead {
        self.get(|sight| sight.head)
    }

    /// Why the last write failed, if it did.
    pub(super) fn trouble(&self) -> Option<StoreError> {
        self.get(|sight| sight.trouble.clone())
    }

    /// Why the last write failed, or that it did not.
    pub(super) fn set_trouble(&self, trouble: Option<StoreError>) {
        self.get(|sight| sight.trouble = trouble);
    }

    /// A transaction is durable.
    pub(super) fn advance(&self, time: Timestamp, head: TreeHead) {
        self.get(|sight| {
            sight.time = time;
            sight.head = head;
        });
        self.size.send_replace(head.size);
    }

    /// The ledger's size after each transaction from now on.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }
}
