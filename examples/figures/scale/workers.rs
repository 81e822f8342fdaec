//! 1,000 and 10,000 workers in 100 virtual hosts, with and without the module in turns.

use super::reach;
use super::site::{self, APP, GENERATION, MORTAL, PLACES};
use super::table::Table;
use crate::memory;
use crate::processes::{Monitor, board_kib, exact_cpu_of, serving_cpu};
use live_kit::{Backend, Httpd, LoadBuilder, Signal, World, eventually, pause};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const SIZES: [usize; 2] = [1_000, 10_000];
const ROUNDS: usize = 3;
const RELOADS: usize = 3;
/// Of the look at an idle server, seconds; once for each.
const IDLE: f64 = 30.0;
/// How long requests are counted.
const LOAD: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(120);
/// A reload is seen by requests one behind the other, with this pause.
const LOOK: Duration = Duration::from_millis(2);

pub fn run(world: &mut World) {
    println!(
        "== {SIZES:?} workers (half names at TTL 60 s, half numbers; half members of balancers) in {} virtual hosts, \
         event, 4 children, defaults; medians of {ROUNDS} rounds in turns",
        site::HOSTS
    );
    let apps = [APP, &format!("{}:9100", PLACES[1])].map(|at| Backend::start(at, at));
    apps.iter().for_each(|app| app.record(false));
    let mortal = Backend::start("mortal", MORTAL);
    site::PORTS.for_each(|port| {
        let listener = TcpListener::bind(("0.0.0.0", port)).expect("listen");
        std::thread::spawn(move || while listener.accept().is_ok() {});
    });
    let name = |n: &usize| [format!("{n} stock"), format!("{n} live")];
    let mut table = Table::new(&SIZES.iter().flat_map(name).collect::<Vec<String>>());
    for round in 0..ROUNDS {
        for (at, workers) in SIZES.into_iter().enumerate() {
            site::set_names(world, workers, 60);
            for live in [false, true] {
                let column = 2 * at + usize::from(live);
                let mut one = One {
                    table: &mut table,
                    column,
                    live,
                };
                one.round(world, workers, round == 0, &mortal);
            }
        }
    }
    table.print();
}

/// One server of one kind.
struct One<'a> {
    table: &'a mut Table,
    column: usize,
    live: bool,
}

impl One<'_> {
    fn add(&mut self, what: &str, digits: usize, value: f64) {
        self.table.add(what, self.column, digits, value);
    }

    fn round(&mut self, world: &mut World, workers: usize, long: bool, mortal: &Backend) {
        let builder = site::server(world, workers, self.live);
        let began = Instant::now();
        let mut httpd = builder.start();
        assert_eq!(httpd.get("/app/").status, 200);
        self.add("start until the first answer, s", 2, since(began));
        if self.live {
            eventually(LONG, || httpd.get("/ready").status == 200);
            self.add(
                "start until all names and probes have answered, s",
                2,
                since(began),
            );
        }
        for n in 1..=RELOADS {
            self.reload(&mut httpd, n);
        }
        pause(3.0);
        self.sizes(&httpd);
        self.requests(&httpd);
        if self.live {
            self.news(world, &httpd, mortal);
        }
        if long {
            self.idle(&httpd);
        }
    }

    /// Until the first answer of the new generation, and until the last one of the old has ended.
    fn reload(&mut self, httpd: &mut Httpd, n: usize) {
        httpd.reconfigure(|b| b.config(&format!("Header always set {GENERATION} {n}")));
        let old = httpd.children();
        let began = Instant::now();
        httpd.signal(httpd.pid(), Signal::USR1);
        let wanted = n.to_string();
        loop {
            let answer = httpd.try_get("/app/");
            if answer.is_ok_and(|a| a.header(GENERATION) == Some(&wanted)) {
                break;
            }
            assert!(began.elapsed() < LONG, "no new generation");
            std::thread::sleep(LOOK);
        }
        self.add(
            "graceful reload until the new generation answers, s",
            2,
            since(began),
        );
        eventually(LONG, || {
            let now = httpd.children();
            now.len() >= 4 && !old.iter().any(|pid| now.contains(pid))
        });
        self.add("... until the old one is gone, s", 2, since(began));
    }

    fn sizes(&mut self, httpd: &Httpd) {
        let children = httpd.children();
        let leader = self.live.then(|| Monitor::find(httpd).pid);
        let (mut private, mut share) = (Vec::new(), Vec::new());
        for pid in children.iter().filter(|pid| Some(**pid) != leader) {
            private.push(memory::private_kib(*pid));
            share.push(memory::pss_kib(*pid));
        }
        let mean =
            |values: &[u64]| values.iter().sum::<u64>() as f64 / values.len() as f64 / 1024.0;
        self.add("private memory of a child, MiB", 2, mean(&private));
        self.add("its share of all memory (PSS), MiB", 2, mean(&share));
        let parent = memory::private_kib(httpd.pid()) as f64 / 1024.0;
        self.add("private memory of the parent, MiB", 2, parent);
        if let Some(leader) = leader {
            let kib = memory::private_kib(leader) as f64 / 1024.0;
            self.add("private memory of the leading child, MiB", 2, kib);
            self.add(
                "board, touched, MiB",
                2,
                board_kib(leader).1 as f64 / 1024.0,
            );
        }
    }

    /// At full speed, on the first virtual host.
    fn requests(&mut self, httpd: &Httpd) {
        let load = || {
            let load = LoadBuilder::on(&httpd.addr().to_string()).path("/app/");
            load.pause(Duration::ZERO).per_connection(usize::MAX)
        };
        load().run(LOAD / 3);
        let cpu = serving_cpu(httpd);
        let done = load().run(LOAD);
        let each = 1e6 * (serving_cpu(httpd) - cpu) / done.len() as f64;
        self.add("CPU of a request, us", 1, each);
    }

    fn news(&mut self, world: &World, httpd: &Httpd, mortal: &Backend) {
        // New connections now and then, so that each child gets some.
        let load = || {
            let load = httpd.load().clients(16).per_connection(20);
            load.pause(Duration::from_millis(1))
        };
        let moved = reach::moves(world, load());
        self.add(
            "a move is in force in every child, ms after the DNS answer",
            1,
            moved,
        );
        let (told, (followed, _)) = reach::dies(httpd, load(), mortal);
        self.add("a death: ms until the leader says so", 1, told);
        self.add("... ms from then until every child acts on it", 1, followed);
        let back = reach::back(httpd, mortal);
        self.add("... and the return, ms", 1, back);
    }

    fn idle(&mut self, httpd: &Httpd) {
        let children = httpd.children();
        let all = || children.iter().map(|pid| exact_cpu_of(*pid)).sum::<f64>();
        let monitor = self.live.then(|| Monitor::find(httpd));
        let leading = || monitor.as_ref().map_or(0.0, Monitor::cpu);
        let before = (all(), leading());
        pause(IDLE);
        let percent = |now: f64, before: f64| 100.0 * (now - before) / IDLE;
        let (monitor, all) = (percent(leading(), before.1), percent(all(), before.0));
        if self.live {
            self.add(
                "monitor of the leading child, idle, % of a core",
                1,
                monitor,
            );
        }
        self.add("all children, idle, % of a core", 1, all);
    }
}

fn since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64()
}
