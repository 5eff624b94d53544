//! What one set of rules has that another has not.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::PolicyId;
use jit_ssh_proto::event::{Ruled, RulesChange};

use super::Rules;
use super::annotations::{Offer, Rule};
use super::conditions::Condition;
use crate::inventory::difference;

/// A policy that one set has otherwise than another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Altered {
    /// Its id, in the later set if it is in it.
    pub id: String,
    /// What became of it.
    pub how: Alteration,
}

/// What became of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alteration {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It says something else.
    Changed,
    /// It says the same under another id than this one.
    Renamed(String),
    /// Only what people are told of it is another: `@message`, `@title`, `@notify`.
    Reworded,
}

/// What each policy says, by id.
fn said(rules: &Rules) -> BTreeMap<&PolicyId, (&Condition, Option<&Rule>)> {
    let compiled = &rules.compiled;
    compiled
        .conditions
        .all()
        .map(|condition| (condition.id(), (condition, compiled.rules.get(condition.id()))))
        .collect()
}

impl Rules {
    /// What differs from an earlier set, for each kind that differs. Spaces and comments are no difference.
    #[must_use]
    pub fn changes_since(&self, old: &Self) -> Vec<RulesChange> {
        let policies =
            difference(Ruled::Policies, said(old).into_iter(), said(self).into_iter(), |was, is| was == is);
        let inventory = self.inventory.changes_since(&old.inventory);
        policies.into_iter().chain(inventory).collect()
    }

    /// Each policy that an earlier set has otherwise, by id. Spaces, comments and places are no difference.
    #[must_use]
    pub fn altered_since(&self, old: &Self) -> Vec<Altered> {
        let (was, is) = (said(old), said(self));
        // A policy that is gone and one that is new may be the same under two names.
        let mut gone: BTreeSet<&PolicyId> = was.keys().filter(|id| !is.contains_key(**id)).copied().collect();
        let mut altered = Vec::new();
        for (id, (condition, rule)) in &is {
            let same =
                |(old, of): &(&Condition, Option<&Rule>)| old.says_what(condition) && alike(*of, *rule);
            let how = match was.get(id) {
                Some(old) if old == &(*condition, *rule) => continue,
                Some(old) if same(old) => Alteration::Reworded,
                Some(_) => Alteration::Changed,
                None => match gone.iter().find(|gone| was.get(**gone).is_some_and(same)).copied() {
                    Some(old) => {
                        gone.remove(old);
                        Alteration::Renamed(old.to_string())
                    }
                    None => Alteration::Added,
                },
            };
            altered.push(Altered { id: id.to_string(), how });
        }
        altered.extend(gone.into_iter().map(|id| Altered { id: id.to_string(), how: Alteration::Removed }));
        altered.sort();
        altered
    }
}

/// Whether two rules are of the same effect and on the same terms, whatever people are told.
fn alike(one: Option<&Rule>, other: Option<&Rule>) -> bool {
    match (one, other) {
        (Some(Rule::Permit(one)), Some(Rule::Permit(other))) => {
            let terms = |offer: &Offer| Offer { title: None, notify: None, ..offer.clone() };
            terms(one) == terms(other)
        }
        (Some(Rule::Forbid(_)), Some(Rule::Forbid(_))) => true,
        (Some(Rule::Permit(_)), Some(Rule::Forbid(_)) | None)
        | (Some(Rule::Forbid(_)), Some(Rule::Permit(_)) | None)
        | (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use jit_ssh_proto::Span;

    use super::super::PolicySource;
    use super::*;
    use crate::inventory::Inventory;

    fn rules(text: &str) -> Rules {
        let source = PolicySource { file: "p".into(), text: text.into() };
        Rules::load(&[source], Inventory::default(), &[0; 32], Span::from_seconds(60)).unwrap()
    }

    #[test]
    fn what_became_of_each_policy() {
        const OLD: &str = r#"@id("a") @ttl("1h") permit (principal in Group::"sre", action == Action::"shell", resource);
            @id("b") @message("no") forbid (principal, action, resource is Account) when { resource.login == "root" };"#;
        for (from, to, expected) in [
            ("", "", &[][..]),
            ("permit (", "// said anew\n permit  (", &[]),
            ("\"1h\"", "\"2h\"", &["a Changed"]),
            ("\"sre\"", "\"dev\"", &["a Changed"]),
            ("\"no\"", "\"ask\"", &["b Reworded"]),
            ("@ttl", "@title(\"t\") @notify(\"n\") @ttl", &["a Reworded"]),
            ("\"a\"", "\"c\"", &["c Renamed(\"a\")"]),
            // Another name and other words are another policy.
            ("@id(\"a\") @ttl(\"1h\")", "@id(\"c\") @ttl(\"2h\")", &["a Removed", "c Added"]),
            (
                "@id(\"b\")",
                "@id(\"d\") permit (principal, action, resource is Account); @id(\"b\")",
                &["d Added"],
            ),
            ("forbid", "permit", &["b Changed"]),
        ] {
            let (old, new) = (rules(OLD), rules(&OLD.replacen(from, to, 1)));
            let found: Vec<String> =
                new.altered_since(&old).iter().map(|one| format!("{} {:?}", one.id, one.how)).collect();
            assert_eq!(found, expected, "{from} {to}");
        }
    }
}
