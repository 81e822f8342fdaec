//! Figures that ./apxs/bench prints besides throughput. Everything runs in namespaces of its own.
//!
//! `figures [names] [members] [many] [checks] [failover] [status] [scale] [leaks] [busy] [--busy MINUTES] [--requests N] [--moves N] [--mpm MPM]`: these parts;
//! when none is named the first five, and the last one when its minutes are given. The MPM (event or prefork) of `failover` and
//! `leaks` is both unless it is given; --requests and --moves are those of `leaks`.

mod arrivals;
mod beside;
mod busy;
mod checks;
mod failover;
mod leaks;
mod many;
mod members;
mod memory;
mod names;
mod processes;
mod scale;
mod status;
mod times;

use live_kit::{Mpm, World};

/// Of the busy run when nothing else is said.
const BUSY_MINUTES: u64 = 10;
/// Of the part `leaks` when nothing else is said.
const LEAK_REQUESTS: usize = 1_000_000;
const LEAK_MOVES: usize = 10_000;
const USAGE: &str = "usage: figures [names] [members] [many] [checks] [failover] [status] [scale] [leaks] [busy] [--busy MINUTES] [--requests N] [--moves N] [--mpm event|prefork]";

fn main() {
    let wanted = Wanted::read(std::env::args().skip(1)).unwrap_or_else(|message| {
        eprintln!("{message}\n{USAGE}");
        std::process::exit(2)
    });
    std::process::exit(live_kit::private("figures", |world| {
        figures(world, &wanted)
    }));
}

/// What the command line says.
#[derive(Default)]
struct Wanted {
    parts: Vec<String>,
    busy_minutes: u64,
    /// Of the parts `failover` and `leaks`; none: both.
    mpm: Option<Mpm>,
    /// Of the part `leaks`.
    requests: Option<usize>,
    moves: Option<usize>,
}

impl Wanted {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--busy" => {
                    let minutes = args.next().unwrap_or_default();
                    wanted.busy_minutes = minutes
                        .parse()
                        .map_err(|_| format!("--busy needs minutes; read '{minutes}'"))?;
                }
                "--requests" => wanted.requests = Some(number(&arg, args.next())?),
                "--moves" => wanted.moves = Some(number(&arg, args.next())?),
                "--mpm" => {
                    wanted.mpm = match args.next().as_deref() {
                        Some("event") => Some(Mpm::Event),
                        Some("prefork") => Some(Mpm::Prefork),
                        other => {
                            return Err(format!("--mpm needs event or prefork; read {other:?}"));
                        }
                    };
                }
                "names" | "members" | "many" | "checks" | "failover" | "status" | "scale"
                | "leaks" | "busy" => wanted.parts.push(arg),
                _ => return Err(format!("unknown: {arg}")),
            }
        }
        if wanted.named("busy") && wanted.busy_minutes == 0 {
            wanted.busy_minutes = BUSY_MINUTES;
        }
        Ok(wanted)
    }

    /// Those of the parts that take both unless one is named.
    fn mpms(&self) -> Vec<Mpm> {
        let both = [Mpm::Event, Mpm::Prefork].into_iter();
        both.filter(|mpm| self.mpm.is_none_or(|only| only == *mpm))
            .collect()
    }

    fn has(&self, part: &str) -> bool {
        self.parts.is_empty() || self.named(part)
    }

    fn named(&self, part: &str) -> bool {
        self.parts.iter().any(|p| p == part)
    }
}

fn number(option: &str, value: Option<String>) -> Result<usize, String> {
    let value = value.unwrap_or_default();
    let number = value.parse().ok().filter(|n| *n > 0);
    number.ok_or_else(|| format!("{option} needs a number; read '{value}'"))
}

fn figures(world: &mut World, wanted: &Wanted) {
    if wanted.has("names") {
        names::run(world);
    }
    if wanted.has("members") {
        members::run(world);
    }
    if wanted.has("many") {
        many::run(world);
    }
    if wanted.has("checks") {
        checks::run(world);
    }
    if wanted.has("failover") {
        let mpms = wanted.mpms();
        mpms.iter().for_each(|mpm| failover::run(world, *mpm));
    }
    if wanted.named("status") {
        status::run(world);
    }
    if wanted.named("scale") {
        scale::run(world);
    }
    if wanted.named("leaks") {
        let requests = wanted.requests.unwrap_or(LEAK_REQUESTS);
        let moves = wanted.moves.unwrap_or(LEAK_MOVES);
        leaks::run(world, requests, moves, &wanted.mpms());
    }
    if wanted.busy_minutes > 0 {
        busy::run(world, wanted.busy_minutes);
    }
}

/// Prints median and maximum of values in seconds.
fn row(what: &str, values: &[f64]) {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.last() {
        Some(max) => {
            let (median, n) = (values[values.len() / 2], values.len());
            println!("{what:<58} median {median:.3}, max {max:.3} ({n} times)");
        }
        None => println!("{what:<58} none"),
    }
}
