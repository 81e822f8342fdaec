//! The demo: a stock httpd and one with the module side by side, the same users on both, while the name of
//! their backend moves, its old machine vanishes, and DNS breaks. Started by `./apxs/demo`; everything runs
//! in namespaces of its own and ends with it.

use live_kit::{Backend, Client, Fault, Httpd, Request, World, answers};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const NAME: &str = "backend.example.test";
/// Seconds.
const TTL: u32 = 2;
/// After a move, answers of the old address are stale when their request began later than this.
const GRACE: Duration = Duration::from_secs(TTL as u64 + 1);
/// Users of each httpd, and the pause of each between two requests: about 80 requests per second.
const USERS: usize = 8;
const PAUSE: Duration = Duration::from_millis(100);
/// A user opens a new connection after so many requests, and so meets every child.
const PER_CONNECTION: usize = 10;

fn main() {
    std::process::exit(live_kit::private("demo", demo));
}

fn demo(world: &mut World) {
    let _a = Backend::start("A", "127.0.0.2:9000");
    let _b = Backend::start("B", "127.0.0.3:9000");
    let _c = Backend::start("C", "127.0.0.4:9000");
    world.dns.set(NAME, answers(&["127.0.0.2"], TTL));
    // Every log line is allowed here: the failures are the demo's own.
    let config = format!("ProxyTimeout 5\nProxyPass / http://{NAME}:9000/");
    let stock = world.httpd().config(&config).expect("").start();
    let live = world
        .httpd()
        .live(&format!("{config} live=on"))
        .expect("")
        .start();
    introduce(&config);
    let mut show = Show::start([&stock, &live]);

    show.phase("all is well", "DNS says A", None);
    show.run(4, &live);

    show.phase(
        "moved, A lives on",
        "DNS moves to B; A lives on and belongs to somebody else",
        Some("A"),
    );
    world.dns.set(NAME, answers(&["127.0.0.3"], TTL));
    show.run(10, &live);

    show.phase(
        "A vanished",
        "A's machine vanishes: its packets are lost",
        Some("A"),
    );
    world.vanish("127.0.0.2");
    show.run(14, &live);

    show.phase("DNS broken", "DNS breaks: SERVFAIL to every question", None);
    world.dns.fail(NAME, Fault::ServFail);
    show.run(6, &live);

    show.phase("DNS is back", "DNS is back: it still says B", None);
    world.dns.heal(NAME);
    show.run(6, &live);

    show.phase(
        "moved, B lives on",
        "DNS moves to C; B lives on and belongs to somebody else",
        Some("B"),
    );
    world.dns.set(NAME, answers(&["127.0.0.4"], TTL));
    show.run(8, &live);

    let good = show.end();
    drop((stock, live));
    assert!(
        good,
        "the httpd with the module failed a request or used an old address"
    );
}

fn introduce(config: &str) {
    println!("Two httpds with 4 children each, {USERS} users on each, and the same configuration:");
    for line in config.lines() {
        println!("    {line}");
    }
    println!(
        "The second one has the module loaded and `live=on` at the end of its ProxyPass line."
    );
    println!(
        "(The usual ProxyTimeout of 60 s would make this long.) The TTL of the name is {TTL} s."
    );
    println!(
        "Each second: answers per backend, errors, and the slowest answer, or the longest wait"
    );
    println!("of a user who has none yet.\n");
    heads("");
}

/// Prints one line for both servers.
fn row(first: &str, stock: &str, live: &str) {
    println!("{}", format!("{first:<17} {stock:<35}   {live}").trim_end());
}

fn heads(first: &str) {
    row(first, "stock httpd", "with mod_proxy_live");
    let columns = columns("answers", "errors", "slowest");
    row("", &columns, &columns);
}

/// One request of a user.
struct Event {
    server: usize,
    start: Instant,
    took: Duration,
    /// The backend that answered; none: an error.
    backend: Option<String>,
}

/// Counts of answers.
#[derive(Default, Clone)]
struct Tally {
    answers: BTreeMap<String, usize>,
    errors: usize,
    slowest: Duration,
    stale: usize,
}

impl Tally {
    fn add(&mut self, event: &Event) {
        match &event.backend {
            Some(name) => *self.answers.entry(name.clone()).or_default() += 1,
            None => self.errors += 1,
        }
        self.slowest = self.slowest.max(event.took);
    }

    fn columns(&self) -> String {
        let answers: Vec<String> = self
            .answers
            .iter()
            .map(|(name, n)| format!("{name} {n}"))
            .collect();
        let answers = if answers.is_empty() {
            "none".to_owned()
        } else {
            answers.join(", ")
        };
        columns(&answers, &self.errors.to_string(), &text_of(self.slowest))
    }
}

fn columns(answers: &str, errors: &str, slowest: &str) -> String {
    format!("{answers:<17} {errors:>7} {slowest:>9}")
}

fn text_of(time: Duration) -> String {
    match time.as_millis() {
        ms if ms < 1000 => format!("{ms} ms"),
        ms => format!("{:.1} s", ms as f64 / 1000.0),
    }
}

/// A stretch of the demo; a request belongs to the phase in which it began.
struct Phase {
    /// For the summary.
    name: &'static str,
    start: Instant,
    /// The backend that DNS has taken away at the start of this phase or before.
    gone: Option<&'static str>,
    tallies: [Tally; 2],
}

impl Phase {
    fn add(&mut self, event: &Event, moved: Instant) {
        let tally = &mut self.tallies[event.server];
        tally.add(event);
        let old = self.gone.is_some() && event.backend.as_deref() == self.gone;
        tally.stale += usize::from(old && event.start > moved + GRACE);
    }
}

/// The users, and what is shown of them.
struct Show {
    begin: Instant,
    events: Receiver<Event>,
    /// Per server and user: since when the user waits for an answer.
    waiting: [Waiting; 2],
    stop: Arc<AtomicBool>,
    users: Vec<JoinHandle<()>>,
    phases: Vec<Phase>,
    /// Lines of the module already shown.
    shown: usize,
}

type Waiting = Arc<[Mutex<Option<Instant>>; USERS]>;

impl Show {
    fn start(servers: [&Httpd; 2]) -> Show {
        let (send, events) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let waiting: [Waiting; 2] = Default::default();
        let mut users = Vec::new();
        for (server, httpd) in servers.into_iter().enumerate() {
            for number in 0..USERS {
                let (send, stop) = (send.clone(), Arc::clone(&stop));
                let (waiting, addr) = (Arc::clone(&waiting[server]), httpd.addr());
                let client = Client::new(addr, Duration::from_secs(20));
                let user = User {
                    server,
                    number,
                    client,
                    waiting,
                    send,
                };
                users.push(std::thread::spawn(move || user.live(&stop)));
            }
        }
        let begin = Instant::now();
        Show {
            begin,
            events,
            waiting,
            stop,
            users,
            phases: Vec::new(),
            shown: 0,
        }
    }

    fn phase(&mut self, name: &'static str, text: &str, gone: Option<&'static str>) {
        println!("\n{}. {text}", self.phases.len() + 1);
        let (start, tallies) = (Instant::now(), Default::default());
        self.phases.push(Phase {
            name,
            start,
            gone,
            tallies,
        });
    }

    /// One line per second, and what the module writes to the error log meanwhile.
    fn run(&mut self, seconds: u64, live: &Httpd) {
        for _ in 0..seconds {
            std::thread::sleep(Duration::from_secs(1));
            let mut now: [Tally; 2] = Default::default();
            for event in self.collect() {
                now[event.server].add(&event);
            }
            for (tally, waiting) in now.iter_mut().zip(&self.waiting) {
                tally.slowest = tally.slowest.max(longest_wait(waiting));
            }
            let time = format!("{:>14.0} s", self.begin.elapsed().as_secs_f64());
            row(&time, &now[0].columns(), &now[1].columns());
            self.error_log(live);
        }
    }

    fn error_log(&mut self, live: &Httpd) {
        let lines = live.live_lines();
        for line in lines.iter().skip(self.shown) {
            let text = line.text.splitn(4, "] ").last().unwrap_or(&line.text);
            println!("      error_log: {text}");
        }
        self.shown = lines.len();
    }

    /// Takes what the users have met since the last call and counts it in the phase where it began.
    fn collect(&mut self) -> Vec<Event> {
        let events: Vec<Event> = self.events.try_iter().collect();
        for event in &events {
            let Some(i) = self.phases.iter().rposition(|p| p.start <= event.start) else {
                continue;
            };
            // The move that took the old address away: that of the first phase in a row that says so.
            let gone = self.phases[i].gone;
            let first = self.phases[..=i]
                .iter()
                .rev()
                .take_while(|p| p.gone == gone)
                .last();
            let moved = first.map_or(self.begin, |p| p.start);
            self.phases[i].add(event, moved);
        }
        events
    }

    /// Ends the load and prints the summary. Whether the module kept its promise.
    fn end(mut self) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        for user in std::mem::take(&mut self.users) {
            let _ = user.join();
        }
        self.collect();
        println!();
        heads("Summary");
        let mut sums: [Tally; 2] = Default::default();
        for phase in &self.phases {
            let [stock, live] = &phase.tallies;
            row(phase.name, &stock.columns(), &live.columns());
            for (sum, tally) in sums.iter_mut().zip(&phase.tallies) {
                sum.errors += tally.errors;
                sum.stale += tally.stale;
                sum.slowest = sum.slowest.max(tally.slowest);
            }
        }
        let line = |what: &str, value: fn(&Tally) -> String| {
            println!("{what:<58} {:>10} {:>20}", value(&sums[0]), value(&sums[1]));
        };
        println!("\n{:<58} {:>10} {:>20}", "", "stock", "mod_proxy_live");
        line(
            "answers of an address DNS had taken away (after TTL + 1 s)",
            |t| t.stale.to_string(),
        );
        line("errors", |t| t.errors.to_string());
        line("slowest answer", |t| text_of(t.slowest));
        sums[1].errors == 0 && sums[1].stale == 0
    }
}

fn longest_wait(waiting: &Waiting) -> Duration {
    let since = waiting.iter().filter_map(|slot| *slot.lock().ok()?);
    since.map(|start| start.elapsed()).max().unwrap_or_default()
}

/// A user with a kept-alive connection and a steady hand.
struct User {
    server: usize,
    number: usize,
    client: Client,
    waiting: Waiting,
    send: Sender<Event>,
}

impl User {
    fn live(mut self, stop: &AtomicBool) {
        // Spread over one pause, or all users would act as one.
        std::thread::sleep(PAUSE.mul_f64(self.number as f64 / USERS as f64));
        let mut asked = 0;
        while !stop.load(Ordering::Relaxed) {
            let event = self.ask();
            if self.send.send(event).is_err() {
                return;
            }
            asked += 1;
            if asked % PER_CONNECTION == 0 {
                self.client.close();
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn ask(&mut self) -> Event {
        let start = Instant::now();
        self.wait_since(Some(start));
        let reply = self.client.send(&Request::get("/"));
        self.wait_since(None);
        let good = reply.ok().filter(|r| r.status == 200);
        let backend = good.map(|r| r.backend);
        Event {
            server: self.server,
            start,
            took: start.elapsed(),
            backend,
        }
    }

    fn wait_since(&self, since: Option<Instant>) {
        if let Ok(mut slot) = self.waiting[self.number].lock() {
            *slot = since;
        }
    }
}
