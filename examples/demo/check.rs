//! Fourth part: a health page says that a member is about to leave, before it does. A third httpd only observes.

use crate::show::{Show, of};
use crate::tally::{Event, line, text_of};
use live_kit::{Backend, Httpd, Mode, Say, World, answers};
use std::time::{Duration, Instant};

const MEMBERS: [(&str, &str); 2] = [("app5", "127.0.0.9"), ("app6", "127.0.0.10")];
const PAGE: &str = "/healthz";
const CONFIG: &str = "<Proxy \"balancer://shop\">
    BalancerMember \"http://app5.example.test:9000\"
    BalancerMember \"http://app6.example.test:9000\"
</Proxy>
ProxyPass \"/\" \"balancer://shop/\"";
const TEMPLATE: &str =
    "ProxyLiveTemplate health-page liveprobe=http liveuri=/healthz liveexpect=200";
/// So long after the page has changed the leading child has told it, also on a busy machine.
const TOLD: Duration = Duration::from_secs(8);
const OBSERVED: &str = "observe: would mark down";

/// Whether the httpd with the module kept its promise.
pub fn run(world: &mut World) -> bool {
    let [app5, _app6] = MEMBERS.map(|(name, ip)| {
        world
            .dns
            .set(&format!("{name}.example.test"), answers(&[ip], 60));
        Backend::start(name, &format!("{ip}:9000"))
    });
    let stock = world.httpd().config(CONFIG).expect("").start();
    let live = world.httpd().live(&with("on")).expect("").start();
    let observing = world.httpd().live(&with("observe")).expect("").start();
    introduce();
    let mut show = Show::start([&stock, &live]);

    show.phase("all is well", "both pages answer 200");
    show.run(4, &live);

    show.phase(
        "503 on the page",
        "app5's health page answers 503; everything else on app5 still works",
    );
    app5.say(PAGE, Say::Status(503));
    show.run(5, &live);

    show.phase("app5 has left", "app5 answers 503 to everything");
    app5.mode(Mode::Status(503));
    show.run(3, &live);

    show.phase("app5 is back", "app5 is back, with its page");
    app5.mode(Mode::Ok);
    app5.say_usual(PAGE);
    show.run(4, &live);

    let good = judge(&show.end());
    tell(&observing) && good
}

/// The configuration with `ProxyLive` in its section.
fn with(mode: &str) -> String {
    let text = CONFIG.replace(
        "</Proxy>",
        &format!("    ProxyLive {mode} health-page\n</Proxy>"),
    );
    format!("{TEMPLATE}\n{text}")
}

fn introduce() {
    println!("\n\nPART 4: A HEALTH PAGE, AND A HTTPD THAT ONLY OBSERVES\n");
    println!("A balancer again:");
    CONFIG.lines().for_each(|line| println!("    {line}"));
    println!(
        "The second httpd has `ProxyLive on health-page` in the <Proxy> section, and above it"
    );
    println!("    {TEMPLATE}");
    println!("A third one, without users, has `ProxyLive observe health-page`.\n");
}

fn judge(events: &[Event]) -> bool {
    let failed = [0, 1].map(|server| of(events, server).filter(|e| e.failed()).count());
    let slowest = [0, 1].map(|server| of(events, server).map(|e| e.took).max().unwrap_or_default());
    line("", ["stock".into(), "mod_proxy_live".into()]);
    line("errors", failed.map(|n| n.to_string()));
    line("slowest answer", slowest.map(text_of));
    failed[1] == 0
}

/// What the observing httpd has written; whether it is what it would have done.
fn tell(observing: &Httpd) -> bool {
    let end = Instant::now() + TOLD;
    while observing.logged(OBSERVED) == 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("\nerror log of the third httpd, which has touched nothing:");
    let lines = observing.live_lines();
    for line in lines
        .iter()
        .filter(|l| l.text.contains("observe: would mark"))
    {
        println!(
            "    {}",
            line.text.splitn(4, "] ").last().unwrap_or_default()
        );
    }
    observing.logged(OBSERVED) > 0
}
