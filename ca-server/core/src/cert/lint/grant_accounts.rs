//! The certificate is for what was decided, in the granted mode and under the authority of these hosts: no more, no fewer.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};

use jit_ssh_proto::{Account, Name, Place};

use super::{Lint, Subject, demand};
use crate::authority::USER;
use crate::places::Reach;

pub(super) const LINT: Lint = Lint { name: "grant-accounts", source: "DESIGN 10, invariant 3", check };

fn check(subject: &Subject<'_>) -> Result<(), String> {
    let (places, authority) = (subject.statement.places, subject.issuance.authority);
    demand(*places.authority() == *authority.name(), || {
        alloc::format!("{} is not the authority of these hosts", authority.name())
    })?;
    if authority.device().is_some() {
        let decided: BTreeSet<String> =
            places.reaches().iter().map(|r| r.account.login.to_string()).collect();
        let found: BTreeSet<String> = subject.decoded.principals.iter().cloned().collect();
        return demand(found == decided, || "the principals are not the granted logins".into());
    }
    demand(authority.name().as_str() == USER, || alloc::format!("{} signs no places", authority.name()))?;
    let found: BTreeSet<&Account> = subject.principals.iter().map(|p| p.account()).collect();
    let named = |account: &Account| found.contains(account);
    // No more: each principal is of a host that was decided, or of a group that was asked for, all of whose members
    // were decided and answer to it.
    let decided = |account: &Account| {
        places.reaches().iter().any(|reach| match &account.place {
            Place::Host(host) => reach.covers(&account.login, host),
            Place::Group(_) => reach.account == *account && reach.by_group && !reach.hosts.is_empty(),
        })
    };
    demand(subject.principals.iter().all(|p| decided(p.account())), || {
        "the principals are not the granted accounts".into()
    })?;
    // No fewer: each host that was decided has its own principal, or that of a group that it came by.
    let said = |reach: &Reach, host: &Name| {
        let login = &reach.account.login;
        let groups = places.reaches().iter().filter(|other| other.covers(login, host));
        named(&Account { login: login.clone(), place: Place::Host(host.clone()) })
            || groups.into_iter().any(|other| named(&other.account))
    };
    demand(places.reaches().iter().all(|reach| reach.hosts.iter().all(|host| said(reach, host))), || {
        "some of what was granted is missing".into()
    })?;
    let statement = subject.statement;
    let same =
        |p: &jit_ssh_proto::Principal| p.mode() == statement.mode && p.modifiers() == statement.modifiers;
    demand(subject.principals.iter().all(same), || "the mode is not the granted one".into())
}
