//! Which policies can have a say at all: those whose scope fits, whatever else they ask. For comparing sets: what no
//! policy is about, no policy can have changed.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cedar_policy::PolicyId;
use cedar_policy_core::ast::EntityUID;
use jit_ssh_proto::{Account, Action};

use super::annotations::Rule;
use super::conditions::Condition;
use super::{Rules, Verb};
use crate::identity::VerifiedIdentity;

/// The policies whose scope fits somebody and an account, or somebody and one of the CA's own verbs.
#[derive(Debug)]
pub struct Concerned<'a> {
    rules: &'a Rules,
    found: Vec<&'a Condition>,
}

impl<'a> Concerned<'a> {
    /// The ids of those that speak of any of these actions.
    pub fn of(&self, actions: impl IntoIterator<Item = Action>) -> BTreeSet<&'a str> {
        let actions: Vec<EntityUID> =
            actions.into_iter().filter_map(|action| self.rules.vocabulary.action(action).ok()).collect();
        self.speaking_of(&actions)
    }

    /// The ids of all of them.
    #[must_use]
    pub fn all(&self) -> BTreeSet<&'a str> {
        self.found.iter().map(|condition| AsRef::as_ref(condition.id())).collect()
    }

    fn speaking_of(&self, actions: &[EntityUID]) -> BTreeSet<&'a str> {
        let speaks = |condition: &&&Condition| actions.iter().any(|action| condition.speaks_of(action));
        self.found.iter().filter(speaks).map(|condition| AsRef::as_ref(condition.id())).collect()
    }
}

impl Rules {
    /// The policies whose scope fits somebody and an account; none if there is no such account.
    #[must_use]
    pub fn concerned(&self, identity: &VerifiedIdentity, account: &Account) -> Concerned<'_> {
        let found = self.inventory.account(account).and_then(|host| {
            let entities = self.vocabulary.entities(identity, core::iter::once((account, host))).ok()?;
            // The action is of no consequence to a scope.
            let action = self.vocabulary.action(Action::Shell).ok()?;
            let principal = self.vocabulary.principal(identity);
            let asked = (&principal, &action, &self.vocabulary.account(account));
            Some(self.compiled.conditions.in_scope(asked, &entities))
        });
        Concerned { rules: self, found: found.unwrap_or_default() }
    }

    /// The policies that can have a say in whether somebody may use a verb.
    #[must_use]
    pub fn concerned_by(&self, identity: &VerifiedIdentity, verb: Verb) -> BTreeSet<&str> {
        let Ok(entities) = self.vocabulary.entities(identity, core::iter::empty()) else {
            return BTreeSet::new();
        };
        let (action, object) = self.vocabulary.verb(verb);
        let principal = self.vocabulary.principal(identity);
        let found = self.compiled.conditions.in_scope((&principal, &action, &object), &entities);
        Concerned { rules: self, found }.speaking_of(&[action])
    }

    /// What an offer that needs approval demands, and for how long: `1 of sre-leads for 30m`. None for other policies.
    #[must_use]
    pub fn demand(&self, id: &str) -> Option<String> {
        match self.compiled.rules.get(&PolicyId::new(id))? {
            Rule::Permit(offer) => {
                let approvals = offer.approvals.as_ref()?;
                Some(format!("{} of {} for {}", approvals.count, approvals.group, self.given_for(offer.ttl)))
            }
            Rule::Forbid(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use jit_ssh_proto::Span;

    use super::super::PolicySource;
    use super::*;
    use crate::inventory::{Inventory, InventorySource};

    #[test]
    fn scopes_say_who_has_a_say() {
        let text = r#"
            @id("all") @ttl("5m") @approvals("2 of leads") permit (principal, action == Action::"shell", resource is Account) when { context.reason == "x" };
            @id("web") permit (principal, action == Action::"sftp", resource in Host::"web-1");
            @id("db") forbid (principal, action, resource in Host::"db-1");
            @id("log") permit (principal, action == Action::"audit", resource);
            @id("any") forbid (principal, action, resource) when { context.reason == "y" };
            @id("none") permit (principal in Group::"nobody", action == Action::"shell", resource);
        "#;
        let hosts =
            r#"host = [{ name = "web-1", logins = ["deploy"] }, { name = "db-1", logins = ["deploy"] }]"#;
        let inventory = Inventory::read(&[InventorySource { file: "h".into(), text: hosts.into() }]).unwrap();
        let source = PolicySource { file: "p".into(), text: text.into() };
        let rules = Rules::load(&[source], inventory, &[0; 32], Span::from_seconds(60)).unwrap();
        let identity = crate::policy::tests::person("ann", &[]);
        let on = |account: &str| rules.concerned(&identity, &account.parse().unwrap());
        let ids = |ids: BTreeSet<&str>| ids.into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(ids(on("deploy@web-1").all()), "all any log web");
        assert_eq!(ids(on("deploy@web-1").of([Action::Sftp])), "any web");
        assert_eq!(ids(on("deploy@db-1").of([Action::Shell, Action::Agent])), "all any db");
        assert_eq!(ids(on("deploy@nowhere").all()), "");
        assert_eq!(ids(rules.concerned_by(&identity, Verb::Audit)), "any log");
        assert_eq!(ids(rules.concerned_by(&identity, Verb::Approve)), "any");
        assert_eq!(rules.demand("all").as_deref(), Some("2 of leads for 5m"));
        assert_eq!((rules.demand("web"), rules.demand("db"), rules.demand("x")), (None, None, None));
    }
}
