//! The users, and what is shown of them.

use crate::tally::{Event, Tally, heads, row};
use live_kit::{Client, Httpd, Request};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Users of each httpd, and the pause of each between two requests: about 80 requests per second.
pub const USERS: usize = 8;
const PAUSE: Duration = Duration::from_millis(100);
/// A user opens a new connection after so many requests, and so meets every child.
const PER_CONNECTION: usize = 10;
/// Seconds after which a user gives up: an error. Nothing that hangs can hold the demo for longer.
pub const GIVE_UP: u64 = 10;

/// A stretch of the demo; a request belongs to the phase in which it began.
struct Phase {
    /// For the summary.
    name: &'static str,
    start: Instant,
}

pub struct Show {
    begin: Instant,
    source: Receiver<Event>,
    /// What the users have met so far.
    pub events: Vec<Event>,
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
    /// Starts the users of both servers: the stock one first.
    pub fn start(servers: [&Httpd; 2]) -> Show {
        let (send, source) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let waiting: [Waiting; 2] = Default::default();
        let mut users = Vec::new();
        for (server, httpd) in servers.into_iter().enumerate() {
            for number in 0..USERS {
                let user = User {
                    server,
                    number,
                    client: Client::new(httpd.addr(), Duration::from_secs(GIVE_UP)),
                    waiting: Arc::clone(&waiting[server]),
                    send: send.clone(),
                };
                let stop = Arc::clone(&stop);
                users.push(std::thread::spawn(move || user.live(&stop)));
            }
        }
        heads("");
        Show {
            begin: Instant::now(),
            source,
            events: Vec::new(),
            waiting,
            stop,
            users,
            phases: Vec::new(),
            shown: 0,
        }
    }

    /// Begins a phase; `name` is for the summary.
    pub fn phase(&mut self, name: &'static str, text: &str) {
        println!("\n{}. {text}", self.phases.len() + 1);
        let start = Instant::now();
        self.phases.push(Phase { name, start });
    }

    /// One line per second, and what the module writes to the error log meanwhile.
    pub fn run(&mut self, seconds: u64, live: &Httpd) {
        for _ in 0..seconds {
            std::thread::sleep(Duration::from_secs(1));
            let before = self.events.len();
            self.collect();
            let [stock, with] = [0, 1].map(|server| {
                let mut tally = Tally::of(of(&self.events[before..], server));
                tally.slow(longest_wait(&self.waiting[server]));
                tally.columns()
            });
            let time = format!("{:>14.0} s", self.begin.elapsed().as_secs_f64());
            row(&time, &stock, &with);
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

    fn collect(&mut self) {
        self.events.extend(self.source.try_iter());
    }

    /// Ends the load and prints the summary of the phases; what the users met.
    pub fn end(mut self) -> Vec<Event> {
        self.stop.store(true, Ordering::Relaxed);
        for user in std::mem::take(&mut self.users) {
            let _ = user.join();
        }
        self.collect();
        println!();
        heads("Summary");
        let ends = self.phases.iter().skip(1).map(|next| Some(next.start));
        for (phase, end) in self.phases.iter().zip(ends.chain([None])) {
            let within = |e: &&Event| e.start >= phase.start && end.is_none_or(|end| e.start < end);
            let [stock, live] =
                [0, 1].map(|server| Tally::of(of(&self.events, server).filter(within)).columns());
            row(phase.name, &stock, &live);
        }
        println!();
        self.events
    }
}

/// The events of one server.
pub fn of(events: &[Event], server: usize) -> impl Iterator<Item = &Event> {
    events.iter().filter(move |e| e.server == server)
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
