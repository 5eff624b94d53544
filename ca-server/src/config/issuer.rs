//! An `[[issuer]]` entry: from what was written to what can only be valid.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jit_ssh_core::cert::HARD_MAX;
use jit_ssh_core::identity::{ClaimPath, IdentityKind, IssuerRules, MAX_TAGS};
use jit_ssh_proto::{Flow, Name, Span};
use url::Url;

use super::{Layout, check_public_url, is_loopback, raw::RawIssuer};
use crate::oidc::{DeviceClient, IssuerConfig, read_keys};

/// Algorithms that can be allowed at all: asymmetric, no SHA-1.
const ALGORITHMS: &[&str] = &["RS256", "PS256", "ES256", "ES384", "EdDSA"];

/// How often a provider may be asked about a session at most.
const SELDOM_ENOUGH: Span = Span::from_seconds(60);

type Bad = (String, String);

pub(super) fn parse(raw: RawIssuer, layout: &Layout) -> Result<IssuerConfig, Bad> {
    let bad = |key: &str, what: String| (key.to_owned(), what);
    let name: Name =
        raw.name.parse().map_err(|e| bad("name", format!("{e}: write a short name for it, such as corp")))?;
    // A URL is compared to the letter: what would be read over in one is no part of an issuer.
    let url =
        Some(raw.url.as_str()).filter(|url| !url.contains(|c: char| c.is_whitespace() || c.is_control()));
    let url = url.and_then(|url| Url::parse(url).ok()).ok_or_else(|| {
        bad(
            "url",
            format!(
                "is {:?}, which is not a URL: write the issuer as its tokens say it, such as https://id.example.com",
                raw.url
            ),
        )
    })?;
    check_public_url(&url).map_err(|what| bad("url", what))?;
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(bad(
            "url",
            "has a query, a fragment or a user: an issuer has none (OpenID Connect Discovery 1.0, 2)"
                .to_owned(),
        ));
    }
    let kind = match raw.kind.as_deref() {
        None | Some("user") => IdentityKind::User,
        Some("workload") => IdentityKind::Workload,
        Some(other) => return Err(bad("kind", format!("{other:?} is not known: write user or workload"))),
    };
    let flows = match raw.flows {
        None if kind == IdentityKind::Workload => vec![Flow::Token],
        None => vec![Flow::Code],
        Some(words) => flows(&words, kind)?,
    };
    for (key, value) in [("audience", &raw.audience), ("username", &raw.username), ("groups", &raw.groups)] {
        if value.as_ref().is_some_and(|value| value.trim().is_empty()) {
            let says = if key == "audience" { "what `aud` says" } else { "the claim" };
            return Err(bad(key, format!("is empty: write {says}, or leave the key out")));
        }
    }
    // A workload's platform knows no clients, only audiences.
    let client_id = match (raw.client_id, &raw.audience, kind) {
        (Some(id), _, _) if !id.is_empty() => id,
        (None, Some(audience), IdentityKind::Workload) if !audience.is_empty() => audience.clone(),
        (None, _, IdentityKind::Workload) => {
            return Err(bad(
                "audience",
                "is missing: write the audience that the platform's tokens are asked for with".to_owned(),
            ));
        }
        (_, _, _) => {
            return Err(bad(
                "client_id",
                "is missing or empty: write the client id of jit-ssh at the provider".to_owned(),
            ));
        }
    };
    let algorithms =
        raw.algorithms.unwrap_or_else(|| vec!["ES256".to_owned(), "RS256".to_owned(), "EdDSA".to_owned()]);
    if let Some(unknown) = algorithms.iter().find(|a| !ALGORITHMS.contains(&a.as_str())) {
        return Err(bad("algorithms", format!("has {unknown:?}: choose from {}", ALGORITHMS.join(", "))));
    }
    if algorithms.is_empty() {
        return Err(bad("algorithms", format!("is empty: choose from {}", ALGORITHMS.join(", "))));
    }
    let max_token_age = match raw.max_token_age {
        // The token of a job or of a pod is handed out once and read much later.
        None if kind == IdentityKind::Workload => Span::from_seconds(3600),
        None => Span::from_seconds(600),
        Some(text) => match text.parse::<Span>() {
            Ok(age) if age > HARD_MAX => {
                let what = format!("is {age}: write {HARD_MAX} at most, no session lasts longer");
                return Err(bad("max_token_age", what));
            }
            Ok(age) => age,
            Err(e) => return Err(bad("max_token_age", format!("{e}"))),
        },
    };
    for domain in &raw.allowed_domains {
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '*' | '/' | ':');
        if domain.split('.').any(str::is_empty) || domain.contains(odd) {
            return Err(bad(
                "allowed_domains",
                format!("has {domain:?}: write a plain domain such as example.com"),
            ));
        }
    }
    let mut groups_map = BTreeMap::new();
    for (theirs, ours) in raw.groups_map {
        let ours = ours
            .iter()
            .map(|group| {
                group
                    .parse::<Name>()
                    .map_err(|e| bad("groups_map", format!("maps {theirs:?} to {group:?}, which {e}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        groups_map.insert(theirs, ours);
    }
    if !groups_map.is_empty() && raw.groups.is_none() {
        return Err(bad(
            "groups_map",
            "is there without groups: name the claim that holds the groups".to_owned(),
        ));
    }
    let client_secret = secret("client_secret_file", raw.client_secret_file.as_deref(), layout)?;
    let device_secret =
        secret("device_client_secret_file", raw.device_client_secret_file.as_deref(), layout)?;
    let device_client = device_client(raw.device_client_id, device_secret, &client_id, &flows)?;
    let revalidate = match raw.revalidate {
        None => None,
        Some(_) if kind == IdentityKind::Workload => {
            return Err(bad(
                "revalidate",
                "is for users: a workload's session ends with its token, leave it out".to_owned(),
            ));
        }
        Some(text) => match text.parse::<Span>() {
            Ok(often) if often < SELDOM_ENOUGH && !is_loopback(&url) => {
                let what = format!(
                    "is {often}: write {SELDOM_ENOUGH} or more, the provider is asked that often about each session"
                );
                return Err(bad("revalidate", what));
            }
            Ok(often) => Some(often),
            Err(e) => return Err(bad("revalidate", format!("{e}"))),
        },
    };
    for scope in raw.scopes.iter().flatten() {
        // RFC 6749, 3.3: spaces stand between scopes.
        if scope.is_empty() || !scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\') {
            return Err(bad("scopes", format!("has {scope:?}: write each scope as a text of its own")));
        }
    }
    let redirect_port = match raw.redirect_port {
        None => None,
        Some(_) if !flows.contains(&Flow::Code) => {
            return Err(bad(
                "redirect_port",
                "is for the flow code, which this entry does not have: leave it out".to_owned(),
            ));
        }
        Some(port @ 0..1024) => {
            return Err(bad(
                "redirect_port",
                format!(
                    "is {port}, on which people may not listen: choose one from 1024 to 65535, below 32768 if you can"
                ),
            ));
        }
        Some(port) => Some(port),
    };
    let mut scopes = ["openid", "profile", "email"].map(str::to_owned).to_vec();
    if revalidate.is_some() {
        // What refresh tokens are asked for with (OpenID Connect Core 1.0, 11).
        scopes.push("offline_access".to_owned());
    }
    Ok(IssuerConfig {
        rules: IssuerRules {
            name,
            url: raw.url.clone(),
            kind,
            username: raw.username,
            groups: raw.groups,
            groups_map,
            tags: tags(raw.tags)?,
            allowed_domains: raw.allowed_domains,
            privileged_flows: raw.privileged_flows,
        },
        url: raw.url,
        audience: raw.audience.unwrap_or_else(|| client_id.clone()),
        client_id,
        device_client,
        client_secret,
        flows,
        algorithms,
        scopes: raw.scopes.unwrap_or(scopes),
        max_token_age,
        jwks_file: keys_file(raw.jwks_file, layout)?,
        revalidate,
        redirect_port,
    })
}

fn secret(key: &str, path: Option<&Path>, layout: &Layout) -> Result<Option<String>, Bad> {
    let Some(path) = path else { return Ok(None) };
    let path = layout.root().join(path);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(e) => Err((key.to_owned(), format!("{} cannot be read: {e}", path.display()))),
    }
}

/// Read at start, so that no login is the first to find out.
fn keys_file(path: Option<PathBuf>, layout: &Layout) -> Result<Option<PathBuf>, Bad> {
    let Some(path) = path else { return Ok(None) };
    let path = layout.root().join(path);
    match read_keys(&path) {
        Ok(_) => Ok(Some(path)),
        Err(why) => Err((
            "jwks_file".to_owned(),
            format!("{why}: save the issuer's keys there, as a JSON Web Key Set"),
        )),
    }
}

/// The client of the device grant, where there are other flows beside it.
fn device_client(
    id: Option<String>,
    secret: Option<String>,
    client_id: &str,
    flows: &[Flow],
) -> Result<Option<DeviceClient>, Bad> {
    let bad = |what: &str| Err(("device_client_id".to_owned(), what.to_owned()));
    let both = [Flow::Code, Flow::Device].iter().all(|flow| flows.contains(flow));
    match (id, both) {
        (None, false) if secret.is_none() => Ok(None),
        (None | Some(_), false) => {
            bad("is for entries whose `flows` has both code and device: leave it and its secret out")
        }
        (None, true) => bad(
            "is missing: with both code and device in `flows`, the CA tells the two apart by the client that a token was \
             issued to, or else a code that somebody was talked into typing would pass for a login in their browser. Make \
             a second client at the provider that may do the device grant and nothing else, forbid the device grant to the \
             first, and write the id of the second here",
        ),
        (Some(id), true) if id.is_empty() => bad("is empty: write the id of the client for the device grant"),
        (Some(id), true) if id == client_id => bad(
            "is the same as `client_id`: make a second client at the provider that may do the device grant and nothing \
             else, so that the CA can tell its tokens from those of the browser",
        ),
        (Some(id), true) => Ok(Some(DeviceClient { id, secret })),
    }
}

/// Tag → claim, each tag with a name that can be written in a policy without surprises.
fn tags(raw: BTreeMap<String, String>) -> Result<BTreeMap<String, ClaimPath>, Bad> {
    let bad = |what: String| ("tags".to_owned(), what);
    if raw.len() > MAX_TAGS {
        return Err(bad(format!("has {} tags: take at most {MAX_TAGS}", raw.len())));
    }
    let one = |(tag, claim): (String, String)| {
        if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
            return Err(bad(format!("has {tag:?}: name a tag with letters, digits, '_' and '-'")));
        }
        let path = claim.parse().map_err(|e| bad(format!("takes {tag} from {claim:?}, which {e}")))?;
        Ok((tag, path))
    };
    raw.into_iter().map(one).collect()
}

/// People log in, workloads are handed tokens; neither does what the other does.
fn flows(words: &[String], kind: IdentityKind) -> Result<Vec<Flow>, Bad> {
    let bad = |what: String| ("flows".to_owned(), what);
    let flows = words
        .iter()
        .map(|word| word.parse::<Flow>().map_err(|e| bad(format!("has {word:?}, which {e}"))))
        .collect::<Result<Vec<_>, _>>()?;
    let choose = match kind {
        IdentityKind::User => "choose from code, device",
        IdentityKind::Workload => "write token, or leave the key out",
    };
    if flows.is_empty() {
        return Err(bad(format!("is empty, so that nobody could log in: {choose}")));
    }
    if let Some(twice) =
        flows.iter().enumerate().find(|(at, flow)| flows.iter().take(*at).any(|one| one == *flow))
    {
        return Err(bad(format!("has {} twice: write it once", twice.1)));
    }
    let (fits, of) = match kind {
        IdentityKind::User => {
            (flows.iter().all(|flow| *flow != Flow::Token), "users: choose from code, device")
        }
        IdentityKind::Workload => (flows.iter().all(|flow| *flow == Flow::Token), "workloads: write token"),
    };
    if !fits {
        return Err(bad(format!("is not for {of}")));
    }
    Ok(flows)
}

#[cfg(test)]
mod tests;
