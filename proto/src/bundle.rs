//! The trust bundle: which authorities to trust, signed by the trust key that clients and hosts pin (DESIGN 9).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use ssh_key::{HashAlg, PublicKey, SigningKey};

use crate::{CaId, Namespace, SshSigError, Timestamp, sshsig};

/// What `GET /.well-known/jit-ssh` answers: the bundle's exact bytes and the trust key's signature over them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedBundle {
    /// A [`TrustBundle`] as JSON text, signed as it stands.
    pub bundle: String,
    /// The trust key, an OpenSSH public key line. Trusted only if it is the pinned one.
    pub trust_key: String,
    /// SSHSIG over `bundle`, namespace `trust@jit-ssh`, in unpadded base64url.
    pub signature: String,
}

/// What a client or host needs to know of a CA. Fields that a reader does not know are ignored, so that later
/// versions can add some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustBundle {
    /// The form of this bundle: 1.
    pub version: u32,
    /// The CA's id, unchanged by key rotation.
    pub ca_id: CaId,
    /// The CA's address.
    pub url: String,
    /// When the bundle was made: a reader never goes back to an earlier one.
    pub issued: Timestamp,
    /// The keys that sign certificates.
    pub authorities: Vec<AuthorityEntry>,
    /// The key that signs the ledger's checkpoints, an OpenSSH public key line.
    pub ledger_key: String,
    /// The identity providers.
    pub issuers: Vec<IssuerEntry>,
    /// Patterns of host names whose host certificates this CA signs, to be confirmed by the user.
    pub host_patterns: Vec<String>,
}

/// A key that signs certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityEntry {
    /// `user`, `host` or `user-NAME`.
    pub name: String,
    /// `user` or `host`: the one kind of certificate it signs.
    pub kind: String,
    /// An OpenSSH public key line.
    pub key: String,
}

/// An identity provider, as a client needs it to log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerEntry {
    /// Its alias.
    pub name: String,
    /// The issuer identifier, an https URL.
    pub url: String,
    /// The client id of `jit-ssh` there.
    pub client_id: String,
    /// The non-confidential secret that some providers demand of native apps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// The client of the device grant, if that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_client_id: Option<String>,
    /// Its non-confidential secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_client_secret: Option<String>,
    /// The audience that its tokens must name, if that is not the client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// `user` or `workload`.
    pub kind: String,
    /// `code`, …
    pub flows: Vec<String>,
    /// OAuth scopes to ask for.
    pub scopes: Vec<String>,
    /// Whether the CA asks the provider about sessions while they live: then a refresh token that comes with the ID
    /// token is handed to it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub revalidate: bool,
    /// The port of 127.0.0.1 to which the provider sends the browser back, where it takes that one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_port: Option<u16>,
}

impl IssuerEntry {
    /// The audience that its tokens must name: what a workload asks its platform for.
    #[must_use]
    pub fn audience(&self) -> &str {
        self.audience.as_deref().unwrap_or(&self.client_id)
    }
}

/// Why a bundle is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not the JSON of a bundle.
    #[error("the trust bundle is not understood")]
    Malformed,
    /// Signed by a key that is not the pinned one.
    #[error("the trust bundle is signed by {found}, but {pinned} is pinned")]
    OtherKey {
        /// The fingerprint found.
        found: String,
        /// The fingerprint pinned.
        pinned: String,
    },
    /// The signature does not verify.
    #[error("the trust bundle's signature does not verify")]
    Signature(#[from] SshSigError),
}

impl SignedBundle {
    /// Signs a bundle with the trust key.
    ///
    /// # Errors
    /// When it cannot be written or signed.
    pub fn sign<K: SigningKey>(
        bundle: &TrustBundle,
        trust_key: &PublicKey,
        signer: &K,
    ) -> Result<Self, BundleError> {
        let text = serde_json::to_string(bundle).map_err(|_| BundleError::Malformed)?;
        let envelope = sshsig::sign(signer, Namespace::Trust, text.as_bytes())?;
        Ok(Self {
            bundle: text,
            trust_key: trust_key.to_openssh().map_err(|_| BundleError::Malformed)?,
            signature: BASE64URL_NOPAD.encode(&envelope),
        })
    }

    /// The fingerprint (`SHA256:…`) of the key that this bundle says signed it: what a person compares at setup.
    ///
    /// # Errors
    /// When the key is not one.
    pub fn trust_fingerprint(&self) -> Result<String, BundleError> {
        Ok(self.key()?.fingerprint(HashAlg::Sha256).to_string())
    }

    fn key(&self) -> Result<PublicKey, BundleError> {
        PublicKey::from_openssh(&self.trust_key).map_err(|_| BundleError::Malformed)
    }

    /// Verifies the bundle against the pinned fingerprint of the trust key and reads it.
    ///
    /// # Errors
    /// When key, signature or contents are not right.
    pub fn open(&self, pinned: &str) -> Result<TrustBundle, BundleError> {
        let key = self.key()?;
        let found = self.trust_fingerprint()?;
        if found != pinned {
            return Err(BundleError::OtherKey { found, pinned: pinned.to_string() });
        }
        let envelope =
            BASE64URL_NOPAD.decode(self.signature.as_bytes()).map_err(|_| BundleError::Malformed)?;
        sshsig::verify(&key, Namespace::Trust, self.bundle.as_bytes(), &envelope)?;
        let bundle: TrustBundle = serde_json::from_str(&self.bundle).map_err(|_| BundleError::Malformed)?;
        if bundle.version == 1 { Ok(bundle) } else { Err(BundleError::Malformed) }
    }
}
