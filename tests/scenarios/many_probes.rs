//! A thousand targets that are probed each second, half of them vanished, a third by HTTP. Exact figures: the bench's
//! part `checks`.

use crate::common::pool::*;
use crate::common::processes::{cpu_seconds, leader};
use live_kit::{Backend, World, eventually, pause, scenario_within};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

const TARGETS: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(120);
/// Seconds.
const TIME: f64 = 6.0;

fn address(n: usize) -> String {
    format!("127.4.{}.{}", n / 250, n % 250 + 1)
}

fn config() -> String {
    // First, as the path of each request is compared with those of all workers.
    let mut text = String::from("ProxyPass /app/ http://127.0.0.2:9000/ live=on\n");
    for n in 0..TARGETS {
        let kind = if n % 3 == 0 { "http" } else { "tcp" };
        text += &format!(
            "ProxyPass /{n}/ http://{}:9000/ live=on liveprobe={kind} liveinterval=1s\n",
            address(n)
        );
    }
    text
}

#[test]
fn a_thousand_targets_each_second() {
    scenario_within(LIMIT, |w: &mut World| {
        let all = Backend::start("A", "0.0.0.0:9000");
        let gone: Vec<usize> = (0..TARGETS).filter(|n| n % 2 == 0).collect();
        gone.iter().for_each(|n| w.vanish(&address(*n)));
        let builder = troubled(w.httpd().children(2).live(&config()));
        let httpd = builder.expect("storm").expect("in flight").start();
        eventually(Duration::from_secs(60), || {
            httpd.logged(" unknown -> down (") >= gone.len()
        });
        pause(2.0);
        let leader = leader(&httpd);
        all.forget();
        let (load, before) = (
            httpd.load().path("/app/").clients(4).start(),
            cpu_seconds(leader),
        );
        pause(TIME);
        let cpu = (cpu_seconds(leader) - before) / TIME;
        let probes = all.probes();
        assert_eq!(load.stop().failed().len(), 0);
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for probe in probes.iter().filter(|probe| probe.path == "/") {
            *counts.entry(probe.local).or_default() += 1;
        }
        let wanted = (0..TARGETS).filter(|n| n % 6 == 3).count();
        let (least, most) = (counts.values().min(), counts.values().max());
        println!(
            "figure: {} of {wanted} HTTP targets, {least:?} to {most:?} probes in {TIME} s; {:.0} % of a core",
            counts.len(),
            100.0 * cpu
        );
        assert_eq!(counts.len(), wanted);
        assert!(
            counts.values().all(|n| (4..=8).contains(n)),
            "{least:?} to {most:?}"
        );
        assert!(cpu < 0.9, "the leading child never rests");
    });
}
