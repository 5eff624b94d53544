//! Logging in at an OpenID Connect provider, in every way there is: in a browser, by a pasted address, by a code on
//! another machine, by a token that a platform gave. What comes out is a token as it came. The CA verifies it; here is
//! only looked at what would be a pity to find out later: another login's nonce, a login that is not a fresh one.

mod answer;
mod callback;
mod choose;
mod code;
mod complaint;
mod device;
mod discovery;
mod response;
mod start;
mod workload;

use std::ffi::OsString;
use std::time::Instant;

use jit_ssh_proto::{Flow, IssuerEntry};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use crate::cli::HowArgs;
use crate::error::Result;
use crate::http::{Http, check_address};
use crate::output::{Waiting, escape, length, note};
use code::Browser;
use discovery::Provider;

pub(crate) use choose::{choose, last, of_platform, of_token, remember};
pub(crate) use workload::{Environment, GITHUB, GITHUB_VARIABLES, Source, at_hand, from_github};

/// How far a provider's clocks may be apart from each other.
const LEEWAY: u64 = 60;

/// How people log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In a browser on this machine.
    Browser {
        /// Whether we open it.
        open: bool,
    },
    /// In a browser anywhere; the address at which it ends up is pasted.
    Paste,
    /// With a code, in a browser anywhere.
    Device,
}

impl Way {
    /// The word for it on the wire.
    pub(crate) fn flow(self) -> Flow {
        match self {
            Self::Browser { .. } | Self::Paste => Flow::Code,
            Self::Device => Flow::Device,
        }
    }
}

/// Who logs in, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// A person.
    Person(Way),
    /// A workload, with a token that is there.
    Workload(Source),
}

impl How {
    /// As the command line says, or the environment where it says nothing.
    pub(crate) fn of(args: &HowArgs, environment: Environment<'_>) -> Self {
        let set = |name: &str| environment(name).filter(|value: &OsString| !value.is_empty());
        if let Some(path) = &args.token_file {
            Self::Workload(workload::file(path))
        } else if let Some(name) = &args.token_env {
            Self::Workload(Source::Variable(name.clone()))
        } else if args.github {
            Self::Workload(Source::GitHub)
        } else if args.device {
            Self::Person(Way::Device)
        } else if args.paste {
            Self::Person(Way::Paste)
        } else if args.no_browser {
            Self::Person(Way::Browser { open: false })
        } else if let Some(path) = set("JIT_SSH_TOKEN_FILE") {
            Self::Workload(Source::File(path.into()))
        } else {
            Self::Person(Way::Browser { open: true })
        }
    }
}

/// Whether any login will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Whoever is logged in at the provider already need not log in there again.
    AsItIs,
    /// The provider is to ask for the login anew.
    Anew,
}

/// A token, and what it says of itself. Nothing of that is verified.
pub(crate) struct Proof {
    /// The token, a compact JWS.
    pub(crate) token: Zeroizing<String>,
    nonce: Option<String>,
    /// Whom it says it is from.
    pub(crate) issuer: Option<String>,
    /// When it says it ends.
    pub(crate) expires: Option<u64>,
    issued: Option<u64>,
    /// When the person logged in at the provider.
    authenticated: Option<u64>,
    /// The refresh token that came with it, where the CA wants one.
    pub(crate) refresh: Option<Zeroizing<String>>,
}

impl Proof {
    /// Reads a token's payload.
    ///
    /// # Errors
    /// When it is not one.
    pub(crate) fn read(token: impl Into<Zeroizing<String>>) -> std::result::Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Payload {
            nonce: Option<String>,
            // Whatever shape these have, the CA is their judge.
            iss: Option<Value>,
            exp: Option<Value>,
            iat: Option<Value>,
            auth_time: Option<Value>,
        }
        let token = token.into();
        let payload =
            token.split('.').nth(1).and_then(|p| data_encoding::BASE64URL_NOPAD.decode(p.as_bytes()).ok());
        let payload: Payload = payload
            .and_then(|p| serde_json::from_slice(&p).ok())
            .ok_or("its ID token is not a signed JWT")?;
        let number = |value: Option<Value>| value.and_then(|v| v.as_u64());
        Ok(Self {
            token,
            nonce: payload.nonce,
            issuer: payload.iss.and_then(|v| v.as_str().map(str::to_owned)),
            expires: number(payload.exp),
            issued: number(payload.iat),
            authenticated: number(payload.auth_time),
            refresh: None,
        })
    }

    /// The same with the refresh token that came with it, which is kept only where the CA asks with it.
    fn with_refresh(self, issuer: &IssuerEntry, token: Option<String>) -> Self {
        Self { refresh: token.filter(|_| issuer.revalidate).map(Zeroizing::new), ..self }
    }

    /// The same, if it carries this nonce, so that a provider that drops it is named early.
    fn with_nonce(self, nonce: &str) -> std::result::Result<Self, &'static str> {
        match &self.nonce {
            None => Err("its ID token has no nonce, without which it is bound to nothing"),
            Some(found) if found == nonce => Ok(self),
            Some(_) => Err("its ID token has the nonce of another login"),
        }
    }

    /// Why this is not the token of a login that took so many seconds, if it is not: by the provider's own clock.
    fn stale(&self, took: u64) -> Option<String> {
        match (self.authenticated, self.issued) {
            (None, _) | (_, None) => Some("does not say when you logged in there".to_owned()),
            (Some(then), Some(now)) => {
                let age = now.saturating_sub(then);
                (age > took.saturating_add(LEEWAY)).then(|| {
                    format!(
                        "did not ask for it: you logged in there {} ago",
                        length(jit_ssh_proto::Span::from_seconds(age))
                    )
                })
            }
        }
    }
}

/// A person's login at a provider. The token carries `nonce` if the way has one.
pub(crate) fn log_in(
    http: &Http,
    issuer: &IssuerEntry,
    nonce: &str,
    way: Way,
    freshness: Freshness,
) -> Result<Proof> {
    let provider = {
        let _waiting = Waiting::for_(format!("asking {} how to log in", escape(&issuer.url)));
        Provider::discover(http, issuer)?
    };
    let begun = Instant::now();
    let proof = match way {
        Way::Browser { open } => {
            let far = Far::of(&|name| std::env::var_os(name));
            if let Some(hint) = far.hint(issuer) {
                note(&hint);
            }
            // What opens there is at best a browser inside this terminal.
            let browser = if open && far != Far::WithoutScreen { Browser::Opened } else { Browser::ByHand };
            code::log_in(http, &provider, nonce, browser, freshness)?
        }
        Way::Paste => code::log_in(http, &provider, nonce, Browser::Elsewhere, freshness)?,
        Way::Device => device::log_in(http, &provider, nonce, freshness)?,
    };
    if freshness == Freshness::Anew
        && let Some(why) = proof.stale(begun.elapsed().as_secs())
    {
        note(&format!(
            "A fresh login was asked for, and {} {why}. What needs a fresh login stays closed: ask the operator of the \
             CA whether this provider can do that.",
            escape(&issuer.name)
        ));
    }
    Ok(proof)
}

/// Where the person is who types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Far {
    /// At this machine.
    Here,
    /// At another one, whose screen this machine can use.
    WithScreen,
    /// At another one.
    WithoutScreen,
}

impl Far {
    fn of(environment: Environment<'_>) -> Self {
        let any = |names: &[&str]| names.iter().any(|name| environment(name).is_some_and(|v| !v.is_empty()));
        match (any(&["SSH_CONNECTION", "SSH_TTY"]), any(&["DISPLAY", "WAYLAND_DISPLAY"])) {
            (false, _) => Self::Here,
            (true, true) => Self::WithScreen,
            (true, false) => Self::WithoutScreen,
        }
    }

    /// What somebody should know whose browser cannot come back to this machine.
    fn hint(self, issuer: &IssuerEntry) -> Option<String> {
        let device = if issuer.flows.iter().any(|flow| flow == Flow::Device.as_str()) {
            ", or with --device to type in a code there"
        } else {
            ""
        };
        match self {
            Self::Here | Self::WithScreen => None,
            Self::WithoutScreen => Some(format!(
                "You are on another machine over ssh. If your browser is not on this one, stop this and run the command \
                 with --paste{device}."
            )),
        }
    }
}

/// Whether the address of an issuer may be used at all: shown at setup.
pub(crate) fn check_issuer(issuer: &IssuerEntry) -> std::result::Result<(), String> {
    Url::parse(&issuer.url).map_err(|_| "is no URL".to_owned()).and_then(|url| check_address(&url))
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser;

    use super::*;

    pub(crate) fn issuer(name: &str, kind: &str, flow: &str) -> IssuerEntry {
        IssuerEntry {
            name: name.into(),
            url: format!("https://{name}.example.com"),
            client_id: "jit-ssh".into(),
            client_secret: None,
            device_client_id: None,
            device_client_secret: None,
            audience: None,
            kind: kind.into(),
            flows: vec![flow.into()],
            scopes: vec!["openid".into()],
            revalidate: false,
            redirect_port: None,
        }
    }

    fn token(payload: &str) -> String {
        format!("e30.{}.c2ln", data_encoding::BASE64URL_NOPAD.encode(payload.as_bytes()))
    }

    #[test]
    fn nonces() {
        let check =
            |token: &str| Proof::read(token.to_owned()).and_then(|proof| proof.with_nonce("n")).map(drop);
        assert_eq!(check(&token(r#"{"nonce":"n","groups":"x","iat":"odd"}"#)), Ok(()));
        for (bad, why) in [
            (token(r#"{"nonce":"m"}"#), "another login"),
            (token("{}"), "no nonce"),
            (token(r#"{"nonce":null}"#), "no nonce"),
            (token(r#"{"nonce":1}"#), "not a signed JWT"),
            (token("x"), "not a signed JWT"),
            ("x".into(), "not a signed JWT"),
            ("a.b.c.d.e".into(), "not a signed JWT"),
        ] {
            assert!(check(&bad).unwrap_err().contains(why), "{bad}");
        }
    }

    #[test]
    fn what_is_no_fresh_login_is_said() {
        let stale = |payload: &str| Proof::read(token(payload)).unwrap().stale(30);
        assert_eq!(stale(r#"{"iat":1000,"auth_time":990}"#), None);
        assert_eq!(stale(r#"{"iat":1000,"auth_time":910}"#), None);
        // A clock of one of its machines that is ahead is no reason.
        assert_eq!(stale(r#"{"iat":1000,"auth_time":1001}"#), None);
        for (old, why) in [
            (r#"{"iat":1000,"auth_time":909}"#, "1m 31s ago"),
            (r#"{"iat":10000,"auth_time":0}"#, "2h 46m ago"),
            (r#"{"iat":1000}"#, "does not say"),
            (r#"{"auth_time":1000}"#, "does not say"),
            (r#"{"iat":1000,"auth_time":"1000"}"#, "does not say"),
            (r#"{"iat":1000,"auth_time":null}"#, "does not say"),
            (r#"{"iat":1000,"auth_time":-1}"#, "does not say"),
        ] {
            assert!(stale(old).unwrap().contains(why), "{old}");
        }
    }

    #[test]
    fn how_to_log_in_is_said_once() {
        let parse = |args: &[&str]| crate::cli::Cli::try_parse_from([&["jit-ssh", "login"], args].concat());
        let how = |args: &[&str], environment: Environment<'_>| {
            let crate::cli::Command::Login(args) = parse(args).unwrap().command else {
                panic!("another command")
            };
            How::of(&args.how, environment)
        };
        let nothing = |_: &str| None;
        let file = |name: &str| (name == "JIT_SSH_TOKEN_FILE").then(|| OsString::from("/run/token"));
        let empty = |_: &str| Some(OsString::new());
        let browser = |open| How::Person(Way::Browser { open });
        let workload = How::Workload;
        for (args, expected) in [
            (&[][..], browser(true)),
            (&["--no-browser"], browser(false)),
            (&["--paste"], How::Person(Way::Paste)),
            (&["--paste", "--no-browser"], How::Person(Way::Paste)),
            (&["--device", "--issuer", "tv"], How::Person(Way::Device)),
            (&["--token-file", "/t"], workload(Source::File("/t".into()))),
            (&["--token-file", "-"], workload(Source::Stdin)),
            (&["--token-env", "T"], workload(Source::Variable("T".into()))),
            (&["--github"], workload(Source::GitHub)),
        ] {
            assert_eq!(how(args, &nothing), expected, "{args:?}");
            assert_eq!(how(args, &empty), expected, "{args:?}");
            let expected =
                if args.is_empty() { workload(Source::File("/run/token".into())) } else { expected };
            assert_eq!(how(args, &file), expected, "what is said counts for more than what is set: {args:?}");
        }
        for bad in [
            &["--device", "--paste"][..],
            &["--device", "--token-file", "x"],
            &["--token-file", "x", "--token-env", "Y"],
            &["--github", "--token-env", "Y"],
            &["--token-file"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn who_is_far_away_is_told() {
        let far = |set: &[&str]| Far::of(&|name| set.contains(&name).then(|| OsString::from("x")));
        assert_eq!(far(&[]), Far::Here);
        assert_eq!(far(&["DISPLAY"]), Far::Here);
        assert_eq!(far(&["SSH_CONNECTION", "DISPLAY"]), Far::WithScreen);
        assert_eq!(far(&["SSH_TTY", "WAYLAND_DISPLAY"]), Far::WithScreen);
        assert_eq!(far(&["SSH_CONNECTION"]), Far::WithoutScreen);
        assert_eq!(Far::of(&|_| Some(OsString::new())), Far::Here);
        let mut both = issuer("b", "user", "code");
        assert!(Far::WithoutScreen.hint(&both).unwrap().ends_with("with --paste."));
        both.flows.push("device".into());
        assert!(Far::WithoutScreen.hint(&both).unwrap().contains("--paste, or with --device"));
        assert!(Far::Here.hint(&both).is_none() && Far::WithScreen.hint(&both).is_none());
    }
}
