//! What is appended: changes as the services make them, by one person in one session.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{anyhow, bail};
use data_encoding::BASE64URL_NOPAD;
use jit_ssh_ca::store::{
    CallId, Change, DecideRequest, Decided, IssueCertificate, OpenSession, RefuseSession,
};
use jit_ssh_core::authority::{Authority, CertKind};
use jit_ssh_core::cert::{Issuance, Prepared};
use jit_ssh_core::grant::{Grant, GrantFacts};
use jit_ssh_core::identity::{Claims, Flow, IdentityKind, IssuerRules, Picked, VerifiedIdentity};
use jit_ssh_core::inventory::{Inventory, InventorySource};
use jit_ssh_core::policy::{Circumstances, Decision, LocalTime, PolicySource, Rules};
use jit_ssh_core::request::{AccessRequest, RequestLimits};
use jit_ssh_proto::event::Actor;
use jit_ssh_proto::{Code, GrantId, Name, RequestId, Salt, SessionId, Span, Timestamp, UserKey};
use jit_ssh_tests::api::{Key, access_body, random};

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const HOURS_8: Span = Span::from_seconds(8 * 3600);
const SUBJECT: &str = "subject-alice";

/// Now, by the machine's clock.
pub(super) fn now() -> Timestamp {
    Timestamp::from_seconds(jit_ssh_tests::api::now())
}

/// Makes changes.
pub(super) struct Changes {
    rules: Rules,
    identity: VerifiedIdentity,
    claims: Claims,
    asked: AccessRequest,
    key: UserKey,
    authority: Authority,
    issuer: Name,
    name: Name,
    replay: [u8; 32],
    opened: Timestamp,
}

impl Changes {
    pub(super) fn new() -> anyhow::Result<Self> {
        let text = "[[host]]\nname = \"web-1\"\nlogins = [\"deploy\"]\n".to_owned();
        let source = InventorySource { file: "hosts.toml".to_owned(), text };
        let inventory = Inventory::read(&[source]).map_err(|e| anyhow!("{e:?}"))?;
        let text = "@id(\"sre\") permit (principal, action, resource);".to_owned();
        let source = PolicySource { file: "bench.cedar".to_owned(), text };
        let rules = Rules::load(&[source], inventory, &[0; 32], Span::from_seconds(3600))
            .map_err(|e| anyhow!("{e:?}"))?;
        let issuer_rules = IssuerRules {
            name: "bench".parse()?,
            url: "https://issuer.example.com".to_owned(),
            kind: IdentityKind::User,
            username: Some("preferred_username".to_owned()),
            groups: None,
            groups_map: BTreeMap::new(),
            tags: BTreeMap::new(),
            allowed_domains: Vec::new(),
            privileged_flows: false,
        };
        let opened = now();
        let claims = Claims {
            sub: SUBJECT.to_owned(),
            picked: Picked {
                issuer: issuer_rules.url.clone(),
                username: issuer_rules.username.clone(),
                groups: None,
                tags: BTreeMap::new(),
            },
            flow: Flow::Code,
            auth_time: Some(opened),
            methods: vec!["pwd".to_owned()],
            level: None,
            email: None,
            email_verified: None,
            username: Some("alice".into()),
            groups: None,
            tags: [].into(),
            sid: None,
        };
        let identity = VerifiedIdentity::admit(&issuer_rules, &claims).map_err(|e| anyhow!("{e:?}"))?;
        let (session_key, key) = (Key::new()?, Key::new()?);
        let body = access_body(&jit_ssh_proto::CaId::from_bytes([7; 32]), &session_key, &key, random())?;
        let limits = RequestLimits { max_duration: HOURS_8, max_accounts: 8 };
        let asked = AccessRequest::parse(&body, &limits).map_err(|e| anyhow!("{e:?}"))?;
        Ok(Self {
            rules,
            identity,
            claims,
            asked,
            key: key.public,
            authority: Authority::new("user".parse()?, CertKind::User, Key::new()?.public),
            issuer: "bench".parse()?,
            name: "alice".parse()?,
            replay: random(),
            opened,
        })
    }

    fn actor(&self) -> Actor {
        Actor::Identity { issuer: self.issuer.clone(), sub: SUBJECT.to_owned(), name: self.name.clone() }
    }

    fn session_id(&self) -> SessionId {
        OpenSession::session_of(self.opened, &self.replay)
    }

    fn call() -> CallId {
        CallId { id: BASE64URL_NOPAD.encode(&random::<16>()), signed: now() }
    }

    /// The session begins, with which everything else is done.
    pub(super) fn session(&self) -> anyhow::Result<Change> {
        Ok(Change::OpenSession(Box::new(OpenSession {
            call: Self::call(),
            token_hash: random(),
            issuer: self.issuer.clone(),
            claims: self.claims.clone(),
            name: self.name.clone(),
            login: Some("alice".parse()?),
            email: None,
            groups: Vec::new(),
            flow: Flow::Code,
            key: self.key.clone(),
            expires: self.opened.plus(HOURS_8),
            replay: self.replay,
            issued: self.opened,
            replay_until: self.opened.plus(Span::from_seconds(600)),
            source: SOURCE.to_string(),
            refresh: None,
        })))
    }

    /// An event and nothing else.
    pub(super) fn append(&self) -> Change {
        Change::RefuseSession(RefuseSession {
            actor: self.actor(),
            code: Code::TokenUsed,
            key: self.key.fingerprint(),
            replay: random(),
            source: SOURCE.to_string(),
        })
    }

    /// A decision that allows, and a certificate under it.
    pub(super) fn certificate(&self) -> anyhow::Result<Vec<Change>> {
        let now = now();
        let circumstances = Circumstances {
            now,
            local: LocalTime { hour: 10, minute: 30, weekday: 7, date: "2026-11-22".to_owned() },
            source_ip: SOURCE,
        };
        let allowed = match self.rules.decide(&self.identity, &self.asked, &self.key, &circumstances) {
            Decision::Allowed(allowed) => allowed,
            Decision::Denied(denial) => bail!("{denial:?}"),
        };
        let id = || (now.seconds().saturating_mul(1000), u128::from_be_bytes(random()) >> 48);
        let (milliseconds, chance) = id();
        let request = RequestId::from_parts(milliseconds, chance);
        let session = self.session_id();
        let (milliseconds, chance) = id();
        let facts = GrantFacts {
            id: GrantId::from_parts(milliseconds, chance),
            request,
            session,
            session_ends: self.opened.plus(HOURS_8),
            max: HOURS_8,
            decided: now,
            source: SOURCE,
        };
        let grant = Grant::new(allowed, &facts);
        let decide = DecideRequest {
            call: Some(Self::call()),
            session,
            actor: self.actor(),
            source: SOURCE.to_string(),
            id: request,
            asked: self.asked.clone(),
            policy_digest: self.rules.digest().to_owned(),
            decided: Decided::Granted(grant.clone()),
        };
        let (key, authority) = (self.key.clone(), self.authority.clone());
        let issue = IssueCertificate {
            request,
            session,
            actor: self.actor(),
            source: SOURCE.to_string(),
            authority: authority.name().clone(),
            prepare: Box::new(move |serial, now, session_ends| {
                let nonce = Salt::from_bytes(random());
                let issuance = Issuance {
                    key: &key,
                    authority: &authority,
                    now,
                    session_ends,
                    max: HOURS_8,
                    nonce,
                    serial,
                };
                Prepared::new(&grant, &issuance)
            }),
        };
        Ok(vec![Change::DecideRequest(Box::new(decide)), Change::IssueCertificate(issue)])
    }
}
