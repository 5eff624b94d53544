//! What is worth knowing about guests: those whose time has passed, and those of whom or of whose sponsor nobody vouches.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::names::issuer_help;
use super::{Finding, Lint, Surroundings};
use crate::identity::IssuerRules;
use crate::inventory::{Guest, Inventory};

pub(super) fn review(inventory: &Inventory, around: &Surroundings<'_>, findings: &mut Vec<Finding>) {
    for guest in inventory.guests() {
        if around.today.is_some_and(|today| guest.ended(today)) {
            let (issuer, person) = (guest.issuer(), guest.person());
            findings.push(Finding {
                lint: Lint::GuestEnded,
                place: None,
                message: format!("{issuer}/{person} was a guest until {}: they get nothing", guest.until()),
                help: format!("remove the entry, or have {} give another day", guest.sponsor()),
            });
        }
        if let Some(issuers) = around.issuers {
            unknown_issuers(guest, issuers, around, findings);
        }
    }
}

/// The aliases that `ca.toml` has no `[[issuer]]` for: the guest's own, and the sponsor's.
fn unknown_issuers(
    guest: &Guest,
    issuers: &[IssuerRules],
    around: &Surroundings<'_>,
    findings: &mut Vec<Finding>,
) {
    let (person, sponsor) = (guest.person(), guest.sponsor());
    for (alias, word, so) in [
        (guest.issuer(), guest.issuer().to_string(), format!("{person} can never be a guest")),
        (sponsor.issuer(), sponsor.to_string(), format!("nobody answers for the guest {person}")),
    ] {
        if !issuers.iter().any(|issuer| issuer.name == *alias) {
            findings.push(Finding {
                lint: Lint::UnknownName,
                place: guest.place(around.inventory, &word),
                message: format!("no issuer is called {:?}: {so}", alias.as_str()),
                help: issuer_help(alias.as_str(), issuers),
            });
        }
    }
}
