//! One question to a set of files, as the CA would be asked it, and what comes of it.

use std::fmt;
use std::net::IpAddr;

use jiff::tz::TimeZone;
use jit_ssh_core::identity::VerifiedIdentity;
use jit_ssh_core::inventory::Inventory;
use jit_ssh_core::policy::{Circumstances, Decision, Denial, Leave, Verb};
use jit_ssh_core::position::closest;
use jit_ssh_core::request::AccessRequest;
use jit_ssh_proto::event::Asked as Asking;
use jit_ssh_proto::explanation::Explanation;
use jit_ssh_proto::wire::AccessRequestBody;
use jit_ssh_proto::{Account, Code, Mode, Name, Place, Span, Timestamp, UserKey};
use serde_json::{Value, json};

use super::case::{Answer, Case, Defaults};
use super::files::Set;
use crate::clock::{Zone, local};

/// When nothing says when: a Wednesday, at noon, so that a case says the same every day.
pub(super) const NOON: &str = "2026-01-14T12:00";
/// Where from, when nothing says where from.
const SOURCE: &str = "192.0.2.1";

/// A key of each type that a case can name.
const KEYS: [(&str, &str); 4] = [
    ("ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5AAAAIB2phQr2MUYVQCpR2ZCnL9q3nBcP6nHSVpSWP0HcL1Jm"),
    (
        "sk-ssh-ed25519@openssh.com",
        "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIGSQefxqVB98nDvLXkTXZxXWohZWcaVurne0NY7d0NzaAAAABHNzaDo=",
    ),
    (
        "ecdsa-sha2-nistp256",
        "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBK986fSpKhh6RhLB4qu+doj9RQkWY+Fx9D/XQJloekXAERbyFcPXrNx5Q0Zt4hfSyFSg6ECQ6kViUmDGiZhqHMg=",
    ),
    (
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAABBBK986fSpKhh6RhLB4qu+doj9RQkWY+Fx9D/XQJloekXAERbyFcPXrNx5Q0Zt4hfSyFSg6ECQ6kViUmDGiZhqHMgAAAAEc3NoOg==",
    ),
];

/// What is asked for.
enum Asked {
    Access(AccessRequest),
    Verb(Verb),
}

/// One question, ready to be put.
pub(super) struct Question {
    identity: VerifiedIdentity,
    asked: Asked,
    key: UserKey,
    at: Circumstances,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) answer: Answer,
    /// How long, where something is given that lasts.
    pub(super) ttl: Option<Span>,
    /// By which policies.
    pub(super) policies: Vec<String>,
    pub(super) pinned: bool,
    pub(super) verify: bool,
    /// Whose approval, and for how long.
    pub(super) demands: Vec<String>,
    /// Why not.
    pub(super) code: Option<Code>,
    pub(super) message: String,
}

impl Outcome {
    fn given(policies: Vec<String>) -> Self {
        let (pinned, verify, message) = (false, false, String::new());
        let demands = Vec::new();
        Self { answer: Answer::Allow, ttl: None, policies, pinned, verify, demands, code: None, message }
    }

    fn denied(denial: Denial, set: &Set) -> Self {
        let answer = if denial.code == Code::ApprovalRequired { Answer::Approval } else { Answer::Deny };
        let demands = denial.policies.iter().filter_map(|id| set.rules.demand(id)).collect();
        Self {
            answer,
            demands,
            code: Some(denial.code),
            message: denial.detail,
            ..Self::given(denial.policies)
        }
    }

    pub(super) fn as_json(&self) -> Value {
        json!({
            "answer": self.answer,
            "ttl": self.ttl.map(|ttl| ttl.to_string()),
            "policies": self.policies,
            "pinned": self.pinned,
            "verify": self.verify,
            "code": self.code,
            "message": self.message,
        })
    }

    /// In a few words: what a comparison compares.
    pub(super) fn terms(&self) -> String {
        match self.answer {
            Answer::Allow => {
                let mut words = vec!["allowed".to_owned()];
                words.extend(self.ttl.map(|ttl| format!("for {ttl}")));
                words.extend(self.pinned.then(|| "from one address".to_owned()));
                words.extend(self.verify.then(|| "with a PIN".to_owned()));
                words.join(" ")
            }
            Answer::Approval => format!("approval by {}", self.demands.join(" and by ")),
            Answer::Deny => "denied".to_owned(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.answer.as_str())?;
        if let Some(ttl) = self.ttl {
            write!(f, " {ttl}")?;
        }
        if self.pinned {
            f.write_str(", from the asker's address")?;
        }
        if self.verify {
            f.write_str(", with a PIN")?;
        }
        if let Some(code) = self.code {
            write!(f, " ({code})")?;
        }
        if !self.policies.is_empty() {
            write!(f, " by {}", self.policies.join(", "))?;
        }
        Ok(())
    }
}

impl Question {
    /// What a case asks.
    ///
    /// # Errors
    /// What is wrong with the case, as one sentence without an end.
    pub(super) fn of(
        case: &Case,
        defaults: &Defaults,
        person: impl FnOnce(Timestamp) -> Result<VerifiedIdentity, String>,
        set: &Set,
    ) -> Result<Self, String> {
        let or = |given: &Option<String>, default: &Option<String>| given.clone().or(default.clone());
        let at = or(&case.at, &defaults.at).unwrap_or_else(|| NOON.to_owned());
        let now = instant(&at, &set.excerpt.timezone).map_err(|what| format!("at {at:?} {what}"))?;
        let source = or(&case.source, &defaults.source).unwrap_or_else(|| SOURCE.to_owned());
        let source_ip: IpAddr = source.parse().map_err(|_| format!("source {source:?} is no address"))?;
        let key = key(&or(&case.key, &defaults.key).unwrap_or_else(|| "ssh-ed25519".to_owned()))?;
        let body = AccessRequestBody {
            accounts: case.places()?,
            mode: Mode::Shell,
            modifiers: case.with.clone(),
            command: case.command.clone(),
            duration: case.duration.clone(),
            reason: or(&case.reason, &defaults.reason).unwrap_or_default(),
            ticket: or(&case.ticket, &defaults.ticket).unwrap_or_default(),
            key: String::new(),
            proof: String::new(),
        };
        let asked = match action(case.action.as_deref().unwrap_or("shell"))? {
            Ok(mode) => Asked::Access(access(case, AccessRequestBody { mode, ..body }, set)?),
            Err(verb) if body.accounts.is_empty() => Asked::Verb(verb),
            Err(verb) => return Err(format!("{verb} is asked of the CA itself: name no account")),
        };
        let at = Circumstances { now, local: local(now, &set.excerpt.timezone), source_ip };
        Ok(Self { identity: person(now)?, asked, key, at })
    }

    /// Puts it.
    pub(super) fn put(&self, set: &Set) -> Outcome {
        match &self.asked {
            Asked::Access(request) => match set.rules.decide(&self.identity, request, &self.key, &self.at) {
                Decision::Allowed(allowed) => Outcome {
                    ttl: Some(allowed.duration()),
                    pinned: allowed.pin_source(),
                    verify: allowed.verify_required(),
                    ..Outcome::given(allowed.policies().to_vec())
                },
                Decision::Denied(denial) => Outcome::denied(denial, set),
            },
            Asked::Verb(verb) => match set.rules.may(&self.identity, *verb, &self.key, &self.at) {
                Leave::Given(policies) => Outcome::given(policies),
                Leave::Denied(denial) => Outcome::denied(denial, set),
            },
        }
    }

    /// Why, and what would change it, with the command that does; none for the CA's verbs.
    pub(super) fn explain(&self, set: &Set) -> Option<(Explanation, Asking)> {
        let Asked::Access(request) = &self.asked else { return None };
        let zone = Zone(&set.excerpt.timezone);
        let explained = set.rules.explain(&self.identity, request, &self.key, &self.at, &zone);
        Some((explained.told, request.asked()))
    }

    /// What is asked for and the inventory does not have, with what was probably meant, each as one sentence without an
    /// end.
    pub(super) fn unknown(&self, set: &Set) -> Vec<String> {
        let Asked::Access(request) = &self.asked else { return Vec::new() };
        request.accounts().iter().filter_map(|account| unknown(account, set.rules.inventory())).collect()
    }
}

fn unknown(account: &Account, inventory: &Inventory) -> Option<String> {
    let meant = |word: &str, known: &mut dyn Iterator<Item = &str>| {
        closest(word, known)
            .map_or_else(|| "correct it".to_owned(), |meant| format!("did you mean {meant:?}?"))
    };
    match &account.place {
        Place::Group(name) if inventory.group(name).is_some() => None,
        Place::Group(name) => {
            let help = meant(name.as_str(), &mut inventory.groups().map(|(name, _)| name.as_str()));
            Some(format!("the inventory has no group {:?}: {help}", name.as_str()))
        }
        Place::Host(name) => match inventory.host(name) {
            None => {
                let help = meant(name.as_str(), &mut inventory.hosts().map(|host| host.name().as_str()));
                Some(format!("the inventory has no host {:?}: {help}", name.as_str()))
            }
            Some(host) if host.logins().contains(&account.login) => None,
            Some(host) => {
                let help = meant(account.login.as_str(), &mut host.logins().iter().map(Name::as_str));
                Some(format!("{name} offers no login {:?}: {help}", account.login.as_str()))
            }
        },
    }
}

fn access(case: &Case, body: AccessRequestBody, set: &Set) -> Result<AccessRequest, String> {
    if body.accounts.is_empty() {
        return Err("name an account: account = \"deploy@web-1\"".to_owned());
    }
    let request = AccessRequest::parse(&body, &set.excerpt.limits.request())
        .map_err(|problem| problem.detail.trim_end_matches('.').to_owned())?;
    let starts_in = match &case.starts_in {
        Some(text) => text.parse().map_err(|e| format!("starts_in {e}"))?,
        None => Span::default(),
    };
    Ok(request.starting_in(starts_in).under_break_glass(case.break_glass))
}

/// A mode, or a verb of the CA.
fn action(word: &str) -> Result<Result<Mode, Verb>, String> {
    if let Some(verb) = Verb::ALL.into_iter().find(|verb| verb.as_str() == word) {
        return Ok(Err(verb));
    }
    word.parse().map(Ok).map_err(|_| {
        let words = ["shell", "exec", "sftp", "forward", "jump"];
        let verbs = Verb::ALL.map(Verb::as_str);
        closest(word, words.into_iter().chain(verbs)).map_or_else(
            || {
                format!(
                    "action {word:?} is not known: write one of {}, {}",
                    words.join(", "),
                    verbs.join(", ")
                )
            },
            |meant| format!("action {word:?} is not known: did you mean {meant:?}?"),
        )
    })
}

fn key(kind: &str) -> Result<UserKey, String> {
    let found = KEYS.iter().find(|(name, _)| *name == kind);
    let text = found.map(|(name, blob)| format!("{name} {blob}")).ok_or_else(|| {
        let known: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
        format!("key {kind:?} is not known: write one of {}", known.join(", "))
    })?;
    text.parse().map_err(|e| format!("key {kind:?} {e}"))
}

/// `2026-11-22T09:30` in the zone, or with an offset (`…+01:00`, `…Z`).
pub(super) fn instant(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    const FORM: &str = "is no time: write 2026-11-22T09:30, or 2026-11-22T09:30+01:00";
    let found = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => instant,
        Err(_) => {
            let wall: jiff::civil::DateTime = text.parse().map_err(|_| FORM.to_owned())?;
            if text.ends_with(']') {
                return Err(FORM.to_owned());
            }
            let on_the_wall = zone.to_ambiguous_timestamp(wall);
            on_the_wall.unambiguous().map_err(|_| {
                "comes twice or never on that day, when the clocks change: write it with an offset, as in \
                 2026-10-25T02:30+01:00"
                    .to_owned()
            })?
        }
    };
    let seconds = u64::try_from(found.as_second()).map_err(|_| "is before 1970".to_owned())?;
    Ok(Timestamp::from_seconds(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_the_zone_or_say_theirs() {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        for (text, expected) in [
            ("2026-11-22T09:30", Ok("2026-11-22T08:30:00Z")),
            ("2026-07-01T09:30:15", Ok("2026-07-01T07:30:15Z")),
            ("2026-11-22 09:30", Ok("2026-11-22T08:30:00Z")),
            ("2026-11-22T09:30Z", Ok("2026-11-22T09:30:00Z")),
            ("2026-11-22T09:30-05:00", Ok("2026-11-22T14:30:00Z")),
            ("2026-10-25T02:30+01:00", Ok("2026-10-25T01:30:00Z")),
            ("2026-10-25T02:30", Err("comes twice or never")),
            ("2026-03-29T02:30", Err("comes twice or never")),
            ("yesterday", Err("is no time")),
            ("2026-13-01T00:00", Err("is no time")),
            ("1969-12-31T00:00", Err("is before 1970")),
        ] {
            let got = instant(text, &paris);
            match expected {
                Ok(utc) => {
                    let utc: jiff::Timestamp = utc.parse().unwrap();
                    assert_eq!(got.unwrap().seconds(), utc.as_second().unsigned_abs(), "{text}");
                }
                Err(says) => assert!(got.as_ref().is_err_and(|e| e.starts_with(says)), "{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn every_key_is_one_of_its_type() {
        for (name, _) in KEYS {
            assert_eq!(key(name).unwrap().algorithm().as_str(), name);
        }
        assert!(key("ssh-dss").unwrap_err().contains("write one of ssh-ed25519"));
    }

    #[test]
    fn actions_are_modes_and_verbs() {
        assert_eq!(action("sftp"), Ok(Ok(Mode::Sftp)));
        assert_eq!(action("audit"), Ok(Err(Verb::Audit)));
        assert!(action("shel").unwrap_err().ends_with("did you mean \"shell\"?"));
        assert!(action("everything").unwrap_err().contains("write one of"));
    }
}
