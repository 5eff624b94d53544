//! Policies and inventory follow their files while the CA runs: all or nothing, recorded before they are in force.
//!
//! Every second the files are looked at (names, sizes, times, inodes; never their contents), and when something changed
//! and then nothing more did, they are loaded as at the start. SIGHUP loads them at once. What does not load changes
//! nothing: the set in force stays, and the log says what is wrong: once, and again at each SIGHUP.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use jit_ssh_core::policy::Rules;
use jit_ssh_proto::Span;
use jit_ssh_proto::event::{PolicyLoaded, RulesChange};
use sha2::{Digest, Sha256};
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;

use crate::config::{Layout, load_rules, rule_files};
use crate::http::App;
use crate::service::Service;
use crate::store::{Change, LoadRules};

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Where there are so many that a look takes long, this many times as long passes between two.
const REST: u32 = 100;
/// How long it takes until something is tried again that the files are not to blame for.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it is tried whether anybody still holds a set that is out of force.
const LET_GO: Duration = Duration::from_millis(20);

/// What a file is, without reading it: another file, or the same with other contents, has another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stat {
    path: PathBuf,
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What there is of `policies/` and `inventory/`; or why that cannot be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look(Result<Vec<Stat>, String>);

impl Look {
    /// Looks at the files that [`load_rules`] would read. Links are followed: a mounted configuration map exchanges
    /// what they lead to.
    pub(crate) fn at(layout: &Layout) -> Self {
        let stats = || {
            let files = rule_files(layout).map_err(|e| e.to_string())?;
            files.into_iter().map(|path| stat(&path)).collect()
        };
        Self(stats())
    }
}

fn stat(path: &Path) -> Result<Stat, String> {
    let found = fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(Stat {
        path: path.to_path_buf(),
        place: (found.dev(), found.ino()),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// How two sets of another digest differ.
fn in_words(changes: &[RulesChange]) -> String {
    if changes.is_empty() {
        return "only spaces and comments, or names of files".to_owned();
    }
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Follows the files of a running CA.
pub(crate) struct Reloader {
    layout: Layout,
    default_ttl: Span,
    app: Arc<App>,
    /// The files as they were when they were last loaded, or were tried to be.
    tried: Look,
    /// What was wrong with them, if something was and nobody asked since: it is said once.
    wrong: Option<String>,
    config: ConfigFile,
}

/// `ca.toml`, which counts from the next start on.
#[derive(Clone, Debug)]
struct ConfigFile {
    stat: Option<Stat>,
    /// The digest that is in force, or was warned of.
    digest: String,
}

impl Reloader {
    /// `tried`: the files as they were just before the set in force was loaded.
    pub(crate) fn new(app: Arc<App>, layout: Layout, default_ttl: Span, tried: Look, config: String) -> Self {
        let config = ConfigFile { stat: stat(&layout.config()).ok(), digest: config };
        Self { layout, default_ttl, app, tried, wrong: None, config }
    }

    /// Follows the files for as long as the CA runs. `hangup`: SIGHUP, where it is to be heeded.
    pub(crate) async fn run(mut self, mut hangup: Option<Signal>) {
        let mut last = self.tried.clone();
        let mut rest = EVERY;
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            let at_once = tokio::select! {
                asked = hung_up => asked.is_some(),
                () = tokio::time::sleep(rest) => false,
            };
            if at_once {
                tracing::info!("SIGHUP: loading policies and inventory");
                // Whoever asks is answered, also when the answer is that of before.
                self.wrong = None;
            }
            let began = Instant::now();
            let look = self.look().await;
            rest = EVERY.max(began.elapsed().saturating_mul(REST));
            // Whoever writes files is done when two looks see the same.
            if at_once || (look != self.tried && look == last) {
                self.load(look.clone()).await;
                if self.tried != look {
                    // It could not be recorded, or files change as fast as they are read.
                    rest = rest.max(AGAIN);
                }
            }
            last = look;
        }
    }

    async fn look(&mut self) -> Look {
        let (layout, config) = (self.layout.clone(), self.config.clone());
        let looked = spawn_blocking(move || (Look::at(&layout), config.look(&layout))).await;
        match looked {
            Ok((look, config)) => {
                self.config = config;
                look
            }
            Err(error) => Look(Err(error.to_string())),
        }
    }

    /// Loads what `look` saw, records it and puts it in force; or says why not.
    async fn load(&mut self, look: Look) {
        let (layout, ttl) = (self.layout.clone(), self.default_ttl);
        let (limits, devices) = (&self.app.service.limits, self.app.service.signers.devices());
        let (places, longest) = (limits.places, limits.duration);
        let began = Instant::now();
        let loaded = spawn_blocking(move || {
            let rules = load_rules(&layout, ttl)
                .map(|rules| rules.limited(places).lasting_at_most(longest).signed_for(devices));
            (rules, Look::at(&layout))
        });
        let (rules, after) = match loaded.await {
            Ok((Ok(rules), after)) => (rules, after),
            Ok((Err(error), _)) => return self.refuse(look, &error.to_string()),
            Err(error) => return self.refuse(look, &error.to_string()),
        };
        if after != look {
            // Half of it may be from before: the next look tells.
            let_go(Arc::new(rules));
            return;
        }
        let rules = Arc::new(rules);
        let old = self.app.service.rules();
        if rules.digest() == old.digest() {
            let_go(rules);
            tracing::info!(digest = %old.digest(), "nothing changed: policies and inventory are those in force");
        } else {
            let compared = (Arc::clone(&rules), Arc::clone(&old));
            let changes =
                spawn_blocking(move || compared.0.changes_since(&compared.1)).await.unwrap_or_default();
            let summary = in_words(&changes);
            if let Err(error) = record(&self.app.service, &rules, &old, changes).await {
                let_go(rules);
                // It is tried again: the files are not taken for loaded.
                return self.complain(format!(
                    "policies and inventory were loaded and cannot be recorded: {error:#}"
                ));
            }
            tracing::info!(
                before = %old.digest(), digest = %rules.digest(), policies = rules.len(), hosts = rules.inventory().len(),
                took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX), changes = summary.as_str(),
                "policies and inventory loaded"
            );
            self.app.service.signers.warn_of_missing(rules.inventory());
            drop(old);
            let_go(self.app.service.rules.put(rules));
        }
        self.tried = look;
        self.wrong = None;
        self.app.service.rules.set_outdated(false);
    }

    /// What is on disk does not load.
    fn refuse(&mut self, look: Look, error: &str) {
        self.tried = look;
        self.complain(format!(
            "policies and inventory do not load, those from before stay in force: {error}"
        ));
    }

    /// Says what is wrong, once.
    fn complain(&mut self, what: String) {
        self.app.service.rules.set_outdated(true);
        if self.wrong.as_ref() != Some(&what) {
            tracing::error!("{what}");
            self.wrong = Some(what);
        }
    }
}

impl ConfigFile {
    /// Warns when it became another.
    fn look(mut self, layout: &Layout) -> Self {
        let path = layout.config();
        let stat = stat(&path).ok();
        if stat != self.stat {
            let digest = fs::read(&path).map(|text| HEXLOWER.encode(&Sha256::digest(text)));
            if let Some(digest) = digest.ok().filter(|digest| *digest != self.digest) {
                tracing::warn!("{} changed: it counts from the next start on", path.display());
                self.digest = digest;
            }
            self.stat = stat;
        }
        self
    }
}

/// Frees a set where it keeps nobody waiting: a million hosts take their time. Whoever still decides by it is done soon.
fn let_go(rules: Arc<Rules>) {
    drop(tokio::spawn(async move {
        while Arc::strong_count(&rules) > 1 {
            tokio::time::sleep(LET_GO).await;
        }
        spawn_blocking(move || drop(rules)).await
    }));
}

/// Records that a set is in force, unless the ledger knows it as the last one: of several servers over one database one
/// says so.
async fn record(
    service: &Service,
    rules: &Rules,
    old: &Rules,
    changes: Vec<RulesChange>,
) -> anyhow::Result<()> {
    let loaded = PolicyLoaded { previous: Some(old.digest().to_owned()), changes, ..loaded(rules)? };
    let load = Change::LoadRules(LoadRules { loaded, always: false });
    for outcome in service.store.apply(service.clock.now(), vec![load]).await? {
        outcome?;
    }
    Ok(())
}

/// What is recorded of a set.
pub(crate) fn loaded(rules: &Rules) -> anyhow::Result<PolicyLoaded> {
    Ok(PolicyLoaded {
        digest: rules.digest().to_owned(),
        policies: u64::try_from(rules.len())?,
        hosts: u64::try_from(rules.inventory().len())?,
        previous: None,
        changes: Vec::new(),
    })
}
