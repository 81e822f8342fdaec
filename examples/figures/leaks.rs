//! Whether anything grows: memory and descriptors of every child over very many requests, changes of addresses, and
//! deaths.

mod samples;
mod site;

use live_kit::{Mpm, World, pause};
use samples::Samples;
use site::{MEMBERS, Site};
use std::time::{Duration, Instant};

/// Requests are counted in such pieces: a record of each of a million would be much memory.
const PIECE: Duration = Duration::from_secs(2);
pub fn run(world: &mut World, requests: usize, moves: usize, mpms: &[Mpm]) {
    println!(
        "== memory and descriptors of the children: {requests} requests, then {moves} changes of addresses, then \
         {MEMBERS} deaths, both under load; slopes by least squares, the first quarter of each left out\n"
    );
    println!(
        "| | failed requests | largest child at first, at last, KiB | steepest child, KiB | leading child, KiB | most descriptors at first, at last |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for mpm in mpms {
        let site = Site::start(world, *mpm);
        let name = format!("{mpm:?}").to_lowercase();
        warm_up(world, &site);
        many_requests(&site, requests).print(
            &format!("{name}, {requests} requests"),
            "1,000 requests",
            1e3,
        );
        let (samples, done) = many_moves(world, &site, moves);
        samples.print(&format!("{name}, {done} moves"), "1,000 moves", 1e3);
        many_deaths(&site).print(&format!("{name}, {MEMBERS} deaths"), "death", 1.0);
    }
    println!();
}

/// Each name has been at both places before anything counts.
fn warm_up(world: &World, site: &Site) {
    for n in 1..=4 {
        site.move_all(world, n);
        site.load().run(site::EACH);
    }
    site.load().pause(Duration::ZERO).run(5 * PIECE);
}

/// At full speed, and nothing else happens.
fn many_requests(site: &Site, wanted: usize) -> Samples<'_> {
    let mut samples = Samples::new(&site.httpd);
    let mut done = 0;
    while done < wanted {
        let records = site.load().pause(Duration::ZERO).run(PIECE);
        done += records.len();
        samples.take(done as f64, records.failed().len());
    }
    samples
}

/// All names change each time; with it how many changes the module has seen.
fn many_moves<'a>(world: &World, site: &'a Site, wanted: usize) -> (Samples<'a>, usize) {
    let mut samples = Samples::new(&site.httpd);
    let before = site.moves();
    let (mut round, mut done) = (0, 0);
    while done < wanted {
        let load = site.load().start();
        let began = Instant::now();
        while began.elapsed() < PIECE {
            site.move_all(world, round);
            round += 1;
            std::thread::sleep(site::EACH);
        }
        let failed = load.stop().failed().len();
        done = site.moves() - before;
        samples.take(done as f64, failed);
    }
    (samples, done)
}

/// A member of the pool dies with its requests, and returns.
fn many_deaths(site: &Site) -> Samples<'_> {
    let mut samples = Samples::new(&site.httpd);
    for n in 1..=MEMBERS {
        let load = site.load().start();
        // Each dies once: one that flaps would take longer and longer to come back.
        let member = site.member(n);
        member.kill();
        pause(1.0);
        member.revive();
        pause(1.5);
        samples.take(n as f64, load.stop().failed().len());
    }
    samples
}
