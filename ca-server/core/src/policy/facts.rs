//! What Cedar is told: who asks, for which accounts, in which circumstances. Built for each decision, of no more than
//! what is asked.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema,
};
// The public constructors parse the name of the extension function anew at each call, which costs more than the rest
// of a context; here the names are parsed once.
use cedar_policy_core::ast::{Name as ExtensionName, RestrictedExpr};
use jit_ssh_proto::{Account, Action, Command, Name, Span, Timestamp, UserKey};

use super::{Circumstances, Verb};
use crate::identity::{IdentityKind, VerifiedIdentity};
use crate::inventory::{Host, Inventory};
use crate::request::AccessRequest;

/// How far a provider's clock may be ahead before its `auth_time` is not believed.
const CLOCK_SKEW: Span = Span::from_seconds(60);

/// The fact could not be told to Cedar (a time past the year 9999, say): the decision is no.
#[derive(Debug)]
pub(super) struct Untold;

/// The types and actions of the schema, parsed once.
#[derive(Debug)]
pub(super) struct Vocabulary {
    user: EntityTypeName,
    workload: EntityTypeName,
    group: EntityTypeName,
    account: EntityTypeName,
    host: EntityTypeName,
    host_group: EntityTypeName,
    actions: BTreeMap<Action, EntityUid>,
    action: EntityTypeName,
    request: EntityTypeName,
    datetime: ExtensionName,
    duration: ExtensionName,
    ip: ExtensionName,
}

type Pair = (String, RestrictedExpression);

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_string())
}

fn long(value: impl Into<i64>) -> RestrictedExpression {
    RestrictedExpression::new_long(value.into())
}

fn record(fields: Vec<Pair>) -> Result<RestrictedExpression, Untold> {
    RestrictedExpression::new_record(fields).map_err(|_| Untold)
}

fn extension(name: &ExtensionName, argument: &str) -> RestrictedExpression {
    RestrictedExpr::call_extension_fn(name.clone(), [RestrictedExpr::val(argument)]).into()
}

fn field(name: &str, value: RestrictedExpression) -> Pair {
    (name.to_string(), value)
}

fn uid(kind: &EntityTypeName, id: impl AsRef<str>) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

impl Vocabulary {
    pub(super) fn new() -> Result<Self, Untold> {
        let kind = |name: &str| name.parse::<EntityTypeName>().map_err(|_| Untold);
        let action = kind("Action")?;
        Ok(Self {
            user: kind("User")?,
            workload: kind("Workload")?,
            group: kind("Group")?,
            account: kind("Account")?,
            host: kind("Host")?,
            host_group: kind("HostGroup")?,
            actions: Action::ALL.into_iter().map(|a| (a, uid(&action, a.as_str()))).collect(),
            action,
            request: kind("Request")?,
            datetime: "datetime".parse().map_err(|_| Untold)?,
            duration: "duration".parse().map_err(|_| Untold)?,
            ip: "ip".parse().map_err(|_| Untold)?,
        })
    }

    fn span(&self, value: Span) -> RestrictedExpression {
        extension(&self.duration, &format!("{}s", value.seconds()))
    }

    pub(super) fn action(&self, action: Action) -> Result<EntityUid, Untold> {
        self.actions.get(&action).cloned().ok_or(Untold)
    }

    /// A verb of the CA's own, and what it is done to.
    pub(super) fn verb(&self, verb: Verb) -> (EntityUid, EntityUid) {
        (uid(&self.action, verb.as_str()), uid(&self.request, verb.object()))
    }

    pub(super) fn account(&self, account: &Account) -> EntityUid {
        uid(&self.account, account.to_string())
    }

    /// `"ISSUER/NAME"`: the alias keeps two issuers' people apart.
    pub(super) fn principal(&self, identity: &VerifiedIdentity) -> EntityUid {
        let kind = match identity.kind() {
            IdentityKind::User => &self.user,
            IdentityKind::Workload => &self.workload,
        };
        uid(kind, format!("{}/{}", identity.issuer(), identity.name()))
    }

    /// The asker, the accounts, their hosts, and the groups that these are in.
    pub(super) fn entities<'a>(
        &self,
        identity: &VerifiedIdentity,
        accounts: impl Iterator<Item = (&'a Account, &'a Host)>,
        inventory: &Inventory,
        schema: Option<&Schema>,
    ) -> Result<Entities, Untold> {
        let mut entities = Vec::from([self.person(identity)?]);
        let mut hosts: BTreeMap<&Name, &Host> = BTreeMap::new();
        for (account, host) in accounts {
            let uid_of_host = uid(&self.host, host.name.as_str());
            let attributes = [
                field("login", text(account.login.as_str())),
                field("host", RestrictedExpression::new_entity_uid(uid_of_host.clone())),
            ];
            let entity = Entity::new(
                self.account(account),
                attributes.into_iter().collect(),
                core::iter::once(uid_of_host).collect(),
            );
            entities.push(entity.map_err(|_| Untold)?);
            hosts.insert(&host.name, host);
        }
        let mut groups: BTreeMap<&Name, &BTreeSet<Name>> = BTreeMap::new();
        for host in hosts.into_values() {
            let attributes = [field("name", text(host.name.as_str()))];
            let tags = host.labels.iter().map(|(k, v)| field(k, text(v)));
            let entity = Entity::new_with_tags(
                uid(&self.host, host.name.as_str()),
                attributes,
                host.groups.iter().map(|g| uid(&self.host_group, g.as_str())),
                tags,
            );
            entities.push(entity.map_err(|_| Untold)?);
            let mut queue: Vec<&Name> = host.groups.iter().collect();
            while let Some(name) = queue.pop() {
                let parents = inventory.group(name).ok_or(Untold)?;
                if groups.insert(name, parents).is_none() {
                    queue.extend(parents);
                }
            }
        }
        for (name, parents) in groups {
            let parents = parents.iter().map(|g| uid(&self.host_group, g.as_str())).collect();
            entities.push(Entity::new_no_attrs(uid(&self.host_group, name.as_str()), parents));
        }
        Entities::from_entities(entities, schema).map_err(|_| Untold)
    }

    fn person(&self, identity: &VerifiedIdentity) -> Result<Entity, Untold> {
        let mut attributes = Vec::from([
            field("issuer", text(identity.issuer().as_str())),
            field("name", text(identity.name().as_str())),
        ]);
        attributes.extend(identity.login().map(|login| field("login", text(login.as_str()))));
        attributes.extend(identity.email().map(|email| field("email", text(email))));
        let groups = identity.groups().iter().map(|g| uid(&self.group, g.as_str())).collect();
        Entity::new(self.principal(identity), attributes.into_iter().collect(), groups).map_err(|_| Untold)
    }
}

/// What a request says for itself: nothing, for the CA's own verbs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asking<'a> {
    pub(super) reason: &'a str,
    pub(super) ticket: &'a str,
    pub(super) command: Option<&'a Command>,
}

impl<'a> Asking<'a> {
    /// One action of a request: `exec` is told the command, no other action is.
    pub(super) fn of(request: &'a AccessRequest, action: Action) -> Self {
        let command = if action == Action::Exec { request.command() } else { None };
        Self { reason: request.reason().as_str(), ticket: request.ticket().as_str(), command }
    }
}

/// The context of one question.
pub(super) fn context(
    vocabulary: &Vocabulary,
    identity: &VerifiedIdentity,
    asking: &Asking<'_>,
    duration: Span,
    key: &UserKey,
    at: &Circumstances,
) -> Result<Context, Untold> {
    let local = Vec::from([
        field("hour", long(at.local.hour)),
        field("minute", long(at.local.minute)),
        field("weekday", long(at.local.weekday)),
        field("date", text(&at.local.date)),
    ]);
    let mut pairs = Vec::from([
        field("now", extension(&vocabulary.datetime, &instant(at.now).ok_or(Untold)?)),
        field("local", record(local)?),
        // An IPv4 caller on an IPv6 socket is an IPv4 caller.
        field("source_ip", extension(&vocabulary.ip, &at.source_ip.to_canonical().to_string())),
        field("reason", text(asking.reason)),
        field("ticket", text(asking.ticket)),
        field("duration", vocabulary.span(duration)),
        field("starts_in", vocabulary.span(Span::from_seconds(0))),
        field("break_glass", RestrictedExpression::new_bool(false)),
        field("auth", auth(vocabulary, identity, at.now)?),
        field("key", record(Vec::from([field("type", text(key.algorithm().as_str()))]))?),
    ]);
    if let Some(command) = asking.command {
        pairs.extend(command_facts(command)?);
    }
    Context::from_pairs(pairs).map_err(|_| Untold)
}

fn auth(
    vocabulary: &Vocabulary,
    identity: &VerifiedIdentity,
    now: Timestamp,
) -> Result<RestrictedExpression, Untold> {
    let methods = identity.methods().iter().map(|m| text(m));
    let mut fields = Vec::from([
        field("methods", RestrictedExpression::new_set(methods)),
        field("flow", text(identity.flow().as_str())),
        field("issuer", text(identity.issuer().as_str())),
    ]);
    fields.extend(identity.level().map(|level| field("level", text(level))));
    // A login that lies ahead would read as fresh for as long as it does.
    let known = identity.auth_time().filter(|time| *time <= now.plus(CLOCK_SKEW));
    fields.extend(known.map(|time| field("age", vocabulary.span(now.since(time)))));
    record(fields)
}

fn command_facts(command: &Command) -> Result<Vec<Pair>, Untold> {
    let Some(plain) = command.plain() else {
        return Ok(Vec::from([field("raw_command", text(command.as_str()))]));
    };
    let count = i64::try_from(plain.words().len()).map_err(|_| Untold)?;
    let mut argv = Vec::from([field("count", long(count))]);
    for (at, word) in plain.words().iter().enumerate().take(10) {
        argv.push(if at == 0 { field("program", text(word)) } else { (format!("a{at}"), text(word)) });
    }
    Ok(Vec::from([field("argv", record(argv)?), field("command", text(command.as_str()))]))
}

/// `2026-11-22T06:05:43Z`: the form that Cedar's `datetime` takes. None past the year 9999.
fn instant(time: Timestamp) -> Option<String> {
    let days = i64::try_from(time.seconds() / 86_400).ok()?;
    let seconds = time.seconds() % 86_400;
    // Days since 0000-03-01, in eras of 400 years (146,097 days); a year here starts in March, so that a leap day is
    // its last day.
    let days = days.checked_add(719_468)?;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    (year <= 9999).then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants() {
        for (seconds, expected) in [
            (0, Some("1970-01-01T00:00:00Z")),
            (951_782_399, Some("2000-02-28T23:59:59Z")),
            (951_782_400, Some("2000-02-29T00:00:00Z")),
            (951_868_800, Some("2000-03-01T00:00:00Z")),
            (1_709_251_199, Some("2024-02-29T23:59:59Z")),
            (1_795_327_543, Some("2026-11-22T06:05:43Z")),
            (4_107_542_400, Some("2100-03-01T00:00:00Z")),
            (253_402_300_799, Some("9999-12-31T23:59:59Z")),
            (253_402_300_800, None),
            (u64::MAX, None),
        ] {
            assert_eq!(instant(Timestamp::from_seconds(seconds)).as_deref(), expected, "{seconds}");
        }
    }
}
