//! Signers: the private side of the authorities.
