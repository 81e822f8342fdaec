//! Epochs, the numbers of configurations: whether children live that are of one which wants something.

use std::collections::BTreeSet;

/// The epochs of the children that are alive.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Living(BTreeSet<u64>);

impl Living {
    /// Whether a child is of one of the epochs from `since` to `until`.
    pub fn any_of(&self, since: u64, until: u64) -> bool {
        since <= until && self.0.range(since..=until).next().is_some()
    }
}

impl FromIterator<u64> for Living {
    fn from_iter<T: IntoIterator<Item = u64>>(epochs: T) -> Self {
        Self(epochs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_children_of_these_epochs_count() {
        let living = Living::from_iter([2, 7, 7]);
        for (since, until, any) in [
            (1, 1, false),
            (1, 2, true),
            (3, 6, false),
            (7, 7, true),
            (8, u64::MAX, false),
            (9, 1, false),
        ] {
            assert_eq!(living.any_of(since, until), any, "{since} to {until}");
        }
        assert!(!Living::default().any_of(0, u64::MAX));
    }
}
