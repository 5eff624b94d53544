//! Proving who one is: which identity provider, which session key, and a token of the one that goes with the other.

use jit_ssh_proto::{Flow, Salt, UserKey, oidc_nonce};
use rand::RngCore;
use ssh_key::PrivateKey;
use zeroize::Zeroizing;

use crate::cli::HowArgs;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::oidc::{self, Freshness, GITHUB, How, Proof, Source, Way};
use crate::output::{Waiting, escape, note};
use crate::session::Session;
use crate::{keys, presented};

/// What a session is opened with.
pub(crate) struct Proven {
    /// The token, a compact JWS.
    pub(crate) token: Zeroizing<String>,
    /// How it came.
    pub(crate) flow: Flow,
    /// The session's key.
    pub(crate) key: PrivateKey,
    /// What others see of it.
    pub(crate) public: UserKey,
    /// The salt of the nonce.
    pub(crate) salt: Salt,
    /// The refresh token that came with it, where the CA wants one.
    pub(crate) refresh: Option<Zeroizing<String>>,
}

/// A person logs in at their provider, or a workload shows its token. The CA's issuers must be today's.
pub(crate) fn identity(client: &Client, args: &HowArgs, freshness: Freshness) -> Result<Proven> {
    match how(args) {
        How::Person(way) => person(client, args, way, freshness),
        How::Workload(source) => workload(client, args, &source),
    }
}

/// How somebody is to log in, in this process.
pub(crate) fn how(args: &HowArgs) -> How {
    How::of(args, &|name| std::env::var_os(name))
}

/// Whether a session is one that this way to log in could have opened: at the named provider, and a workload's where a
/// token is named.
pub(crate) fn would_open(client: &Client, args: &HowArgs, session: &Session) -> bool {
    let named = args.issuer.as_ref().is_none_or(|issuer| *issuer == session.info.issuer);
    let mut issuers = client.config.bundle.issuers.iter();
    let entry = issuers.find(|issuer| issuer.name == session.info.issuer);
    let kind = match how(args) {
        How::Workload(_) => entry.is_some_and(|entry| entry.kind == "workload"),
        How::Person(Way::Device | Way::Paste) => entry.is_none_or(|entry| entry.kind == "user"),
        // Nothing was said: whoever is logged in already.
        How::Person(Way::Browser { .. }) => true,
    };
    named && kind
}

fn person(client: &Client, args: &HowArgs, way: Way, freshness: Freshness) -> Result<Proven> {
    let ca_id = client.config.pin.ca_id;
    let issuers = &client.config.bundle.issuers;
    let last = oidc::last(&client.paths, &ca_id);
    let (issuer, by_last) = oidc::choose(issuers, way.flow(), args.issuer.as_deref(), last.as_deref())?;
    if by_last {
        note(&format!(
            "Logging in at {}, as last time; --issuer NAME chooses another.",
            escape(&issuer.name)
        ));
    }
    let key = keys::fresh();
    let public = keys::public(&key)?;
    let salt = salt();
    let nonce = oidc_nonce(&ca_id, &salt, &public);
    let proof = oidc::log_in(&client.http, issuer, &nonce, way, freshness);
    let proof = proof.map_err(|error| since_when(client, &issuer.name, error))?;
    oidc::remember(&client.paths, &ca_id, &issuer.name)?;
    Ok(Proven { token: proof.token, flow: way.flow(), key, public, salt, refresh: proof.refresh })
}

/// A provider's failure with what the CA, which asks it all the time, says of it: since when.
fn since_when(client: &Client, issuer: &str, error: Error) -> Error {
    if let Error::Provider(said) = &error
        && let Some(since) = client.ca().trouble_of(issuer)
    {
        return Error::Provider(format!("{said}; the CA says: {since}"));
    }
    error
}

fn workload(client: &Client, args: &HowArgs, source: &Source) -> Result<Proven> {
    let environment = |name: &str| std::env::var_os(name);
    let issuers = &client.config.bundle.issuers;
    let token = match oidc::at_hand(source, &environment)? {
        Some(token) => token,
        None => {
            let issuer = oidc::of_platform(issuers, args.issuer.as_deref(), GITHUB)?;
            let _waiting = Waiting::for_("asking GitHub for the job's token");
            oidc::from_github(&client.http, issuer, &environment)?
        }
    };
    let proof = Proof::read(token).map_err(|_| {
        Error::Local("the token is not one signed JWT: check what the platform gives".to_owned())
    })?;
    oidc::of_token(issuers, args.issuer.as_deref(), proof.issuer.as_deref())?;
    let ca_id = &client.config.pin.ca_id;
    let key = presented::key(&client.paths, ca_id, &proof.token, proof.expires, client.now())?;
    let public = keys::public(&key)?;
    Ok(Proven { token: proof.token, flow: Flow::Token, key, public, salt: salt(), refresh: None })
}

fn salt() -> Salt {
    let mut salt = [0; 32];
    rand::rngs::OsRng.fill_bytes(&mut salt);
    Salt::from_bytes(salt)
}
