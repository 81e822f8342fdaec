//! A running httpd: its life, its children, and the judgement of its error log.

use crate::builder::{Builder, Mpm};
use crate::client::{Client, Failure, Reply};
use crate::errorlog::{self, Line};
use crate::load::{LoadBuilder, all_at_once};
use crate::request::Request;
use crate::who::Who;
use crate::{eventually, process, sanitizer};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// A running server. Its drop stops it and panics on any unannounced warning or error line, a crash, or
/// something left behind.
pub struct Httpd {
    builder: Builder,
    process: Option<Child>,
}

impl Httpd {
    pub(crate) fn start(builder: Builder) -> Httpd {
        let mut httpd = Httpd {
            process: Some(builder.spawn()),
            builder,
        };
        httpd.wait_ready(0);
        httpd
    }

    pub fn addr(&self) -> SocketAddr {
        self.builder.addr
    }

    /// The ServerRoot.
    pub fn root(&self) -> &Path {
        &self.builder.root
    }

    /// Pid of the parent; 0 when stopped.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Child::id)
    }

    /// Pids of the living children, of all generations, lowest first.
    pub fn children(&self) -> Vec<u32> {
        process::children_of(self.pid())
    }

    pub fn error_log(&self) -> String {
        fs::read_to_string(self.builder.root.join("logs/error.log")).unwrap_or_default()
    }

    /// Number of error log lines that contain `text`.
    pub fn logged(&self, text: &str) -> usize {
        self.error_log()
            .lines()
            .filter(|l| l.contains(text))
            .count()
    }

    /// Lines of the module under test.
    pub fn live_lines(&self) -> Vec<Line> {
        let lines = self.error_log();
        lines
            .lines()
            .map(Line::parse)
            .filter(|l| l.module == "proxy_live")
            .collect()
    }

    /// Announces warning or error lines that contain `text`.
    pub fn expect(&mut self, text: &str) {
        self.builder.expected.push(text.to_owned());
    }

    /// Changes the configuration; in force after [`Httpd::graceful`] or [`Httpd::restart`].
    pub fn reconfigure(&mut self, change: impl FnOnce(Builder) -> Builder) {
        self.builder = change(self.builder.clone());
        self.builder.write();
    }

    /// Replaces the text given to `config` and `live` so far.
    pub fn rewrite(&mut self, text: &str) {
        self.builder.text = format!("{text}\n");
        self.builder.write();
    }

    /// One GET on a new connection.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.try_get(path)
            .unwrap_or_else(|f| panic!("GET {path}: {f:?}"))
    }

    pub fn try_get(&self, path: &str) -> Result<Reply, Failure> {
        self.send(&Request::get(path))
    }

    /// One request on a new connection.
    pub fn send(&self, request: &Request) -> Result<Reply, Failure> {
        self.client().send(request)
    }

    /// A client of this server with a time-out of 30 s.
    pub fn client(&self) -> Client {
        Client::new(self.builder.addr, Duration::from_secs(30))
    }

    /// Settings of a load on this server: 8 clients, under prefork not more than children.
    pub fn load(&self) -> LoadBuilder {
        let load = LoadBuilder::new(self.builder.addr, Some(self.who()));
        match self.builder.mpm {
            // A kept-alive client has a prefork child for itself: more clients than children wait.
            Mpm::Prefork => load.clients(self.builder.children.min(8)),
            _ => load,
        }
    }

    /// Pid of the child that gave this answer.
    #[track_caller]
    pub fn child_of(&self, reply: &Reply) -> u32 {
        let mut pid = 0;
        eventually(Duration::from_secs(2), || {
            pid = self.who().map().get(&reply.id).copied().unwrap_or(0);
            pid != 0
        });
        pid
    }

    /// Has every living child answer a GET of `path` at the same time: as many requests at once as there are
    /// threads, each held 150 ms by the backend. The answers of each child, by pid.
    ///
    /// Not for use while a [`Load`](crate::Load) runs: a child of the event MPM whose threads are all busy closes
    /// its kept-alive connections, also under a request that has just been sent.
    ///
    /// # Panics
    /// When a request fails or not every child was hit within a few rounds.
    #[track_caller]
    pub fn every_child(&self, path: &str) -> BTreeMap<u32, Vec<Reply>> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let request = Request::get(&format!("{path}{mark}delay=150"));
        let threads = if self.builder.mpm == Mpm::Prefork {
            1
        } else {
            self.builder.threads
        };
        let mut found: BTreeMap<u32, Vec<Reply>> = BTreeMap::new();
        for _ in 0..6 {
            let wanted = self.children();
            let pending = all_at_once(
                self.addr(),
                &request,
                wanted.len() * threads,
                Duration::from_secs(30),
            );
            for one in pending {
                let reply = one
                    .join()
                    .expect("a client thread")
                    .unwrap_or_else(|f| panic!("GET {path}: {f:?}"));
                found.entry(self.child_of(&reply)).or_default().push(reply);
            }
            if wanted.iter().all(|pid| found.contains_key(pid)) {
                return found;
            }
        }
        panic!("children hit: {:?} of {:?}", found.keys(), self.children());
    }

    /// SIGUSR1, and waits until the new generation serves.
    #[track_caller]
    pub fn graceful(&mut self) {
        let before = self.generations();
        self.signal(self.pid(), Signal::USR1);
        self.wait_ready(before);
    }

    /// SIGHUP, and waits until the server serves again.
    #[track_caller]
    pub fn restart(&mut self) {
        let before = self.generations();
        settle();
        self.signal(self.pid(), Signal::HUP);
        self.wait_ready(before);
    }

    /// SIGWINCH: finishes the requests under way and ends.
    pub fn graceful_stop(&mut self) {
        self.signal(self.pid(), Signal::WINCH);
        self.wait_end();
    }

    /// SIGTERM, and waits for the end. Returns how long it took.
    pub fn stop(&mut self) -> Duration {
        let start = Instant::now();
        if self.process.is_some() {
            settle();
            self.signal(self.pid(), Signal::TERM);
            self.wait_end();
        }
        start.elapsed()
    }

    /// kill -9 of the whole server at once, parent and children.
    pub fn kill_all(&mut self) {
        let Some(process) = &self.process else {
            return;
        };
        let pid = i32::try_from(process.id()).expect("a pid");
        let children = self.children();
        let _ = kill_process_group(Pid::from_raw(pid).expect("a living server"), Signal::KILL);
        self.wait_end();
        // A child that is not quite gone still has the port.
        let alive = |p: &process::Process| p.alive() && children.contains(&p.pid);
        eventually(self.builder.patience, || !process::all().iter().any(alive));
    }

    /// Starts again after a stop.
    pub fn start_again(&mut self) {
        self.stop();
        let before = self.generations();
        self.process = Some(self.builder.spawn());
        self.wait_ready(before);
    }

    /// Sends a signal to any process (kill -9 of a child).
    pub fn signal(&self, pid: u32, signal: Signal) {
        assert_ne!(pid, 0, "a living server");
        process::signal(pid, signal);
    }

    /// kill -9.
    pub fn kill9(&self, pid: u32) {
        self.signal(pid, Signal::KILL);
    }

    /// The lines no one announced.
    pub fn unexpected(&self) -> Vec<Line> {
        errorlog::unexpected(&self.error_log(), &self.builder.expected)
    }

    fn who(&self) -> Who {
        Who(self.builder.root.join("logs/who.log"))
    }

    /// How often the server said that it (again) serves.
    fn generations(&self) -> usize {
        self.logged("resuming normal operations")
    }

    /// Waits until it has said "resuming" more than `before` times, listens, and has its children.
    #[track_caller]
    fn wait_ready(&mut self, before: usize) {
        let patience = self.builder.patience;
        let end = Instant::now() + patience;
        // One process says nothing of resuming and has no children.
        let single = self.builder.one_process;
        loop {
            if let Some(status) = self.process.as_mut().and_then(|p| p.try_wait().ok()?) {
                self.process = None;
                panic!(
                    "httpd ended at its start ({status}):\n{}{}",
                    self.console(),
                    self.tail()
                );
            }
            let ready = single
                || (self.generations() > before && self.children().len() >= self.builder.children);
            if ready && TcpStream::connect(self.builder.addr).is_ok() {
                return;
            }
            assert!(
                Instant::now() < end,
                "httpd does not serve within {patience:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the end that something has brought about.
    #[track_caller]
    pub fn wait_end(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let patience = self.builder.patience;
        let end = Instant::now() + patience;
        while process.try_wait().expect("wait for httpd").is_none() {
            if Instant::now() > end {
                let _ = process.kill();
                panic!("httpd does not end within {patience:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn console(&self) -> String {
        fs::read_to_string(self.builder.root.join("logs/console")).unwrap_or_default()
    }

    /// The last lines of the error log, and what a sanitizer reported.
    fn tail(&self) -> String {
        let log = self.error_log();
        let mut lines: Vec<&str> = log.lines().collect();
        lines.drain(..lines.len().saturating_sub(60));
        let reports = sanitizer::reports(self.root());
        lines.extend(reports.iter().map(String::as_str));
        lines.join("\n")
    }

    /// What must not be there when the server has ended.
    fn leftovers(&self) -> Vec<String> {
        let mut found: Vec<String> = self.unexpected().into_iter().map(|l| l.text).collect();
        let here = self.builder.root.display().to_string();
        let ours = |p: &process::Process| process::command_line(p.pid).contains(&here);
        let alive = process::all().into_iter().filter(|p| p.alive() && ours(p));
        found.extend(alive.map(|p| format!("process {} ({}) still alive", p.pid, p.name)));
        found.extend(sanitizer::reports(self.root()));
        let console = errorlog::unexpected(&self.console(), &self.builder.expected);
        found.extend(
            console
                .into_iter()
                .map(|l| format!("on the console: {}", l.text)),
        );
        let cores = fs::read_dir(self.root()).into_iter().flatten().flatten();
        let cores = cores.filter(|f| f.file_name().to_string_lossy().starts_with("core"));
        found.extend(cores.map(|f| format!("core dump {}", f.path().display())));
        found
    }
}

/// A client that has its answer is ahead of the thread that still puts the connection away; a stock httpd ended
/// in between logs an error (AH03093).
fn settle() {
    std::thread::sleep(Duration::from_millis(50));
}

impl Drop for Httpd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "--- end of the error log of {}:\n{}\n---",
                self.builder.addr,
                self.tail()
            );
            if let Some(process) = &mut self.process {
                let _ = process.kill();
            }
            return;
        }
        self.stop();
        let left = self.leftovers();
        if !left.is_empty() {
            println!(
                "--- end of the error log of {}:\n{}\n---",
                self.builder.addr,
                self.tail()
            );
            panic!(
                "httpd on {} ended with:\n{}",
                self.builder.addr,
                left.join("\n")
            );
        }
    }
}
