//! Second part: one of two members of a balancer vanishes and comes back, the other one is killed and comes
//! back.

use crate::show::{Show, of};
use crate::tally::{Event, line, text_of};
use live_kit::{Backend, Httpd, World, answers};
use std::time::{Duration, Instant};

const MEMBERS: [(&str, &str); 2] = [("app1", "127.0.0.5"), ("app2", "127.0.0.6")];
/// So long after a member has died requests may still be sent to it.
const VERDICT: Duration = Duration::from_millis(2500);
/// Within this a member that is back gets requests again.
const BACK: Duration = Duration::from_secs(6);
/// A request to a machine that has vanished takes longer: the shortest connect time-out is 1 s.
const STUCK: Duration = Duration::from_millis(950);
/// Slower ones annoy people.
const SLOW: Duration = Duration::from_millis(1500);
const CONFIG: &str = "ProxyTimeout 5
<Proxy \"balancer://pair\">
    BalancerMember \"http://app1.example.test:9000\"
    BalancerMember \"http://app2.example.test:9000\"
</Proxy>
ProxyPass \"/\" \"balancer://pair/\"";

/// A member that nobody can reach.
struct Outage {
    what: &'static str,
    member: &'static str,
    began: Instant,
    ended: Instant,
    /// Attempts to connect that each server's log tells of which ended later than [`VERDICT`]. Not for a machine that
    /// vanished: these attempts take their time, and their requests are seen to be stuck.
    refused: [usize; 2],
}

/// Whether the httpd with the module kept its promise.
pub fn run(world: &mut World) -> bool {
    let [_app1, app2] = MEMBERS.map(|(name, ip)| {
        world
            .dns
            .set(&format!("{name}.example.test"), answers(&[ip], 60));
        Backend::start(name, &format!("{ip}:9000"))
    });
    let stock = world.httpd().config(CONFIG).expect("").start();
    let text = CONFIG.replace("</Proxy>", "    ProxyLive on\n</Proxy>");
    let live = world.httpd().live(&text).expect("").start();
    introduce();
    let mut show = Show::start([&stock, &live]);

    show.phase("all is well", "both members answer");
    show.run(3, &live);

    show.phase(
        "app1 vanished",
        "app1's machine vanishes: its packets are lost",
    );
    let began = Instant::now();
    world.vanish(MEMBERS[0].1);
    show.run(10, &live);

    show.phase("app1 is back", "app1's machine is back");
    world.appear(MEMBERS[0].1);
    let vanished = Outage {
        what: "app1 vanished",
        member: "app1",
        began,
        ended: Instant::now(),
        refused: [0, 0],
    };
    show.run(9, &live);

    show.phase(
        "app2 killed",
        "app2's process is killed: its port is closed",
    );
    let killed = kill(&app2, &mut show, [&stock, &live]);
    show.run(9, &live);

    judge(&show.end(), &[vanished, killed])
}

/// Kills app2 for 6 s, and begins the phase of its return.
fn kill(app2: &Backend, show: &mut Show, servers: [&Httpd; 2]) -> Outage {
    let dialled = || {
        let text = format!("attempt to connect to {}:9000", MEMBERS[1].1);
        servers.map(|httpd| httpd.logged(&text))
    };
    let began = Instant::now();
    app2.kill();
    show.run(2, servers[1]);
    std::thread::sleep((began + VERDICT).saturating_duration_since(Instant::now()));
    let before = dialled();
    show.run(4, servers[1]);
    let after = dialled();
    show.phase("app2 is back", "app2's process is back");
    app2.revive();
    Outage {
        what: "app2 killed",
        member: "app2",
        began,
        ended: Instant::now(),
        refused: [0, 1].map(|n| after[n] - before[n]),
    }
}

fn introduce() {
    println!("\n\nPART 2: ONE OF TWO MEMBERS DIES\n");
    println!("The same with a balancer:");
    CONFIG.lines().for_each(|line| println!("    {line}"));
    println!("The second httpd has `ProxyLive on` in the <Proxy> section.");
    let (verdict, back) = (text_of(VERDICT), text_of(BACK));
    println!(
        "Promised: {verdict} after a member's death no request is sent to it any more, and it gets"
    );
    println!(
        "requests again within {back} of its return. No GET fails: those that a member got before"
    );
    println!("it died are answered by the other one.\n");
}

/// Prints what became of requests around each outage.
fn judge(events: &[Event], outages: &[Outage]) -> bool {
    line("", ["stock".into(), "mod_proxy_live".into()]);
    let mut good = true;
    for (n, outage) in outages.iter().enumerate() {
        let next = outages.get(n + 1).map(|next| next.began);
        good &= outage.judge(events, next);
    }
    let failed = [0, 1].map(|server| of(events, server).filter(|e| e.failed()).count());
    line("failed, of all requests", failed.map(|n| n.to_string()));
    good && failed[1] == 0
}

impl Outage {
    /// Answered late or not at all.
    fn late(&self, e: &Event) -> bool {
        let sent = e.start >= self.began + VERDICT && e.start < self.ended;
        sent && (e.failed() || e.took >= STUCK)
    }

    /// From its return to its first answer, if that came before the `next` outage.
    fn back(&self, events: &[Event], server: usize, next: Option<Instant>) -> Option<Duration> {
        let within = |e: &&Event| e.start >= self.ended && next.is_none_or(|next| e.start < next);
        let ours = of(events, server).filter(|e| e.is_from(self.member));
        let after = ours.filter(within).map(|e| e.start + e.took - self.ended);
        after.min()
    }

    fn judge(&self, events: &[Event], next: Option<Instant>) -> bool {
        let count = |test: &dyn Fn(&Event) -> bool| {
            [0, 1].map(|server| of(events, server).filter(|e| test(e)).count())
        };
        let met = |e: &Event| e.start + e.took > self.began && e.start < self.ended;
        let failed = count(&|e| met(e) && e.failed());
        let slow = count(&|e| met(e) && e.took > SLOW);
        let stuck = count(&|e| self.late(e));
        let late = [0, 1].map(|n| stuck[n] + self.refused[n]);
        let back = [0, 1].map(|server| self.back(events, server, next));
        let numbers = |values: [usize; 2]| values.map(|n| n.to_string());
        line(&format!("{}: failed", self.what), numbers(failed));
        line(&format!("    slower than {}", text_of(SLOW)), numbers(slow));
        line(
            &format!("    sent to it later than {} after", text_of(VERDICT)),
            numbers(late),
        );
        line(
            "    from its return to its first answer",
            back.map(|time| time.map_or("none came".into(), text_of)),
        );
        late[1] == 0 && back[1].is_some_and(|time| time <= BACK)
    }
}
