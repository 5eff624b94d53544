//! What must hold for any input whatever: no panic, nothing unbounded, and no allow by accident. Each target is a
//! function of bytes; the tests run it over its seeds and over noise, `cargo xtask fuzz` for as long as one likes.

mod identity;
mod policy;
mod text;

/// Takes any bytes; panics if what it is about does not hold.
pub type Target = fn(&[u8]);

/// Every target by name; `seeds/NAME/` has inputs to begin with.
pub const TARGETS: &[(&str, Target)] = &[
    ("policy", policy::text),
    ("annotations", policy::annotations),
    ("inventory", policy::inventory),
    ("claims", identity::claims),
    // The server's own tests run these two over their seeds.
    #[cfg(feature = "coverage")]
    ("token", identity::token),
    #[cfg(feature = "coverage")]
    ("discovery", identity::discovery),
    ("command", text::command),
    ("names", text::names),
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|(known, _)| *known == name).map(|(_, target)| target)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn seeds(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
        std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn every_target_holds_for_its_seeds() {
        for (name, target) in TARGETS.iter().copied() {
            let seeds = seeds(name);
            assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
            seeds.iter().for_each(|seed| target(seed));
        }
    }

    #[test]
    fn every_folder_of_seeds_has_its_target() {
        for folder in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")).unwrap() {
            let name = folder.unwrap().file_name().into_string().unwrap();
            let elsewhere = ["token", "discovery"].contains(&name.as_str());
            assert!(elsewhere || target(&name).is_some(), "seeds/{name} is for no target");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        /// Seeds with bytes changed, cut out and put in.
        #[test]
        fn every_target_holds_for_what_is_nearly_a_seed(
            which in any::<prop::sample::Index>(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
        ) {
            for (name, target) in TARGETS.iter().copied() {
                let seeds = seeds(name);
                let mut input = which.get(&seeds).clone();
                for (at, byte, edit) in &edits {
                    let at = at.index(input.len().max(1));
                    match edit {
                        0 if at < input.len() => input[at] = *byte,
                        1 if at < input.len() => drop(input.remove(at)),
                        _ => input.insert(at.min(input.len()), *byte),
                    }
                }
                target(&input);
            }
        }

        #[test]
        fn every_target_holds_for_noise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            TARGETS.iter().copied().for_each(|(_, target)| target(&bytes));
        }
    }
}
