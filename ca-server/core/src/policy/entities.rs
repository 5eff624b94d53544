//! Whom and what Cedar is asked about: the asker, the accounts, their hosts, and the groups that these are in. No more
//! than what is asked; what of it the inventory fixes is made when the rules are loaded.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

// The public constructors evaluate an expression for each attribute and work out anew which group is in which; here
// the values are the values themselves, and the groups above a group are found once.
use cedar_policy_core::ast::{Eid, Entity, EntityType, EntityUID, PartialValue, Value};
use cedar_policy_core::entities::{Entities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::extensions::Extensions;
use jit_ssh_proto::{Account, Action, Name};

use super::Verb;
use super::facts::Untold;
use crate::identity::{IdentityKind, VerifiedIdentity};
use crate::inventory::{Guest, Guests, Host, Inventory};

/// The types and actions of the schema, parsed once, and the host groups of the inventory.
#[derive(Debug)]
pub(super) struct Vocabulary {
    user: EntityType,
    workload: EntityType,
    group: EntityType,
    account: EntityType,
    host: EntityType,
    host_group: EntityType,
    actions: BTreeMap<Action, EntityUID>,
    action: EntityType,
    request: EntityType,
    guests: Guests,
    /// Each group with those above it, itself first.
    groups: BTreeMap<Name, Vec<Arc<Entity>>>,
}

type Attribute = (&'static str, Value);

fn uid(kind: &EntityType, id: &str) -> EntityUID {
    EntityUID::from_components(kind.clone(), Eid::new(id), None)
}

/// An entity that is in `parents`, and by way of them in whatever of `above` is not one of them.
fn entity<'a>(
    uid: EntityUID,
    attributes: impl IntoIterator<Item = Attribute>,
    parents: impl Iterator<Item = EntityUID>,
    above: impl Iterator<Item = &'a EntityUID>,
    tags: impl Iterator<Item = (&'a str, &'a str)>,
) -> Entity {
    let value = |value: Value| PartialValue::Value(value);
    let attributes = attributes.into_iter().map(|(name, of)| (name.into(), value(of)));
    let tags = tags.map(|(name, of)| (name.into(), value(of.into())));
    // Cedar wants the two apart; it puts them so itself.
    let none = core::iter::empty().collect();
    let mut entity = Entity::new_with_attr_partial_value(uid, attributes, none, parents.collect(), tags);
    above.for_each(|uid| entity.add_indirect_ancestor(uid.clone()));
    entity
}

impl Vocabulary {
    pub(super) fn new(inventory: &Inventory) -> Result<Self, Untold> {
        let kind = |name: &str| name.parse().map(EntityType::EntityType).map_err(|_| Untold);
        let action = kind("Action")?;
        let host_group = kind("HostGroup")?;
        Ok(Self {
            user: kind("User")?,
            workload: kind("Workload")?,
            group: kind("Group")?,
            account: kind("Account")?,
            host: kind("Host")?,
            actions: Action::ALL.into_iter().map(|a| (a, uid(&action, a.as_str()))).collect(),
            action,
            request: kind("Request")?,
            guests: inventory.guest_book().clone(),
            groups: groups(&host_group, inventory)?,
            host_group,
        })
    }

    pub(super) fn action(&self, action: Action) -> Result<EntityUID, Untold> {
        self.actions.get(&action).cloned().ok_or(Untold)
    }

    /// A verb of the CA's own, and what it is done to.
    pub(super) fn verb(&self, verb: Verb) -> (EntityUID, EntityUID) {
        (uid(&self.action, verb.as_str()), uid(&self.request, verb.object()))
    }

    pub(super) fn account(&self, account: &Account) -> EntityUID {
        uid(&self.account, &account.to_string())
    }

    /// `"ISSUER/NAME"`: the alias keeps two issuers' people apart.
    pub(super) fn principal(&self, identity: &VerifiedIdentity) -> EntityUID {
        let kind = match identity.kind() {
            IdentityKind::User => &self.user,
            IdentityKind::Workload => &self.workload,
        };
        uid(kind, &format!("{}/{}", identity.issuer(), identity.name()))
    }

    /// The asker, the accounts, their hosts, and the groups that these are in.
    pub(super) fn entities<'a>(
        &self,
        identity: &VerifiedIdentity,
        accounts: impl Iterator<Item = (&'a Account, Host<'a>)>,
    ) -> Result<Entities, Untold> {
        let mut entities = Vec::from([Arc::new(self.person(identity))]);
        let mut hosts: BTreeSet<&Name> = BTreeSet::new();
        let mut told: BTreeSet<*const Entity> = BTreeSet::new();
        for (account, host) in accounts {
            let above = self.above(host)?;
            let groups = || above.iter().map(|group| group.uid());
            let uid_of_host = uid(&self.host, host.name().as_str());
            let attributes =
                [("login", account.login.as_str().into()), ("host", Value::from(uid_of_host.clone()))];
            let parent = core::iter::once(uid_of_host.clone());
            let uid_of_account = self.account(account);
            entities.push(Arc::new(entity(
                uid_of_account,
                attributes,
                parent,
                groups(),
                core::iter::empty(),
            )));
            if hosts.insert(host.name()) {
                let name = [("name", host.name().as_str().into())];
                let parents = host.groups().iter().map(|g| uid(&self.host_group, g.as_str()));
                entities.push(Arc::new(entity(uid_of_host, name, parents, groups(), host.labels())));
                // A group may be above several hosts, and is told once.
                entities.extend(above.into_iter().filter(|group| told.insert(Arc::as_ptr(group))).cloned());
            }
        }
        Entities::new()
            .add_entities(
                entities,
                None::<&NoEntitiesSchema>,
                TCComputation::AssumeAlreadyComputed,
                Extensions::all_available(),
            )
            .map_err(|_| Untold)
    }

    /// The groups that a host is in, directly or not, some perhaps more than once.
    fn above(&self, host: Host<'_>) -> Result<Vec<&Arc<Entity>>, Untold> {
        let mut above = Vec::new();
        for name in host.groups() {
            above.extend(self.groups.get(name).ok_or(Untold)?);
        }
        Ok(above)
    }

    fn person(&self, identity: &VerifiedIdentity) -> Entity {
        let mut attributes: Vec<Attribute> = Vec::from([
            ("issuer", identity.issuer().as_str().into()),
            ("name", identity.name().as_str().into()),
        ]);
        attributes.extend(identity.login().map(|login| ("login", login.as_str().into())));
        attributes.extend(identity.email().map(|email| ("email", email.into())));
        // What a guest is let into counts until their last day is over; then nothing is asked any more.
        let as_guest = self.guests.of(identity).flat_map(Guest::groups);
        let groups = identity.groups().iter().chain(as_guest).map(|g| uid(&self.group, g.as_str()));
        let tags = identity.tags().iter().map(|(name, of)| (name.as_str(), of.as_str()));
        entity(self.principal(identity), attributes, groups, core::iter::empty(), tags)
    }
}

/// Every group with those above it, itself first.
fn groups(kind: &EntityType, inventory: &Inventory) -> Result<BTreeMap<Name, Vec<Arc<Entity>>>, Untold> {
    let mut above: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
    for (name, parents) in inventory.groups() {
        let mut found = BTreeSet::new();
        let mut queue: Vec<&Name> = parents.iter().collect();
        while let Some(parent) = queue.pop() {
            if found.insert(parent) {
                queue.extend(inventory.group(parent).ok_or(Untold)?);
            }
        }
        above.insert(name, found);
    }
    let mut entities: BTreeMap<&Name, Arc<Entity>> = BTreeMap::new();
    for (name, parents) in inventory.groups() {
        let direct = parents.iter().map(|parent| uid(kind, parent.as_str()));
        let all: Vec<EntityUID> =
            above.get(name).into_iter().flatten().map(|parent| uid(kind, parent.as_str())).collect();
        let entity = entity(uid(kind, name.as_str()), [], direct, all.iter(), core::iter::empty());
        entities.insert(name, Arc::new(entity));
    }
    above
        .iter()
        .map(|(name, above)| {
            let chain = core::iter::once(name).chain(above);
            let chain: Option<Vec<Arc<Entity>>> = chain.map(|name| entities.get(name).cloned()).collect();
            Ok(((*name).clone(), chain.ok_or(Untold)?))
        })
        .collect()
}
