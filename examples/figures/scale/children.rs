//! 256 children of the prefork MPM, with and without the module in turns.

use super::reach;
use super::site::{APP, MORTAL, MOVING, PLACES};
use super::table::Table;
use crate::memory::{private_kib, pss_kib};
use crate::processes::{Monitor, exact_cpu_of};
use live_kit::{Backend, Builder, Httpd, LoadBuilder, Mpm, World, answers, eventually, pause};
use std::time::{Duration, Instant};

const CHILDREN: usize = 256;
const ROUNDS: usize = 3;
/// Seconds of the look at an idle server.
const IDLE: f64 = 20.0;
const KNOWN: Duration = Duration::from_secs(20);
/// Between two requests to each child.
const ASK: Duration = Duration::from_millis(200);
/// prefork itself is slow to replace children that have only just begun.
const LONG: Duration = Duration::from_secs(60);

pub fn run(world: &mut World) {
    println!(
        "== {CHILDREN} children of the prefork MPM, three workers; medians of {ROUNDS} rounds in turns"
    );
    let apps = [APP, &format!("{}:9100", PLACES[1])].map(|at| Backend::start(at, at));
    apps.iter().for_each(|app| app.record(false));
    let mortal = Backend::start("mortal", MORTAL);
    let mut table = Table::new(&["stock", "live"].map(str::to_owned));
    for _ in 0..ROUNDS {
        for live in [false, true] {
            one(world, &mut table, live, &mortal);
        }
    }
    table.print();
}

fn server(world: &mut World, live: bool) -> Builder {
    world.dns.set(MOVING, answers(&[PLACES[0]], 1));
    let httpd = world
        .httpd()
        .mpm(Mpm::Prefork)
        .children(CHILDREN)
        .patience(LONG);
    let config = format!(
        "ProxyPass /app/ http://{APP}/
ProxyPass /move/ http://{MOVING}:9100/move/
\
         ProxyPass /mortal/ http://{MORTAL}/"
    );
    let httpd = httpd.expect("").config(&config);
    if live {
        httpd
            .log_level("info proxy_live:debug")
            .live("ProxyLive on")
    } else {
        httpd
    }
}

fn one(world: &mut World, table: &mut Table, live: bool, mortal: &Backend) {
    let column = usize::from(live);
    let mut add = |what: &str, digits, value| table.add(what, column, digits, value);
    let builder = server(world, live);
    let began = Instant::now();
    let mut httpd = builder.start();
    add(
        "start until all children are there, s",
        2,
        began.elapsed().as_secs_f64(),
    );
    pause(3.0);
    let began = Instant::now();
    httpd.graceful();
    add(
        "graceful reload, the same, s",
        2,
        began.elapsed().as_secs_f64(),
    );
    pause(3.0);
    let children = httpd.children();
    let mean = |of: fn(u32) -> u64| {
        children.iter().map(|pid| of(*pid)).sum::<u64>() as f64 / children.len() as f64
    };
    add("private memory of a child, KiB", 0, mean(private_kib));
    add("its share of all memory (PSS), KiB", 0, mean(pss_kib));
    let (all, leading) = idle(&httpd, live);
    add("all children, idle, % of a core", 1, all);
    if live {
        add("of it the leading child, %", 1, leading);
        let name = || httpd.logged(&format!("name {MOVING}: addresses ")) > 0;
        eventually(KNOWN, name);
        let load = || {
            let load: LoadBuilder = httpd.load().clients(CHILDREN).pause(ASK);
            load.per_connection(usize::MAX)
        };
        let moved = reach::moves(world, load());
        add(
            "a move: ms from the DNS answer until every child, asked each 200 ms, has used it",
            1,
            moved,
        );
        let (told, (followed, refused)) = reach::dies(&httpd, load(), mortal);
        add("a death: ms until the leader says so", 1, told);
        add(
            "... ms from then until every child, asked each 200 ms, has refused a request",
            1,
            followed,
        );
        add("... so many children have refused one", 0, refused as f64);
        add("... and the return, ms", 1, reach::back(&httpd, mortal));
    }
}

/// Percent of a core: all children, and the leading one.
fn idle(httpd: &Httpd, live: bool) -> (f64, f64) {
    let children = httpd.children();
    let leader = live.then(|| Monitor::find(httpd).pid);
    let now = || {
        let all = children.iter().map(|pid| exact_cpu_of(*pid)).sum::<f64>();
        (all, leader.map_or(0.0, exact_cpu_of))
    };
    let before = now();
    pause(IDLE);
    let after = now();
    let percent = |after: f64, before: f64| 100.0 * (after - before) / IDLE;
    (percent(after.0, before.0), percent(after.1, before.1))
}
