//! Looking for rows by person. Indexes by person are in parts: each has the rows of so many leaves, by person. What is
//! written at one moment then lies on few pages, and looking through all of a ledger takes one step a part. The
//! migrations say the same.

/// How many leaves make a part.
pub(super) const PART: u64 = 1024;

/// Of `$1` to before `$2`: `parts`, each with its number, `part`.
macro_rules! parts_of_leaves {
    () => {
        "WITH RECURSIVE parts(part) AS ( \
            SELECT CAST($1 AS BIGINT) / 1024 \
            UNION ALL \
            SELECT part + 1 FROM parts WHERE part < (CAST($2 AS BIGINT) - 1) / 1024) "
    };
}

/// The same of all sessions that there are.
macro_rules! parts_of_sessions {
    () => {
        "WITH RECURSIVE parts(part, last) AS ( \
            SELECT (SELECT MIN(leaf) FROM sessions) / 1024, (SELECT MAX(leaf) FROM sessions) / 1024 \
            UNION ALL \
            SELECT part + 1, last FROM parts WHERE part < last) "
    };
}

pub(super) use {parts_of_leaves, parts_of_sessions};

/// How many parts are looked through at once at most.
const MOST: u64 = 256;

/// How far the next query looks: one part first, twice as far while little is found, half as far while too much is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach(u64);

impl Reach {
    pub(super) fn new() -> Self {
        Self(1)
    }

    /// The leaves of the next query, at one end of those that are left: from the first to before the second.
    pub(super) fn of(self, (low, high): (u64, u64), newest_first: bool) -> (u64, u64) {
        let far = self.0.saturating_mul(PART);
        if newest_first {
            (low.max(high.saturating_sub(far)), high)
        } else {
            (low, high.min(low.saturating_add(far)))
        }
    }

    /// After a query that found so many rows of at most so many.
    pub(super) fn adapt(&mut self, found: usize, most: usize) {
        if found >= most {
            self.0 = (self.0 / 2).max(1);
        } else if found < most / 2 {
            self.0 = self.0.saturating_mul(2).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rare_is_looked_for_far_and_what_is_frequent_near() {
        let mut reach = Reach::new();
        assert_eq!(reach.of((0, 5000), true), (5000 - PART, 5000));
        assert_eq!(reach.of((0, 5000), false), (0, PART));
        assert_eq!(reach.of((10, 50), true), (10, 50));
        assert_eq!(reach.of((10, 50), false), (10, 50));
        reach.adapt(0, 100);
        reach.adapt(49, 100);
        assert_eq!(reach.of((0, 5000), true), (5000 - 4 * PART, 5000));
        reach.adapt(50, 100);
        reach.adapt(100, 100);
        assert_eq!(reach.of((0, 5000), false), (0, 2 * PART));
        (0..100).for_each(|_| reach.adapt(0, 100));
        assert_eq!(reach.of((0, u64::MAX), false), (0, MOST * PART));
        (0..100).for_each(|_| reach.adapt(100, 100));
        assert_eq!(reach.of((0, u64::MAX), false), (0, PART));
    }
}
