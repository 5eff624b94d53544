//! A company as large as wanted: teams with groups of people and of hosts, nested; each team with policies of its own, a
//! few for everybody, and some that forbid.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::anyhow;
use jit_ssh_core::identity::{Claims, Flow, IdentityKind, IssuerRules, VerifiedIdentity};
use jit_ssh_core::policy::{Circumstances, Decision, LocalTime, Rules};
use jit_ssh_core::request::{AccessRequest, RequestLimits};
use jit_ssh_proto::wire::AccessRequestBody;
use jit_ssh_proto::{Mode, Modifier, Span, Timestamp, UserKey};
use jit_ssh_tests::api::Key;

/// How large it is.
pub(crate) struct Company {
    pub(crate) policies: usize,
    pub(crate) hosts: usize,
}

/// Policies for everybody, and of each team.
const COMMON: usize = 5;
const PER_TEAM: usize = 5;
/// Groups of hosts by place, beside those of teams.
const REGIONS: usize = 12;
/// The most policies in one file.
const PER_FILE: usize = 500;
/// The most hosts in one file.
const HOSTS_PER_FILE: usize = 250_000;

impl Company {
    fn teams(&self) -> usize {
        (self.policies.saturating_sub(COMMON) / PER_TEAM).max(1)
    }

    /// Exactly as many policies as there are to be.
    fn policies_text(&self) -> Vec<String> {
        let mut policies = vec![
            "@id(\"own\") @ttl(\"30m\")\npermit (principal is User, action == Action::\"shell\", resource in HostGroup::\"lab\")\n\
             when { principal has login && resource.login == principal.login };"
                .to_owned(),
            "@id(\"no-root\") @message(\"root is break-glass only\")\nforbid (principal, action, resource in HostGroup::\"cardholder\")\n\
             when { resource.login == \"root\" } unless { context.break_glass };"
                .to_owned(),
            "@id(\"not-from-outside\")\nforbid (principal, action, resource in HostGroup::\"all\")\n\
             unless { context.source_ip.isInRange(ip(\"10.0.0.0/8\")) || context.source_ip.isInRange(ip(\"192.0.2.0/24\")) };"
                .to_owned(),
            "@id(\"freeze\")\nforbid (principal, action, resource in HostGroup::\"prod\")\n\
             when { context.local.date == \"2026-12-24\" };"
                .to_owned(),
            "@id(\"audit\")\npermit (principal in Group::\"auditors\", action == Action::\"audit\", resource);".to_owned(),
        ];
        let mut number = 0;
        while policies.len() < self.policies {
            let (team, turn) = (number / PER_TEAM, number % PER_TEAM);
            policies.push(team_policy(team, turn));
            number += 1;
        }
        policies.truncate(self.policies);
        policies
    }

    pub(crate) fn policy_files(&self) -> Vec<(String, String)> {
        let texts = self.policies_text();
        let files = texts.chunks(PER_FILE).enumerate();
        files.map(|(at, texts)| (format!("{at:03}.cedar"), texts.join("\n\n"))).collect()
    }

    pub(crate) fn inventory_files(&self) -> Vec<(String, String)> {
        let mut groups = String::new();
        for (name, parents) in
            [("all", ""), ("prod", "\"all\""), ("lab", "\"all\""), ("cardholder", "\"prod\"")]
        {
            group(&mut groups, name, "", parents);
        }
        for region in 0..REGIONS {
            group(&mut groups, &format!("region-{region}"), "", "\"all\"");
        }
        for team in 0..self.teams() {
            let above = if team % 7 == 0 { "cardholder" } else { "prod" };
            group(
                &mut groups,
                &format!("hosts-{team}"),
                "\"deploy\", \"root\", \"app\"",
                &format!("{above:?}"),
            );
        }
        let mut files = vec![("000-groups.toml".to_owned(), groups)];
        let mut text = String::new();
        for host in 0..self.hosts {
            let (team, region) = (self.team_of(host), host % REGIONS);
            let _ = write!(
                text,
                "[[host]]\nname = \"{}\"\ngroups = [\"hosts-{team}\", \"region-{region}\"]\n\
                 labels = {{ env = \"prod\", tier = \"{}\" }}\naddress = \"10.{}.{}.{}\"\n\n",
                name_of(host),
                host % 3,
                host >> 16 & 255,
                host >> 8 & 255,
                host & 255
            );
            if host % HOSTS_PER_FILE == HOSTS_PER_FILE - 1 || host + 1 == self.hosts {
                files.push((format!("hosts-{:03}.toml", files.len()), std::mem::take(&mut text)));
            }
        }
        files
    }

    fn team_of(&self, host: usize) -> usize {
        host % self.teams()
    }

    /// People of many teams who ask for hosts of theirs, and sometimes of others.
    pub(crate) fn askers(&self, count: usize) -> anyhow::Result<Vec<Asker>> {
        (0..count).map(|number| Asker::new(self, number)).collect()
    }
}

fn name_of(host: usize) -> String {
    format!("node-{host}.dc{}.example.com", host % REGIONS)
}

fn group(out: &mut String, name: &str, logins: &str, parents: &str) {
    let _ = write!(out, "[[group]]\nname = {name:?}\nlogins = [{logins}]\ngroups = [{parents}]\n\n");
}

/// One of the policies that a team has.
fn team_policy(team: usize, turn: usize) -> String {
    let (people, hosts) = (format!("Group::\"team-{team}\""), format!("HostGroup::\"hosts-{team}\""));
    match turn {
        0 => format!(
            "@id(\"team-{team}-shell\") @ttl(\"1h\")\npermit (principal in {people}, action in [Action::\"shell\", Action::\"sftp\"], resource in {hosts})\n\
             when {{ resource.login == \"deploy\" && context.reason != \"\" && context.local.hour >= 6 && context.local.hour < 22 }};"
        ),
        1 => format!(
            "@id(\"team-{team}-deploy\") @ttl(\"15m\")\npermit (principal is Workload in {people}, action == Action::\"exec\", resource in {hosts})\n\
             when {{ resource.login == \"app\" && context has argv && context.argv.program == \"deploy\" }};"
        ),
        2 => format!(
            "@id(\"team-{team}-lead\") @ttl(\"2h\")\npermit (principal in Group::\"leads-{team}\", action, resource in {hosts})\n\
             when {{ context.ticket like \"OPS-*\" && context.duration <= duration(\"4h\") }};"
        ),
        3 => format!(
            "@id(\"team-{team}-root\") @approvals(\"1 of leads-{team}\")\npermit (principal in {people}, action == Action::\"shell\", resource in {hosts})\n\
             when {{ resource.login == \"root\" && resource.host.hasTag(\"env\") && resource.host.getTag(\"env\") == \"prod\" }};"
        ),
        _ => format!(
            "@id(\"team-{team}-no-agent\") @message(\"no agent forwarding here\")\nforbid (principal in {people}, action == Action::\"agent\", resource in {hosts});"
        ),
    }
}

/// Somebody with a request.
pub(crate) struct Asker {
    identity: VerifiedIdentity,
    request: AccessRequest,
    key: UserKey,
    at: Circumstances,
}

impl Asker {
    fn new(company: &Company, number: usize) -> anyhow::Result<Self> {
        // Hosts from all over, so that no small part of them is what is fast.
        let host = number.wrapping_mul(7919) % company.hosts;
        let team = company.team_of(host);
        let stranger = number % 8 == 7;
        let team = if stranger { (team + 1) % company.teams().max(2) } else { team };
        let groups = [format!("team-{team}"), "everybody".to_owned(), "on-call".to_owned()];
        let issuer = IssuerRules {
            name: "corp".parse()?,
            url: "https://id.example.com".to_owned(),
            kind: IdentityKind::User,
            username: Some("preferred_username".to_owned()),
            groups: Some("groups".to_owned()),
            groups_map: groups
                .iter()
                .map(|g| Ok((g.clone(), vec![g.parse()?])))
                .collect::<anyhow::Result<_>>()?,
            tags: BTreeMap::new(),
            allowed_domains: Vec::new(),
            privileged_flows: false,
        };
        let payload = serde_json::json!({
            "sub": format!("sub-{number}"), "preferred_username": format!("person-{number}"), "groups": groups,
        });
        let payload = payload.as_object().ok_or_else(|| anyhow!("claims are an object"))?;
        let claims = Claims::from_payload(&issuer, Flow::Code, payload).map_err(|e| anyhow!("{e:?}"))?;
        let identity = VerifiedIdentity::admit(&issuer, &claims).map_err(|e| anyhow!("{e:?}"))?;
        let modifiers = if number % 16 == 3 { vec![Modifier::Agent] } else { Vec::new() };
        let body = AccessRequestBody {
            accounts: vec![format!("deploy@{}", name_of(host))],
            mode: if number.is_multiple_of(4) { Mode::Sftp } else { Mode::Shell },
            modifiers: if number.is_multiple_of(4) { Vec::new() } else { modifiers },
            command: None,
            duration: (!number.is_multiple_of(3)).then(|| "30m".to_owned()),
            reason: "OPS-7 disk full".to_owned(),
            ticket: "OPS-7".to_owned(),
            key: String::new(),
            proof: String::new(),
        };
        let limits = RequestLimits { max_duration: Span::from_seconds(86_400), max_accounts: 16 };
        let request = AccessRequest::parse(&body, &limits).map_err(|e| anyhow!("{e:?}"))?;
        let at = Circumstances {
            now: Timestamp::from_seconds(1_795_339_800),
            local: LocalTime { hour: 10, minute: 30, weekday: 7, date: "2026-11-22".to_owned() },
            source_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        };
        Ok(Self { identity, request, key: Key::new()?.public, at })
    }

    pub(crate) fn decide(&self, rules: &Rules) -> Decision {
        rules.decide(&self.identity, &self.request, &self.key, &self.at)
    }
}
