//! Claims of calls that come at the same time, proven together.

use std::sync::{Mutex, PoisonError};

use jit_ssh_core::proof::{Claim, Proven, prove};
use tokio::sync::oneshot;

/// With so many, nobody waits for more: they would not become cheaper.
const ENOUGH: usize = 32;

/// What waits to be proven.
#[derive(Debug, Default)]
pub struct Proofs(Mutex<Vec<Waiting>>);

/// A claim, and where its proof goes.
type Waiting = (Claim, oneshot::Sender<Option<Proven>>);

impl Proofs {
    /// The claim proven, if it holds. The first of several lets the others come: those calls that have arrived by now
    /// and wait for this thread; then it proves for all of them.
    pub(super) async fn prove(&self, claim: Claim) -> Option<Proven> {
        let (tell, told) = oneshot::channel();
        match self.add((claim, tell)) {
            1 => {
                let first = First(self);
                // Once for those whose calls were read, once more for those that came meanwhile.
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                drop(first);
            }
            ENOUGH.. => self.prove_waiting(),
            _ => {}
        }
        told.await.ok().flatten()
    }

    fn add(&self, waiting: Waiting) -> usize {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(waiting);
        all.len()
    }

    fn prove_waiting(&self) {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let (claims, tell): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        for (proven, tell) in prove(claims).into_iter().zip(tell) {
            // A caller may have gone.
            let _gone = tell.send(proven);
        }
    }
}

/// Whoever came first. The others' calls go on even if its own is given up while it lets them come.
struct First<'a>(&'a Proofs);

impl Drop for First<'_> {
    fn drop(&mut self) {
        self.0.prove_waiting();
    }
}
