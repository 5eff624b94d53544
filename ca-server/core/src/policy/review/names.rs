//! Names that nothing has. A policy that speaks of a group that does not exist loads, and never counts.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal as Value, Var};
use jit_ssh_proto::Account;

use super::evaluate::parts;
use super::literals::literals;
use super::read::{Read, Which};
use super::{Finding, Land, Lint, Surroundings};
use crate::identity::IssuerRules;
use crate::inventory::Inventory;
use crate::position::closest;

/// What exists, by the kind of name.
struct Known<'a> {
    inventory: &'a Inventory,
    land: &'a Land,
    issuers: Option<&'a [IssuerRules]>,
    /// Groups of people that somebody can be in.
    groups: BTreeSet<String>,
}

pub(super) fn review(
    policies: &[Read<'_>],
    inventory: &Inventory,
    land: &Land,
    around: &Surroundings<'_>,
    findings: &mut Vec<Finding>,
) {
    let groups = groups(inventory, around.issuers.unwrap_or_default());
    let known = Known { inventory, land, issuers: around.issuers, groups };
    for policy in policies {
        for literal in literals(policy.statement.text) {
            if let Some((lint, message, help)) = known.literal(literal.kind, literal.id) {
                findings.push(policy.finding(lint, literal.offset, message, help));
            }
        }
        let mut compared = Vec::new();
        if let Some(condition) = policy.condition() {
            comparisons(condition, &mut compared);
        }
        for comparison in compared {
            if let Some((message, help)) = known.comparison(&comparison) {
                findings.push(policy.finding(Lint::UnknownName, comparison.offset, message, help));
            }
        }
        if let (Some(condition), true) = (policy.condition(), policy.is_permit()) {
            let mut wanted = Vec::new();
            parts(condition, true, &mut |part, gives| {
                if gives {
                    comparisons(part, &mut wanted);
                }
            });
            for comparison in wanted {
                if let Some((message, help)) = known.not_there(&policy.which(), &comparison) {
                    findings.push(policy.finding(Lint::UnknownName, comparison.offset, message, help));
                }
            }
        }
        if let Some(approvals) = policy.offer().and_then(|offer| offer.approvals.as_ref()) {
            let group = approvals.group.as_str();
            if known.issuers.is_some() && !known.groups.contains(group) {
                let message = format!("nobody can approve: no issuer maps anybody to {group}");
                let help = known.group_help(group);
                let at = policy.annotation("approvals");
                findings.push(policy.finding(Lint::UnmappedApprovers, at, message, help));
            }
        }
    }
}

/// Groups of people that somebody can be in: by an issuer's mapping, or as a guest.
fn groups(inventory: &Inventory, issuers: &[IssuerRules]) -> BTreeSet<String> {
    let mapped = issuers.iter().flat_map(|issuer| issuer.groups_map.values()).flatten();
    let guests = inventory.guests().flat_map(|guest| guest.groups());
    mapped.chain(guests).map(ToString::to_string).collect()
}

/// What a condition compares an attribute with.
struct Compared<'a> {
    attribute: Attribute,
    value: &'a str,
    offset: usize,
}

#[derive(Clone, Copy)]
enum Attribute {
    /// `resource.login`
    Login,
    /// `resource.host.name`
    HostName,
    /// `principal.issuer`, `context.auth.issuer`
    Issuer,
    /// `resource.host.hasTag(…)`
    Label,
    /// `principal.hasTag(…)`
    Tag,
}

impl Known<'_> {
    fn literal(&self, kind: &str, id: &str) -> Option<(Lint, String, String)> {
        let unknown = |what: &str, help| Some((Lint::UnknownName, format!("{what} {id:?}"), help));
        match kind {
            "HostGroup" if !self.inventory.groups().any(|(name, _)| name.as_str() == id) => {
                let names = self.inventory.groups().map(|(name, _)| name.as_str().into());
                unknown(
                    "the inventory has no group of hosts",
                    suggestion("HostGroup", id, names, "add a [[group]]"),
                )
            }
            "Host" if !is_host(self.inventory, id) => {
                let names = self.inventory.hosts().map(|host| host.name().as_str().into());
                unknown("the inventory has no host", suggestion("Host", id, names, "add a [[host]]"))
            }
            "Account" => self.account(id),
            "Group" if self.issuers.is_some() && !self.groups.contains(id) => Some((
                Lint::UnmappedGroup,
                format!("nobody is in {id:?}: no issuer maps anybody to it"),
                self.group_help(id),
            )),
            "User" | "Workload" => {
                let issuers = self.issuers?;
                match id.split_once('/') {
                    None => unknown("this names nobody", format!("write {kind}::\"ISSUER/NAME\"")),
                    Some((issuer, _)) if issuers.iter().any(|known| known.name.as_str() == issuer) => None,
                    Some((issuer, _)) => {
                        let message = format!("no issuer is called {issuer:?}");
                        Some((Lint::UnknownName, message, issuer_help(issuer, issuers)))
                    }
                }
            }
            _ => None,
        }
    }

    fn account(&self, id: &str) -> Option<(Lint, String, String)> {
        let unknown = |message: String, help: String| Some((Lint::UnknownName, message, help));
        let Ok(account) = id.parse::<Account>() else {
            return unknown(format!("{id:?} is no account"), "write Account::\"LOGIN@HOST\"".into());
        };
        if self.inventory.account(&account).is_some() {
            return None;
        }
        let (login, host) = id.rsplit_once('@').unwrap_or_default();
        if !is_host(self.inventory, host) {
            let names = self.inventory.hosts().map(|host| host.name().as_str().into());
            let help = nearest(host, names)
                .map_or_else(|| "add a [[host]]".into(), |name| format!("did you mean the host {name:?}?"));
            return unknown(format!("the inventory has no host {host:?}"), help);
        }
        unknown(
            format!("the host {host:?} offers no login {login:?}"),
            "add it to the logins of the host or of one of its groups".into(),
        )
    }

    fn comparison(&self, compared: &Compared<'_>) -> Option<(String, String)> {
        let value = compared.value;
        let (what, names, otherwise): (&str, Vec<String>, &str) = match compared.attribute {
            Attribute::Login => (
                "no host of the inventory offers the login",
                self.land.logins.iter().map(ToString::to_string).collect(),
                "add it to the logins of a host or a group",
            ),
            Attribute::Label => (
                "no host of the inventory has the label",
                self.land.labels.iter().cloned().collect(),
                "add it to the labels of a host",
            ),
            Attribute::Tag => (
                "no issuer takes a claim as the tag",
                self.issuers?.iter().flat_map(|issuer| issuer.tags.keys()).cloned().collect(),
                "add it to the tags of an [[issuer]]",
            ),
            Attribute::HostName if is_host(self.inventory, value) => return None,
            Attribute::HostName => (
                "the inventory has no host",
                self.inventory.hosts().map(|host| host.name().as_str().into()).collect(),
                "add a [[host]]",
            ),
            Attribute::Issuer => (
                "no issuer is called",
                self.issuers?.iter().map(|issuer| issuer.name.to_string()).collect(),
                "add an [[issuer]]",
            ),
        };
        if names.iter().any(|name| name == value) {
            return None;
        }
        let help = nearest(value, names).map_or_else(
            || format!("{otherwise}, or correct the name"),
            |name| format!("did you mean {name:?}?"),
        );
        Some((format!("{what} {value:?}"), help))
    }

    /// A login that is offered, but by none of the hosts that the permit is about.
    fn not_there(&self, which: &Which, compared: &Compared<'_>) -> Option<(String, String)> {
        match compared.attribute {
            Attribute::Login => {}
            Attribute::HostName | Attribute::Issuer | Attribute::Label | Attribute::Tag => return None,
        }
        let login = self.land.logins.iter().find(|login| login.as_str() == compared.value)?;
        let place = match which {
            Which::HostGroup(name) => {
                let group = name.parse().ok()?;
                let mut members = self.inventory.members(&group).peekable();
                let offered = members.peek().is_none() || members.any(|host| host.logins().contains(login));
                (!offered).then(|| format!("no host of the group {name} offers the login"))?
            }
            Which::Host(name) => {
                let host = self.inventory.host(&name.parse().ok()?)?;
                (!host.logins().contains(login))
                    .then(|| format!("the host {name} does not offer the login"))?
            }
            Which::Account(account) => {
                let (of, _) = account.rsplit_once('@')?;
                (of != login.as_str()).then(|| format!("{account} is not of the login"))?
            }
            Which::Any | Which::Other => return None,
        };
        let message = format!("{place} {:?}", login.as_str());
        Some((message, "add it to the logins of the group or of its hosts, or correct the name".into()))
    }

    fn group_help(&self, group: &str) -> String {
        nearest(group, self.groups.iter().cloned()).map_or_else(
            || "add it to the groups_map of an [[issuer]]".into(),
            |name| format!("did you mean Group::{name:?}? Or add it to the groups_map of an [[issuer]]"),
        )
    }
}

fn is_host(inventory: &Inventory, name: &str) -> bool {
    name.parse().is_ok_and(|name| inventory.host(&name).is_some())
}

/// What to do about an alias that no issuer has.
pub(super) fn issuer_help(alias: &str, issuers: &[IssuerRules]) -> String {
    nearest(alias, issuers.iter().map(|known| known.name.to_string())).map_or_else(
        || "add an [[issuer]], or correct the name".into(),
        |name| format!("did you mean the issuer {name:?}?"),
    )
}

fn suggestion(kind: &str, id: &str, names: impl Iterator<Item = String>, otherwise: &str) -> String {
    nearest(id, names).map_or_else(
        || format!("{otherwise}, or correct the name"),
        |name| format!("did you mean {kind}::{name:?}?"),
    )
}

fn nearest(name: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    let known: Vec<String> = known.into_iter().collect();
    closest(name, known.iter().map(String::as_str)).map(ToString::to_string)
}

/// The comparisons of a condition with names that are ours to know.
fn comparisons<'a>(condition: &'a Expr, found: &mut Vec<Compared<'a>>) {
    for expr in condition.subexpressions() {
        let ExprKind::BinaryApp { op, arg1, arg2 } = expr.expr_kind() else { continue };
        let mut push = |attribute: Option<Attribute>, value: &'a Expr| {
            if let (Some(attribute), ExprKind::Lit(Value::String(text))) = (attribute, value.expr_kind()) {
                let offset = value.source_loc().or(expr.source_loc()).map_or(0, |loc| loc.span.offset());
                found.push(Compared { attribute, value: text, offset });
            }
        };
        match op {
            BinaryOp::Eq => {
                push(attribute(arg1), arg2);
                push(attribute(arg2), arg1);
            }
            BinaryOp::Contains => {
                if let ExprKind::Set(items) = arg1.expr_kind() {
                    items.iter().for_each(|item| push(attribute(arg2), item));
                }
            }
            BinaryOp::HasTag | BinaryOp::GetTag => {
                let of = match arg1 {
                    host if is_host_expr(host) => Some(Attribute::Label),
                    who if is_var(who, Var::Principal) => Some(Attribute::Tag),
                    _ => None,
                };
                push(of, arg2);
            }
            BinaryOp::Less
            | BinaryOp::LessEq
            | BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::In
            | BinaryOp::ContainsAll
            | BinaryOp::ContainsAny => {}
        }
    }
}

fn attribute(expr: &Expr) -> Option<Attribute> {
    let (of, name) = member(expr)?;
    match name {
        "login" if is_var(of, Var::Resource) => Some(Attribute::Login),
        "name" if is_host_expr(of) => Some(Attribute::HostName),
        "issuer" if is_var(of, Var::Principal) => Some(Attribute::Issuer),
        "issuer" if member(of).is_some_and(|(of, name)| name == "auth" && is_var(of, Var::Context)) => {
            Some(Attribute::Issuer)
        }
        _ => None,
    }
}

/// `of.name`
pub(super) fn member(expr: &Expr) -> Option<(&Expr, &str)> {
    if let ExprKind::GetAttr { expr, attr } = expr.expr_kind() {
        Some((expr.as_ref(), attr.as_str()))
    } else {
        None
    }
}

pub(super) fn is_var(expr: &Expr, wanted: Var) -> bool {
    if let ExprKind::Var(var) = expr.expr_kind() { *var == wanted } else { false }
}

/// `resource.host`
fn is_host_expr(expr: &Expr) -> bool {
    member(expr).is_some_and(|(of, name)| name == "host" && is_var(of, Var::Resource))
}
