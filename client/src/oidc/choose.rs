//! Which of a CA's identity providers is meant: by name, by what it takes, by what was used last; or a list to choose
//! from. A workload's is the one that its token names.

use jit_ssh_proto::{CaId, Flow, IssuerEntry};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::output::escape;
use crate::paths::{self, Paths};

/// Where the one that was used last is kept, beside the pin.
const FILE: &str = "issuer.json";

/// The one that people log in at in this way, and whether it was taken because it was used last.
pub(crate) fn choose<'a>(
    issuers: &'a [IssuerEntry],
    flow: Flow,
    name: Option<&str>,
    last: Option<&str>,
) -> Result<(&'a IssuerEntry, bool)> {
    let usable: Vec<&IssuerEntry> = issuers.iter().filter(|issuer| takes(issuer, flow)).collect();
    if let Some(name) = name {
        let named =
            issuers.iter().find(|issuer| issuer.name == name).ok_or_else(|| unknown(issuers, name))?;
        return if takes(named, flow) { Ok((named, false)) } else { Err(unfit(named, flow)) };
    }
    match usable.as_slice() {
        [] => Err(none(issuers, flow)),
        [only] => Ok((only, false)),
        several => match several.iter().find(|issuer| Some(issuer.name.as_str()) == last) {
            Some(last) => Ok((last, true)),
            None => Err(Error::Usage(format!(
                "the CA has several identity providers: say which with --issuer NAME{}",
                list(several)
            ))),
        },
    }
}

/// The one that a workload's token says it is from.
pub(crate) fn of_token<'a>(
    issuers: &'a [IssuerEntry],
    name: Option<&str>,
    iss: Option<&str>,
) -> Result<&'a IssuerEntry> {
    let said = iss.map_or_else(|| "no issuer at all".to_owned(), |iss| escape(&short(iss)));
    if let Some(name) = name {
        let named =
            issuers.iter().find(|issuer| issuer.name == name).ok_or_else(|| unknown(issuers, name))?;
        if !takes(named, Flow::Token) {
            return Err(unfit(named, Flow::Token));
        }
        return if iss == Some(named.url.as_str()) {
            Ok(named)
        } else {
            Err(Error::Usage(format!(
                "the token is from {said}, not from {} ({}): give another token or another --issuer",
                escape(&named.name),
                escape(&named.url)
            )))
        };
    }
    let from: Vec<&IssuerEntry> = issuers.iter().filter(|issuer| Some(issuer.url.as_str()) == iss).collect();
    match from.iter().find(|issuer| takes(issuer, Flow::Token)) {
        Some(issuer) => Ok(issuer),
        None => match from.first() {
            Some(people) => Err(unfit(people, Flow::Token)),
            None => {
                let workloads: Vec<&IssuerEntry> =
                    issuers.iter().filter(|issuer| takes(issuer, Flow::Token)).collect();
                Err(Error::Local(format!(
                    "the token is from {said}, which is no issuer of workloads at this CA: ask its operator to add \
                     it{}",
                    list(&workloads)
                )))
            }
        },
    }
}

/// The one that gives a platform's workloads their tokens, before there is a token: the named one, the one at this
/// address, the only one.
pub(crate) fn of_platform<'a>(
    issuers: &'a [IssuerEntry],
    name: Option<&str>,
    url: &str,
) -> Result<&'a IssuerEntry> {
    if name.is_none()
        && let Some(issuer) = issuers.iter().find(|i| takes(i, Flow::Token) && i.url == url)
    {
        return Ok(issuer);
    }
    choose(issuers, Flow::Token, name, None).map(|(issuer, _)| issuer)
}

/// Whether this is a way to log in at this provider. What its entry says of itself is taken together: a later version
/// may know other kinds and flows.
fn takes(issuer: &IssuerEntry, flow: Flow) -> bool {
    let kind = match flow {
        Flow::Code | Flow::Device => "user",
        Flow::Token => "workload",
    };
    issuer.kind == kind && issuer.flows.iter().any(|f| f == flow.as_str())
}

/// A way to log in, in words.
fn words(flow: Flow) -> &'static str {
    match flow {
        Flow::Code => "the browser",
        Flow::Device => "the device grant",
        Flow::Token => "tokens of workloads",
    }
}

fn unknown(issuers: &[IssuerEntry], name: &str) -> Error {
    let all: Vec<&IssuerEntry> = issuers.iter().collect();
    Error::Usage(format!("--issuer {} is no identity provider of this CA{}", escape(name), list(&all)))
}

fn unfit(issuer: &IssuerEntry, flow: Flow) -> Error {
    let instead = match flow {
        Flow::Device if takes(issuer, Flow::Code) => ": leave out --device, or use --paste",
        Flow::Code if takes(issuer, Flow::Device) => ": add --device",
        Flow::Code | Flow::Device if takes(issuer, Flow::Token) => ": give its token with --token-file",
        Flow::Code | Flow::Device | Flow::Token => ": ask the CA's operator",
    };
    Error::Usage(format!("{} does not take {}{instead}", escape(&issuer.name), words(flow)))
}

fn none(issuers: &[IssuerEntry], flow: Flow) -> Error {
    let others: Vec<&IssuerEntry> = issuers.iter().collect();
    let instead = match flow {
        Flow::Code if issuers.iter().any(|i| takes(i, Flow::Device)) => "add --device, or ",
        Flow::Device if issuers.iter().any(|i| takes(i, Flow::Code)) => {
            "leave out --device (--paste needs no browser here), or "
        }
        Flow::Code | Flow::Device | Flow::Token => "",
    };
    Error::Local(format!(
        "no identity provider of this CA takes {}: {instead}ask its operator to add one{}",
        words(flow),
        list(&others)
    ))
}

/// One a line: its name, what it takes, its address.
fn list(issuers: &[&IssuerEntry]) -> String {
    issuers.iter().fold(String::new(), |mut out, issuer| {
        let takes = issuer.flows.iter().map(|flow| escape(flow)).collect::<Vec<_>>().join(", ");
        out.push_str(&format!("\n  {} ({takes}; {})", escape(&issuer.name), escape(&issuer.url)));
        out
    })
}

fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

#[derive(Serialize, Deserialize)]
struct Last {
    ca_id: CaId,
    issuer: String,
}

/// The one that was used last at this CA. That it cannot be told is no matter.
pub(crate) fn last(paths: &Paths, ca_id: &CaId) -> Option<String> {
    let text = paths::read(&paths.config().ok()?.join(FILE), 0o022).ok()??;
    let last: Last = serde_json::from_slice(&text).ok()?;
    (last.ca_id == *ca_id).then_some(last.issuer)
}

/// Keeps the one that was used.
pub(crate) fn remember(paths: &Paths, ca_id: &CaId, issuer: &str) -> Result<()> {
    if last(paths, ca_id).as_deref() == Some(issuer) {
        return Ok(());
    }
    let json = serde_json::to_vec(&Last { ca_id: *ca_id, issuer: issuer.to_owned() })
        .map_err(|e| Error::Local(format!("cannot write which identity provider was used: {e}")))?;
    paths::write(&paths.config()?.join(FILE), &json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::tests::issuer;
    use crate::testing::CA;

    fn issuers() -> Vec<IssuerEntry> {
        let mut b = issuer("b", "user", "code");
        b.flows.push("device".into());
        vec![
            issuer("a", "user", "code"),
            b,
            issuer("tv", "user", "device"),
            issuer("ci", "workload", "token"),
        ]
    }

    #[test]
    fn which_provider_people_log_in_at() {
        let all = issuers();
        let only = |names: &[&str]| -> Vec<IssuerEntry> {
            all.iter().filter(|i| names.contains(&i.name.as_str())).cloned().collect()
        };
        for (issuers, flow, name, last, chosen) in [
            (only(&["a", "ci"]), Flow::Code, None, None, Ok(("a", false))),
            (only(&["a", "ci"]), Flow::Code, None, Some("gone"), Ok(("a", false))),
            (all.clone(), Flow::Code, Some("b"), Some("a"), Ok(("b", false))),
            (all.clone(), Flow::Code, None, Some("b"), Ok(("b", true))),
            (all.clone(), Flow::Device, None, Some("tv"), Ok(("tv", true))),
            (only(&["a", "b"]), Flow::Device, None, None, Ok(("b", false))),
            // One that was used last for something else is not taken for this.
            (all.clone(), Flow::Code, None, Some("tv"), Err("several")),
            (all.clone(), Flow::Device, None, Some("a"), Err("several")),
            (all.clone(), Flow::Code, None, None, Err("several")),
            (vec![], Flow::Code, None, None, Err("ask its operator")),
            (only(&["ci"]), Flow::Code, None, None, Err("takes the browser: ask")),
            (only(&["tv"]), Flow::Code, None, None, Err("add --device")),
            (only(&["a", "ci"]), Flow::Device, None, None, Err("leave out --device")),
            (all.clone(), Flow::Device, Some("a"), None, Err("a does not take the device grant: leave out")),
            (all.clone(), Flow::Code, Some("tv"), None, Err("tv does not take the browser: add --device")),
            (all.clone(), Flow::Code, Some("ci"), None, Err("--token-file")),
            (all.clone(), Flow::Code, Some("c"), None, Err("--issuer c is no identity provider")),
            (all.clone(), Flow::Code, Some(""), None, Err("no identity provider")),
            (only(&["a"]), Flow::Token, None, None, Err("tokens of workloads")),
        ] {
            match (choose(&issuers, flow, name, last), chosen) {
                (Ok((issuer, by_last)), Ok((name, last))) => {
                    assert_eq!((issuer.name.as_str(), by_last), (name, last));
                }
                (Err(e), Err(why)) => assert!(e.to_string().contains(why), "{why}: {e}"),
                (Ok((issuer, _)), Err(why)) => panic!("{} is taken: {why}", issuer.name),
                (Err(e), Ok(_)) => panic!("{e}"),
            }
        }
    }

    #[test]
    fn a_list_says_what_each_takes() {
        let mut all = issuers();
        all[0].name = "a\u{1b}[2J".into();
        let error = choose(&all, Flow::Code, None, None).unwrap_err();
        assert_eq!(error.exit().code(), 2);
        let text = error.to_string();
        assert!(
            text.contains("\n  a\\u{1b}[2J (code; https://a.example.com)\n  b (code, device; https://b."),
            "{text}"
        );
        assert!(!text.contains("tv") && !text.contains("ci"), "{text}");
    }

    #[test]
    fn which_provider_a_token_is_from() {
        let mut all = issuers();
        all.push(issuer("k8s", "workload", "token"));
        let ci = "https://ci.example.com";
        for (name, iss, chosen) in [
            (None, Some(ci), Ok("ci")),
            (Some("ci"), Some(ci), Ok("ci")),
            (Some("k8s"), Some(ci), Err("from https://ci.example.com, not from k8s")),
            (Some("a"), Some(ci), Err("a does not take tokens of workloads")),
            (Some("zz"), Some(ci), Err("no identity provider")),
            (None, Some("https://ci.example.com/"), Err("no issuer of workloads")),
            (None, Some("https://CI.example.com"), Err("no issuer of workloads")),
            (None, Some("https://a.example.com"), Err("a does not take tokens of workloads")),
            (None, Some("x\u{1b}"), Err("from x\\u{1b}, which")),
            (None, None, Err("from no issuer at all")),
        ] {
            match (of_token(&all, name, iss), chosen) {
                (Ok(issuer), Ok(name)) => assert_eq!(issuer.name, name),
                (Err(e), Err(why)) => assert!(e.to_string().contains(why), "{why}: {e}"),
                (Ok(issuer), Err(why)) => panic!("{} is taken: {why}", issuer.name),
                (Err(e), Ok(_)) => panic!("{e}"),
            }
        }
        for (name, url, chosen) in [
            (None, ci, Some("ci")),
            (Some("k8s"), ci, Some("k8s")),
            (None, "https://elsewhere", None),
            (Some("a"), ci, None),
        ] {
            assert_eq!(of_platform(&all, name, url).ok().map(|i| i.name.as_str()), chosen);
        }
    }

    #[test]
    fn what_was_used_last_is_known_for_its_ca_only() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        assert_eq!(last(&paths, &CA), None);
        remember(&paths, &CA, "corp").unwrap();
        assert_eq!(last(&paths, &CA).as_deref(), Some("corp"));
        assert_eq!(last(&paths, &CaId::from_bytes([1; 32])), None);
        remember(&paths, &CA, "partner").unwrap();
        assert_eq!(last(&paths, &CA).as_deref(), Some("partner"));
        for damaged in ["", "{}", "null", "{\"ca_id\":1}"] {
            paths::write(&paths.config().unwrap().join(FILE), damaged.as_bytes()).unwrap();
            assert_eq!(last(&paths, &CA), None, "{damaged}");
        }
    }
}
