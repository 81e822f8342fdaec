//! The end of a run: what is judged as a whole, and what is printed.

use super::{Chaos, JUDGED};
use crate::act::Servers;
use crate::action::At;
use crate::askers::Asker;
use crate::bounds::Bounds;
use crate::machines::Machines;
use crate::report::{Report, Tally};
use crate::truth::Truth;
use crate::users::Users;
use live_kit::World;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl Chaos {
    /// Ends the load and both servers, and prints what there was. Whether everything was as it should be.
    pub(super) fn end(mut self, world: &World, machines: &Machines, servers: Servers) -> bool {
        let users = std::mem::take(&mut self.users);
        users.into_iter().for_each(Users::stop);
        std::thread::sleep(Duration::from_millis(JUDGED + 200));
        let now = self.now();
        self.look(now, machines);
        self.losses(now);
        let askers = std::mem::take(&mut self.status).into_iter();
        let askers = askers.chain(std::mem::take(&mut self.ready));
        askers.for_each(Asker::stop);
        let logs = [&servers.live, &servers.stock].map(|httpd| httpd.root().to_owned());
        ended(&mut self.report, now, servers);
        if !self.report.violations.is_empty() {
            keep(&logs, self.seed);
        }
        self.report.print();
        let rescued = self.accesses[0].rescued;
        println!("rescued: {rescued} requests of the httpd with the module");
        println!(
            "by children that outlived their generation: {} answers, {} status pages",
            self.old_answers, self.old_pages
        );
        println!("DNS: {} queries", world.dns.queries().len());
        processes(&self.bounds);
        stood_still(&self.truth);
        self.sum_up();
        self.report.violations.is_empty()
    }

    /// The last line: a row of a table.
    fn sum_up(&self) {
        let (of, wrong) = (&self.report, (|t| t.wrong) as fn(&Tally) -> usize);
        println!(
            "{} | requests {} | violations {} | wrong with the stock httpd {}",
            self.what,
            of.sum(true, |t| t.all),
            of.violations.len(),
            of.sum(false, wrong),
        );
    }

    /// What no single request can tell: how many of them were lost where some are lost with any httpd.
    fn losses(&mut self, now: At) {
        for (what, of) in [
            ("ended generations", (|t| t.ended) as fn(&Tally) -> usize),
            ("killed children", |t| t.killed),
        ] {
            let (ours, theirs) = (self.report.sum(true, of), self.report.sum(false, of));
            if ours > most_lost(theirs) {
                let what = format!("{ours} requests lost with {what}, stock httpd: {theirs}");
                self.wrong(now, &what);
            }
        }
    }
}

/// So many may be lost where a stock httpd loses `theirs`: a tenth for other numbers of requests, and four times the
/// spread of such counts.
fn most_lost(theirs: usize) -> usize {
    theirs + theirs / 10 + 4 * (2 * theirs).isqrt() + 10
}

fn processes(bounds: &Bounds) {
    for (who, most) in [("live", &bounds.live), ("stock", &bounds.stock)] {
        println!(
            "{who}: at most {} children, {} KiB and {} descriptors in one, {} KiB in the parent; {} children that \
             httpd did not end with their generation",
            most.children, most.child_kib, most.descriptors, most.parent_kib, most.overdue
        );
    }
}

fn stood_still(truth: &Truth) {
    let stalls = truth.stalls.iter().map(|(_, late)| *late);
    let (sum, most) = (stalls.clone().sum::<At>(), stalls.max().unwrap_or(0));
    println!(
        "this machine stood still for {:.1} s, at most {:.1} s",
        sum as f64 / 1e3,
        most as f64 / 1e3
    );
}

/// The kit judges what the servers leave behind, and panics.
fn ended(report: &mut Report, now: At, servers: Servers) {
    for (who, httpd) in [("live", servers.live), ("stock", servers.stock)] {
        let stop = std::panic::AssertUnwindSafe(move || drop(httpd));
        if let (Err(why), "live") = (std::panic::catch_unwind(stop), who) {
            let why = why.downcast_ref::<String>().map_or("", String::as_str);
            report.violation(now, &format!("at the end: {why}"), &[]);
        }
    }
}

/// Copies configurations and logs of both servers to a place that outlives the run.
fn keep(roots: &[PathBuf], seed: u64) {
    let to = std::env::temp_dir().join(format!("chaos-{seed}-{}", clock()));
    let made = fs::create_dir_all(&to);
    let copied = made.and_then(|()| Command::new("cp").arg("-r").args(roots).arg(&to).status());
    match copied {
        Ok(_) => println!("logs: {}", to.display()),
        Err(e) => println!("the logs could not be kept: {e}"),
    }
}

/// Seconds since 1970.
fn clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::most_lost;

    #[test]
    fn bounds_of_losses() {
        assert_eq!(most_lost(0), 10);
        assert_eq!(most_lost(50), 50 + 5 + 40 + 10);
        assert!(most_lost(5_000) < 6_000);
    }
}
