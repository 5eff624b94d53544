//! What somebody types with a request, reason and ticket, and under break-glass: the ways that policies tell apart.

use jit_ssh_core::policy::Mentioned;

use super::super::case::Case;

/// What is typed where nothing says what.
const REASON: &str = "OPS-1 a reason";
const TICKET: &str = "OPS-1";
/// What somebody types with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manner {
    break_glass: bool,
    reason: Option<String>,
    ticket: Option<String>,
}
impl Manner {
    /// Writes it into a case.
    pub(super) fn apply(&self, case: &mut Case) {
        case.break_glass = self.break_glass;
        (case.reason, case.ticket) = (self.reason.clone(), self.ticket.clone());
    }

    pub(super) fn is_break_glass(&self) -> bool {
        self.break_glass
    }

    pub(super) fn told(&self) -> String {
        let usual = |text: &Option<String>, usual: &str| text.as_deref() == Some(usual);
        if self.break_glass {
            return "under break-glass".to_owned();
        }
        match (&self.reason, &self.ticket) {
            (None, None) => "without a reason".to_owned(),
            (Some(_), None) => "with a reason and no ticket".to_owned(),
            (None, Some(_)) => "with a ticket and no reason".to_owned(),
            (Some(reason), Some(ticket)) => {
                if !usual(&self.reason, REASON) {
                    format!("with the reason {reason:?}")
                } else if usual(&self.ticket, TICKET) {
                    "with reason and ticket".to_owned()
                } else {
                    format!("with the ticket {ticket:?}")
                }
            }
        }
    }
}

/// Every manner that is tried; the first is the barest, the last what gets furthest.
pub(super) fn manners(spoken: &Mentioned, texts: &dyn Fn(&str) -> Vec<String>) -> Vec<Manner> {
    let (reason, ticket) = (spoken.looks_at("context.reason"), spoken.looks_at("context.ticket"));
    let said = |reason: Option<&str>, ticket: Option<&str>| Manner {
        break_glass: false,
        reason: reason.map(ToOwned::to_owned),
        ticket: ticket.map(ToOwned::to_owned),
    };
    let mut manners = vec![Manner::default()];
    if reason && ticket {
        manners.extend([said(Some(REASON), None), said(None, Some(TICKET))]);
    }
    let written = |of: &str| texts(of).into_iter().filter(|text| !text.is_empty());
    manners.extend(written("context.reason").map(|text| said(Some(&text), Some(TICKET))));
    manners.extend(written("context.ticket").map(|text| said(Some(REASON), Some(&text))));
    if spoken.break_glass || spoken.looks_at("context.break_glass") {
        manners.push(Manner { break_glass: true, ..said(Some(REASON), Some(TICKET)) });
    }
    // The last is what gets furthest.
    if reason || ticket {
        manners.push(said(Some(REASON), Some(TICKET)));
    }
    manners
}
