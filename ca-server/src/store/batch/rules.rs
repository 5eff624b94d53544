//! Which policies and inventory are in force.

use jit_ssh_proto::Timestamp;
use jit_ssh_proto::event::{Actor, What};

use super::super::change::{LoadRules, Outcome, Refusal};
use super::Batch;

impl Batch {
    pub(super) fn load(&mut self, time: Timestamp, load: LoadRules) -> Result<Outcome, Refusal> {
        let LoadRules { mut loaded, always } = load;
        let last = match &self.facts.rules {
            Some((digest, leaf)) if *digest == loaded.digest && !always => {
                return Ok(Outcome::of(*leaf, time));
            }
            last => last.as_ref().map(|(digest, _)| digest.clone()),
        };
        // Another process may have put another set in force since: what was compared was not that one.
        if last != loaded.previous {
            loaded.changes.clear();
        }
        loaded.previous = last;
        let digest = loaded.digest.clone();
        let event = self.event(time, Actor::Ca, None, What::PolicyLoaded(loaded))?;

        self.facts.rules = Some((digest, event.leaf));
        Ok(self.keep(event))
    }
}
