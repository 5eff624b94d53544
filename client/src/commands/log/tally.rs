//! What an auditor asks of the ledger, counted event by event. Kinds of later versions are counted as far as their names
//! say what they are.

use std::collections::{BTreeMap, BTreeSet};

use jit_ssh_proto::Timestamp;
use jit_ssh_proto::event::{Outcome, Reading, RequestDecided, What};
use jit_ssh_proto::{GrantId, Place, Principal};
use serde::Serialize;
use serde_json::Value;

use super::entry::{Entry, text};

/// The counts.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tally {
    /// How many events were read, and of which time.
    pub(super) events: u64,
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    /// By who asked.
    pub(super) people: BTreeMap<String, Person>,
    /// By host.
    pub(super) hosts: BTreeMap<String, Counted>,
    /// By policy that allowed.
    pub(super) policies: BTreeMap<String, Counted>,
    /// What was denied: who, what, why.
    pub(super) denied: BTreeMap<String, Denied>,
    /// Grants without a certificate.
    pub(super) unused: BTreeMap<String, Unused>,
    /// The hosts of each grant.
    #[serde(skip)]
    reached: BTreeMap<String, BTreeSet<String>>,
    /// By authority.
    pub(super) issued: BTreeMap<String, Issued>,
    pub(super) sessions_opened: u64,
    pub(super) sessions_refused: u64,
    pub(super) revoked: u64,
    pub(super) erased: u64,
    /// By who approved; by who broke the glass; open reviews, by their id.
    pub(super) approvals: BTreeMap<String, u64>,
    pub(super) break_glass: BTreeMap<String, u64>,
    pub(super) reviews_open: BTreeSet<String>,
    /// Everything about the CA itself, by kind.
    pub(super) others: BTreeMap<String, u64>,
}

/// What somebody did.
#[derive(Debug, Default, Serialize)]
pub(super) struct Person {
    pub(super) sessions: u64,
    pub(super) granted: u64,
    pub(super) denied: u64,
    pub(super) certificates: u64,
    pub(super) hosts: BTreeSet<String>,
    pub(super) last: Timestamp,
}

/// Grants and certificates, and whose.
#[derive(Debug, Default, Serialize)]
pub(super) struct Counted {
    pub(super) granted: u64,
    pub(super) certificates: u64,
    pub(super) people: BTreeSet<String>,
}

/// Denials that are alike.
#[derive(Debug, Default, Serialize)]
pub(super) struct Denied {
    pub(super) who: String,
    pub(super) what: String,
    pub(super) why: String,
    pub(super) times: u64,
    pub(super) last: Timestamp,
}

/// A grant that nobody took a certificate under.
#[derive(Debug, Serialize)]
pub(super) struct Unused {
    pub(super) who: String,
    pub(super) what: String,
    pub(super) decided: Timestamp,
    pub(super) until: Timestamp,
}

/// Certificates of an authority.
#[derive(Debug, Default, Serialize)]
pub(super) struct Issued {
    pub(super) certificates: u64,
    pub(super) first_serial: u64,
    pub(super) last_serial: u64,
}

impl Tally {
    /// Counts one entry; they come oldest first.
    pub(super) fn add(&mut self, entry: &Entry) {
        self.events += 1;
        let Some(content) = &entry.content else {
            self.erased += 1;
            return;
        };
        let (who, common) = (entry.who(), content.reading.common());
        self.first.get_or_insert(common.time);
        self.last = Some(common.time);
        match &content.reading {
            Reading::Known(event) => self.known(&event.what, who, common.time),
            Reading::Unknown(..) => self.unknown(&common.kind, &content.json, who, entry.index),
        }
    }

    fn known(&mut self, what: &What, who: String, time: Timestamp) {
        match what {
            What::SessionOpened(_) => {
                self.sessions_opened += 1;
                self.person(&who, time).sessions += 1;
            }
            What::SessionRefused(refused) => {
                self.sessions_refused += 1;
                self.deny(who, "login".to_owned(), refused.code.to_string(), time);
            }
            What::RequestDecided(decided) => self.decided(decided, who, time),
            What::CertificateIssued(issued) => {
                self.unused.remove(&issued.grant.to_string());
                let by_authority = self
                    .issued
                    .entry(issued.authority.to_string())
                    .or_insert_with(|| Issued { first_serial: issued.serial, ..Issued::default() });
                by_authority.certificates += 1;
                by_authority.last_serial = issued.serial;
                let hosts: BTreeSet<String> = issued
                    .principals
                    .iter()
                    .flat_map(|p| self.hosts_of_principal(p, &issued.grant))
                    .collect();
                for host in &hosts {
                    let host = self.hosts.entry(host.clone()).or_default();
                    host.certificates += 1;
                    host.people.insert(who.clone());
                }
                let person = self.person(&who, time);
                person.certificates += 1;
                person.hosts.extend(hosts);
            }
            What::CertificateRevoked(_) => self.revoked += 1,
            What::EventErased(_)
            | What::CaInitialised(_)
            | What::PolicyLoaded(_)
            | What::KeyUsed(_)
            | What::KeyAdded(_)
            | What::ConfigChanged(_)
            | What::LogExported(_)
            | What::IdentityDisabled(_)
            | What::IdentityEnabled(_)
            | What::LoginReleased(_)
            | What::IssuerBound(_)
            | What::StoreRestored(_)
            | What::StoreMoved(_) => self.other(what.kind()),
            What::SessionEnded(_) | What::SessionRevalidated(_) => {}
        }
    }

    fn decided(&mut self, decided: &RequestDecided, who: String, time: Timestamp) {
        let asked = &decided.asked;
        let accounts: Vec<String> = asked.accounts.iter().map(ToString::to_string).collect();
        let what = format!("{} {}", asked.mode, accounts.join(" "));
        match &decided.outcome {
            Outcome::Granted { grant, policies, not_after, .. } => {
                self.person(&who, time).granted += 1;
                let hosts = hosts_of(decided);
                for host in &hosts {
                    let host = self.hosts.entry(host.clone()).or_default();
                    host.granted += 1;
                    host.people.insert(who.clone());
                }
                self.reached.insert(grant.to_string(), hosts);
                for policy in policies {
                    let policy = self.policies.entry(policy.clone()).or_default();
                    policy.granted += 1;
                    policy.people.insert(who.clone());
                }
                let unused = Unused { who, what, decided: time, until: *not_after };
                self.unused.insert(grant.to_string(), unused);
            }
            Outcome::Denied { code, policies } => {
                self.person(&who, time).denied += 1;
                let by =
                    if policies.is_empty() { String::new() } else { format!(" by {}", policies.join(", ")) };
                self.deny(who, what, format!("{code}{by}"), time);
            }
        }
    }

    /// Approvals, break-glass and reviews come with later versions; so may anything else.
    fn unknown(&mut self, kind: &str, json: &Value, who: String, index: u64) {
        let review = || text(json, "/review").unwrap_or_else(|| index.to_string());
        if kind.starts_with("approval.") || kind == "request.approved" {
            *self.approvals.entry(who).or_default() += 1;
        } else if kind.starts_with("break_glass") || kind.starts_with("break-glass") {
            *self.break_glass.entry(who).or_default() += 1;
        } else if kind == "review.opened" {
            self.reviews_open.insert(review());
        } else if kind == "review.closed" {
            self.reviews_open.remove(&review());
        } else {
            self.other(kind);
        }
    }

    /// A group's name and a plain login do not say which hosts; the grant does, if it is in this period.
    fn hosts_of_principal(&self, principal: &str, grant: &GrantId) -> Vec<String> {
        let account = principal.parse::<Principal>().ok().map(|principal| principal.account().clone());
        let reached = || self.reached.get(&grant.to_string()).into_iter().flatten().cloned().collect();
        match account.map(|account| account.place) {
            Some(Place::Host(host)) => Vec::from([host.to_string()]),
            Some(group @ Place::Group(_)) if !self.reached.contains_key(&grant.to_string()) => {
                Vec::from([place(&group)])
            }
            Some(Place::Group(_)) | None => reached(),
        }
    }

    fn person(&mut self, who: &str, time: Timestamp) -> &mut Person {
        let person = self.people.entry(who.to_owned()).or_default();
        person.last = time;
        person
    }

    fn deny(&mut self, who: String, what: String, why: String, time: Timestamp) {
        let denied = self.denied.entry(format!("{who} {what} {why}")).or_default();
        let times = denied.times + 1;
        *denied = Denied { who, what, why, times, last: time };
    }

    fn other(&mut self, kind: &str) {
        *self.others.entry(kind.to_owned()).or_default() += 1;
    }
}

/// Every host that was decided on, those of groups included.
fn hosts_of(decided: &RequestDecided) -> BTreeSet<String> {
    let accounts = decided.asked.accounts.iter();
    accounts
        .flat_map(|account| match decided.members.iter().find(|members| members.account == *account) {
            Some(members) => members.hosts.iter().map(ToString::to_string).collect(),
            None => Vec::from([place(&account.place)]),
        })
        .collect()
}

fn place(place: &Place) -> String {
    place.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::item;
    use super::*;

    const GRANT: &str = "grt_01m80zy0br34ba5f63vxm8x1js";

    fn tally(events: &[String]) -> Tally {
        let mut tally = Tally::default();
        for (index, event) in (0..).zip(events) {
            tally.add(&Entry::new(item(index, event)).unwrap());
        }
        tally
    }

    fn event(time: u64, name: &str, rest: &str) -> String {
        format!(
            r#"{{"v":1,"time":{time},"actor":{{"by":"identity","issuer":"corp","sub":"1","name":"{name}"}},{rest}}}"#
        )
    }

    fn decided(time: u64, name: &str, outcome: &str) -> String {
        event(
            time,
            name,
            &format!(
                r#""type":"request.decided","request":"req_01m80zy0br0tt9292x4bwrp9jr","session":"ses_01m80zy0brb16h0tg9vyxfnhr2","asked":{{"accounts":["deploy@web-1","deploy@web-2"],"mode":"shell"}},"policy_digest":"00",{outcome}"#
            ),
        )
    }

    fn granted(time: u64, name: &str, grant: &str) -> String {
        decided(
            time,
            name,
            &format!(
                r#""outcome":"granted","grant":"{grant}","policies":["sre"],"not_before":1,"not_after":99"#
            ),
        )
    }

    fn issued() -> String {
        include_str!("../../../../proto/golden/events/certificate.issued.json").to_owned()
    }

    #[test]
    fn who_got_where() {
        let other = "grt_01m80zy0br34ba5f63vxm8x1jt";
        let no = r#""outcome":"denied","code":"forbidden","policies":["no-root"]"#;
        let tally = tally(&[
            granted(10, "alice", GRANT),
            issued(),
            granted(20, "bob", other),
            decided(30, "bob", no),
            decided(40, "bob", no),
            decided(50, "carol", r#""outcome":"denied","code":"no_access""#),
        ]);
        let bob = &tally.people["corp/bob"];
        assert_eq!((bob.granted, bob.denied, bob.certificates, bob.last.seconds()), (1, 2, 0, 40));
        // The certificate of the golden form is for dev/alice on web-1.
        assert_eq!(tally.people["dev/alice"].hosts.iter().collect::<Vec<_>>(), ["web-1"]);
        let web = |name: &str| {
            (tally.hosts[name].granted, tally.hosts[name].certificates, tally.hosts[name].people.len())
        };
        assert_eq!((web("web-1"), web("web-2")), ((2, 1, 3), (2, 0, 2)));
        assert_eq!((tally.policies["sre"].granted, tally.policies["sre"].people.len()), (2, 2));
        assert_eq!(tally.unused.keys().collect::<Vec<_>>(), [other], "the one without a certificate");
        let denied: Vec<_> =
            tally.denied.values().map(|d| (d.who.as_str(), d.why.as_str(), d.times)).collect();
        assert_eq!(denied, [("corp/bob", "forbidden by no-root", 2), ("corp/carol", "no_access", 1)]);
        assert_eq!((tally.issued["user"].certificates, tally.issued["user"].last_serial), (1, 1));
        assert!(tally.approvals.is_empty() && tally.break_glass.is_empty() && tally.reviews_open.is_empty());
    }

    #[test]
    fn certificates_that_do_not_name_their_hosts_count_for_those_of_the_grant() {
        let group = granted(10, "alice", GRANT)
            .replace(r#""accounts":["deploy@web-1","deploy@web-2"]"#, r#""accounts":["deploy@group/web"]"#);
        let members = r#""members":[{"account":"deploy@group/web","hosts":["web-1","web-2"]}],"outcome""#;
        let group = group.replace(r#""outcome""#, members);
        let by_group = issued().replace("shell:deploy@web-1", "shell:deploy@group/web");
        let plain = issued().replace("shell:deploy@web-1", "deploy");
        for (events, hosts) in [
            (&[group.clone(), by_group.clone()][..], &["web-1", "web-2"][..]),
            (&[group, plain.clone()], &["web-1", "web-2"]),
            // Decided before the period.
            (&[by_group], &["group/web"]),
            (&[plain], &[]),
        ] {
            let tally = tally(events);
            assert_eq!(tally.people["dev/alice"].hosts.iter().collect::<Vec<_>>(), hosts);
        }
    }

    #[test]
    fn what_later_versions_record_is_counted_by_its_name() {
        let tally = tally(&[
            event(1, "alice", r#""type":"approval.given","request":"x""#),
            event(2, "alice", r#""type":"approval.given","request":"y""#),
            event(3, "bob", r#""type":"break_glass.used""#),
            event(4, "bob", r#""type":"review.opened","review":"rev_1""#),
            event(5, "bob", r#""type":"review.opened","review":"rev_2""#),
            event(6, "alice", r#""type":"review.closed","review":"rev_1""#),
            event(7, "alice", r#""type":"host.enrolled","host":"web-1""#),
            issued().replace(r#""v":1,"#, r#""v":2,"#),
        ]);
        assert_eq!((tally.approvals["corp/alice"], tally.break_glass["corp/bob"]), (2, 1));
        assert_eq!(tally.reviews_open.iter().collect::<Vec<_>>(), ["rev_2"]);
        assert_eq!(tally.others["host.enrolled"], 1);
        assert_eq!(
            tally.others["certificate.issued"], 1,
            "a form that is not known is not taken for one that is"
        );
        assert_eq!(tally.events, 8);
    }
}
