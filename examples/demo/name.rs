//! First part: the name of a backend moves, its old machine vanishes, DNS breaks.

use crate::show::{GIVE_UP, Show, USERS, of};
use crate::tally::{Event, line, text_of};
use live_kit::{Backend, Fault, World, answers};
use std::time::{Duration, Instant};

const NAME: &str = "backend.example.test";
/// Seconds.
const TTL: u32 = 2;
/// After a move, answers of the old address are stale when their request began later than this.
const GRACE: Duration = Duration::from_secs(TTL as u64 + 1);

/// Whether the httpd with the module kept its promise.
pub fn run(world: &mut World) -> bool {
    let _a = Backend::start("A", "127.0.0.2:9000");
    let _b = Backend::start("B", "127.0.0.3:9000");
    let _c = Backend::start("C", "127.0.0.4:9000");
    world.dns.set(NAME, answers(&["127.0.0.2"], TTL));
    // Every log line is allowed here: the failures are the demo's own.
    let config = format!("ProxyTimeout 5\nProxyPass / http://{NAME}:9000/");
    let stock = world.httpd().config(&config).expect("").start();
    let text = format!("{config} live=on");
    let live = world.httpd().live(&text).expect("").start();
    introduce(&config);
    let mut show = Show::start([&stock, &live]);

    show.phase("all is well", "DNS says A");
    show.run(4, &live);

    show.phase(
        "moved, A lives on",
        "DNS moves to B; A lives on and belongs to somebody else",
    );
    let mut moves = vec![(Instant::now(), "A")];
    world.dns.set(NAME, answers(&["127.0.0.3"], TTL));
    show.run(10, &live);

    show.phase("A vanished", "A's machine vanishes: its packets are lost");
    world.vanish("127.0.0.2");
    show.run(14, &live);

    show.phase("DNS broken", "DNS breaks: SERVFAIL to every question");
    world.dns.fail(NAME, Fault::ServFail);
    show.run(6, &live);

    show.phase("DNS is back", "DNS is back: it still says B");
    world.dns.heal(NAME);
    show.run(6, &live);

    show.phase(
        "moved, B lives on",
        "DNS moves to C; B lives on and belongs to somebody else",
    );
    moves.push((Instant::now(), "B"));
    world.dns.set(NAME, answers(&["127.0.0.4"], TTL));
    show.run(8, &live);

    let good = judge(&show.end(), &moves);
    world.appear_all();
    good
}

fn introduce(config: &str) {
    println!("PART 1: DNS MOVES AND BREAKS\n");
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
    println!("A user gives up after {GIVE_UP} s.");
    println!(
        "Each second: answers per backend, errors, and the slowest answer, or the longest wait"
    );
    println!("of a user who has none yet.\n");
}

/// `moves`: since when DNS has taken which backend away.
fn judge(events: &[Event], moves: &[(Instant, &str)]) -> bool {
    let stale = |e: &&Event| {
        let old = |(at, name): &(Instant, &str)| e.is_from(name) && e.start > *at + GRACE;
        moves.iter().any(old)
    };
    let stale = [0, 1].map(|server| of(events, server).filter(stale).count());
    let failed = [0, 1].map(|server| of(events, server).filter(|e| e.failed()).count());
    let slowest = [0, 1].map(|server| of(events, server).map(|e| e.took).max().unwrap_or_default());
    line("", ["stock".into(), "mod_proxy_live".into()]);
    line(
        "answers of an address DNS had taken away (after TTL + 1 s)",
        stale.map(|n| n.to_string()),
    );
    line("errors", failed.map(|n| n.to_string()));
    line("slowest answer", slowest.map(text_of));
    (stale[1], failed[1]) == (0, 0)
}
