//! What makes a certificate believable to the one it was issued to: its own event, with its salt, is in the tree of a
//! checkpoint that the ledger key signed, and says of the certificate what the certificate says.

use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};
use ssh_encoding::Encode;
use ssh_key::Certificate;
use ssh_key::certificate::CertType;

use super::{Checkpoint, CheckpointError, InclusionError, LogKey, check_inclusion, decode_proof};
use crate::event::{CertificateIssued, EVENT_VERSION, Event, What};
use crate::wire::Receipt;
use crate::{Salt, UserKey};

/// No event of a certificate is longer, in bytes.
const MAX_EVENT: usize = 128 * 1024;

/// Why a receipt does not show that a certificate is in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The checkpoint is none of this ledger.
    #[error("its checkpoint {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Not a salt.
    #[error("its salt is not 32 bytes in unpadded base64url")]
    Salt,
    /// The tree does not have the event.
    #[error("its proof {0}")]
    Inclusion(#[from] InclusionError),
    /// Not an event, or not in its canonical form.
    #[error("its event is not one of version {EVENT_VERSION} in its canonical form")]
    Event,
    /// An event of another kind.
    #[error("its event is {0}, not certificate.issued")]
    Kind(&'static str),
    /// The event says something else than the certificate.
    #[error("the recorded {0} is not the certificate's")]
    Field(&'static str),
}

impl Receipt {
    /// Checks that the ledger holds this certificate's event at `leaf_index`, and that the event is truthful about it:
    /// every field, not only the digest, because whoever audits the ledger reads the fields. Returns the checkpoint,
    /// to be remembered.
    ///
    /// # Errors
    /// Says what is wrong, as half a sentence about the receipt.
    pub fn verify(
        &self,
        key: &LogKey,
        leaf_index: u64,
        certificate: &Certificate,
    ) -> Result<Checkpoint, ReceiptError> {
        // 1. The ledger signed a tree…
        let checkpoint = Checkpoint::verify(key, &self.checkpoint)?;
        // 2. …which has this event…
        let salt: Salt = self.salt.parse().map_err(|_| ReceiptError::Salt)?;
        if self.event.len() > MAX_EVENT {
            return Err(ReceiptError::Event);
        }
        let leaf = Event::leaf(&salt, self.event.as_bytes());
        check_inclusion(&checkpoint, leaf_index, &leaf, &decode_proof(&self.proof)?)?;
        // 3. …which can be read in one way only…
        let event: Event = serde_json::from_str(&self.event).map_err(|_| ReceiptError::Event)?;
        let canonical = event.canonical().map_err(|_| ReceiptError::Event)?;
        if event.v != EVENT_VERSION || canonical != self.event.as_bytes() {
            return Err(ReceiptError::Event);
        }
        // 4. …and is about this certificate.
        let What::CertificateIssued(issued) = &event.what else {
            return Err(ReceiptError::Kind(event.what.kind()));
        };
        check_fields(issued, certificate)?;
        Ok(checkpoint)
    }
}

fn check_fields(issued: &CertificateIssued, certificate: &Certificate) -> Result<(), ReceiptError> {
    let cert_type = match certificate.cert_type() {
        CertType::User => 1,
        CertType::Host => 2,
    };
    let same_key = |key: &UserKey, data: &ssh_key::public::KeyData| key.key_data() == data;
    let options = |map: &ssh_key::certificate::OptionsMap| -> Vec<(String, String)> {
        map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    for (same, field) in [
        (issued.serial == certificate.serial(), "serial"),
        (same_key(&issued.key, certificate.public_key()), "key"),
        (same_key(&issued.authority_key, certificate.signature_key()), "authority_key"),
        (issued.cert_type == cert_type, "cert_type"),
        (issued.nonce.as_bytes() == certificate.nonce(), "nonce"),
        (issued.key_id == certificate.key_id(), "key_id"),
        (issued.principals == certificate.valid_principals(), "principals"),
        (issued.valid_after.seconds() == certificate.valid_after(), "valid_after"),
        (issued.valid_before.seconds() == certificate.valid_before(), "valid_before"),
        (issued.critical_options == options(certificate.critical_options()), "critical_options"),
        (issued.extensions == options(certificate.extensions()), "extensions"),
        (Some(&issued.tbs_sha256) == tbs_sha256(certificate).as_ref(), "tbs_sha256"),
    ] {
        if !same {
            return Err(ReceiptError::Field(field));
        }
    }
    Ok(())
}

/// SHA-256 of the to-be-signed bytes, in lower-case hex: of everything but the signature, which is the last field and
/// an SSH string (OpenSSH PROTOCOL.certkeys).
fn tbs_sha256(certificate: &Certificate) -> Option<String> {
    let bytes = certificate.to_bytes().ok()?;
    let mut signature = Vec::new();
    certificate.signature().encode_prefixed(&mut signature).ok()?;
    let tbs = bytes.strip_suffix(signature.as_slice())?;
    Some(data_encoding::HEXLOWER.encode(&Sha256::digest(tbs)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Actor, SessionEnded};
    use crate::log::testing::{CA, checkpoint, key, leaves, log_key};
    use crate::log::{encode_proof, leaf_hash};
    use crate::{CaId, GrantId, SessionId, Timestamp};
    use alloc::boxed::Box;
    use alloc::{format, vec};
    use proptest::prelude::*;
    use ssh_key::certificate::Builder;
    use std::sync::LazyLock;

    const SALT: Salt = Salt::from_bytes([5; 32]);

    fn certificate(serial: u64) -> Certificate {
        let subject = key(2).public_key().key_data().clone();
        let mut builder = Builder::new(vec![1; 32], subject, 1_790_000_000, 1_790_001_800).unwrap();
        builder.cert_type(CertType::User).unwrap().serial(serial).unwrap().key_id("corp/ada/grt").unwrap();
        builder.valid_principal("exec:deploy@web-1").unwrap();
        builder.critical_option("force-command", "uptime").unwrap();
        builder.extension("permit-pty", "").unwrap();
        builder.sign(&key(1)).unwrap()
    }

    fn issued(certificate: &Certificate) -> CertificateIssued {
        CertificateIssued {
            grant: GrantId::from_parts(1, 2),
            session: SessionId::from_parts(1, 3),
            authority: "user".parse().unwrap(),
            authority_key: UserKey::new(key(1).public_key()).unwrap(),
            cert_type: 1,
            nonce: Salt::from_bytes([1; 32]),
            key: UserKey::new(key(2).public_key()).unwrap(),
            serial: certificate.serial(),
            key_id: certificate.key_id().into(),
            principals: certificate.valid_principals().to_vec(),
            valid_after: Timestamp::from_seconds(certificate.valid_after()),
            valid_before: Timestamp::from_seconds(certificate.valid_before()),
            critical_options: vec![("force-command".into(), "uptime".into())],
            extensions: vec![("permit-pty".into(), String::new())],
            tbs_sha256: tbs_sha256(certificate).unwrap(),
            policy_digest: "00".repeat(32),
        }
    }

    fn event(what: What) -> Event {
        Event { v: 1, time: Timestamp::from_seconds(1_790_000_000), actor: Actor::Ca, source: None, what }
    }

    fn text(what: What) -> String {
        String::from_utf8(event(what).canonical().unwrap()).unwrap()
    }

    /// A receipt for this text at leaf 2 of a log of four.
    fn receipt(event: String) -> Receipt {
        let mut all = leaves(4);
        all[2] = Event::leaf(&SALT, event.as_bytes());
        let left = crate::log::node_hash(&leaf_hash(&all[0]), &leaf_hash(&all[1]));
        let proof = encode_proof(&[leaf_hash(&all[3]), left]);
        Receipt { event, salt: format!("{SALT}"), proof, checkpoint: checkpoint(&all).note().into() }
    }

    fn honest() -> Receipt {
        receipt(text(What::CertificateIssued(Box::new(issued(&certificate(7))))))
    }

    #[test]
    fn a_receipt_is_for_one_certificate_at_one_leaf() {
        let checkpoint = honest().verify(&log_key(), 2, &certificate(7)).unwrap();
        assert_eq!((checkpoint.size(), checkpoint.note()), (4, honest().checkpoint.as_str()));
        for (index, serial) in [(1, 7), (3, 7), (4, 7), (u64::MAX, 7), (2, 8)] {
            assert!(honest().verify(&log_key(), index, &certificate(serial)).is_err(), "{index} {serial}");
        }
        let line = key(5).public_key().to_openssh().unwrap();
        let other_key = LogKey::new(&CA, &line).unwrap();
        let refused = honest().verify(&other_key, 2, &certificate(7));
        assert_eq!(refused, Err(ReceiptError::Checkpoint(CheckpointError::Unsigned)));
        let line = key(4).public_key().to_openssh().unwrap();
        let other_ca = LogKey::new(&CaId::from_bytes([8; 32]), &line).unwrap();
        let refused = honest().verify(&other_ca, 2, &certificate(7));
        assert!(matches!(refused, Err(ReceiptError::Checkpoint(CheckpointError::OtherOrigin { .. }))));
    }

    #[test]
    fn receipts_that_are_refused() {
        type Change = fn(&mut Receipt);
        let other_root = ReceiptError::Inclusion(InclusionError::OtherRoot { index: 2 });
        let malformed = ReceiptError::Inclusion(InclusionError::Malformed);
        let table: [(Change, ReceiptError); 12] = [
            (|r| r.salt = format!("{}", Salt::from_bytes([6; 32])), other_root.clone()),
            (|r| r.salt.push('='), ReceiptError::Salt),
            (|r| r.salt = String::new(), ReceiptError::Salt),
            (|r| r.event = r.event.replace("deploy", "nobody"), other_root.clone()),
            (|r| r.event.push('\n'), other_root.clone()),
            (|r| r.event = " ".repeat(MAX_EVENT + 1), ReceiptError::Event),
            (|r| drop(r.proof.pop()), other_root.clone()),
            (|r| r.proof.swap(0, 1), other_root.clone()),
            (|r| r.proof.push(r.proof[0].clone()), other_root),
            (|r| r.proof[1] = "x".into(), malformed.clone()),
            (|r| r.proof = vec![r.proof[0].clone(); 65], malformed),
            (|r| r.checkpoint = String::new(), ReceiptError::Checkpoint(CheckpointError::Malformed)),
        ];
        for (at, (change, error)) in table.into_iter().enumerate() {
            let mut receipt = honest();
            change(&mut receipt);
            assert_eq!(receipt.verify(&log_key(), 2, &certificate(7)), Err(error), "row {at}");
        }
    }

    /// What the tree holds must be an event as it is written, and of the right kind.
    #[test]
    fn events_that_prove_nothing() {
        let good = honest().event;
        let ended = What::SessionEnded(SessionEnded { session: SessionId::from_parts(1, 3), reason: None });
        for (event, error) in [
            (text(ended), ReceiptError::Kind("session.ended")),
            (String::new(), ReceiptError::Event),
            ("{}".into(), ReceiptError::Event),
            (format!("{good} "), ReceiptError::Event),
            (good.replace("\"v\":1", "\"v\":2"), ReceiptError::Event),
            (good.replace("\"v\":1", "\"v\":1,\"more\":0"), ReceiptError::Event),
            (good.replace("\"serial\":7", "\"serial\":7,\"serial\":7"), ReceiptError::Event),
            (good.replace("\"serial\":7", "\"serial\": 7"), ReceiptError::Event),
            (good.replace("deploy", "\\u0064eploy"), ReceiptError::Event),
            (good.replace("certificate.issued", "certificate.made"), ReceiptError::Event),
        ] {
            let shown = event.clone();
            assert_eq!(receipt(event).verify(&log_key(), 2, &certificate(7)), Err(error), "{shown}");
        }
    }

    /// An auditor reads the fields, not the digest: none of them may say something else than the certificate.
    #[test]
    fn a_record_that_is_not_truthful() {
        type Change = fn(&mut CertificateIssued);
        let table: [(Change, &str); 12] = [
            (|i| i.serial = 8, "serial"),
            (|i| i.key = UserKey::new(key(3).public_key()).unwrap(), "key"),
            (|i| i.authority_key = UserKey::new(key(3).public_key()).unwrap(), "authority_key"),
            (|i| i.cert_type = 2, "cert_type"),
            (|i| i.nonce = Salt::from_bytes([2; 32]), "nonce"),
            (|i| i.key_id = "corp/bob/grt".into(), "key_id"),
            (|i| i.principals = vec!["exec:nobody@web-1".into()], "principals"),
            (|i| i.valid_after = Timestamp::from_seconds(1), "valid_after"),
            (|i| i.valid_before = Timestamp::from_seconds(2), "valid_before"),
            (|i| i.critical_options[0].1 = "id".into(), "critical_options"),
            (|i| i.extensions.clear(), "extensions"),
            (|i| i.tbs_sha256 = "00".repeat(32), "tbs_sha256"),
        ];
        for (change, field) in table {
            let mut recorded = issued(&certificate(7));
            change(&mut recorded);
            let receipt = receipt(text(What::CertificateIssued(Box::new(recorded))));
            assert_eq!(receipt.verify(&log_key(), 2, &certificate(7)), Err(ReceiptError::Field(field)));
        }
    }

    #[test]
    fn the_digest_is_of_everything_but_the_signature() {
        let bytes = certificate(7).to_bytes().unwrap();
        // An Ed25519 signature: its length, its name with a length, 64 bytes with a length.
        let tbs = &bytes[..bytes.len() - (4 + 4 + 11 + 4 + 64)];
        assert_eq!(tbs_sha256(&certificate(7)), Some(data_encoding::HEXLOWER.encode(&Sha256::digest(tbs))));
    }

    proptest! {
        #[test]
        fn nothing_panics(
            event in "\\PC{0,80}",
            salt in "\\PC{0,50}",
            proof in prop::collection::vec("\\PC{0,50}", 0..5),
            checkpoint in "\\PC{0,200}",
            index: u64,
        ) {
            static HONEST: LazyLock<(Receipt, Certificate)> = LazyLock::new(|| (honest(), certificate(7)));
            let (honest, certificate) = &*HONEST;
            let receipt = Receipt { event, salt, proof, checkpoint };
            prop_assert!(receipt.verify(&log_key(), index, certificate).is_err());
            let receipt = Receipt { checkpoint: honest.checkpoint.clone(), ..receipt };
            prop_assert!(receipt.verify(&log_key(), index, certificate).is_err());
        }
    }
}
