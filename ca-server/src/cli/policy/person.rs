//! People and workloads of test cases: made by the same path as those who log in, from claims.

use jit_ssh_core::identity::{Claims, Flow, IdentityKind, IssuerRules, VerifiedIdentity};
use jit_ssh_core::position::closest;
use jit_ssh_proto::{Name, Span, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::Excerpt;

/// `[identity.NAME]`, or `who = { … }` of a case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Person {
    /// Another identity of the file, which the keys beside this one change.
    #[serde(default, rename = "as")]
    pub(super) like: Option<String>,
    /// The alias of the issuer.
    #[serde(default)]
    pub(super) issuer: Option<String>,
    /// What the issuer's user name claim says: the login.
    #[serde(default, alias = "login")]
    pub(super) name: Option<String>,
    /// The issuer's `sub`; by default made of the name.
    #[serde(default)]
    pub(super) sub: Option<String>,
    /// `user` or `workload`; by default the issuer's kind.
    #[serde(default)]
    pub(super) kind: Option<IdentityKind>,
    /// Our groups.
    #[serde(default)]
    pub(super) groups: Option<Vec<String>>,
    /// A verified address.
    #[serde(default)]
    pub(super) email: Option<String>,
    /// Tags, as policies see them.
    #[serde(default)]
    pub(super) tags: Option<std::collections::BTreeMap<String, String>>,
    /// How long ago they proved who they are; unknown without it.
    #[serde(default)]
    pub(super) auth_age: Option<String>,
    /// `amr`
    #[serde(default)]
    pub(super) methods: Option<Vec<String>>,
    /// `acr`
    #[serde(default)]
    pub(super) level: Option<String>,
    /// How they logged in.
    #[serde(default)]
    pub(super) flow: Option<Flow>,
    /// The payload of a token, read under the issuer's entry, in place of name, groups, address and tags.
    #[serde(default)]
    pub(super) claims: Option<toml::Table>,
}

impl Person {
    /// The same with what another says, where it says something.
    pub(super) fn changed_by(self, other: Self) -> Self {
        Self {
            like: None,
            issuer: other.issuer.or(self.issuer),
            name: other.name.or(self.name),
            sub: other.sub.or(self.sub),
            kind: other.kind.or(self.kind),
            groups: other.groups.or(self.groups),
            email: other.email.or(self.email),
            tags: other.tags.or(self.tags),
            auth_age: other.auth_age.or(self.auth_age),
            methods: other.methods.or(self.methods),
            level: other.level.or(self.level),
            flow: other.flow.or(self.flow),
            claims: other.claims.or(self.claims),
        }
    }

    /// Who that is, at a time.
    ///
    /// # Errors
    /// What is wrong, as one sentence without an end.
    pub(super) fn identity(&self, excerpt: &Excerpt, now: Timestamp) -> Result<VerifiedIdentity, String> {
        let entry = self.entry(excerpt)?;
        let (rules, mut payload) = match &self.claims {
            Some(claims) => self.by_claims(entry, claims)?,
            None => self.in_short(entry)?,
        };
        if let Some(age) = &self.auth_age {
            let age: Span = age.parse().map_err(|e| format!("auth_age {e}"))?;
            payload.insert("auth_time".to_owned(), json!(now.minus(age).seconds()));
        }
        if let Some(methods) = &self.methods {
            payload.insert("amr".to_owned(), json!(methods));
        }
        if let Some(level) = &self.level {
            payload.insert("acr".to_owned(), json!(level));
        }
        let usual = match rules.kind {
            IdentityKind::User => Flow::Code,
            IdentityKind::Workload => Flow::Token,
        };
        let claims = Claims::from_payload(&rules, self.flow.unwrap_or(usual), &payload);
        let admitted = claims.and_then(|claims| VerifiedIdentity::admit(&rules, &claims));
        admitted.map_err(|problem| format!("would not be let in: {}", problem.detail.trim_end_matches('.')))
    }

    /// The issuer's entry in `ca.toml`; none if there is no `ca.toml`.
    fn entry<'a>(&self, excerpt: &'a Excerpt) -> Result<Option<&'a IssuerRules>, String> {
        let Some(issuers) = &excerpt.issuers else { return Ok(None) };
        let Some(alias) = &self.issuer else {
            return match issuers.as_slice() {
                [one] => Ok(Some(one)),
                _ => Err(format!("has no issuer: name one of {}", names(issuers))),
            };
        };
        let found = issuers.iter().find(|issuer| issuer.name.as_str() == alias);
        found.map(Some).ok_or_else(|| {
            format!("is of the issuer {alias:?}, which ca.toml does not have: it has {}", names(issuers))
        })
    }

    /// A token's payload, under the issuer's own entry.
    fn by_claims(
        &self,
        entry: Option<&IssuerRules>,
        claims: &toml::Table,
    ) -> Result<(IssuerRules, Map<String, Value>), String> {
        let Some(entry) = entry else {
            return Err("has claims, which an [[issuer]] has to give a meaning: name a ca.toml".to_owned());
        };
        for (key, given) in [
            ("name", self.name.is_some()),
            ("groups", self.groups.is_some()),
            ("email", self.email.is_some()),
            ("tags", self.tags.is_some()),
            ("kind", self.kind.is_some()),
        ] {
            if given {
                return Err(format!("has claims and {key}: claims say it all"));
            }
        }
        let mut payload = match serde_json::to_value(claims) {
            Ok(Value::Object(payload)) => payload,
            Ok(_) | Err(_) => return Err("has claims that are no JSON object".to_owned()),
        };
        let sub = self.sub.clone().unwrap_or_else(|| "somebody".to_owned());
        payload.entry("sub").or_insert(Value::String(sub));
        Ok((entry.clone(), payload))
    }

    /// What is said in short, as an issuer would say it whose words are ours.
    fn in_short(&self, entry: Option<&IssuerRules>) -> Result<(IssuerRules, Map<String, Value>), String> {
        let alias = self.issuer.clone().or(entry.map(|entry| entry.name.to_string()));
        let alias = alias.ok_or_else(|| "has no issuer: write issuer = \"corp\"".to_owned())?;
        let alias: Name = alias.parse().map_err(|e| format!("is of the issuer {alias:?}, which {e}"))?;
        let groups = self.groups.clone().unwrap_or_default();
        if let Some(entry) = entry {
            let known: Vec<&str> = entry.groups_map.values().flatten().map(Name::as_str).collect();
            if let Some(unknown) = groups.iter().find(|group| !known.contains(&group.as_str())) {
                let help = closest(unknown, known.iter().copied()).map_or_else(
                    || format!("the groups_map of {alias} names {}", listed(&known)),
                    |meant| format!("did you mean {meant:?}?"),
                );
                return Err(format!("is in {unknown:?}, to which {alias} maps nobody: {help}"));
            }
            if self.name.is_some() && entry.username.is_none() {
                return Err(format!("has a name, but {alias} has no username: write sub in place of it"));
            }
        }
        let Some(sub) = self.sub.clone().or(self.name.as_ref().map(|name| format!("sub-{name}"))) else {
            return Err("has no name: write name = \"ann\"".to_owned());
        };
        let mut groups_map = std::collections::BTreeMap::new();
        for group in &groups {
            let name: Name = group.parse().map_err(|e| format!("is in {group:?}, which {e}"))?;
            groups_map.insert(group.clone(), vec![name]);
        }
        let tags = self.tags.clone().unwrap_or_default();
        let known: Option<Vec<&str>> = entry.map(|entry| entry.tags.keys().map(String::as_str).collect());
        if let (Some(known), Some(entry)) = (&known, entry)
            && let Some(unknown) = tags.keys().find(|tag| !known.contains(&tag.as_str()))
        {
            return Err(format!(
                "has the tag {unknown:?}, which {} does not take: its tags are {}",
                entry.name,
                listed(known)
            ));
        }
        let claim = |tag: &str| format!("tag {tag}");
        let mut paths = std::collections::BTreeMap::new();
        for tag in tags.keys() {
            let path =
                claim(tag).parse().map_err(|_| format!("has the tag {tag:?}, which is no name for one"))?;
            paths.insert(tag.clone(), path);
        }
        let rules = IssuerRules {
            url: entry.map_or_else(|| format!("https://{alias}.invalid"), |entry| entry.url.clone()),
            kind: self.kind.or(entry.map(|entry| entry.kind)).unwrap_or(IdentityKind::User),
            name: alias,
            username: Some("name".to_owned()),
            groups: Some("groups".to_owned()),
            groups_map,
            tags: paths,
            allowed_domains: entry.map(|entry| entry.allowed_domains.clone()).unwrap_or_default(),
            privileged_flows: entry.is_some_and(|entry| entry.privileged_flows),
        };
        let mut payload =
            Map::from_iter([("sub".to_owned(), json!(sub)), ("groups".to_owned(), json!(groups))]);
        if let Some(name) = &self.name {
            // A name outside the alphabet is taken by the CA as no login; in a test it is a slip.
            name.parse::<Name>().map_err(|e| format!("has the name {name:?}, which {e}"))?;
            payload.insert("name".to_owned(), json!(name));
        }
        let domain = rules.allowed_domains.first().map(|domain| format!("{sub}@{domain}"));
        if let Some(email) = self.email.clone().or(domain) {
            payload.extend([("email".to_owned(), json!(email)), ("email_verified".to_owned(), json!(true))]);
        }
        payload.extend(tags.iter().map(|(tag, value)| (claim(tag), json!(value))));
        Ok((rules, payload))
    }
}

fn names(issuers: &[IssuerRules]) -> String {
    let names: Vec<&str> = issuers.iter().map(|issuer| issuer.name.as_str()).collect();
    listed(&names)
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
