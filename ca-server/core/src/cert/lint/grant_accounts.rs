//! The certificate is for the granted accounts in the granted mode: no more, no fewer.

use alloc::vec::Vec;

use super::{Lint, Subject, demand};

pub(super) const LINT: Lint = Lint { name: "grant-accounts", source: "DESIGN 10, invariant 3", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    let statement = subject.statement;
    let accounts: Vec<_> = subject.principals.iter().map(|p| p.account().clone()).collect();
    demand(accounts == statement.accounts, || "the principals are not the granted accounts".into())?;
    let same =
        |p: &jit_ssh_proto::Principal| p.mode() == statement.mode && p.modifiers() == statement.modifiers;
    demand(subject.principals.iter().all(same), || "the mode is not the granted one".into())
}
