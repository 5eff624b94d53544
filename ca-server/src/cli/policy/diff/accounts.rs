//! On which accounts both sets are asked: one of those that no policy can tell apart.

use std::collections::{BTreeMap, BTreeSet};

use jit_ssh_core::policy::Mentioned;
use jit_ssh_proto::{Account, Name};

use super::Comparison;

impl Comparison {
    /// The accounts of both, each with those that it stands for: hosts of the same groups, labels and logins are one,
    /// unless a policy tells them apart.
    pub(super) fn accounts(&self) -> Vec<(Account, BTreeSet<String>)> {
        let mut alike: BTreeMap<String, (Account, BTreeSet<String>)> = BTreeMap::new();
        let mut known: BTreeMap<Name, (String, BTreeSet<Name>)> = BTreeMap::new();
        let mut apart = Mentioned::default();
        for side in [&self.old, &self.new] {
            side.spoken.values().for_each(|spoken| apart.extend(spoken));
            for host in side.set.rules.inventory().hosts() {
                let labels: Vec<_> = host.labels().collect();
                let entry = known.entry(host.name().clone()).or_default();
                let shape = (host.groups(), labels, host.logins(), host.principals());
                entry.0.push_str(&format!("{shape:?}|"));
                entry.1.extend(host.logins().iter().cloned());
            }
        }
        for (name, (mut shape, logins)) in known {
            if apart.host_names || apart.hosts.contains(name.as_str()) {
                shape.push_str(name.as_str());
            }
            for login in logins {
                let text = format!("{login}@{name}");
                let Ok(account) = text.parse::<Account>() else { continue };
                let entry =
                    alike.entry(format!("{login}@{shape}")).or_insert_with(|| (account, BTreeSet::new()));
                entry.1.insert(text);
            }
        }
        alike.into_values().collect()
    }
}
