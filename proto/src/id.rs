//! Identifiers: `req_…`, `grt_…`, `ses_…` with a lower-case ULID, the CA's id, and salts.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize, Serializer};
use ulid::Ulid;

/// Why a string is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not {0}")]
pub struct IdError(&'static str);

/// How many characters an id has: its prefix and its ULID.
const ID_CHARS: usize = 4 + ulid::ULID_LEN;

/// An id as it is written: ids are written often, and all at once is much cheaper than character by character.
struct Written([u8; ID_CHARS]);

impl Written {
    fn new(prefix: &'static str, ulid: &Ulid) -> Self {
        let mut digits = [0; ulid::ULID_LEN];
        ulid.array_to_str(&mut digits);
        digits.make_ascii_lowercase();
        let mut written = [0; ID_CHARS];
        let bytes = prefix.bytes().chain(digits);
        written.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        Self(written)
    }

    fn as_str(&self) -> &str {
        // ASCII throughout.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Ulid);

        impl $name {
            /// From a time in milliseconds since the epoch and 80 random bits.
            #[must_use]
            pub fn from_parts(milliseconds: u64, random: u128) -> Self {
                Self(Ulid::from_parts(milliseconds, random))
            }

            /// The second that it was made in.
            #[must_use]
            pub fn time(&self) -> crate::Timestamp {
                crate::Timestamp::from_seconds(self.0.timestamp_ms() / 1000)
            }

            fn written(&self) -> Written {
                Written::new($prefix, &self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.written().as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.written().as_str())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = || IdError(concat!("an id of the form ", $prefix, "…"));
                let ulid = text.strip_prefix($prefix).ok_or_else(error)?;
                let id = Ulid::from_string(ulid).map(Self).map_err(|_| error())?;
                // ULIDs may be written in several ways; only ours is an id.
                if id.written().as_str() == text { Ok(id) } else { Err(error()) }
            }
        }

        impl From<(u64, u128)> for $name {
            fn from((milliseconds, random): (u64, u128)) -> Self {
                Self::from_parts(milliseconds, random)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.written().as_str().into()
            }
        }
    };
}

ulid_id!(
    /// A request for access.
    RequestId, "req_"
);
ulid_id!(
    /// A granted request.
    GrantId, "grt_"
);
ulid_id!(
    /// An identity bound to one session key.
    SessionId, "ses_"
);

macro_rules! bytes32 {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// From raw bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The raw bytes, as they are hashed.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                BASE64URL_NOPAD.encode_display(&self.0).fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                BASE64URL_NOPAD.decode(text.as_bytes()).ok().and_then(|b| b.try_into().ok()).map(Self).ok_or(IdError($what))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                BASE64URL_NOPAD.encode(id.as_bytes())
            }
        }
    };
}

bytes32!(
    /// The CA's name in everything that is signed for it: 32 random bytes, fixed at `init`, unchanged by
    /// key rotation. Written as unpadded base64url.
    CaId, "a CA id (32 bytes in unpadded base64url)"
);
bytes32!(
    /// 32 random bytes that blind a hash. Written as unpadded base64url.
    Salt, "a salt (32 bytes in unpadded base64url)"
);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ids_are_written_one_way() {
        let id = RequestId::from_parts(1_790_000_000_000, 7);
        let text = id.to_string();
        assert_eq!(serde_json::to_value(id).unwrap(), *text);
        assert_eq!(text.len(), "req_".len() + ulid::ULID_LEN);
        assert!(text.starts_with("req_0") && text == text.to_ascii_lowercase());
        assert_eq!(text.parse::<RequestId>(), Ok(id));
        assert!(text.to_ascii_uppercase().parse::<RequestId>().is_err());
        assert!(text.parse::<GrantId>().is_err());
        assert!(text.replace('0', "o").parse::<RequestId>().is_err());
    }
}
