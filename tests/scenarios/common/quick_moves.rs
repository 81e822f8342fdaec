//! What the scenarios with very many moves share: a name that changes as fast as the module follows.

use crate::common::{IP_A, IP_B};
use live_kit::{Httpd, World, answers, eventually};
use std::time::Duration;

/// A TTL of 0 becomes 100 ms; pools give their memory back at once.
pub const QUICK_TTL: &str =
    "ProxyPass / http://app.test:9000/ live=on livettl=100ms-1h\nMaxMemFree 1";

/// `app.test` is at A after an even number of moves, at B after an odd one.
pub fn set_now(w: &World, moves: usize) {
    w.dns
        .set("app.test", answers(&[[IP_A, IP_B][moves % 2]], 0));
}

/// The first line about the name tells its first addresses, each further one a move.
pub fn wait_moved(httpd: &Httpd, moves: usize) {
    eventually(Duration::from_secs(20), || {
        httpd.logged("name app.test: addresses ") > moves
    });
}
