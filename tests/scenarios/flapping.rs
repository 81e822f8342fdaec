//! Backends that come and go all the time.

use crate::common::pool::*;
use crate::common::processes::{leader, numbers, takeover};
use crate::common::*;
use live_kit::{
    Backend, Builder, Httpd, MANAGER, Request, World, eventually, pause, scenario_within,
};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long they flap, and how often the leader is killed meanwhile (each kill costs a child).
const FLAPS: Duration = Duration::from_secs(60);
const KILL_EVERY: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(200);
const TARGETS: usize = 200;
const FLAPPING: usize = 50;

fn url(n: usize) -> String {
    format!("http://127.1.{}.{}:9000", n / 100, n % 100 + 1)
}

fn many(w: &mut World) -> (Vec<Backend>, Builder) {
    let mut text = format!("{MANAGER}\n<Proxy balancer://pool>\n");
    for n in 0..TARGETS {
        text += &format!("BalancerMember {} live=on liveinterval=500ms\n", url(n));
    }
    text += "</Proxy>\nProxyPass / balancer://pool/";
    let start = |n: usize| {
        let backend = Backend::start(&n.to_string(), url(n).trim_start_matches("http://"));
        backend.record(false);
        backend
    };
    let backends = (0..TARGETS).map(start).collect();
    (backends, troubled(w.httpd().live(&text)))
}

/// Members with the mark, by the page of balancer-manager: one request for all.
fn marked(httpd: &Httpd) -> BTreeSet<String> {
    let request = Request::get("/balancer-manager?xml=1");
    let request = request.header("Referer", "http://front.test/");
    let page = httpd.send(&request).expect("balancer-manager").text();
    let workers = page.split("<httpd:worker>").skip(1);
    let name = |w: &str| {
        let (_, rest) = w.split_once("<httpd:name>")?;
        Some(rest.split_once("</httpd:name>")?.0.to_owned())
    };
    workers
        .filter(|w| w.contains("HcFl"))
        .filter_map(name)
        .collect()
}

/// A quarter of two hundred flaps, and the leading child is killed now and then: in the end every member is
/// what its backend is, and nobody else was ever touched.
#[test]
fn a_quarter_of_two_hundred() {
    scenario_within(LIMIT, |w: &mut World| {
        let (backends, builder) = many(w);
        let httpd = builder.expect("exit signal Killed").start();
        wait_probed(&backends.iter().collect::<Vec<_>>());
        assert!(marked(&httpd).is_empty());
        let mut next = numbers(7);
        let mut dead = [false; FLAPPING];
        let start = Instant::now();
        let mut kills = 0u32;
        while start.elapsed() < FLAPS {
            let n = next(FLAPPING as u64) as usize;
            dead[n] = !dead[n];
            if dead[n] {
                backends[n].kill();
            } else {
                backends[n].revive();
            }
            pause(0.03);
            if start.elapsed() > KILL_EVERY * (kills + 1) {
                let old = leader(&httpd);
                httpd.kill9(old);
                takeover(&httpd, old);
                kills += 1;
            }
        }
        let truth: BTreeSet<String> = (0..FLAPPING).filter(|n| dead[*n]).map(url).collect();
        let took = eventually(Duration::from_secs(60), || marked(&httpd) == truth);
        println!(
            "figure: {} changes in {FLAPS:?}, {} dead at the end, the board was right after {took:?}",
            changes(&httpd),
            truth.len()
        );
        assert!(!truth.is_empty() && truth.len() < FLAPPING);
        for n in FLAPPING..TARGETS {
            assert_eq!(downs(&httpd, &url(n)), 0, "{}", url(n));
        }
        pause(2.0);
        assert_eq!(marked(&httpd), truth);
        backends[..FLAPPING].iter().for_each(Backend::revive);
        eventually(Duration::from_secs(60), || marked(&httpd).is_empty());
    });
}

/// The more often an address comes and goes, the longer it must prove itself.
#[test]
fn a_flapping_member_is_damped() {
    scenario_within(LIMIT, |w: &mut World| {
        let (a, b) = backends();
        set_members(w);
        let text = pool("liveinterval=200ms");
        let httpd = start_pool(troubled(w.httpd().live(&text)), &[&a, &b]);
        let mut up = Vec::new();
        for _ in 0..9 {
            a.kill();
            wait_down(&httpd, ONE);
            a.revive();
            up.push(wait_up(&httpd, ONE));
        }
        println!("figure: came back after {up:?}");
        assert!(httpd.logged("127.0.0.2 flaps: needs ") >= 1);
        assert!(httpd.logged("127.0.0.2 flaps: needs ") <= 9);
        let quick = up[..2].iter().min().expect("some");
        let slow = up[6..].iter().max().expect("some");
        assert!(*slow > *quick * 2, "{up:?}");
        assert_eq!(httpd.logged("127.0.0.3 flaps"), 0);
        assert_eq!(used(&httpd), ["A", "B"]);
    });
}
