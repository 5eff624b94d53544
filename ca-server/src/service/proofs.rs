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

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::Poll;

    use futures_util::future::join_all;
    use jit_ssh_core::proof::Claim;
    use jit_ssh_proto::UserKey;
    use signature::Signer;
    use ssh_key::PrivateKey;
    use ssh_key::private::Ed25519Keypair;

    use super::{ENOUGH, Proofs};

    /// A claim of the key number `of` over its number; a good one if that is what was `signed`.
    fn claim(of: u8, signed: u8) -> Claim {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[of; 32]));
        Claim::new(UserKey::new(key.public_key()).unwrap(), vec![of], key.try_sign(&[signed]).unwrap())
    }

    /// Looks at a future once: whether it waits.
    async fn once(mut future: Pin<&mut impl Future>) -> bool {
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
    }

    #[tokio::test]
    async fn each_of_many_gets_its_own_answer() {
        for count in [1, 2, 7, ENOUGH, 3 * ENOUGH + 1] {
            let proofs = Proofs::default();
            let wrong = count / 2;
            let asked = (0..count).map(|at| {
                let of = u8::try_from(at).unwrap();
                proofs.prove(claim(of, if at == wrong { 200 } else { of }))
            });
            let proven: Vec<bool> = join_all(asked).await.iter().map(Option::is_some).collect();
            assert_eq!(proven, (0..count).map(|at| at != wrong).collect::<Vec<_>>(), "{count}");
            assert!(proofs.0.lock().unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn whoever_came_first_may_go_before_the_others_are_answered() {
        let proofs = Proofs::default();
        let mut second = pin!(proofs.prove(claim(2, 2)));
        {
            let mut first = pin!(proofs.prove(claim(1, 1)));
            assert!(once(first.as_mut()).await, "the first lets others come");
            assert!(once(second.as_mut()).await, "the second waits for the first");
        }
        assert!(second.await.is_some());
    }
}
