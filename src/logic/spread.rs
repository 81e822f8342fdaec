//! Which address new connections dial first (`livespread`).

/// The order in which a child should list `opened.len()` addresses: those to which it has opened the
/// fewest connections first; among equals in rotation from the child's own `offset`.
///
/// `opened[i]` counts connections opened to address i since the set changed.
pub fn order(opened: &[u32], offset: u64) -> Vec<usize> {
    let n = opened.len();
    if n == 0 {
        return Vec::new();
    }
    let start = (offset % n as u64) as usize;
    let mut order: Vec<usize> = (0..n).map(|i| (start + i) % n).collect();
    // A stable sort: the rotation decides among equals.
    order.sort_by_key(|i| opened[*i]);
    order
}

/// Keeps counters small without changing who is behind; called after each batch.
pub fn settle(opened: &mut [u32]) {
    let least = opened.iter().copied().min().unwrap_or(0);
    for count in opened {
        *count -= least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_start_at_different_addresses() {
        let first: Vec<usize> = (0..4).map(|child| order(&[0, 0, 0], child)[0]).collect();
        assert_eq!(first, [0, 1, 2, 0]);
        assert_eq!(order(&[0, 0, 0], 1), [1, 2, 0]);
        assert!(order(&[], 7).is_empty());
        assert_eq!(order(&[5], u64::MAX), [0]);
    }

    #[test]
    fn the_least_used_address_is_next() {
        assert_eq!(order(&[9, 2, 4], 0), [1, 2, 0]);
    }

    #[test]
    fn uneven_batches_even_out() {
        let mut opened = [0u32; 3];
        let mut total = [0u32; 3];
        for round in 0..300u32 {
            let head = order(&opened, 2)[0];
            let batch = 1 + (round * 7919) % 13;
            opened[head] += batch;
            total[head] += batch;
            settle(&mut opened);
        }
        let sum: u32 = total.iter().sum();
        for count in total {
            assert!(count.abs_diff(sum / 3) <= 13, "{total:?}");
        }
        assert!(opened.iter().all(|c| *c <= 26), "{opened:?}");
    }
}
