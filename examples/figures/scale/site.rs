//! A reverse proxy with so many workers in 100 virtual hosts: half of them names, half addresses; half of them members
//! of balancers. The same with and without the module.

use live_kit::{Builder, World, answers};
use std::fmt::Write;

pub const HOSTS: usize = 100;
/// The application that requests go to, and the two places of the name that moves.
pub const APP: &str = "127.0.0.2:9100";
pub const PLACES: [&str; 2] = ["127.0.0.2", "127.0.0.3"];
/// The application that dies.
pub const MORTAL: &str = "127.0.0.4:9100";
pub const MOVING: &str = "move.test";
/// Where all other workers are probed: several, as a listener's queue holds few connections.
pub const PORTS: std::ops::Range<u16> = 9_000..9_008;
/// Counted up at each reload: tells the answers of the new generation.
pub const GENERATION: &str = "x-generation";

/// Gives all names of so many workers their addresses.
pub fn set_names(world: &World, workers: usize, ttl: u32) {
    for n in (0..workers).filter(|n| is_name(*n)) {
        world.dns.set(&host(n), answers(&[&address(n)], ttl));
    }
    world.dns.set(MOVING, answers(&[PLACES[0]], 1));
}

/// Settings of such a server; 4 children of the event MPM.
pub fn server(world: &mut World, workers: usize, live: bool) -> Builder {
    let httpd = world.httpd().children(4).threads(8);
    // A line for each of the names would be more than the log of a start has otherwise.
    let httpd = httpd
        .log_level("notice")
        .expect("")
        .config(&config(workers));
    match live {
        true => httpd.live("ProxyLive on"),
        false => httpd,
    }
}

fn config(workers: usize) -> String {
    let mut text = String::from("<Location /ready>\nSetHandler proxy-live-ready\n</Location>\n");
    let each = workers / HOSTS;
    for at in 0..HOSTS {
        let all: Vec<usize> = (at * each..(at + 1) * each).collect();
        let (plain, members) = all.split_at(each / 2);
        let _ = writeln!(text, "<VirtualHost *>\nServerName v{at}.test");
        if at == 0 {
            text += "ProxyPass /ready !\n";
            let _ = writeln!(text, "ProxyPass /app/ http://{APP}/");
            let _ = writeln!(text, "ProxyPass /move/ http://{MOVING}:9100/move/");
            let _ = writeln!(text, "ProxyPass /mortal/ http://{MORTAL}/");
        }
        for n in plain {
            let _ = writeln!(text, "ProxyPass /{n}/ http://{}/", place(*n));
        }
        let _ = writeln!(text, "<Proxy balancer://b{at}>");
        for n in members {
            let _ = writeln!(text, "BalancerMember http://{} route=r{n}", place(*n));
        }
        let _ = writeln!(
            text,
            "</Proxy>\nProxyPass /b{at}/ balancer://b{at}/\n</VirtualHost>"
        );
    }
    text
}

fn is_name(n: usize) -> bool {
    !n.is_multiple_of(2)
}

fn place(n: usize) -> String {
    let port = usize::from(PORTS.start) + n % PORTS.len();
    format!("{}:{port}", host(n))
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
