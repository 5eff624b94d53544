//! The checkpoint of a tree, made once for everybody who asks for that tree at the same time: all whose events came in one
//! transaction.

use std::sync::{Arc, Mutex, PoisonError};

use jit_ssh_proto::log::Checkpoint;
use tokio::sync::OnceCell;

use crate::store::TreeHead;

/// The last one, or what is being made.
#[derive(Debug, Default)]
pub struct Checkpoints(Mutex<Option<(TreeHead, Making)>>);

/// Shared by those who wait for it.
type Making = Arc<OnceCell<Checkpoint>>;

impl Checkpoints {
    /// The checkpoint of this tree, which `make` makes unless somebody does already. If whoever makes it fails or goes
    /// away, the next one who waits makes it.
    pub(super) async fn of<E>(
        &self,
        head: &TreeHead,
        make: impl Future<Output = Result<Checkpoint, E>>,
    ) -> Result<Checkpoint, E> {
        self.making(head).get_or_try_init(|| make).await.cloned()
    }

    fn making(&self, head: &TreeHead) -> Making {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.as_ref() {
            Some((of, making)) if of == head => Arc::clone(making),
            Some(_) | None => {
                let making = Making::default();
                *last = Some((*head, Arc::clone(&making)));
                making
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use futures_util::future::join_all;
    use jit_ssh_proto::CaId;
    use jit_ssh_proto::log::LogKey;
    use ssh_key::PrivateKey;
    use ssh_key::private::Ed25519Keypair;

    use super::*;

    fn head(size: u64) -> TreeHead {
        TreeHead { size, root: [1; 32] }
    }

    fn checkpoint(of: &TreeHead) -> Checkpoint {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
        let line = key.public_key().to_openssh().unwrap();
        let log = LogKey::new(&CaId::from_bytes([1; 32]), &line).unwrap();
        Checkpoint::sign(&log, of.size, &of.root, &key).unwrap()
    }

    #[tokio::test]
    async fn one_is_made_for_all_of_one_tree() {
        let (checkpoints, made) = (Checkpoints::default(), Cell::new(0));
        let ask = async |size: u64| {
            let make = async {
                made.set(made.get() + 1);
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(checkpoint(&head(size)))
            };
            checkpoints.of(&head(size), make).await.unwrap()
        };
        for (size, count) in [(5, 1), (5, 1), (6, 2), (7, 3)] {
            let answers = join_all((0..8).map(|_| ask(size))).await;
            assert!(answers.iter().all(|answer| answer.size() == size));
            assert_eq!(made.get(), count, "{size}");
        }
        let other = TreeHead { size: 7, root: [2; 32] };
        let found = checkpoints.of(&other, async { Ok::<_, Infallible>(checkpoint(&other)) }).await.unwrap();
        assert_eq!(found.root(), &other.root);
    }

    #[tokio::test]
    async fn who_fails_or_goes_away_holds_nobody_up() {
        let checkpoints = Checkpoints::default();
        let head = head(5);
        let failed = checkpoints.of(&head, async { Err("no key") }).await;
        assert_eq!(failed, Err("no key"));
        let pending = checkpoints.of(&head, std::future::pending::<Result<_, ()>>());
        tokio::time::timeout(std::time::Duration::ZERO, pending).await.unwrap_err();
        let made = checkpoints.of(&head, async { Ok::<_, Infallible>(checkpoint(&head)) }).await;
        assert_eq!(made.unwrap().size(), 5);
    }
}
