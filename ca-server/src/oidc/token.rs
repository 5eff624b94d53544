//! The outer shape of an ID token: one compact JWS (RFC 7515, 7.1) with a header that means nothing beyond which
//! key signed and how. Nothing here is trusted yet.

use data_encoding::BASE64URL_NOPAD;
use jit_ssh_proto::{Code, Problem};
use openidconnect::core::CoreJwsSigningAlgorithm as Algorithm;
use serde_json::Value;

use super::json;

/// The largest token that is looked at.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The longest key id.
const MAX_KID_BYTES: usize = 512;

/// A token taken apart.
#[derive(Debug)]
pub(crate) struct Compact<'a> {
    /// What the signature is over: `header.payload` as it came.
    pub(crate) signing_input: &'a str,
    /// The header's JSON.
    pub(crate) header: Vec<u8>,
    /// The payload's JSON.
    pub(crate) payload: Vec<u8>,
    /// Whether the third part is empty.
    pub(crate) unsigned: bool,
}

impl<'a> Compact<'a> {
    /// Three parts of canonical base64url without padding, and no more.
    ///
    /// # Errors
    /// `token_malformed`.
    pub(crate) fn parse(token: &'a str) -> Result<Self, Problem> {
        let malformed = |what: &str| {
            Problem::new(
                Code::TokenMalformed,
                format!("The ID token {what}; log in again to get a fresh one."),
            )
        };
        if token.len() > MAX_TOKEN_BYTES {
            return Err(malformed("is larger than 16 KiB"));
        }
        let shape = || malformed("is not one compact JWS (three base64url parts)");
        let (signing_input, signature) = token.rsplit_once('.').ok_or_else(shape)?;
        let (header, payload) = signing_input.split_once('.').ok_or_else(shape)?;
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| shape());
        let parsed = Self {
            signing_input,
            header: decode(header)?,
            payload: decode(payload)?,
            unsigned: decode(signature)?.is_empty(),
        };
        if parsed.header.is_empty() || parsed.payload.is_empty() {
            return Err(shape());
        }
        Ok(parsed)
    }
}

/// What a header may say.
#[derive(Debug)]
pub(crate) struct Header {
    /// `alg`
    pub(crate) algorithm: Algorithm,
    /// `kid`
    pub(crate) kid: Option<String>,
}

impl Header {
    /// Reads the header under the issuer's list of algorithms.
    ///
    /// `alg`, `kid` and `typ` are understood. `x5t` and `x5t#S256` are let by unread, because some providers (GitHub
    /// Actions, Entra) send a thumbprint beside `kid`: it names a key and cannot bring one. All else is refused.
    ///
    /// # Errors
    /// `token_malformed`, `token_header`, `token_unsigned`, `token_algorithm`.
    pub(crate) fn read(compact: &Compact<'_>, allowed: &[Algorithm]) -> Result<Self, Problem> {
        Self::read_as(compact, allowed, &["JWT"])
    }

    /// The same for a token of another kind, which these types say (RFC 8725, 3.11); one without a type says nothing.
    pub(crate) fn read_as(
        compact: &Compact<'_>,
        allowed: &[Algorithm],
        types: &[&str],
    ) -> Result<Self, Problem> {
        let refused = |what: String| {
            Problem::new(
                Code::TokenHeader,
                format!(
                    "The ID token's header {what}: the identity provider must send a plain signed token."
                ),
            )
        };
        let members = json::object(&compact.header).map_err(|_| {
            Problem::new(
                Code::TokenMalformed,
                "The ID token's header is not one plain JSON object; log in again.",
            )
        })?;
        let (mut alg, mut kid) = (None, None);
        for (name, value) in members {
            match (name.as_str(), value) {
                ("alg", Value::String(text)) => alg = Some(text),
                ("kid", Value::String(text)) if !text.is_empty() && text.len() <= MAX_KID_BYTES => {
                    kid = Some(text)
                }
                ("typ", Value::String(text)) if types.iter().any(|typ| text.eq_ignore_ascii_case(typ)) => {}
                ("x5t" | "x5t#S256", Value::String(_)) => {}
                ("alg" | "kid" | "typ" | "x5t" | "x5t#S256", _) => {
                    return Err(refused(format!("has an unusable {name:?}")));
                }
                ("crit" | "jku" | "jwk" | "x5u" | "x5c" | "b64" | "zip" | "enc" | "cty", _) => {
                    return Err(refused(format!("has {name:?}, which is never allowed")));
                }
                (_, _) => return Err(refused("has a parameter other than alg, kid, typ, x5t".to_owned())),
            }
        }
        let alg = alg.ok_or_else(|| refused("has no \"alg\"".to_owned()))?;
        if alg.eq_ignore_ascii_case("none") || compact.unsigned {
            return Err(Problem::new(
                Code::TokenUnsigned,
                "The ID token is not signed; only signed tokens are taken.",
            ));
        }
        match algorithm(&alg).filter(|algorithm| allowed.contains(algorithm)) {
            Some(algorithm) => Ok(Self { algorithm, kid }),
            None => Err(Problem::new(
                Code::TokenAlgorithm,
                "The ID token is signed with an algorithm that is not on the issuer's list: the operator of the CA can \
                 set `algorithms` in the [[issuer]] entry.",
            )),
        }
    }
}

/// The algorithms that the CA knows. Symmetric ones are not among them: their key would be in every client.
pub(crate) fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RsaSsaPkcs1V15Sha256),
        "PS256" => Some(Algorithm::RsaSsaPssSha256),
        "ES256" => Some(Algorithm::EcdsaP256Sha256),
        "ES384" => Some(Algorithm::EcdsaP384Sha384),
        "EdDSA" => Some(Algorithm::EdDsa),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is accepted is written in one way only: its parts encode to the very same text.
        #[test]
        fn an_accepted_token_has_no_other_spelling(token in "[A-Za-z0-9_-]{0,12}\\.[A-Za-z0-9_=+-]{0,12}\\.[A-Za-z0-9_-]{0,12}") {
            if let Ok(parsed) = Compact::parse(&token) {
                let again = format!("{}.{}", BASE64URL_NOPAD.encode(&parsed.header), BASE64URL_NOPAD.encode(&parsed.payload));
                prop_assert_eq!(parsed.signing_input, again);
            }
        }

        #[test]
        fn no_text_makes_it_panic(token in ".{0,80}") {
            if let Ok(parsed) = Compact::parse(&token) {
                prop_assert!(Header::read(&parsed, &[Algorithm::EdDsa]).is_err());
            }
        }
    }
}
