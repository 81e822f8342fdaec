//! Many moves in a row: no connection is ended in use, and no child grows.

use crate::common::quick_moves::*;
use crate::common::*;
use live_kit::{World, peak_memory_kib, scenario};
use std::time::Duration;

/// valgrind does not see what stays in httpd's pools, which are given back at the end: here a pool left behind
/// by each move would show.
#[test]
fn nothing_grows_with_moves() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_now(w, 0);
        let httpd = start_following(w.httpd().children(2).live(QUICK_TTL));
        let moved = |from: usize, to: usize| {
            for n in from..=to {
                set_now(w, n);
                wait_moved(&httpd, n);
                httpd.get("/");
            }
            httpd
                .children()
                .into_iter()
                .map(|pid| (pid, peak_memory_kib(pid)))
                .collect::<Vec<_>>()
        };
        let (early, late) = (moved(1, 30), moved(31, 130));
        for ((pid, before), (same, after)) in early.iter().zip(&late) {
            assert_eq!(pid, same, "no child was replaced");
            println!("figure: child {pid}: {before} KiB, 100 moves later {after} KiB");
            // A pool has two pages, one of them used at least. The kernel's own figure varies by some pages,
            // also downwards.
            assert!(*after < before + 100 * 2, "child {pid}");
        }
    });
}

/// A connection is shut down while idle only, never under the request that has just taken it from the pool.
#[test]
fn sixty_moves_under_full_load() {
    scenario(|w: &mut World| {
        let (a, b) = backends();
        set_now(w, 0);
        let httpd = start_following(w.httpd().children(2).live(QUICK_TTL));
        // New client connections: the event MPM ends kept-alive ones when it is busy.
        let load = httpd.load().clients(16).per_connection(1);
        let load = load.pause(Duration::ZERO).start();
        for n in 1..=60 {
            set_now(w, n);
            wait_moved(&httpd, n);
        }
        let records = load.stop();
        records.assert_clean(QUICK);
        let (connections, requests) = (a.accepted() + b.accepted(), records.len());
        println!("figure: {requests} requests on {connections} connections in 60 moves");
        assert!(
            connections < requests / 3,
            "{connections} connections, {requests} requests"
        );
    });
}
