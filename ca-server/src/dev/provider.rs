//! The development identity provider: code + PKCE, a page to pick a person.

use crate::clock::Clock;

/// A person.
pub struct Person {
    /// Name.
    pub name: &'static str,
    /// Groups.
    pub groups: &'static [&'static str],
}

/// The people.
pub const PEOPLE: &[Person] = &[];

/// Serves.
pub async fn serve(listener: tokio::net::TcpListener, clock: impl Clock) {
    let _ = (listener, clock);
}
