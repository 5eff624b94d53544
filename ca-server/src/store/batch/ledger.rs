//! What is done with the ledger itself: events that change nothing else, exports, erased bodies, and a restored backup.

use jit_ssh_proto::Timestamp;
use jit_ssh_proto::event::{
    Actor, CertificateRevoked, EventErased, LogExported, SerialJump, StoreRestored, What,
};

use super::super::change::{EraseEvent, ExportLog, Outcome, RecordEvent, Refusal, Restored};
use super::super::erase::erasable;
use super::super::rows::{Erasure, RestoredRows};
use super::super::verify::floor_of;
use super::Batch;

impl Batch {
    pub(super) fn record(&mut self, time: Timestamp, record: RecordEvent) -> Result<Outcome, Refusal> {
        let event = self.event(time, record.actor, None, record.what)?;
        Ok(self.keep(event))
    }

    pub(super) fn export(&mut self, time: Timestamp, export: ExportLog) -> Result<Outcome, Refusal> {
        self.own(export.session, time, &export.actor)?;
        let exported = LogExported { session: export.session, filter: export.filter };
        let what = What::LogExported(Box::new(exported));
        let event = self.event(time, export.actor, Some(export.source), what)?;
        Ok(self.keep(event))
    }

    pub(super) fn erase(&mut self, time: Timestamp, erase: EraseEvent) -> Result<Outcome, Refusal> {
        let EraseEvent { leaf, reason } = erase;
        let gone = erasable(leaf, self.facts.erasing.get(&leaf), time)?;
        let event =
            self.event(time, Actor::Operator, None, What::EventErased(EventErased { leaf, reason }))?;

        if let Some(fact) = self.facts.erasing.get_mut(&leaf) {
            fact.body = None;
        }
        self.rows.erasures.push(Erasure { leaf, request: gone.request });
        Ok(self.keep(event))
    }

    pub(super) fn restored(&mut self, time: Timestamp, restored: Restored) -> Result<Outcome, Refusal> {
        let mut serials = Vec::with_capacity(restored.authorities.len());
        let mut revocations = Vec::new();
        for (authority, revoke_from) in restored.authorities {
            let from = self.head.serials.get(authority.as_str()).copied().unwrap_or(1);
            // Past whatever any life after this backup can have given, of which nothing else may be left to tell: a
            // million serials for each second that there ever was.
            let by_time = time.seconds().saturating_mul(1 << 20);
            let to = from.saturating_add(restored.jump).max(by_time);
            if let Some(first) = revoke_from {
                let serial = first.min(from);
                let (through, reason) = (Some(to.saturating_sub(1)), restored.reason.clone());
                let authority = authority.clone();
                revocations.push(CertificateRevoked { authority, serial, through, key_id: None, reason });
            }
            self.head.serials.insert(authority.to_string(), to);
            self.rows.serials.insert(authority.to_string(), to);
            serials.push(SerialJump { authority, from, to });
        }
        let length = |revoked: &CertificateRevoked| {
            revoked.through.unwrap_or(revoked.serial).saturating_sub(revoked.serial).saturating_add(1)
        };
        let (leaves, from) = (restored.leaves, restored.from);
        let revoked = revocations.iter().map(length).fold(0, u64::saturating_add);
        let what = What::StoreRestored(StoreRestored { leaves, serials, revoked, from });
        let event = self.event(time, Actor::Operator, None, what)?;
        let outcome = self.keep(event);
        for revoked in &revocations {
            let what = What::CertificateRevoked(revoked.clone());
            let event = self.event(time, Actor::Operator, None, what)?;
            self.keep(event);
        }
        let floor = floor_of(time);
        self.head.floor = Some(floor);
        self.rows.restored = Some(RestoredRows { time, floor, revocations });
        Ok(outcome)
    }
}
