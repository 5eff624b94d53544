//! Values for the unit tests of this program.

use jit_ssh_proto::{AuthorityEntry, CaId, Timestamp, TrustBundle};
use ssh_key::PrivateKey;
use ssh_key::private::Ed25519Keypair;

/// A time in 2026.
pub(crate) const NOW: u64 = 1_790_000_000;

/// The CA's id.
pub(crate) const CA: CaId = CaId::from_bytes([7; 32]);

/// The key of this number.
pub(crate) fn key(number: u8) -> PrivateKey {
    Ed25519Keypair::from_seed(&[number; 32]).into()
}

/// A bundle with these authorities: name, kind, key.
pub(crate) fn bundle(authorities: &[(&str, &str, &PrivateKey)]) -> TrustBundle {
    let entry = |(name, kind, key): &(&str, &str, &PrivateKey)| AuthorityEntry {
        name: (*name).into(),
        kind: (*kind).into(),
        key: key.public_key().to_openssh().unwrap(),
    };
    TrustBundle {
        version: 1,
        ca_id: CA,
        url: "https://ca.example.com".into(),
        issued: Timestamp::from_seconds(NOW),
        authorities: authorities.iter().map(entry).collect(),
        ledger_key: key(200).public_key().to_openssh().unwrap(),
        issuers: vec![],
        host_patterns: vec![],
    }
}
