//! Several httpds with the module behind HAProxy and behind keepalived, with the files of httpd-conf/fleet/: an
//! instance drains, is killed, loses its backends, is new; and the front does the right thing.

mod haproxy;
mod keepalived;

use crate::common::pool::troubled;
use live_kit::{
    Backend, Builder, Client, Failure, Httpd, LoadBuilder, Records, Reply, Request, World, answers,
};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Where users come in; the sample files say so.
const FRONT: &str = "192.0.2.10:80";
/// Says which instance has answered.
const WHO: &str = "X-Instance";
/// What httpd says when it finds the pid file of one that was killed.
const UNCLEAN: &str = "AH00098";
/// The front has noticed any change within this, on a machine under load, too.
const NOTICED: Duration = Duration::from_secs(6);

/// A file of httpd-conf/fleet/.
fn sample(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("httpd-conf/fleet");
    let path = folder.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Each of `what` in `text` is replaced; all of them must be there.
#[track_caller]
fn adapt(text: &str, what: &[(&str, &str)]) -> String {
    what.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "no {from} in\n{text}");
        text.replace(from, to)
    })
}

/// The drain file of an instance.
fn drain_file(w: &World, name: &str) -> PathBuf {
    w.dir.join(format!("{name}.drain"))
}

/// An instance with the sample configuration: its drain file and its backends are its own.
fn instance(w: &mut World, name: &str) -> Builder {
    instance_with(w, name, &[])
}

/// The same with `more` of the sample replaced.
fn instance_with(w: &mut World, name: &str, more: &[(&str, &str)]) -> Builder {
    let drain = drain_file(w, name).display().to_string();
    let own = [
        ("/run/apache2/drain", drain.as_str()),
        ("app1.example.com", &format!("app1.{name}.test")),
        ("app2.example.com", &format!("app2.{name}.test")),
    ];
    let text = &adapt(&adapt(&sample("httpd.conf"), &own), more);
    let who = format!("Header always set {WHO} {name}");
    let builder = w.httpd().module("setenvif").module("authz_host");
    troubled(builder.children(2).threads(16).live(text).config(&who))
}

/// The backends of one instance, `app1` and `app2`; their addresses end with `n` and `n + 1`.
struct Apps {
    addrs: [String; 2],
    apps: [Backend; 2],
}

impl Apps {
    fn start(w: &World, instance: &str, n: u8) -> Apps {
        let addrs = [n, n + 1].map(|n| format!("192.0.2.{n}"));
        let apps = [0, 1].map(|i| {
            let (name, addr) = (format!("app{}", i + 1), &addrs[i]);
            w.add_address(addr);
            let host = format!("{name}.{instance}.test");
            w.dns.set(&host, answers(&[addr], 600));
            Backend::start(&host, &format!("{addr}:8080"))
        });
        Apps { addrs, apps }
    }

    fn kill(&self) {
        self.apps.iter().for_each(Backend::kill);
    }

    fn revive(&self) {
        self.apps.iter().for_each(Backend::revive);
    }

    fn vanish(&self, w: &mut World) {
        self.addrs.iter().for_each(|addr| w.vanish(addr));
    }

    /// Requests for this path so far.
    fn seen(&self, path: &str) -> usize {
        let seen = self.apps.iter().flat_map(Backend::seen);
        seen.filter(|s| s.path == path).count()
    }
}

fn front() -> SocketAddr {
    FRONT.parse().expect("an address")
}

/// One GET on a new connection to the front.
fn ask() -> Result<Reply, Failure> {
    Client::new(front(), Duration::from_secs(5)).send(&Request::get("/"))
}

/// Who answers at the front now; what went wrong when nobody does.
fn who() -> String {
    match ask() {
        Ok(reply) if reply.status == 200 => reply.header(WHO).unwrap_or_default().to_owned(),
        Ok(reply) => format!("status {}", reply.status),
        Err(failure) => format!("{failure:?}"),
    }
}

/// Users of the front; a failure counts as one of the instance that said it, if any.
fn users() -> LoadBuilder {
    LoadBuilder::on(FRONT).identity(WHO).clients(4)
}

/// Status of the readiness page of this instance.
fn readiness(httpd: &Httpd) -> u16 {
    httpd.get("/live-ready").status
}

/// Runs the sample script on this instance, waiting for so many seconds.
fn drain(w: &World, name: &str, httpd: &Httpd, wait: u32) -> Child {
    let root = httpd.root();
    // What apachectl does, for a httpd with a directory of its own.
    let ctl = format!(
        "#!/bin/sh\nexec /usr/sbin/apache2 -d {0} -f {0}/httpd.conf -k \"$1\"\n",
        root.display()
    );
    let ctl = w.file(&format!("{name}-ctl"), &ctl);
    let script = w.file(&format!("{name}-drain.sh"), &sample("drain.sh"));
    let run = |args: &[&Path]| {
        let done = Command::new("chmod").arg("755").args(args).status();
        assert!(done.expect("chmod").success());
    };
    run(&[&ctl, &script]);
    Command::new(script)
        .env("DRAIN_FILE", drain_file(w, name))
        .env("DRAIN_WAIT", wait.to_string())
        .env("PID_FILE", root.join("run/httpd.pid"))
        .env("APACHECTL", ctl)
        .spawn()
        .expect("the drain script")
}

/// The drain script has ended well.
#[track_caller]
fn ended(mut script: Child) {
    assert!(script.wait().expect("the drain script").success());
}

/// When the last request that `instance` answered had begun, counted from `since`.
fn last_of(records: &Records, instance: &str, since: Instant) -> Duration {
    let from = records.from(instance);
    let last = from.0.iter().map(|r| r.start).max().unwrap_or(since);
    last.saturating_duration_since(since)
}

/// How long after `since` the last request failed.
fn last_failure(records: &Records, since: Instant) -> Duration {
    let failed = records.failed();
    let ends = failed
        .iter()
        .map(|r| (r.start + r.took).saturating_duration_since(since));
    ends.max().unwrap_or_default()
}
