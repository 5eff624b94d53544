//! Signatures that are claimed to be a key's, and those that were proven to be. Ed25519 signatures of one moment are
//! proven together, which takes half the time of one after the other (docs/decisions/0032).

use alloc::vec;
use alloc::vec::Vec;

use ed25519_dalek::VerifyingKey;
use jit_ssh_proto::UserKey;
use signature::Verifier;
use ssh_key::Signature;

/// A signature over some bytes that is said to be a key's. Nothing follows from it before it is [proven](prove).
#[derive(Clone, Debug)]
pub struct Claim {
    key: UserKey,
    message: Vec<u8>,
    signature: Signature,
    /// The same in numbers, where it is Ed25519's.
    ed25519: Option<(VerifyingKey, ed25519_dalek::Signature)>,
}

/// A claim that holds. Only [`prove`] makes one.
#[derive(Clone, Debug)]
pub struct Proven(Claim);

impl Claim {
    /// That `signature` is `key`'s over `message`.
    #[must_use]
    pub fn new(key: UserKey, message: Vec<u8>, signature: Signature) -> Self {
        let ed25519 = key.ed25519().copied().zip(ed25519_dalek::Signature::try_from(&signature).ok());
        Self { key, message, signature, ed25519 }
    }

    /// By itself, as the key's kind has it.
    fn holds(&self) -> bool {
        match &self.ed25519 {
            Some((point, signature)) => point.verify(&self.message, signature).is_ok(),
            None => self.key.key_data().verify(&self.message, &self.signature).is_ok(),
        }
    }
}

impl Proven {
    /// Whether this is what was proven.
    #[must_use]
    pub fn is(&self, key: &UserKey, message: &[u8]) -> bool {
        self.0.key == *key && self.0.message == message
    }

    /// The signature that holds.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.0.signature
    }
}

/// Each claim proven, or none in its place where it does not hold. What one claims never decides about another: if
/// those that can be proven together do not hold together, each is looked at by itself.
#[must_use]
pub fn prove(claims: Vec<Claim>) -> Vec<Option<Proven>> {
    let together = together(&claims);
    claims
        .into_iter()
        .map(|claim| {
            let holds = (together && claim.ed25519.is_some()) || claim.holds();
            holds.then_some(Proven(claim))
        })
        .collect()
}

/// Whether all Ed25519 claims hold, where there are several: one equation with a random factor for each.
fn together(claims: &[Claim]) -> bool {
    let count = claims.iter().filter(|claim| claim.ed25519.is_some()).count();
    if count < 2 {
        return false;
    }
    let mut messages = Vec::with_capacity(count);
    let mut signatures = Vec::with_capacity(count);
    let mut points = Vec::with_capacity(count);
    for claim in claims {
        if let Some((point, signature)) = &claim.ed25519 {
            messages.push(claim.message.as_slice());
            signatures.push(*signature);
            points.push(*point);
        }
    }
    ed25519_dalek::verify_batch(&messages, &signatures, &points).is_ok()
}

/// The one claim, proven.
#[must_use]
pub fn prove_one(claim: Claim) -> Option<Proven> {
    prove(vec![claim]).pop().flatten()
}
