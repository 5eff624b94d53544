//! Bringing a ledger back from a backup. What was recorded after the backup is lost and unknown, so everything that it
//! may have said no to stays refused: no serial is given twice, no revoked certificate or ended session comes back.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use jit_ssh_proto::{Name, Text, Timestamp};
use sha2::{Digest, Sha256};

use super::backup::{Draft, sync_folder, with_companions};
use super::change::{Change, Restored};
use super::copy::{Side, copy};
use super::engine::{Conn, EngineError, Value};
use super::place::Place;
use super::tree::TreeHead;
use super::verify::{Database, Known, Verify};
use super::{Options, Progress, Store, StoreError, blocking, migrate, offline, seen};

/// How far serials jump, beyond what the leaves that are known to be lost can have given.
const JUMP: u64 = 1 << 20;

const REASON: &str = "it may have been issued or revoked after the backup that was restored";
const FIRST_GOOD: &str = "SELECT MIN(serial) FROM certificates WHERE authority = $1 AND valid_before > $2";
const AUTHORITIES: &str = "SELECT authority FROM serials";

/// What to restore, and where to.
pub struct Restore {
    /// The configured database.
    pub options: Options,
    /// The backup.
    pub backup: PathBuf,
    /// Checkpoints that somebody outside has.
    pub known: Vec<Known>,
    /// Every authority that there are keys of, and whether it signs users' certificates.
    pub authorities: Vec<(Name, bool)>,
    /// Whether to go on although the backup is older than what is known, or nothing is known.
    pub accept_loss: bool,
    /// Whether to move a SQLite file that is there aside.
    pub replace: bool,
    /// Now.
    pub now: Timestamp,
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct RestoredStore {
    /// Size and root of the backup.
    pub backup: TreeHead,
    /// Size and root now.
    pub head: TreeHead,
    /// How many leaves are known to be lost.
    pub lost: u64,
    /// Where the file that was there is now.
    pub aside: Option<PathBuf>,
}

/// A backup that holds together, and may be brought in if it is not too old.
pub struct GoodBackup {
    restore: Restore,
    head: TreeHead,
    known: Vec<Known>,
}

/// How far somebody says that the ledger had come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who says so.
    pub by: String,
    /// How many leaves there were at least.
    pub leaves: u64,
}

impl Restore {
    /// Verifies the backup.
    ///
    /// # Errors
    /// When the backup is not good, or is of another history than is known here.
    pub async fn verify(self, progress: Progress) -> Result<GoodBackup, StoreError> {
        let shown = self.backup.display();
        let known: Vec<Known> = self.known.iter().cloned().chain(self.there().await).collect();
        let verify = Verify {
            database: Database::File(self.backup.clone()),
            ca: self.options.ca,
            known: if self.accept_loss { Vec::new() } else { known.clone() },
        };
        let report = verify.run(progress).await?;
        if let Some(finding) = report.findings.first() {
            return Err(StoreError::Unusable(format!(
                "{shown} does not verify ({}: {}): take another backup, or see all with `jit-ssh-ca log verify --backup`",
                finding.at, finding.what
            )));
        }
        let head = report.head.unwrap_or(TreeHead::EMPTY);
        Ok(GoodBackup { restore: self, head, known })
    }

    /// How far the database has come that is to be moved aside, if it can still tell.
    async fn there(&self) -> Option<Known> {
        let store = Store::open_read_only(&self.options.url, &self.options.ca).await.ok()?;
        let head = store.tree_head().await.ok();
        store.close().await;
        Some(Known { from: "the database that is there".to_owned(), head: head?, reached: false })
    }

    fn over(&self, lost: u64, mut progress: Progress) -> Result<RestoredStore, StoreError> {
        let to = Place::parse(&self.options.url)?;
        let from = Place::file_at(&self.backup)?;
        let _lock = to.lock()?;
        let explain = |e: EngineError| from.explain(&e);
        let mut conn = from.reader()?;
        conn.begin_read().map_err(explain)?;
        migrate::check(conn.as_mut(), &from, &self.options.ca)?;
        // Before the target waits for it in a transaction.
        let digest = digest(&self.backup)?;
        let mut from = Side { conn: conn.as_mut(), place: &from };
        let (backup, head, aside) = match to.path() {
            Some(file) => {
                if file.exists() && !self.replace {
                    return Err(StoreError::Unusable(format!(
                        "{} is there: say --replace to have it moved aside",
                        to.shown()
                    )));
                }
                let draft = Draft::beside(file)?;
                let (backup, head) =
                    draft.write(|to| self.write(&mut from, to, lost, &digest, &mut progress))?;
                let aside = self.move_aside(file)?;
                draft.put(file)?;
                (backup, head, aside)
            }
            None => {
                if self.replace {
                    return Err(StoreError::Unusable(format!(
                        "--replace moves a SQLite file aside, but {} is on a server: make an empty database there and set [store] url to it",
                        to.shown()
                    )));
                }
                let mut conn = to.writer()?;
                conn.begin().map_err(|e| to.explain(&e))?;
                let mut side = Side { conn: conn.as_mut(), place: &to };
                let (backup, head) = self.write(&mut from, &mut side, lost, &digest, &mut progress)?;
                conn.commit().map_err(|e| to.explain(&e))?;
                conn.close();
                (backup, head, None)
            }
        };
        seen::replace(&self.options.seen, head).map_err(|e| {
            StoreError::ReadOnly(format!(
                "the ledger is restored, but {} cannot be written: {e}; delete it before the next start",
                self.options.seen.display()
            ))
        })?;
        Ok(RestoredStore { backup, head, lost, aside })
    }

    /// Copies the backup and records what follows from having done so.
    fn write(
        &self,
        from: &mut Side<'_>,
        to: &mut Side<'_>,
        lost: u64,
        digest: &str,
        progress: &mut Progress,
    ) -> Result<(TreeHead, TreeHead), StoreError> {
        let backup = copy(from, to, progress)?;
        let place = to.place;
        let authorities = self.authorities(to.conn).map_err(|e| place.explain(&e))?;
        let reason: Text = REASON.parse().map_err(|e| StoreError::Unusable(format!("{e}")))?;
        let restored = Restored {
            leaves: backup.size,
            from: digest.to_owned(),
            authorities,
            jump: JUMP.saturating_add(lost),
            reason,
        };
        let (_, head) = offline::append(to, self.now, vec![Change::Restored(restored)])?;
        Ok((backup, head))
    }

    /// Every authority that gave serials or has a key, with the first serial to be revoked: that of the oldest
    /// certificate that may still be good, since what was revoked after the backup is lost too.
    fn authorities(&self, conn: &mut dyn Conn) -> Result<Vec<(Name, Option<u64>)>, EngineError> {
        let mut all: std::collections::BTreeMap<Name, bool> = self.authorities.iter().cloned().collect();
        for row in conn.select(AUTHORITIES, &[])? {
            all.entry(row.parsed(0)?).or_insert(true);
        }
        let mut found = Vec::with_capacity(all.len());
        for (authority, of_users) in all {
            let first = if of_users {
                let args = [authority.to_string().into(), Value::from(self.now)];
                let good = conn.select(FIRST_GOOD, &args)?;
                let good = good.first().map(|row| row.maybe_number(0)).transpose()?.flatten();
                Some(good.unwrap_or(u64::MAX))
            } else {
                None
            };
            found.push((authority, first));
        }
        Ok(found)
    }

    /// The `n`th name that says when it was replaced.
    fn aside(&self, file: &Path, n: u32) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".replaced-{}", self.now.seconds()));
        if n > 1 {
            name.push(format!("-{n}"));
        }
        PathBuf::from(name)
    }

    /// Gives the database that is there another name.
    fn move_aside(&self, file: &Path) -> Result<Option<PathBuf>, StoreError> {
        if !file.exists() {
            return Ok(None);
        }
        let trouble = |e| StoreError::ReadOnly(format!("{} cannot be moved aside: {e}", file.display()));
        // More than one may have been moved aside in this second.
        let free = (1_u32..).map(|n| self.aside(file, n)).find(|aside| !aside.exists());
        let aside = free.ok_or_else(|| trouble(std::io::ErrorKind::AlreadyExists.into()))?;
        for (old, new) in with_companions(file).into_iter().zip(with_companions(&aside)) {
            if old.exists() {
                fs::rename(old, new).map_err(trouble)?;
            }
        }
        sync_folder(file).map_err(trouble)?;
        Ok(Some(aside))
    }
}

impl GoodBackup {
    /// Size and root.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        self.head
    }

    /// The backup, to be read only.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(&self) -> Result<Store, StoreError> {
        Store::read_only(Place::file_at(&self.restore.backup)?, self.restore.options.ca).await
    }

    /// Brings it in, unless it is older than what is known here or others say; there is no database until all of it is.
    ///
    /// # Errors
    /// When the backup is too old, or a database cannot be used.
    pub async fn bring_in(self, said: Vec<Said>, progress: Progress) -> Result<RestoredStore, StoreError> {
        let lost = self.acceptable(&said)?;
        blocking(move || self.restore.over(lost, progress)).await
    }

    /// How many leaves are known to be lost, if that is acceptable.
    fn acceptable(&self, said: &[Said]) -> Result<u64, StoreError> {
        let known = self.known.iter().map(|known| (known.from.as_str(), known.head.size));
        let said = said.iter().map(|said| (said.by.as_str(), said.leaves));
        let newest = known.chain(said).max_by_key(|(_, leaves)| *leaves);
        let shown = self.restore.backup.display();
        let lost = newest.map_or(0, |(_, leaves)| leaves.saturating_sub(self.head.size));
        match newest {
            _ if self.restore.accept_loss => Ok(lost),
            None => Err(StoreError::Unusable(
                "nothing here knows how far the ledger had come: give --checkpoint with one that a client or witness has, or --accept-loss"
                    .to_owned(),
            )),
            Some((from, leaves)) if lost > 0 => Err(StoreError::Unusable(format!(
                "{shown} ends at leaf {}, but {from} knows of {leaves}: what the last {lost} say would be lost; take a later backup, or say --accept-loss",
                self.head.size
            ))),
            Some(_) => Ok(0),
        }
    }
}

/// SHA-256 of a file, lower-case hex.
fn digest(file: &Path) -> Result<String, StoreError> {
    let trouble = |e| StoreError::Unavailable(format!("{} cannot be read: {e}", file.display()));
    let mut from = File::open(file).map_err(trouble)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer).map_err(trouble)? {
            0 => return Ok(data_encoding::HEXLOWER.encode(&hash.finalize())),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
