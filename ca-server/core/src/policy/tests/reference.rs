//! The same questions put to Cedar the long way: its own authorizer, every fact told whether or not a policy looks at
//! it, entities and context made by its public constructors. What is decided must not differ by a hair.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use core::str::FromStr;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request, RestrictedExpression as Expression,
};
use jit_ssh_proto::{Account, Action};
use proptest::prelude::*;

use super::super::decide::judge;
use super::super::facts::{Asking, Looked, context};
use super::*;

const HARDER: &str = r#"
    [[group]]
    name = "world"
    logins = ["guest"]
    [[group]]
    name = "prod"
    groups = ["world"]
    logins = ["deploy"]
    [[group]]
    name = "front"
    groups = ["world", "prod"]
    [[group]]
    name = "web"
    groups = ["front", "prod"]
    [[group]]
    name = "alone"
    logins = ["deploy"]
    [[host]]
    name = "web-1"
    groups = ["web", "world"]
    labels = { env = "prod", tier = "front" }
    [[host]]
    name = "web-2"
    groups = ["web", "alone"]
    [[host]]
    name = "none-1"
    logins = ["deploy"]
"#;

/// Who asks what, with which key, in which circumstances.
#[derive(Clone, Copy)]
struct Asked<'a> {
    identity: &'a VerifiedIdentity,
    request: &'a AccessRequest,
    key: &'a UserKey,
    at: &'a Circumstances,
}

fn uid(kind: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(EntityTypeName::from_str(kind).unwrap(), EntityId::new(id))
}

fn text(value: &str) -> Expression {
    Expression::new_string(value.to_string())
}

fn principal(who: &VerifiedIdentity) -> EntityUid {
    let kind = match who.kind() {
        IdentityKind::User => "User",
        IdentityKind::Workload => "Workload",
    };
    uid(kind, &format!("{}/{}", who.issuer(), who.name()))
}

fn entities(inventory: &Inventory, who: &VerifiedIdentity, request: &AccessRequest) -> Entities {
    let mut attributes =
        vec![("issuer".to_string(), text(who.issuer().as_str())), ("name".into(), text(who.name().as_str()))];
    attributes.extend(who.login().map(|login| ("login".to_string(), text(login.as_str()))));
    attributes.extend(who.email().map(|email| ("email".to_string(), text(email))));
    let groups = who.groups().iter().map(|g| uid("Group", g.as_str())).collect();
    let mut entities = vec![Entity::new(principal(who), attributes.into_iter().collect(), groups).unwrap()];
    let (mut hosts, mut queue) = (BTreeMap::new(), Vec::new());
    for account in request.accounts() {
        let host = inventory.account(account).unwrap();
        let of = uid("Host", host.name().as_str());
        let attributes = [
            ("login".to_string(), text(account.login.as_str())),
            ("host".to_string(), Expression::new_entity_uid(of.clone())),
        ];
        let attributes = attributes.into_iter().collect();
        let account = uid("Account", &account.to_string());
        entities.push(Entity::new(account, attributes, core::iter::once(of).collect()).unwrap());
        hosts.insert(host.name(), host);
        queue.extend(host.groups());
    }
    for (name, host) in hosts {
        let parents: Vec<EntityUid> = host.groups().iter().map(|g| uid("HostGroup", g.as_str())).collect();
        let tags: Vec<_> = host.labels().map(|(k, v)| (k.to_string(), text(v))).collect();
        let attributes = [("name".to_string(), text(name.as_str()))];
        let host = uid("Host", name.as_str());
        entities.push(Entity::new_with_tags(host, attributes, parents, tags).unwrap());
    }
    let mut told = BTreeSet::new();
    while let Some(group) = queue.pop() {
        if told.insert(group) {
            let parents = inventory.group(group).unwrap();
            queue.extend(parents);
            let parents = parents.iter().map(|g| uid("HostGroup", g.as_str())).collect();
            entities.push(Entity::new_no_attrs(uid("HostGroup", group.as_str()), parents));
        }
    }
    Entities::from_entities(entities, None).unwrap()
}

fn every_fact(asked: &Asked<'_>, action: Action, duration: Span) -> Context {
    let at = asked.at;
    let span = |span: Span| Expression::new_duration(format!("{}s", span.seconds()));
    let record = |fields: Vec<(&str, Expression)>| {
        Expression::new_record(fields.into_iter().map(|(name, value)| (name.to_string(), value))).unwrap()
    };
    let now = if at.now.seconds() == NOW { "2026-11-22T09:30:00Z" } else { "1970-01-01T00:00:01Z" };
    let mut auth = vec![
        ("methods", Expression::new_set(asked.identity.methods().iter().map(|m| text(m)))),
        ("flow", text(asked.identity.flow().as_str())),
        ("issuer", text(asked.identity.issuer().as_str())),
    ];
    auth.extend(asked.identity.level().map(|level| ("level", text(level))));
    let known = asked.identity.auth_time().filter(|time| *time <= at.now.plus(Span::from_seconds(60)));
    auth.extend(known.map(|time| ("age", span(at.now.since(time)))));
    let local = vec![
        ("hour", Expression::new_long(at.local.hour.into())),
        ("minute", Expression::new_long(at.local.minute.into())),
        ("weekday", Expression::new_long(at.local.weekday.into())),
        ("date", text(&at.local.date)),
    ];
    let mut fields = vec![
        ("now", Expression::new_datetime(now)),
        ("local", record(local)),
        ("source_ip", Expression::new_ip(at.source_ip.to_canonical().to_string())),
        ("reason", text(asked.request.reason().as_str())),
        ("ticket", text(asked.request.ticket().as_str())),
        ("duration", span(duration)),
        ("starts_in", span(Span::from_seconds(0))),
        ("break_glass", Expression::new_bool(false)),
        ("auth", record(auth)),
        ("key", record(vec![("type", text(asked.key.algorithm().as_str()))])),
    ];
    if let (Action::Exec, Some(command)) = (action, asked.request.command()) {
        match command.plain() {
            None => fields.push(("raw_command", text(command.as_str()))),
            Some(plain) => {
                let names: Vec<String> =
                    (0..10).map(|at| format!("a{at}").replace("a0", "program")).collect();
                let mut argv: Vec<(&str, Expression)> = names
                    .iter()
                    .map(String::as_str)
                    .zip(plain.words().iter().map(|word| text(word)))
                    .collect();
                argv.push(("count", Expression::new_long(plain.words().len().try_into().unwrap())));
                fields.push(("argv", record(argv)));
                fields.push(("command", text(command.as_str())));
            }
        }
    }
    Context::from_pairs(fields.into_iter().map(|(name, value)| (name.to_string(), value))).unwrap()
}

const CONDITIONS: [&str; 24] = [
    "true",
    "resource.login == \"deploy\"",
    "principal has login && resource.login == principal.login",
    "principal has email && principal.email like \"*@example.com\"",
    "resource in HostGroup::\"world\"",
    "resource.host in HostGroup::\"prod\" && !(resource in HostGroup::\"alone\")",
    "HostGroup::\"web\" in HostGroup::\"world\"",
    "HostGroup::\"alone\" in [HostGroup::\"prod\", HostGroup::\"world\"]",
    "resource.host.hasTag(\"env\") && resource.host.getTag(\"env\") == \"prod\"",
    "resource.host.hasTag(\"tier\") && !(resource.host.getTag(\"tier\") == \"back\")",
    "context.reason != \"\" && context.ticket == \"T-1\"",
    "context.now > datetime(\"2026-11-22T09:00:00Z\")",
    "context.now.toDate() == datetime(\"2026-11-22\")",
    "context.local.hour >= 8 && context.local.weekday == 7 && context.local.date == \"2026-11-22\"",
    "9223372036854775800 + context.local.minute > 0",
    "context.source_ip.isInRange(ip(\"192.0.2.0/24\")) && context.source_ip.isIpv4()",
    "context.duration <= duration(\"1h\") && context.starts_in == duration(\"0s\")",
    "!context.break_glass && context.key.type == \"ssh-ed25519\"",
    "context.key has hardware",
    "context.auth has age && context.auth.age < duration(\"15m\")",
    "context.auth.methods.contains(\"hwk\") || context.auth has level",
    "context has auth.level && context.auth.level == \"2\"",
    "context == context && principal == principal",
    "Host::\"gone\".name == \"x\"",
];

/// Conditions that only `exec` may name.
const OF_COMMANDS: [&str; 4] = [
    "context has argv && context.argv.program == \"ls\"",
    "context has argv && context.argv has a9 && context.argv.count == 12",
    "context has raw_command && context.raw_command like \"*;*\"",
    "context has command && context.command == \"ls -l\"",
];

fn policies() -> impl Strategy<Value = Vec<String>> {
    let effect = prop::sample::select(&["permit", "permit", "permit", "forbid"][..]);
    let who = prop::sample::select(&["principal", "principal in Group::\"sre\"", "principal is User"][..]);
    let place = prop::sample::select(
        &["resource", "resource in HostGroup::\"prod\"", "resource in Host::\"web-2\""][..],
    );
    let condition = prop_oneof![
        4 => prop::sample::select(&CONDITIONS[..]).prop_map(|of| ("in [Action::\"shell\", Action::\"exec\"]", of)),
        1 => prop::sample::select(&CONDITIONS[..]).prop_map(|of| ("== Action::\"agent\"", of)),
        1 => prop::sample::select(&CONDITIONS[..]).prop_map(|of| ("", of)),
        1 => prop::sample::select(&OF_COMMANDS[..]).prop_map(|of| ("in [Action::\"exec\"]", of)),
    ];
    let policy = (effect, who, place, condition).prop_map(|(effect, who, place, (action, condition))| {
        format!("{effect} ({who}, action {action}, {place}) when {{ {condition} }};")
    });
    prop::collection::vec(policy, 1..5)
}

const ASKS: [&str; 8] = [
    "shell deploy@web-1",
    "shell deploy@web-1,guest@web-1,deploy@none-1 for 20m because x ticket T-1",
    "shell guest@web-2 because y",
    "exec deploy@web-2 run ls -l",
    "exec deploy@web-2 for 5m run p 1 2 3 4 5 6 7 8 9 10 11",
    "exec deploy@web-1,deploy@web-2 run ls; id",
    "exec deploy@none-1 because z run ls",
    "shell+agent deploy@web-2 for 2h",
];

fn people() -> Vec<VerifiedIdentity> {
    let fresh = json!({"auth_time": NOW - 600, "amr": ["hwk", "pin"], "acr": "2"});
    let ahead = json!({"auth_time": NOW + 3600, "amr": []});
    vec![
        identity(IdentityKind::User, "deploy", &["sre"], &fresh),
        identity(IdentityKind::User, "alice", &["sre", "dev"], &ahead),
        identity(
            IdentityKind::Workload,
            "ci",
            &[],
            &json!({"preferred_username": "Ä", "email_verified": false}),
        ),
    ]
}

fn every_circumstance() -> Vec<Circumstances> {
    let first = Circumstances { now: Timestamp::from_seconds(1), ..circumstances() };
    let mapped = Circumstances { source_ip: "::ffff:192.0.2.9".parse().unwrap(), ..circumstances() };
    vec![circumstances(), first, mapped]
}

#[test]
fn each_condition_can_be_in_force() {
    let of_all = CONDITIONS.map(|of| ("[Action::\"shell\", Action::\"exec\"]", of)).into_iter();
    for (action, condition) in of_all.chain(OF_COMMANDS.map(|of| ("[Action::\"exec\"]", of))) {
        rules(&format!("permit (principal, action in {action}, resource) when {{ {condition} }};"));
    }
}

/// What Cedar says of each pair: the policies that match, or those that fail.
type Said = Result<BTreeSet<String>, BTreeSet<String>>;

fn by_cedar(all: &PolicySet, rules: &Rules, asked: &Asked<'_>, account: &Account, action: Action) -> Said {
    let length = asked.request.duration().unwrap_or(rules.default_ttl);
    let request = Request::new(
        principal(asked.identity),
        uid("Action", action.as_str()),
        uid("Account", &account.to_string()),
        every_fact(asked, action, length),
        None,
    )
    .unwrap();
    let entities = entities(&rules.inventory, asked.identity, asked.request);
    let answer = |policies: &PolicySet| Authorizer::new().is_authorized(&request, policies, &entities);
    let of_all = answer(all);
    let failed: BTreeSet<String> = of_all
        .diagnostics()
        .errors()
        .map(|AuthorizationError::PolicyEvaluationError(error)| error.policy_id().to_string())
        .collect();
    if !failed.is_empty() {
        return Err(failed);
    }
    // Where something forbids, Cedar names no permit; ours are told for all that.
    let permits = all.policies().filter(|policy| policy.effect() == Effect::Permit).cloned();
    let of_permits = answer(&PolicySet::from_policies(permits).unwrap());
    let matched = of_all.diagnostics().reason().chain(of_permits.diagnostics().reason());
    Ok(matched.map(ToString::to_string).collect())
}

proptest! {
    #![proptest_config(few(12))]

    #[test]
    fn what_is_asked_the_short_way_is_what_cedar_says(texts in policies()) {
        let inventory = inventory_of(HARDER);
        let source = PolicySource { file: "p".into(), text: texts.join("\n") };
        // Cedar's warnings (a condition that never holds) are errors here; such a set is never in force.
        let Ok(rules) = Rules::load(&[source], inventory, &[0; 32], Span::from_seconds(3600)) else {
            return Ok(());
        };
        let all = texts.iter().enumerate().map(|(at, text)| {
            let id = cedar_policy::PolicyId::new(format!("p:{}", at + 1));
            cedar_policy::Policy::parse(Some(id), text).unwrap()
        });
        let all = PolicySet::from_policies(all).unwrap();
        let key = key();
        for identity in &people() {
            for at in &every_circumstance() {
                for request in ASKS.map(ask) {
                    let asked = Asked { identity, request: &request, key: &key, at };
                    let told = rules.vocabulary.entities(
                        identity,
                        request.accounts().iter().map(|a| (a, rules.inventory.account(a).unwrap())),
                    ).unwrap();
                    prop_assert!(told.deep_eq(entities(&rules.inventory, identity, &request).as_ref()));
                    for action in request.actions() {
                        let length = request.duration().unwrap_or(rules.default_ttl);
                        let whole =
                            context((&rules.functions, &Looked::Everything), identity, &Asking::of(&request, action), length, &key, at).unwrap();
                        let every = every_fact(&asked, action, length);
                        prop_assert_eq!(&whole, every.as_ref());
                        for account in request.accounts() {
                            let said = by_cedar(&all, &rules, &asked, account, action);
                            prop_assert_eq!(judge(&rules, (identity, &request, &key, at), account, action), said);
                        }
                    }
                }
            }
        }
    }
}
