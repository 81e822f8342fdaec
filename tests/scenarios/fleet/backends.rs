//! HAProxy in front of two instances, whose backends die: those of one, or all.

use super::haproxy::{Fleet, LIMIT, Users};
use super::*;
use crate::common::QUICK;
use live_kit::{eventually, pause, scenario, scenario_within};

/// Users of both kinds while web1 loses its backends by `lose`, and has them back by `give`.
fn backends_of_one_die(
    w: &mut World,
    what: &str,
    lose: fn(&Apps, &mut World),
    give: fn(&Apps, &mut World),
) {
    let fleet = Fleet::start(w);
    let load = Users::start();
    pause(1.0);
    let lost = Instant::now();
    lose(&fleet.apps[0], w);
    let noticed = eventually(LOST, || readiness(&fleet.web1) == 503);
    let moved = Instant::now() + NOTICED;
    pause(NOTICED.as_secs_f64() + 1.5);
    assert_eq!(readiness(&fleet.web1), 503);
    let given = Instant::now();
    give(&fleet.apps[0], w);
    let ready = eventually(Duration::from_secs(10), || readiness(&fleet.web1) == 200);
    let back = eventually(NOTICED, || who() == "web1") + ready;
    pause(0.5);
    let [kept, fresh] = load.stop();
    println!(
        "figure: backends of web1 {what}: readiness 503 after {noticed:?}; the last new connection after {:?}; {} of {} requests failed on new connections, the last after {:?}, {} on kept ones, the last after {:?}; back in use after {back:?}",
        last_of(&fresh.before(given), "web1", lost),
        fresh.failed().len(),
        fresh.len(),
        last_failure(&fresh, lost),
        kept.failed().len(),
        last_failure(&kept, lost),
    );
    assert!(!kept.before(lost).from("web1").is_empty());
    assert!(!fresh.from("web1").since(given).is_empty());
    for records in [kept, fresh] {
        let later = records.since(moved);
        later.assert_clean(Duration::from_secs(3));
        assert!(!later.before(given).is_empty());
        assert!(later.before(given).from("web1").is_empty());
    }
    drop(fleet);
}

#[test]
fn backends_of_one_are_killed() {
    scenario_within(LIMIT, |w: &mut World| {
        backends_of_one_die(w, "killed", |a, _| a.kill(), |a, _| a.revive());
    });
}

#[test]
fn backends_of_one_vanish() {
    scenario_within(LIMIT, |w: &mut World| {
        backends_of_one_die(w, "vanished", Apps::vanish, |_, w| w.appear_all());
    });
}

/// Everybody's backends are gone: no instance is ready, and users get an answer that says so, not a connection that
/// just ends.
#[test]
fn all_backends_die() {
    scenario(|w: &mut World| {
        let fleet = Fleet::start(w);
        let load = users().per_connection(1).start();
        pause(0.5);
        fleet.apps.iter().for_each(Apps::kill);
        for httpd in [&fleet.web1, &fleet.web2] {
            eventually(NOTICED, || readiness(httpd) == 503);
        }
        pause(3.0);
        let (dead, said) = (Instant::now(), ask().expect("an answer"));
        assert_eq!(said.status, 503);
        pause(1.0);
        let healed = Instant::now();
        fleet.apps.iter().for_each(Apps::revive);
        for httpd in [&fleet.web1, &fleet.web2] {
            eventually(NOTICED, || readiness(httpd) == 200);
        }
        let well = Instant::now();
        pause(2.0);
        let records = load.stop();
        let cut = records.0.iter().filter(|r| r.failure.is_some()).count();
        assert_eq!(cut, 0, "{:?}", records.failed());
        let by_status = records.since(dead).before(healed).by_status();
        assert_eq!(by_status.into_keys().collect::<Vec<_>>(), [503]);
        records
            .since(well + Duration::from_millis(200))
            .assert_clean(QUICK);
    });
}
