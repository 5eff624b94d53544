//! The invariants of DESIGN 10 that only a whole CA can show; the others are beside what keeps them.

mod certificate;
mod identity;
mod refuse;
mod secrets;
mod time;
