//! What is kept or handed out encrypted, under keys that are derived from the ledger key and kept nowhere: refresh tokens
//! at rest (docs/decisions/0030-refresh-tokens-at-rest.md), so that whoever has the database alone can use none of them,
//! and cursors, which name accounts that those who hold them need not know of.

use jit_ssh_proto::{CaId, SessionId};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ssh_key::PrivateKey;
use zeroize::Zeroizing;

use crate::entropy;

/// What a key is for, and no other that is derived from the same one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// What a session's provider is asked with.
    RefreshTokens,
    /// Where a list goes on.
    Cursors,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::RefreshTokens => b"jit-ssh refresh tokens v1",
            Self::Cursors => b"jit-ssh cursors v1",
        }
    }
}

/// Encrypts and decrypts texts, each for one session.
pub struct Sealer {
    key: LessSafeKey,
    ca: CaId,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Sealer {
    /// By HKDF-SHA256 (RFC 5869) from the ledger key's seed, the CA's id as salt. None unless that key is Ed25519.
    pub(super) fn derive(purpose: Purpose, ca: &CaId, ledger: &PrivateKey) -> Option<Self> {
        let seed = Zeroizing::new(ledger.key_data().ed25519()?.private.to_bytes());
        let pseudorandom = Salt::new(HKDF_SHA256, ca.as_bytes()).extract(seed.as_ref());
        let label = [purpose.label()];
        let expanded = pseudorandom.expand(&label, &CHACHA20_POLY1305).ok()?;
        Some(Self { key: LessSafeKey::new(UnboundKey::from(expanded)), ca: *ca })
    }

    /// Encrypts a text for one session: a random nonce, then the ciphertext and its tag. None if it is too long for the
    /// cipher, which nothing is that came in a request.
    #[must_use]
    pub fn seal(&self, session: &SessionId, token: &str) -> Option<Vec<u8>> {
        let nonce = entropy::bytes::<NONCE_LEN>();
        let mut sealed = token.as_bytes().to_vec();
        let bound = self.bound(session);
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut sealed)
            .ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts what was sealed for this session of this CA. None if it was not.
    #[must_use]
    pub fn open(&self, session: &SessionId, sealed: &[u8]) -> Option<Zeroizing<String>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let token = self.key.open_in_place(nonce, Aad::from(self.bound(session)), &mut sealed).ok()?;
        std::str::from_utf8(token).ok().map(|token| Zeroizing::new(token.to_owned()))
    }

    /// What is authenticated with it: it is no other session's, nor another CA's.
    fn bound(&self, session: &SessionId) -> Vec<u8> {
        [self.ca.as_bytes().as_slice(), session.to_string().as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use ssh_key::private::Ed25519Keypair;

    use super::*;

    fn sealer(ca: u8, seed: u8) -> Sealer {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]));
        Sealer::derive(Purpose::RefreshTokens, &CaId::from_bytes([ca; 32]), &key).unwrap()
    }

    #[test]
    fn what_was_sealed_is_opened_for_its_session_by_its_ca_and_for_nothing_else() {
        let (ours, session) = (sealer(1, 2), SessionId::from_parts(1, 2));
        let sealed = ours.seal(&session, "refresh-token").unwrap();
        assert_eq!(ours.open(&session, &sealed).unwrap().as_str(), "refresh-token");
        assert!(!sealed.windows(7).any(|part| part == b"refresh"), "it can be read");
        assert_ne!(ours.seal(&session, "refresh-token").unwrap(), sealed, "the same nonce twice");
        assert!(ours.open(&SessionId::from_parts(1, 3), &sealed).is_none(), "another session");
        assert!(sealer(9, 2).open(&session, &sealed).is_none(), "another CA");
        assert!(sealer(1, 9).open(&session, &sealed).is_none(), "another key");
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[2; 32]));
        let cursors = Sealer::derive(Purpose::Cursors, &CaId::from_bytes([1; 32]), &key).unwrap();
        assert!(cursors.open(&session, &sealed).is_none(), "another purpose");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ours.open(&session, &changed).is_none(), "byte {at}");
        }
        for length in 0..sealed.len() {
            assert!(ours.open(&session, &sealed[..length]).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn only_an_ed25519_key_has_a_seed() {
        let key = PrivateKey::random(
            &mut rand::rngs::OsRng,
            ssh_key::Algorithm::Ecdsa { curve: ssh_key::EcdsaCurve::NistP256 },
        );
        let (purpose, ca) = (Purpose::RefreshTokens, CaId::from_bytes([1; 32]));
        assert!(Sealer::derive(purpose, &ca, &key.unwrap()).is_none());
    }
}
