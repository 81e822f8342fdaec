//! One run: the schedule is carried out, and everything that comes back is held against the truth.

mod ending;

use crate::act::{Servers, act};
use crate::action::{Action, At};
use crate::askers::{Asker, Pulse, Said};
use crate::board::{differences, epoch};
use crate::bounds::{Births, Bounds};
use crate::judge::{Event, Noted, Verdict, judge};
use crate::logs::{Access, Errors};
use crate::machines::Machines;
use crate::report::Report;
use crate::schedule::{Step, schedule};
use crate::site::{EXPECTED, server};
use crate::truth::Truth;
use crate::twice::Twice;
use crate::users::Users;
use live_kit::{Httpd, Mpm, World, eventually};
use serde_json::Value;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The logs tell of a request so long after its end.
const JUDGED: At = 2_500;
const TICK: Duration = Duration::from_millis(50);
const LOOK: At = 200;
const BOUNDS: At = 5_000;
/// Load behind the last action.
const REST: At = 9_000;
/// A reload has begun to serve within this.
const SERVES: At = 15_000;

pub struct Settings {
    pub millis: At,
    pub seed: u64,
    pub mpm: Mpm,
    /// The same as words.
    pub minutes: String,
    pub word: &'static str,
    /// Ends at the first violation.
    pub stop: bool,
    /// Only the course is printed.
    pub list: bool,
    /// Repeats the run.
    pub command: String,
}

impl Settings {
    /// Time, seed and MPM for the last line.
    fn what(&self) -> String {
        let Settings {
            minutes,
            seed,
            word,
            ..
        } = self;
        format!("minutes {minutes} | seed {seed} | {word}")
    }
}

/// Whether everything was as it should be.
pub fn run(world: &mut World, settings: &Settings) -> bool {
    let mut machines = Machines::start(world);
    world.certificate("secure.test");
    let servers = start(world, settings.mpm);
    let mut chaos = Chaos::begin(&servers, settings);
    let mut servers = servers;
    for step in course(settings) {
        chaos.wait(step.at, &machines, &servers);
        if settings.stop && !chaos.report.violations.is_empty() {
            break;
        }
        chaos.step(&step, world, &mut machines, &mut servers);
    }
    chaos.wait(settings.millis, &machines, &servers);
    chaos.end(world, &machines, servers)
}

/// What happens when; some load is left behind the last action.
pub fn course(settings: &Settings) -> Vec<Step> {
    let end = settings.millis.saturating_sub(REST);
    schedule(settings.seed, end, settings.mpm != Mpm::Prefork)
}

fn start(world: &mut World, mpm: Mpm) -> Servers {
    let live = server(world, mpm, true).start();
    let stock = server(world, mpm, false).start();
    let ready = || live.try_get("/live-ready").is_ok_and(|r| r.status == 200);
    eventually(Duration::from_secs(20), ready);
    Servers {
        live,
        stock,
        mpm,
        killed: HashSet::new(),
    }
}

/// The load of both servers, and where it tells what it met.
fn users(servers: &Servers, mpm: Mpm, begin: Instant) -> (Vec<Users>, Receiver<Event>) {
    let (tell, told) = channel();
    let numbers = Arc::new(AtomicU64::new(1));
    let both = [(&servers.live, true), (&servers.stock, false)];
    let start = |(httpd, live): (&Httpd, bool)| {
        Users::start(httpd.addr(), live, mpm, begin, &numbers, tell.clone())
    };
    (both.map(start).into(), told)
}

struct Chaos {
    seed: u64,
    /// Time, seed and MPM in words.
    what: String,
    begin: Instant,
    truth: Truth,
    report: Report,
    users: Vec<Users>,
    pulse: Pulse,
    births: Births,
    /// Children that were killed.
    dead: HashSet<u32>,
    status: Vec<Asker>,
    ready: Vec<Asker>,
    /// Of the readiness URL, not judged yet.
    answers: Vec<Said>,
    told: Receiver<Event>,
    waiting: VecDeque<Event>,
    errors: Errors,
    accesses: [Access; 2],
    twice: Twice,
    bounds: Bounds,
    /// When what was last looked at.
    looked: At,
    bounded: At,
    /// Differences of the page that the last look found: seen twice they count.
    last: Vec<String>,
    /// The newest generation that has answered the status page; pages, and answers to requests, of older ones.
    epoch: u64,
    old_pages: usize,
    old_answers: usize,
    /// Reloads whose generation has not begun to serve.
    reloading: VecDeque<At>,
    served: usize,
}

impl Chaos {
    fn begin(servers: &Servers, settings: &Settings) -> Chaos {
        let begin = Instant::now();
        let (users, told) = users(servers, settings.mpm, begin);
        let addr = servers.live.addr();
        let ask = |path: &str, ms| Asker::start(addr, path, begin, Duration::from_millis(ms));
        let log = |name: &str| servers.live.root().join("logs").join(name);
        let mut errors = Errors::of(log("error.log"), &EXPECTED);
        errors.read(0);
        Chaos {
            seed: settings.seed,
            what: settings.what(),
            begin,
            truth: Truth::new(),
            report: Report::new(settings.command.clone()),
            users,
            pulse: Pulse::start(begin),
            births: Births::default(),
            dead: HashSet::new(),
            status: vec![ask("/live-status?format=json", 500)],
            ready: ["app", "tls"]
                .map(|b| ask(&format!("/live-ready?balancer={b}"), 200))
                .into(),
            answers: Vec::new(),
            told,
            waiting: VecDeque::new(),
            accesses: [
                Access::of(log("chaos.log")),
                Access::of(servers.stock.root().join("logs/chaos.log")),
            ],
            served: errors.generations,
            errors,
            twice: Twice::default(),
            bounds: Bounds::default(),
            looked: 0,
            bounded: 0,
            last: Vec::new(),
            epoch: 0,
            old_pages: 0,
            old_answers: 0,
            reloading: VecDeque::new(),
        }
    }

    fn now(&self) -> At {
        self.begin.elapsed().as_millis() as At
    }

    fn wait(&mut self, until: At, machines: &Machines, servers: &Servers) {
        loop {
            let now = self.now();
            if now >= self.looked + LOOK {
                self.looked = now;
                self.births.look(&servers.live, now);
                self.look(now, machines);
            }
            if now >= self.bounded + BOUNDS {
                self.bounded = now;
                let reloads = &self.truth.reloads;
                let wrong = self.bounds.look(now, self.begin, servers, reloads);
                wrong.iter().for_each(|w| self.wrong(now, w));
            }
            let left = until.saturating_sub(self.now());
            if left == 0 {
                return;
            }
            std::thread::sleep(TICK.min(Duration::from_millis(left)));
        }
    }

    fn step(
        &mut self,
        step: &Step,
        world: &mut World,
        machines: &mut Machines,
        servers: &mut Servers,
    ) {
        let at = self.now();
        // What begins is noted before it is done, what ends after.
        let early =
            !step.action.is_end() && !matches!(step.action, Action::Disable(_) | Action::Grow);
        if early {
            self.truth.note(at, &step.action);
        }
        let done = act(&step.action, world, machines, servers, &self.truth);
        if !early {
            let edit = matches!(
                step.action,
                Action::Disable(_) | Action::Enable(_) | Action::Grow
            );
            if done || !edit {
                self.truth.note(self.now(), &step.action);
            } else if !matches!(step.action, Action::Grow) {
                self.truth.disabled = None;
            }
        }
        if matches!(step.action, Action::KillLeader | Action::KillChild(_)) {
            self.truth.killed.push(self.now());
            self.dead.clone_from(&servers.killed);
        }
        if matches!(step.action, Action::Reload(_)) {
            self.reloading.push_back(at);
        }
        self.report.action(at, &step.action, done);
    }

    /// Everything that has come in.
    fn look(&mut self, now: At, machines: &Machines) {
        for (at, late) in self.pulse.take() {
            self.truth.stall(at, late);
        }
        let lines = self.errors.read(now);
        lines
            .iter()
            .for_each(|l| self.wrong(now, &format!("error log: {l}")));
        self.accesses.iter_mut().for_each(|a| a.read(now));
        self.generations(now);
        let wrong = self.twice.look(&machines.take_posts(), now);
        wrong.iter().for_each(|w| self.wrong(now, w));
        self.waiting.extend(self.told.try_iter());
        let due = |e: &Event| e.end + JUDGED <= now;
        let (due, rest): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(due);
        self.waiting = rest.into();
        due.iter().for_each(|event| self.event(event));
        let said: Vec<Said> = self.status.iter().flat_map(Asker::take).collect();
        said.iter().for_each(|said| self.page(said));
        self.answers.extend(self.ready.iter().flat_map(Asker::take));
        let due = |s: &Said| s.to + JUDGED <= now;
        let (due, rest): (Vec<_>, Vec<_>) = self.answers.drain(..).partition(due);
        self.answers = rest;
        due.iter().for_each(|said| self.readiness(said));
    }

    fn generations(&mut self, now: At) {
        while self.served < self.errors.generations {
            self.served += 1;
            self.reloading.pop_front();
        }
        if self.reloading.front().is_some_and(|at| at + SERVES < now) {
            self.reloading.pop_front();
            self.wrong(now, "a reload has not led to a new generation");
        }
    }

    fn event(&mut self, event: &Event) {
        let access = &self.accesses[usize::from(!event.live)];
        let pid = access.child(event.number);
        let noted = Noted {
            // httpd logs before the last bytes have left: a child that was killed may have done so.
            logged: pid.is_some_and(|pid| !self.dead.contains(&pid)),
            rescues: access.rescues(event.end),
            sent: access.sent(event.number),
            child: self.child_before(event, access),
        };
        let verdict = judge(event, noted, &self.truth);
        self.old_answers += usize::from(event.live && self.is_old(event.number, event.start));
        self.report.count(event, &verdict);
        let Verdict::Wrong(what) = &verdict else {
            return;
        };
        let line = access.line(event.number).unwrap_or("-");
        let what = format!(
            "{} number {} (began at {:.3} s): {what}; access log: {line}",
            event.kind(),
            event.number,
            event.start as f64 / 1e3
        );
        if event.live {
            self.wrong_between(event.start, event.end, &what);
        }
    }

    /// Whether the child behind the connection was killed, and whether its generation has ended. Of the stock httpd only
    /// sums are looked at.
    fn child_before(&self, event: &Event, access: &Access) -> Option<(bool, bool)> {
        let pid = access.child(event.last.filter(|_| event.live)?)?;
        let ended = self.births.has_ended(pid, event.end, &self.truth.reloads);
        Some((self.dead.contains(&pid), ended))
    }

    /// The child that answered belongs to a generation that had ended before.
    fn is_old(&self, number: u64, at: At) -> bool {
        let pid = self.accesses[0].child(number);
        pid.is_some_and(|pid| self.births.is_old(pid, at, &self.truth.reloads))
    }

    fn page(&mut self, said: &Said) {
        let Some(reply) = self.reply(said, "the status page") else {
            return;
        };
        let Ok(page) = serde_json::from_slice::<Value>(&reply) else {
            return self.wrong(said.to, "the status page is no JSON");
        };
        self.epoch = self.epoch.max(epoch(&page));
        if epoch(&page) < self.epoch {
            // A child of an old generation, with the settings and members of its own.
            self.old_pages += 1;
            return;
        }
        let wrong = differences(&page, said.from, said.to, &self.truth);
        // Told once for each stretch in which it is so, and only when it was so twice.
        let again: Vec<String> = wrong.iter().filter(|w| self.is_again(w)).cloned().collect();
        self.last = wrong.iter().map(|w| key(w)).collect();
        again
            .iter()
            .for_each(|w| self.wrong(said.to, &format!("status page: {w}")));
    }

    /// The last page said so, and that was not told yet.
    fn is_again(&self, wrong: &str) -> bool {
        let told = |v: &String| v.contains(&key(wrong));
        let recent = self.report.violations.iter().rev().take(3);
        self.last.contains(&key(wrong)) && !recent.into_iter().any(told)
    }

    fn readiness(&mut self, said: &Said) {
        let Ok(reply) = &said.reply else {
            self.reply(said, "the readiness URL");
            return;
        };
        let name = match reply.text().contains("balancer://tls") {
            true => crate::site::TLS.start,
            false => crate::site::APP.start,
        };
        let felt = self.truth.felt(name, said.from, said.to, 8_000);
        let outage = felt.into_iter().any(|t| t.all);
        if reply.status == 200 || outage {
            return;
        }
        let text = reply.text();
        let what = format!("the readiness URL: {} {}", reply.status, text.trim());
        self.wrong_between(said.from, said.to, &what);
    }

    /// The body of an answer with 200; requests to killed children get none.
    fn reply(&mut self, said: &Said, what: &str) -> Option<Vec<u8>> {
        let stalled = self.truth.stalled(said.from, said.to);
        match &said.reply {
            Ok(reply) if reply.status == 200 => return Some(reply.body.clone()),
            Err(_) if self.truth.since_kill(said.to) < 500 + stalled => {}
            Ok(reply) => self.wrong(said.to, &format!("{what}: {}", reply.status)),
            Err(failure) => self.wrong(said.to, &format!("{what}: {failure:?}")),
        }
        None
    }

    fn wrong(&mut self, at: At, what: &str) {
        self.wrong_between(at.saturating_sub(2_000), at, what);
    }

    fn wrong_between(&mut self, from: At, to: At, what: &str) {
        let log = self.errors.between(from.saturating_sub(1_000), to + 1_000);
        self.report.violation(to, what, &log);
    }
}

/// A difference without the numbers that grow.
fn key(wrong: &str) -> String {
    wrong.split(" since ").next().unwrap_or(wrong).to_owned()
}
