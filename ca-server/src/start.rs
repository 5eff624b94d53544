//! From a data directory to a CA that can answer: the one place where its parts are put together.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use data_encoding::HEXLOWER;
use jit_ssh_core::authority::Authority;
use jit_ssh_core::identity::IdentityKind;
use jit_ssh_core::policy::SCHEMA;
use jit_ssh_proto::event::{Actor, ConfigChanged, Event, KeyAdded, KeyUsed, LogFilter, What};
use jit_ssh_proto::{AuthorityEntry, IssuerEntry, SignedBundle, TrustBundle};
use sha2::{Digest, Sha256};
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Layout, load_rules};
use crate::control::Control;
use crate::http::{App, Stopping};
use crate::oidc::Provider;
use crate::reload::{Look, Reloader, loaded};
use crate::service::{InForce, Latest, Quota, REFUSED_LOGOUTS, Service, SessionCache};
use crate::signer::{Keys, Passphrase, Signer, Signers};
use crate::store::{BindIssuer, Change, LoadRules, Options as StoreOptions, RecordEvent, Search, Store};
use crate::witness::Witness;

/// How often witnesses are shown the ledger if nobody asks for it.
const WITNESSED_EVERY: Duration = Duration::from_secs(60);

/// A CA that is ready to be served.
pub struct Started {
    /// What handlers work with.
    pub app: Arc<App>,
    /// The configuration it was made of.
    pub config: Config,
    /// The trust key's fingerprint.
    pub trust: String,
    /// How long the passphrase's key derivation took.
    pub key_derivation: Duration,
    /// Keeps the providers' keys fresh; aborted when dropped.
    pub background: JoinSet<()>,
}

/// Puts a CA together. Talks to no provider: that happens in the background. `hangup`: SIGHUP, where it is to load
/// policies and inventory at once.
///
/// # Errors
/// What is wrong with the configuration, the keys, the rules or the store.
pub async fn start(
    layout: &Layout,
    passphrase: &Passphrase,
    hangup: Option<Signal>,
) -> anyhow::Result<Started> {
    let config = Config::load(layout)?;
    let seen = Look::at(layout);
    let rules = load_rules(layout, config.limits.ttl)?
        .limited(config.limits.places)
        .lasting_at_most(config.limits.duration);
    keep_schema(layout);
    let began = Instant::now();
    let keys = Keys::open(&layout.keys(), passphrase)?;
    let key_derivation = began.elapsed();
    let clock = Arc::new(SystemClock);
    let options = StoreOptions {
        url: config.store_url.clone(),
        ca: keys.ca_id,
        create: false,
        seen: layout.seen(),
        clock: Some(Arc::<SystemClock>::clone(&clock)),
        keep: config.store_keep,
    };
    let store = Store::open(options).await?;
    let bound = bind_issuers(&store, &config).await?;
    let bundle = bundle(&config, &keys, clock.as_ref())?;
    let trust = bundle.trust_fingerprint()?;
    let loaded = loaded(&rules)?;
    tracing::info!(digest = %loaded.digest, policies = loaded.policies, hosts = loaded.hosts, "rules loaded");
    let used = KeyUsed {
        key: "trust".parse()?,
        purpose: "trust-bundle".parse()?,
        fingerprint: trust.clone(),
        sha256: HEXLOWER.encode(&Sha256::digest(bundle.bundle.as_bytes())),
    };
    let added = keys_added(&store, &keys).await?;
    let changed = config_changed(&store, &config.digest).await?.map(What::ConfigChanged);
    let record = |what| Change::Record(RecordEvent { actor: Actor::Ca, what });
    let load = Change::LoadRules(LoadRules { loaded, always: true });
    let records = changed.into_iter().chain(added).map(record).chain([load, record(What::KeyUsed(used))]);
    let records = records.chain(bound).collect();
    for outcome in store.apply(clock.now(), records).await? {
        outcome?;
    }
    let providers: Vec<Arc<Provider>> =
        config.issuers.iter().cloned().map(|issuer| Arc::new(Provider::new(issuer))).collect();
    let mut background = JoinSet::new();
    for provider in &providers {
        let provider = Arc::clone(provider);
        background.spawn(async move { provider.refresh().await });
    }
    if providers.is_empty() {
        tracing::warn!("no [[issuer]] in ca.toml: nobody can log in");
    }
    let revalidates = config.issuers.iter().any(|issuer| issuer.revalidate.is_some());
    let signers = std::iter::once(keys.user).chain(keys.devices);
    let signers: Signers = signers.map(|signer| -> Arc<dyn Signer> { Arc::new(signer) }).collect();
    signers.warn_of_missing(rules.inventory());
    let rules = rules.signed_for(signers.devices());
    let service = Service {
        ca_id: keys.ca_id,
        clock,
        store,
        signers,
        ledger: Arc::new(keys.ledger),
        witnesses: config.witnesses.iter().cloned().map(Witness::new).collect(),
        cosigned: Latest::default(),
        readiness: Latest::default(),
        rules: InForce::new(rules),
        providers,
        limits: config.limits,
        quota: Quota::new(config.limits.refused),
        refused_logins: Quota::new(config.limits.refused),
        logouts: Quota::new(REFUSED_LOGOUTS),
        proofs: crate::service::Proofs::default(),
        sealer: keys.sealer,
        cursors: keys.cursors,
        timezone: config.timezone.clone(),
        bundle,
        sessions: SessionCache::default(),
    };
    let trusted_proxies: Vec<IpAddr> = config.trusted_proxies.iter().map(IpAddr::to_canonical).collect();
    let app = Arc::new(App { service, trusted_proxies, stopping: Stopping::default() });
    if revalidates {
        let app = Arc::clone(&app);
        background.spawn(async move { app.service.revalidate().await });
    }
    match Control::listen(&layout.control()) {
        Ok(control) => {
            background.spawn(control.serve(Arc::clone(&app)));
        }
        Err(error) => tracing::warn!(
            path = %layout.control().display(),
            %error,
            "no control socket: `jit-ssh-ca identity` cannot reach this server"
        ),
    }
    let reloader =
        Reloader::new(Arc::clone(&app), layout.clone(), config.limits.ttl, seen, config.digest.clone());
    background.spawn(reloader.run(hangup));
    if !config.witnesses.is_empty() {
        let app = Arc::clone(&app);
        background.spawn(async move {
            loop {
                // What went wrong is in the log.
                let _note = app.service.checkpoint().await;
                tokio::time::sleep(WITNESSED_EVERY).await;
            }
        });
    }
    Ok(Started { app, config, trust, key_derivation, background })
}

/// What to record so that each issuer's name stands for its URL; an error if one stands for another.
async fn bind_issuers(store: &Store, config: &Config) -> anyhow::Result<Vec<Change>> {
    let known = store.issuers().await?;
    let mut unbound = Vec::new();
    for issuer in &config.issuers {
        let name = &issuer.rules.name;
        match known.iter().find(|(known, _)| known == name.as_str()) {
            Some((_, url)) if *url == issuer.url => {}
            Some((_, url)) => anyhow::bail!(
                "the [[issuer]] {name} is {}, but the people known as {name}/… came from {url}: give the entry another \
                 name, or, if both speak for the same people with the same subjects, run \
                 `jit-ssh-ca identity move-issuer {name}`",
                issuer.url
            ),
            None => unbound.push(Change::BindIssuer(BindIssuer {
                actor: Actor::Ca,
                issuer: name.clone(),
                url: issuer.url.clone(),
                moves: false,
            })),
        }
    }
    Ok(unbound)
}

/// The schema beside the policies is that of the version that runs. It is for editors: without it all goes on.
fn keep_schema(layout: &Layout) {
    let path = layout.schema();
    if std::fs::read_to_string(&path).is_ok_and(|text| text == SCHEMA) {
        return;
    }
    if let Err(error) = std::fs::write(&path, SCHEMA) {
        tracing::warn!(path = %path.display(), %error, "the schema for editors cannot be written");
    }
}

/// What to record of authorities that the ledger does not know.
async fn keys_added(store: &Store, keys: &Keys) -> anyhow::Result<Vec<What>> {
    let filter = LogFilter { kind: Some("key.added".parse()?), ..LogFilter::default() };
    let mut search = Search { filter, newest_first: false, limit: 100 };
    let mut known = Vec::new();
    loop {
        let found = store.search(search.clone()).await?;
        let bodies = found.events.iter().filter_map(|stored| stored.content.as_ref());
        known.extend(bodies.filter_map(|content| serde_json::from_slice::<Event>(&content.body).ok()));
        search.filter.after = found.next;
        if !found.more || found.next.is_none() {
            break;
        }
    }
    let authorities = keys.devices.iter().map(Signer::authority);
    let added = authorities
        .map(|authority| KeyAdded { name: authority.name().clone(), key: authority.key().to_string() });
    let is_known = |added: &KeyAdded| known.iter().any(|event| event.what == What::KeyAdded(added.clone()));
    Ok(added.filter(|added| !is_known(added)).map(What::KeyAdded).collect())
}

/// What to record if `ca.toml` is not what the ledger knows.
async fn config_changed(store: &Store, digest: &str) -> anyhow::Result<Option<ConfigChanged>> {
    let filter = LogFilter { kind: Some("config.changed".parse()?), ..LogFilter::default() };
    let found = store.search(Search { filter, newest_first: true, limit: 1 }).await?;
    let last = found.events.first().and_then(|stored| stored.content.as_ref());
    let before = last.and_then(|content| {
        let event: Event = serde_json::from_slice(&content.body).ok()?;
        if let What::ConfigChanged(changed) = event.what { Some(changed.after) } else { None }
    });
    let changed = before.as_deref() != Some(digest);
    Ok(changed.then(|| ConfigChanged { before, after: digest.to_owned() }))
}

fn bundle(config: &Config, keys: &Keys, clock: &dyn Clock) -> anyhow::Result<SignedBundle> {
    let authority = |authority: &Authority| AuthorityEntry {
        name: authority.name().to_string(),
        kind: authority.kind().as_str().to_owned(),
        key: authority.key().to_string(),
    };
    let issuers = config.issuers.iter().map(|issuer| IssuerEntry {
        name: issuer.rules.name.to_string(),
        url: issuer.url.clone(),
        client_id: issuer.client_id.clone(),
        client_secret: issuer.client_secret.clone(),
        device_client_id: issuer.device_client.as_ref().map(|client| client.id.clone()),
        device_client_secret: issuer.device_client.as_ref().and_then(|client| client.secret.clone()),
        audience: Some(issuer.audience.clone()).filter(|audience| *audience != issuer.client_id),
        kind: match issuer.rules.kind {
            IdentityKind::User => "user",
            IdentityKind::Workload => "workload",
        }
        .to_owned(),
        flows: issuer.flows.iter().map(|flow| flow.as_str().to_owned()).collect(),
        scopes: issuer.scopes.clone(),
        revalidate: issuer.revalidate.is_some(),
        redirect_port: issuer.redirect_port,
    });
    let bundle = TrustBundle {
        version: 1,
        ca_id: keys.ca_id,
        url: config.url.as_str().trim_end_matches('/').to_owned(),
        issued: clock.now(),
        authorities: [keys.user.authority(), &keys.host]
            .into_iter()
            .chain(keys.devices.iter().map(Signer::authority))
            .map(authority)
            .collect(),
        ledger_key: keys.ledger.public_key().to_openssh()?,
        issuers: issuers.collect(),
        host_patterns: Vec::new(),
    };
    keys.sign_bundle(&bundle).context("the trust bundle cannot be signed")
}
