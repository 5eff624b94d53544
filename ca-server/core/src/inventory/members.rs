//! The hosts of a group, by name.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;
use core::iter::FusedIterator;

use super::{Host, Inventory};

/// The hosts of a group, directly or by nesting, by name. Cheap to make and to count, whatever the group's size.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    inventory: &'a Inventory,
    /// For each kind of hosts in the group: the next host of it, and those after.
    next: BinaryHeap<Reverse<(u32, &'a [u32])>>,
    left: usize,
}

impl<'a> Members<'a> {
    /// `kinds`: for each, its hosts in order.
    pub(super) fn new(inventory: &'a Inventory, kinds: impl Iterator<Item = &'a [u32]>) -> Self {
        let mut left: usize = 0;
        let next = kinds
            .filter_map(|hosts| {
                left = left.saturating_add(hosts.len());
                let (first, rest) = hosts.split_first()?;
                Some(Reverse((*first, rest)))
            })
            .collect();
        Self { inventory, next, left }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Host<'a>;

    fn next(&mut self) -> Option<Host<'a>> {
        let Reverse((host, rest)) = self.next.pop()?;
        if let Some((first, rest)) = rest.split_first() {
            self.next.push(Reverse((*first, rest)));
        }
        self.left = self.left.saturating_sub(1);
        self.inventory.at(host)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Members<'_> {}
impl FusedIterator for Members<'_> {}
