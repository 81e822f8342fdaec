//! Third part: a user waits for an answer of a member whose machine vanishes at that moment.

use crate::tally::{line, text_of};
use live_kit::{Backend, Client, Failure, Httpd, Mode, Reply, Request, World, answers, eventually};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

const MEMBERS: [(&str, &str); 2] = [("app3", "127.0.0.7"), ("app4", "127.0.0.8")];
const CONFIG: &str = "<Proxy \"balancer://sessions\">
    BalancerMember \"http://app3.example.test:9000\" route=1
    BalancerMember \"http://app4.example.test:9000\" route=2
    ProxySet stickysession=ROUTEID
</Proxy>
ProxyPass \"/\" \"balancer://sessions/\"";
/// What the administrator sees of it.
const LOG: &str = "LogFormat \"\\\"%r\\\" %>s addr=%{LIVE_ADDR}e attempts=%{LIVE_ATTEMPTS}e rescue=%{LIVE_RESCUE}e\" live
CustomLog logs/live.log live";
/// app3 works for so long on the report: longer than all this takes.
const WORK: Duration = Duration::from_secs(60);
/// The user gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long after the death the user has the answer, also on a busy machine.
const RESCUED: Duration = Duration::from_secs(5);

/// What the user got, and when, counted from the death.
type Answer = (Result<Reply, Failure>, Duration);

/// Whether the httpd with the module kept its promise.
pub fn run(world: &mut World) -> bool {
    let [app3, _app4] = MEMBERS.map(|(name, ip)| {
        world
            .dns
            .set(&format!("{name}.example.test"), answers(&[ip], 60));
        Backend::start(name, &format!("{ip}:9000"))
    });
    let stock = world.httpd().config(CONFIG).expect("").start();
    let text = CONFIG.replace("</Proxy>", "    ProxyLive on\n</Proxy>");
    let live = world
        .httpd()
        .live(&format!("{text}\n{LOG}"))
        .expect("")
        .start();
    introduce();
    // Both members have been probed.
    sleep(Duration::from_secs(3));
    app3.mode(Mode::Slow(WORK));
    let before = app3.requests();
    let users = [&stock, &live].map(waits);
    eventually(PATIENCE, || app3.requests() == before + 2);
    sleep(Duration::from_millis(1500));
    world.vanish(MEMBERS[0].1);
    let death = Instant::now();
    println!("Now app3's machine vanishes.\n");
    let answers = users.map(|user| {
        let (result, at) = user.join().expect("a user");
        (result, at.duration_since(death))
    });
    world.appear(MEMBERS[0].1);
    app3.kill();
    judge(&answers, &live)
}

fn introduce() {
    println!("\n\nPART 3: A USER IS WAITING AS THE MEMBER DIES\n");
    println!("Sessions are bound to members; no ProxyTimeout:");
    CONFIG.lines().for_each(|line| println!("    {line}"));
    println!("The second httpd has `ProxyLive on` in the <Proxy> section.");
    println!(
        "A user of app3 asks each httpd for a report. app3 works on it for a long time; that is"
    );
    println!(
        "legal, and nobody takes the request away from it. The user gives up after {} s.\n",
        PATIENCE.as_secs()
    );
}

/// Sends the user's request in a thread: the answer, and when it came.
fn waits(httpd: &Httpd) -> JoinHandle<(Result<Reply, Failure>, Instant)> {
    let addr = httpd.addr();
    std::thread::spawn(move || {
        let request = Request::get("/report").header("Cookie", "ROUTEID=user.1");
        let result = Client::new(addr, PATIENCE).send(&request);
        (result, Instant::now())
    })
}

fn judge(answers: &[Answer; 2], live: &Httpd) -> bool {
    line("", ["stock".into(), "mod_proxy_live".into()]);
    let got = |(result, _): &Answer| match result {
        Ok(reply) if reply.backend.is_empty() => format!("{}", reply.status),
        Ok(reply) => format!("{} from {}", reply.status, reply.backend),
        Err(Failure::Timeout) => "no answer".into(),
        Err(failure) => format!("{failure:?}"),
    };
    let [stock, with] = answers;
    line("the user of app3 gets", [got(stock), got(with)]);
    let after = |(_, time): &Answer| text_of(*time);
    line("    after the death", [after(stock), after(with)]);
    println!();
    let log = || std::fs::read_to_string(live.root().join("logs/live.log")).unwrap_or_default();
    eventually(PATIENCE, || log().contains("/report"));
    println!("access log, with the module's variables:");
    log().lines().for_each(|line| println!("    {line}"));
    let told = |text: &str| text.contains("retried");
    // The leading child tells it once a second or so.
    let end = Instant::now() + RESCUED;
    while !live.live_lines().iter().any(|l| told(&l.text)) && Instant::now() < end {
        sleep(Duration::from_millis(50));
    }
    println!("error log:");
    for line in live.live_lines().iter().filter(|l| told(&l.text)) {
        println!(
            "    {}",
            line.text.splitn(4, "] ").last().unwrap_or_default()
        );
    }
    let good = with.0.as_ref().is_ok_and(|reply| reply.backend == "app4");
    good && with.1 <= RESCUED
}
