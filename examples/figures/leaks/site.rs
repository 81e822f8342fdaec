//! A hundred names that move, and a pool whose members die.

use live_kit::{Backend, Httpd, LoadBuilder, Mpm, Request, World, answers, eventually};
use std::fmt::Write;
use std::time::Duration;

const NAMES: usize = 100;
const PLACES: [&str; 2] = ["127.0.0.2", "127.0.0.3"];
/// Of the pool.
pub const MEMBERS: usize = 20;
/// Between two moves of a name: it is asked for each 0.5 s, and a tenth of that later at the most.
pub const EACH: Duration = Duration::from_millis(700);

pub struct Site {
    pub httpd: Httpd,
    members: Vec<Backend>,
    _places: [Backend; 2],
}

impl Site {
    pub fn start(world: &mut World, mpm: Mpm) -> Site {
        let start = |at: &str| {
            let backend = Backend::start(at, at);
            backend.record(false);
            backend
        };
        let places = PLACES.map(|ip| start(&format!("{ip}:9100")));
        let members = (0..MEMBERS).map(|n| start(&member(n))).collect();
        (0..NAMES).for_each(|n| set(world, n, 0));
        let children = if mpm == Mpm::Prefork { 8 } else { 4 };
        let httpd = world.httpd().mpm(mpm).children(children);
        let httpd = httpd.expect("").live(&config()).start();
        let known = || httpd.logged(": addresses ") >= NAMES;
        eventually(Duration::from_secs(20), known);
        Site {
            httpd,
            members,
            _places: places,
        }
    }

    /// All names in turn, and the pool with every second request.
    pub fn load(&self) -> LoadBuilder {
        let paths = (0..NAMES).flat_map(|n| [format!("/{n}/"), "/pool/".to_owned()]);
        let requests: Vec<Request> = paths.map(|path| Request::get(&path)).collect();
        // Without the pids of the children: their log would be read whole each time.
        let load = LoadBuilder::on(&self.httpd.addr().to_string());
        load.requests(&requests)
            .clients(8)
            .pause(Duration::from_millis(2))
            .per_connection(1_000)
    }

    pub fn move_all(&self, world: &World, round: usize) {
        (0..NAMES).for_each(|n| set(world, n, round));
    }

    /// Changes that the module has told of.
    pub fn moves(&self) -> usize {
        let log = self.httpd.error_log();
        let told = log.lines().filter(|line| line.contains(": addresses 1"));
        told.filter(|line| line.contains(" -> ")).count()
    }

    pub fn member(&self, n: usize) -> &Backend {
        &self.members[n % MEMBERS]
    }
}

fn set(world: &World, n: usize, round: usize) {
    world.dns.set(&name(n), answers(&[PLACES[round % 2]], 0));
}

fn member(n: usize) -> String {
    format!("127.0.1.{}:9100", n + 1)
}

fn name(n: usize) -> String {
    format!("app{n}.test")
}

/// Two connections for each worker: a pool that could grow for long would look like a leak.
fn config() -> String {
    let mut text = String::from("ProxyLive on\n");
    for n in 0..NAMES {
        let _ = writeln!(
            text,
            "ProxyPass /{n}/ http://{}:9100/ livettl=500ms-1h max=2",
            name(n)
        );
    }
    text += "<Proxy balancer://pool>\n";
    for n in 0..MEMBERS {
        let _ = writeln!(text, "BalancerMember http://{}", member(n));
    }
    text + "</Proxy>\nProxyPass /pool/ balancer://pool/\n"
}
