//! Claims of calls that come at the same time, proven together.

use std::sync::{Mutex, PoisonError};

use jit_ssh_core::proof::{Claim, Proven, prove};
use tokio::sync::oneshot;

/// With so many, nobody waits for more: they would not become cheaper.
const ENOUGH: usize = 32;

/// What waits to be proven.
#[derive(Debug, Default)]
pub struct Proofs(Mutex<Waiting>);

/// The claims of all calls, one call's after the other's, and of each call how many they are and where their proofs go.
#[derive(Debug, Default)]
struct Waiting {
    claims: Vec<Claim>,
    calls: Vec<(usize, oneshot::Sender<Vec<Option<Proven>>>)>,
}

impl Proofs {
    /// Each of a call's claims proven, if it holds. The first of several calls lets the others come: those that have
    /// arrived by now and wait for this thread; then it proves for all of them.
    pub(super) async fn prove<const N: usize>(&self, claims: [Option<Claim>; N]) -> [Option<Proven>; N] {
        let there = claims.each_ref().map(Option::is_some);
        let (tell, told) = oneshot::channel();
        match self.add(claims.into_iter().flatten(), tell) {
            (true, _) => {
                let first = First(self);
                // Once for those whose calls were read, once more for those that came meanwhile.
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                drop(first);
            }
            (false, ENOUGH..) => self.prove_waiting(),
            (false, _) => {}
        }
        let mut proven = told.await.unwrap_or_default().into_iter();
        there.map(|there| if there { proven.next().flatten() } else { None })
    }

    /// Whether this call is the first, and how many claims wait.
    fn add(
        &self,
        claims: impl Iterator<Item = Claim>,
        tell: oneshot::Sender<Vec<Option<Proven>>>,
    ) -> (bool, usize) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = waiting.claims.len();
        waiting.claims.extend(claims);
        let now = waiting.claims.len();
        waiting.calls.push((now.saturating_sub(before), tell));
        (waiting.calls.len() == 1, now)
    }

    fn prove_waiting(&self) {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut proven = prove(waiting.claims).into_iter();
        for (count, tell) in waiting.calls {
            // A caller may have gone.
            let _gone = tell.send(proven.by_ref().take(count).collect());
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
        for count in [1, 2, 4, 8, ENOUGH, 3 * ENOUGH + 1] {
            let proofs = Proofs::default();
            let wrong = count / 2;
            let asked = (0..count).map(|at| {
                let of = u8::try_from(at).unwrap();
                // Some have two, some have one, and some one in the second place.
                let second = (at % 3 > 0).then(|| claim(of, if at == wrong { 200 } else { of }));
                proofs.prove([(at % 3 < 2).then(|| claim(of, of)), second])
            });
            let proven = join_all(asked).await.into_iter().map(|proven| proven.map(|one| one.is_some()));
            let expected = (0..count).map(|at| [at % 3 < 2, at % 3 > 0 && at != wrong]);
            assert_eq!(proven.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{count}");
            let waiting = proofs.0.lock().unwrap();
            assert!(waiting.claims.is_empty() && waiting.calls.is_empty());
        }
    }

    #[tokio::test]
    async fn whoever_came_first_may_go_before_the_others_are_answered() {
        let proofs = Proofs::default();
        let mut second = pin!(proofs.prove([Some(claim(2, 2))]));
        {
            let mut first = pin!(proofs.prove([Some(claim(1, 1))]));
            assert!(once(first.as_mut()).await, "the first lets others come");
            assert!(once(second.as_mut()).await, "the second waits for the first");
        }
        assert!(matches!(second.await, [Some(_)]));
    }
}
