//! Witnesses: others who see every checkpoint before they cosign it, so that the ledger cannot be shown one way to some
//! and another way to others (C2SP tlog-witness). The CA brings them its checkpoints and passes their lines on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use jit_ssh_proto::log::{Checkpoint, LogKey, WitnessKey};
use reqwest::StatusCode;
use tokio::sync::OnceCell;
use url::Url;

use crate::outgoing::{self, Patience};
use crate::store::{NodeHash, Store};

/// How long a witness has: whoever asks for a checkpoint waits for it.
const PATIENCE: Patience = Patience { connect: Duration::from_secs(2), total: Duration::from_secs(5) };

/// The longest answer that is read: some signature lines.
const MAX_ANSWER: usize = 16 * 1024;

/// How long a witness that did not answer is not asked again: nobody waits twice in a row for one that is away.
pub(crate) const AWAY: Duration = Duration::from_secs(10);

/// A `[[witness]]` entry.
#[derive(Clone, Debug)]
pub struct WitnessConfig {
    /// Where its submission prefix is.
    pub url: Url,
    /// What its cosignatures are verified with.
    pub key: WitnessKey,
}

/// A witness.
#[derive(Debug)]
pub struct Witness {
    config: WitnessConfig,
    /// How large the ledger was that it cosigned last, as far as known.
    size: AtomicU64,
    /// When it last failed to answer.
    failed: Mutex<Option<Instant>>,
    client: OnceCell<reqwest::Client>,
}

/// What a witness knows of a ledger, compared with what it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knows {
    /// Nothing that was not shown.
    NoMore,
    /// More entries: so many.
    More(u64),
}

/// Why a witness did not cosign.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Why {
    /// It could not be asked, or does not know this ledger.
    #[error("{0}")]
    Silent(String),
    /// It saw something that does not agree with what it was shown.
    #[error("{0}")]
    Contradicts(String),
}

impl From<&'static str> for Why {
    fn from(why: &'static str) -> Self {
        Self::Silent(why.to_owned())
    }
}

/// What a witness answered.
enum Answer {
    /// Signature lines.
    Lines(String),
    /// It knows the ledger at this size, and wants a proof from there.
    KnowsAt(u64),
}

impl Witness {
    /// A witness that was not asked yet.
    #[must_use]
    pub fn new(config: WitnessConfig) -> Self {
        Self { config, size: AtomicU64::new(0), failed: Mutex::default(), client: OnceCell::new() }
    }

    /// The signature lines of this witness under a checkpoint; none, and a line in the log, when it does not answer or
    /// refuses.
    pub async fn lines(&self, key: &LogKey, checkpoint: &Checkpoint, store: &Store) -> Option<String> {
        if self.failed().is_some_and(|failed| failed.elapsed() < AWAY) {
            return None;
        }
        let asked = self.ask(key, checkpoint, store).await;
        *self.failed() = asked.is_err().then(Instant::now);
        match asked {
            Ok(lines) => Some(lines),
            Err(why) => {
                tracing::warn!(witness = self.config.key.name(), %why, "a checkpoint was not cosigned");
                None
            }
        }
    }

    fn failed(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.config.key.name()
    }

    /// Shows it a checkpoint to hear how far it knows the ledger.
    ///
    /// # Errors
    /// When it cannot be asked, or saw another history.
    pub(crate) async fn knows(
        &self,
        key: &LogKey,
        checkpoint: &Checkpoint,
        store: &Store,
    ) -> Result<Knows, Why> {
        match self.show(key, checkpoint, store).await? {
            Answer::KnowsAt(size) if size > checkpoint.size() => Ok(Knows::More(size)),
            Answer::KnowsAt(_) => {
                Err(Why::Contradicts("it does not take what extends what it saw".to_owned()))
            }
            Answer::Lines(_) => Ok(Knows::NoMore),
        }
    }

    async fn ask(&self, key: &LogKey, checkpoint: &Checkpoint, store: &Store) -> Result<String, Why> {
        match self.show(key, checkpoint, store).await? {
            Answer::Lines(lines) => Ok(lines),
            Answer::KnowsAt(size) => Err(Why::Contradicts(format!(
                "it saw {size} entries of this ledger, which has {}: run `jit-ssh-ca log verify`",
                checkpoint.size()
            ))),
        }
    }

    async fn show(&self, key: &LogKey, checkpoint: &Checkpoint, store: &Store) -> Result<Answer, Why> {
        let known = self.size.load(Ordering::Relaxed);
        let known = if known > checkpoint.size() { 0 } else { known };
        let answer = match self.submit(checkpoint, known, store).await? {
            // It was told by somebody else, or has forgotten: once more from where it is.
            Answer::KnowsAt(size) if size != known && size <= checkpoint.size() => {
                self.submit(checkpoint, size, store).await?
            }
            answer @ (Answer::KnowsAt(_) | Answer::Lines(_)) => answer,
        };
        if let Answer::Lines(lines) = &answer {
            let cosigned = Checkpoint::verify(key, &format!("{}{lines}", checkpoint.note()));
            let cosigned =
                cosigned.map_err(|e| Why::Silent(format!("its answer makes a checkpoint that {e}")))?;
            if self.config.key.cosigned(&cosigned).is_none() {
                return Err("its answer is not a cosignature by its key".into());
            }
            self.size.store(checkpoint.size(), Ordering::Relaxed);
        }
        Ok(answer)
    }

    async fn submit(&self, checkpoint: &Checkpoint, known: u64, store: &Store) -> Result<Answer, Why> {
        let silent = |why: String| Why::Silent(why);
        let proof = store.prove_extends(known, checkpoint.size()).await.map_err(|e| silent(e.to_string()))?;
        let proof = proof.ok_or("the ledger was never of that size")?;
        let plain = self.config.url.scheme() == "http";
        let client = self.client.get_or_try_init(|| outgoing::client(plain, PATIENCE, None)).await?;
        let prefix = self.config.url.as_str().trim_end_matches('/');
        let request =
            client.post(format!("{prefix}/add-checkpoint")).body(submission(known, &proof, checkpoint));
        let mut answer = request.send().await.map_err(|e| silent(format!("it cannot be reached: {e}")))?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) =
            answer.chunk().await.map_err(|e| silent(format!("its answer broke off: {e}")))?
        {
            if body.len().saturating_add(chunk.len()) > MAX_ANSWER {
                return Err("its answer is longer than signature lines are".into());
            }
            body.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(body).map_err(|_| Why::from("its answer is not UTF-8"))?;
        match status {
            StatusCode::OK => Ok(Answer::Lines(text)),
            StatusCode::CONFLICT => text.trim_end().parse().map(Answer::KnowsAt).map_err(|_| {
                Why::Contradicts(
                    "it cosigned another tree of this size: run `jit-ssh-ca log verify`".to_owned(),
                )
            }),
            StatusCode::UNPROCESSABLE_ENTITY => Err(Why::Contradicts(
                "this ledger does not go on from what it saw: run `jit-ssh-ca log verify`".to_owned(),
            )),
            other => Err(silent(format!("it answered {}", other.as_u16()))),
        }
    }
}

/// The body of `add-checkpoint`: the size that the witness knows, the proof from there, an empty line, the checkpoint.
fn submission(known: u64, proof: &[NodeHash], checkpoint: &Checkpoint) -> String {
    let mut body = format!("old {known}\n");
    for hash in proof {
        body.push_str(&BASE64.encode(hash));
        body.push('\n');
    }
    body.push('\n');
    body.push_str(checkpoint.note());
    body
}
