//! A httpd with so many live workers: half of them names, half addresses; half of them members of balancers; in
//! several virtual hosts. Each of them answers probes.

use live_kit::{Httpd, World, answers, eventually};
use std::fmt::Write;
use std::fs;
use std::time::Duration;

const HOSTS: usize = 5;
/// Members of a balancer, at most.
const MEMBERS: usize = 50;
/// The first worker: the application that requests go to.
pub const APP: &str = "127.0.0.2:9100";
pub const APP_PATH: &str = "/0/";
pub const PAGE: &str = "/live-status";
pub const READY: &str = "/ready";
pub const AUTO: &str = "/server-status?auto";
pub const STATIC: &str = "/static.txt";
/// As long as an answer of the readiness URL, or longer.
const TEXT: &str = "twenty bytes of text";

/// Starts it, and waits until it is ready.
pub fn start(world: &mut World, workers: usize) -> Httpd {
    for n in (0..workers).filter(|n| is_name(*n)) {
        world.dns.set(&host(n), answers(&[&address(n)], 60));
    }
    let httpd = world.httpd().children(2).threads(16);
    let httpd = httpd.expect("").live(&config(workers)).start();
    fs::write(httpd.root().join("htdocs").join(&STATIC[1..]), TEXT).expect("a file to serve");
    eventually(Duration::from_secs(60), || httpd.get(READY).status == 200);
    httpd
}

fn config(workers: usize) -> String {
    let mut text = String::new();
    for (path, handler) in [
        (PAGE, "proxy-live-status"),
        (READY, "proxy-live-ready"),
        ("/server-status", "server-status"),
    ] {
        let _ = writeln!(text, "<Location {path}>\nSetHandler {handler}\n</Location>");
    }
    let each = workers / HOSTS;
    for at in 0..HOSTS {
        let all: Vec<usize> = (at * each..(at + 1) * each).collect();
        let (plain, members) = all.split_at(each / 2);
        let _ = writeln!(text, "<VirtualHost *>\nServerName v{at}.test");
        for n in plain {
            let _ = writeln!(text, "ProxyPass /{n}/ {}", worker(*n, "/"));
        }
        members.chunks(MEMBERS).for_each(|c| balancer(&mut text, c));
        text += "</VirtualHost>\n";
    }
    text
}

/// Called after its first member.
fn balancer(text: &mut String, members: &[usize]) {
    let name = members[0];
    let _ = writeln!(text, "<Proxy balancer://b{name}>");
    for n in members {
        let _ = writeln!(text, "BalancerMember {} route=r{n}", worker(*n, ""));
    }
    let _ = writeln!(text, "</Proxy>\nProxyPass /b{name}/ balancer://b{name}/");
}

fn worker(n: usize, path: &str) -> String {
    let at = match n {
        0 => APP.to_owned(),
        _ => format!("{}:9000", host(n)),
    };
    format!("http://{at}{path} live=on liveinterval=2s")
}

fn is_name(n: usize) -> bool {
    !n.is_multiple_of(2)
}

fn host(n: usize) -> String {
    match is_name(n) {
        true => format!("app{n}.example.test"),
        false => address(n),
    }
}

fn address(n: usize) -> String {
    format!("127.1.{}.{}", n / 250, n % 250 + 1)
}
