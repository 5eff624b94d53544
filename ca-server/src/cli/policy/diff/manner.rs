//! What somebody types with a request, reason and ticket, and under break-glass: the ways that policies tell apart.

use std::collections::BTreeSet;

use jit_ssh_core::policy::Mentioned;

use super::super::case::Case;

/// What is typed where nothing says what.
const REASON: &str = "OPS-1 a reason";
const TICKET: &str = "OPS-1";

/// What somebody types with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manner {
    break_glass: bool,
    reason: Typed,
    ticket: Typed,
}

/// A reason or a ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Typed {
    /// No policy looks at it, or it makes no difference: it is not spoken of.
    #[default]
    Unheeded,
    /// None is given.
    Not,
    /// Any.
    Any,
    /// This one.
    Text(String),
}

impl Typed {
    fn text(&self, any: &str) -> Option<String> {
        match self {
            Self::Unheeded | Self::Not => None,
            Self::Any => Some(any.to_owned()),
            Self::Text(text) => Some(text.clone()),
        }
    }

    /// `with a reason`; none where it is not spoken of.
    fn told(&self, what: &str) -> Option<String> {
        match self {
            Self::Unheeded => None,
            Self::Not => Some(format!("without a {what}")),
            Self::Any => Some(format!("with a {what}")),
            Self::Text(text) => Some(format!("with the {what} {text:?}")),
        }
    }
}

impl Manner {
    /// Writes it into a case.
    pub(super) fn apply(&self, case: &mut Case) {
        case.break_glass = self.break_glass;
        // Whoever breaks glass says why, also where no policy looks at it.
        let text = |typed: &Typed, any: &str| {
            let unheeded = self.break_glass && *typed == Typed::Unheeded;
            if unheeded { Some(any.to_owned()) } else { typed.text(any) }
        };
        (case.reason, case.ticket) = (text(&self.reason, REASON), text(&self.ticket, TICKET));
    }

    pub(super) fn is_break_glass(&self) -> bool {
        self.break_glass
    }

    /// Which of all that were tried these are, in words: where they are all but one thing, what they are not.
    pub(super) fn all_told(shown: &BTreeSet<Self>, tried: &BTreeSet<Self>) -> Vec<String> {
        let found = Self::without_the_indifferent(shown, tried);
        let rest = Self::without_the_indifferent(&tried.difference(shown).cloned().collect(), tried);
        match rest.first() {
            Some(but) if rest.len() == 1 && found.len() > 2 => {
                let glass = if but.break_glass { "under break-glass, but " } else { "" };
                vec![format!("{glass}not {}", but.daily().told())]
            }
            Some(_) | None => found.iter().map(Self::told).collect(),
        }
    }

    /// The same without breaking glass.
    fn daily(&self) -> Self {
        Self { break_glass: false, ..self.clone() }
    }

    /// In words that name only what somebody looks at.
    pub(super) fn told(&self) -> String {
        if self.break_glass {
            return match (&self.reason, &self.ticket) {
                (Typed::Unheeded, Typed::Unheeded) => "under break-glass".to_owned(),
                _ => format!("under break-glass {}", self.daily().told()),
            };
        }
        match (&self.reason, &self.ticket) {
            (Typed::Not, Typed::Not) => "without reason and ticket".to_owned(),
            (Typed::Any, Typed::Any) => "with reason and ticket".to_owned(),
            (Typed::Any, Typed::Not) => "with a reason and no ticket".to_owned(),
            (Typed::Not, Typed::Any) => "with a ticket and no reason".to_owned(),
            (Typed::Unheeded, Typed::Unheeded) => "whatever is typed".to_owned(),
            (reason, ticket) => {
                let both = [reason.told("reason"), ticket.told("ticket")];
                both.into_iter().flatten().collect::<Vec<_>>().join(" and ")
            }
        }
    }

    /// These of all that were tried, without what makes no difference among them: where it is so with a reason, ticket or
    /// none, the ticket is not spoken of.
    fn without_the_indifferent(shown: &BTreeSet<Self>, tried: &BTreeSet<Self>) -> BTreeSet<Self> {
        let less: [fn(&Self) -> Self; 2] = [
            |manner| Self { ticket: Typed::Unheeded, ..manner.clone() },
            |manner| Self { reason: Typed::Unheeded, ..manner.clone() },
        ];
        let (mut shown, mut tried) = (shown.clone(), tried.clone());
        for less in less {
            let found: BTreeSet<Self> = shown.iter().map(less).collect();
            if tried.iter().filter(|manner| found.contains(&less(manner))).eq(shown.iter()) {
                (shown, tried) = (found, tried.iter().map(less).collect());
            }
        }
        shown
    }
}

/// So many manners are tried in full; where there would be more, each text is tried with any of the other and with none.
const MOST: usize = 64;

/// Every manner that is tried; the first is the barest, the last what gets furthest.
pub(super) fn manners(spoken: &Mentioned, texts: &dyn Fn(&str) -> Vec<String>) -> Vec<Manner> {
    let values = |of: &str| -> Vec<Typed> {
        if !spoken.looks_at(of) {
            return vec![Typed::Unheeded];
        }
        let written = texts(of).into_iter().filter(|text| !text.is_empty()).map(Typed::Text);
        std::iter::once(Typed::Not).chain(written).chain([Typed::Any]).collect()
    };
    let (reasons, tickets) = (values("context.reason"), values("context.ticket"));
    let in_full = reasons.len().saturating_mul(tickets.len()) <= MOST;
    let is_text = |typed: &Typed| matches!(typed, Typed::Text(_));
    let both = |break_glass: bool| {
        let every = reasons.iter().flat_map(|reason| tickets.iter().map(move |ticket| (reason, ticket)));
        every
            .filter(|(reason, ticket)| in_full || !(is_text(reason) && is_text(ticket)))
            .map(|(reason, ticket)| Manner { break_glass, reason: reason.clone(), ticket: ticket.clone() })
            .collect::<Vec<_>>()
    };
    let mut manners = both(false);
    if spoken.break_glass || spoken.looks_at("context.break_glass") {
        // Before the last, which gets furthest.
        let at = manners.len().saturating_sub(1).max(1);
        manners.splice(at..at, both(true));
    }
    manners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_makes_a_difference_is_told() {
        let manner = |reason: &Typed, ticket: &Typed| Manner {
            break_glass: false,
            reason: reason.clone(),
            ticket: ticket.clone(),
        };
        let (off, not, any) = (Typed::Unheeded, Typed::Not, Typed::Any);
        let text = Typed::Text("CHG-x".to_owned());
        let all = [&not, &text, &any];
        let both = [&not, &any].map(|reason| all.map(|ticket| (reason, ticket))).concat();
        for (tried, shown, expected) in [
            (&[(&not, &off), (&any, &off)][..], &[(&not, &off)][..], "without a reason"),
            (&[(&not, &off), (&any, &off)], &[(&any, &off)], "with a reason"),
            (&[(&off, &not), (&off, &any)], &[(&off, &not)], "without a ticket"),
            (&[(&off, &not), (&off, &text), (&off, &any)], &[(&off, &text)], "with the ticket \"CHG-x\""),
            (&both, &[(&any, &not), (&any, &text), (&any, &any)], "with a reason"),
            (&both, &[(&not, &not), (&any, &not)], "without a ticket"),
            (&both, &[(&not, &text), (&any, &text)], "with the ticket \"CHG-x\""),
            (&both, &[(&any, &not)], "with a reason and no ticket"),
            (&both, &[(&not, &not)], "without reason and ticket"),
            (&both, &[(&any, &text)], "with a reason and with the ticket \"CHG-x\""),
            (&both, &[(&any, &any)], "with reason and ticket"),
            (&both, &both[..5], "not with reason and ticket"),
        ] {
            let of =
                |pairs: &[(&Typed, &Typed)]| pairs.iter().map(|(r, t)| manner(r, t)).collect::<BTreeSet<_>>();
            let (shown, tried) = (of(shown), of(tried));
            assert_eq!(Manner::all_told(&shown, &tried).join(", "), expected);
        }
    }
}
