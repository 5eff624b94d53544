//! What may stand in `address`.

use core::net::IpAddr;

use jit_ssh_proto::Name;

/// `ADDRESS[:PORT]`: a name of DNS, an IPv4 address, or an IPv6 address, in brackets if a port follows.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    const FORM: &str =
        "is not ADDRESS[:PORT]: write a DNS name, an IPv4 address, or an IPv6 address in brackets";
    let port = |port: &str| {
        let digits = !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
        match port.parse::<u16>() {
            Ok(1..) if digits && !port.starts_with('0') => Ok(()),
            Ok(_) | Err(_) => Err("has no port from 1 to 65535 after its last ':'"),
        }
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(FORM)?;
        return match (address.parse::<IpAddr>(), after.strip_prefix(':')) {
            (Ok(IpAddr::V6(_)), Some(digits)) => port(digits),
            (Ok(IpAddr::V6(_)), None) if after.is_empty() => Ok(()),
            (Ok(_) | Err(_), _) => Err(FORM),
        };
    }
    if let Ok(IpAddr::V6(_)) = text.parse() {
        return Ok(());
    }
    let (name, digits) = match text.split_once(':') {
        Some((name, digits)) => (name, Some(digits)),
        None => (text, None),
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > Name::MAX_BYTES || !name.split('.').all(label) {
        return Err(FORM);
    }
    digits.map_or(Ok(()), port)
}
