//! The development identity provider: code + PKCE, a page to pick a person.
