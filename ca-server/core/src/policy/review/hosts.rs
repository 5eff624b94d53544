//! What is worth knowing about the hosts of the inventory and their groups.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Finding, Land, Lint};
use crate::inventory::{Inventory, PrincipalStyle};

pub(super) fn review(inventory: &Inventory, land: &Land, findings: &mut Vec<Finding>) {
    let mut found = |lint, message, help: &str| {
        findings.push(Finding { lint, place: None, message, help: help.to_string() });
    };
    for (group, _) in inventory.groups() {
        if !land.has_hosts(group.as_str()) {
            let message = format!("no host is in the group {group}");
            found(Lint::EmptyHostGroup, message, "put hosts into it, or remove it");
        }
    }
    let plain: Vec<_> = inventory
        .hosts()
        .filter(|host| host.principals() == PrincipalStyle::Login)
        .map(|host| host.name().clone())
        .collect();
    if let Some(first) = plain.first() {
        let others = plain.len().saturating_sub(1);
        let more = if others == 0 { alloc::string::String::new() } else { format!(" and {others} more") };
        let message =
            format!("{first}{more} takes plain logins: its key alone says which host a certificate is for");
        found(
            Lint::LoginStyle,
            message,
            "give each such host or group a key of its own, and make all others principals = \"host\"",
        );
    }
}
