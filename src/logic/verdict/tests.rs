use std::net::Ipv4Addr;

use super::*;
use crate::logic::health::Reason;

fn addr(n: u8) -> Addr {
    Addr::v4(Ipv4Addr::new(192, 0, 2, n))
}

fn health(n: u8, state: State, hard_fails: u32, since_ms: u64) -> AddrHealth {
    AddrHealth {
        state,
        hard_fails,
        since_ms,
        fails: u32::from(state == State::Down),
        reason: (state == State::Down).then_some(Reason::Timeout),
        ..AddrHealth::new(addr(n))
    }
}

fn record(addrs: &[AddrHealth]) -> TargetRecord {
    TargetRecord {
        port: 80,
        addrs: addrs.to_vec(),
    }
}

#[test]
fn a_worker_is_up_while_one_address_is_not_down() {
    let record = record(&[
        health(1, State::Down, 2, 500),
        health(2, State::Down, 0, 900),
        health(3, State::Up, 0, 100),
        health(4, State::Unknown, 0, 0),
        health(5, State::Down, 7, 700),
    ]);
    let of = |addrs: &[u8]| {
        let addrs: Vec<Addr> = addrs.iter().map(|n| addr(*n)).collect();
        worker(&addrs, Some(&record), 2)
    };
    let down = |hard, since_ms| WorkerHealth::Down { hard, since_ms };
    assert_eq!(of(&[]), WorkerHealth::Up);
    assert_eq!(of(&[1, 2, 3]), WorkerHealth::Up);
    assert_eq!(of(&[1, 4]), WorkerHealth::Up);
    assert_eq!(of(&[1, 99]), WorkerHealth::Up, "not in the record yet");
    assert_eq!(of(&[1]), down(true, 500));
    assert_eq!(of(&[5, 1]), down(true, 700));
    assert_eq!(of(&[1, 2]), down(false, 900));
    assert_eq!(worker(&[addr(1)], Some(&record), 3), down(false, 500));
    assert_eq!(worker(&[addr(1)], None, 2), WorkerHealth::Up);
}

const UP: Member = Member {
    health: Some(WorkerHealth::Up),
    usable: true,
    last_resort: true,
    lacks_address: false,
    awaits_dns: false,
};

const fn soft(since_ms: u64) -> Member {
    Member {
        health: Some(WorkerHealth::Down {
            hard: false,
            since_ms,
        }),
        ..UP
    }
}

const HARD: Member = Member {
    health: Some(WorkerHealth::Down {
        hard: true,
        since_ms: 9_999,
    }),
    ..UP
};

const fn unusable(member: Member) -> Member {
    Member {
        usable: false,
        ..member
    }
}

#[test]
fn who_is_in_and_who_is_out() {
    use Verdict::{In, LastResort, Out};
    let expired = |member| Member {
        lacks_address: true,
        ..member
    };
    let strict = |member| Member {
        last_resort: false,
        ..member
    };
    let foreign = Member { health: None, ..UP };
    let awaits = Member {
        awaits_dns: true,
        ..UP
    };
    let cases: &[(&[Member], &[Verdict])] = &[
        (&[], &[]),
        (&[UP, UP], &[In, In]),
        (&[UP, soft(1)], &[In, Out]),
        (&[UP, HARD], &[In, Out]),
        (&[soft(1), soft(2), HARD], &[Out, LastResort, Out]),
        (&[soft(2), soft(2)], &[LastResort, Out]),
        (&[HARD, HARD], &[Out, Out]),
        // A plain worker.
        (&[soft(1)], &[LastResort]),
        (&[HARD], &[Out]),
        (&[strict(soft(1))], &[Out]),
        (&[expired(UP)], &[Out]),
        (&[expired(soft(1))], &[Out]),
        // A member that is up but not usable helps nobody.
        (&[unusable(UP), soft(1)], &[In, LastResort]),
        (&[unusable(soft(9)), soft(1)], &[Out, LastResort]),
        (&[unusable(soft(9)), HARD], &[Out, Out]),
        (&[expired(UP), soft(1)], &[Out, LastResort]),
        (&[strict(soft(9)), soft(1)], &[Out, LastResort]),
        // Not ours to judge: as good as up.
        (&[foreign, soft(1)], &[In, Out]),
        (&[unusable(foreign), soft(1)], &[In, LastResort]),
        // DNS has not answered yet: only while another one can serve, for it would take a look-up by httpd.
        (&[awaits], &[In]),
        (&[awaits, awaits], &[In, In]),
        (&[awaits, UP], &[Out, In]),
        (&[awaits, foreign], &[Out, In]),
        (&[awaits, soft(1)], &[In, Out]),
        (&[awaits, unusable(UP)], &[In, In]),
    ];
    for (members, wanted) in cases {
        assert_eq!(balancer(members), *wanted, "{members:?}");
    }
}

/// All members of all kinds, three at a time: at most one last resort, and only when nothing usable is up.
#[test]
fn a_balancer_keeps_its_last_usable_member() {
    let kinds: Vec<Member> = [UP, soft(1), soft(2), HARD]
        .into_iter()
        .flat_map(|member| [member, unusable(member)])
        .flat_map(|member| {
            let strict = Member {
                last_resort: false,
                ..member
            };
            let expired = Member {
                lacks_address: true,
                ..member
            };
            [member, strict, expired]
        })
        .collect();
    for a in &kinds {
        for b in &kinds {
            for c in &kinds {
                let members = [*a, *b, *c];
                check(&members, &balancer(&members));
            }
        }
    }
}

/// As httpd sees a member that is not marked.
const fn stranger(usable: bool) -> Member {
    Member {
        health: None,
        usable,
        last_resort: false,
        lacks_address: false,
        awaits_dns: false,
    }
}

#[test]
fn observed_members_are_strangers_to_live_ones() {
    use Verdict::{In, LastResort, Out};
    let observed = |usable| Some(stranger(usable));
    type Case<'a> = (&'a [Member], &'a [Option<Member>], &'a [Verdict]);
    // Members as if all were live, what httpd sees of the observed ones, verdicts.
    let cases: &[Case] = &[
        (&[soft(1), UP], &[None, None], &[Out, In]),
        // httpd still uses the observed one, although it is down: the live one may go.
        (
            &[soft(1), soft(2)],
            &[None, observed(true)],
            &[Out, LastResort],
        ),
        // httpd has it in error: the live one is the last.
        (
            &[soft(1), soft(2)],
            &[None, observed(false)],
            &[LastResort, LastResort],
        ),
        (&[soft(1), UP], &[None, observed(false)], &[LastResort, In]),
        (&[UP, soft(2)], &[None, observed(true)], &[In, Out]),
        (&[HARD, HARD], &[None, observed(true)], &[Out, Out]),
        // All are observed: what would be, as if all were live.
        (
            &[soft(1), soft(2)],
            &[observed(true), observed(true)],
            &[Out, LastResort],
        ),
        (
            &[soft(1), HARD, UP],
            &[observed(true), None, observed(false)],
            &[Out, Out, In],
        ),
    ];
    for (members, observed, wanted) in cases {
        assert_eq!(
            mixed(members, observed),
            *wanted,
            "{members:?} {observed:?}"
        );
    }
}

/// Whatever is observed, each verdict is that of one of the two views, and without observed members both are one.
#[test]
fn a_mixed_balancer_is_judged_in_two_views() {
    let kinds = [
        UP,
        soft(1),
        soft(2),
        HARD,
        unusable(soft(3)),
        stranger(true),
    ];
    for a in kinds {
        for b in kinds {
            let members = [a, b];
            assert_eq!(mixed(&members, &[None, None]), balancer(&members));
            for usable in [true, false] {
                let seen = stranger(usable);
                let verdicts = mixed(&members, &[None, Some(seen)]);
                assert_eq!(verdicts[0], balancer(&[a, seen])[0]);
                assert_eq!(verdicts[1], balancer(&members)[1]);
            }
        }
    }
}

fn check(members: &[Member], verdicts: &[Verdict]) {
    assert_eq!(verdicts.len(), members.len());
    let resorts = verdicts.iter().filter(|v| **v == Verdict::LastResort);
    let better = members.iter().any(|m| m.usable && !m.is_down());
    let possible = members.iter().any(|m| m.resort().is_some());
    assert_eq!(resorts.count(), usize::from(!better && possible));
    for (member, verdict) in members.iter().zip(verdicts) {
        assert_eq!(*verdict == Verdict::In, !member.is_down());
        assert!(*verdict != Verdict::LastResort || member.resort().is_some());
    }
}

fn sight(now_ms: u64) -> Sight {
    Sight {
        in_error: true,
        hc_fail: false,
        kept_until_ms: 0,
        now_ms,
        rise: 2,
    }
}

/// A member with one address that is up, after `oks` successes ever.
fn answered(oks: u32) -> TargetRecord {
    record(&[AddrHealth {
        ok_total: oks,
        ..health(1, State::Up, 0, 1)
    }])
}

#[test]
fn a_member_in_error_is_probed_and_released() {
    let mut release = Release::default();
    let mut look = |now, oks: u32| release.step(sight(now), &[addr(1)], Some(&answered(oks)));
    assert_eq!(look(1_000, 50), Action::Probe);
    assert_eq!(look(1_010, 50), Action::None);
    assert_eq!(look(1_020, 51), Action::Probe);
    assert_eq!(look(1_030, 51), Action::None);
    assert_eq!(look(1_120, 52), Action::Release);
}

#[test]
fn successes_before_the_error_do_not_count() {
    let mut release = Release::default();
    let calm = Sight {
        in_error: false,
        ..sight(1_000)
    };
    let addrs = [addr(1)];
    assert_eq!(release.step(calm, &addrs, Some(&answered(7))), Action::None);
    assert_eq!(
        release.step(sight(1_100), &addrs, Some(&answered(90))),
        Action::Probe
    );
    // It ends by itself and begins again.
    assert_eq!(
        release.step(calm, &addrs, Some(&answered(91))),
        Action::None
    );
    assert_eq!(
        release.step(sight(1_200), &addrs, Some(&answered(92))),
        Action::Probe
    );
    // The count wraps; a record that began anew does not count as many.
    let mut release = Release::default();
    release.step(sight(1), &addrs, Some(&answered(u32::MAX)));
    assert_eq!(
        release.step(sight(2), &addrs, Some(&answered(1))),
        Action::Release
    );
    let mut release = Release::default();
    release.step(sight(1), &addrs, Some(&answered(100)));
    assert_eq!(
        release.step(sight(2), &addrs, Some(&answered(3))),
        Action::None
    );
    assert_eq!(
        release.step(sight(3), &addrs, Some(&answered(5))),
        Action::Release
    );
}

#[test]
fn only_an_address_that_answers_releases() {
    let addrs = [addr(1), addr(2)];
    let of = |state, fails, oks| {
        let first = AddrHealth {
            ok_total: oks,
            fails,
            ..health(1, state, 0, 1)
        };
        record(&[first, health(2, State::Down, 0, 1)])
    };
    let mut release = Release::default();
    let mut look = |now, record: &TargetRecord| release.step(sight(now), &addrs, Some(record));
    assert_eq!(look(1, &of(State::Up, 0, 10)), Action::Probe);
    assert_eq!(look(2, &of(State::Up, 1, 15)), Action::None);
    assert_eq!(look(3, &of(State::Down, 0, 16)), Action::None);
    assert_eq!(look(4, &of(State::Up, 0, 16)), Action::Release);
    let mut release = Release::default();
    assert_eq!(release.step(sight(1), &addrs, None), Action::Probe);
    assert_eq!(release.step(sight(2), &addrs, None), Action::None);
}

#[test]
fn failonstatus_keeps_its_time_and_our_own_mark_goes_first() {
    let mut release = Release::default();
    let mut look = |now, oks, hc_fail, kept_until_ms| {
        let sight = Sight {
            hc_fail,
            kept_until_ms,
            ..sight(now)
        };
        release.step(sight, &[addr(1)], Some(&answered(oks)))
    };
    assert_eq!(look(1_000, 1, true, 5_000), Action::None);
    assert_eq!(look(1_500, 1, false, 5_000), Action::Probe);
    assert_eq!(look(2_000, 9, false, 5_000), Action::None);
    assert_eq!(look(4_999, 9, false, 5_000), Action::None);
    assert_eq!(look(5_000, 9, true, 5_000), Action::None);
    assert_eq!(look(5_000, 9, false, 5_000), Action::Release);
}

/// The probes are answered, the requests are refused: the releases become fewer.
#[test]
fn who_falls_into_error_again_and_again_comes_back_more_slowly() {
    let mut release = Release::default();
    let (mut now, mut oks) = (1_000, 0);
    let mut needed = Vec::new();
    for _ in 0..10 {
        let (mut new, mut probes) = (0, 0);
        loop {
            now += 100;
            match release.step(sight(now), &[addr(1)], Some(&answered(oks))) {
                Action::Release => break,
                Action::Probe => probes += 1,
                Action::None => {}
            }
            (oks, new) = (oks + 1, new + 1);
        }
        assert_eq!(probes, 2);
        needed.push(new);
    }
    assert_eq!(needed, [2, 2, 2, 4, 8, 16, 32, 32, 32, 32]);
    now += 60_000;
    release.step(sight(now), &[addr(1)], Some(&answered(oks)));
    let action = release.step(sight(now), &[addr(1)], Some(&answered(oks + 2)));
    assert_eq!(action, Action::Release);
}

/// IPv6 addresses on a machine without IPv6: they must not keep a dead worker in use.
#[test]
fn addresses_out_of_reach_say_nothing() {
    let unreachable = AddrHealth {
        reason: Some(Reason::Local(101)),
        ..health(2, State::Unknown, 0, 0)
    };
    let of = |first: AddrHealth| {
        let record = record(&[first, unreachable.clone()]);
        worker(&[addr(1), addr(2)], Some(&record), 2)
    };
    let down = WorkerHealth::Down {
        hard: true,
        since_ms: 500,
    };
    assert_eq!(of(health(1, State::Down, 2, 500)), down);
    assert_eq!(of(health(1, State::Up, 0, 500)), WorkerHealth::Up);
    assert_eq!(of(health(1, State::Unknown, 0, 0)), WorkerHealth::Up);
    assert_eq!(
        of(unreachable.clone()),
        WorkerHealth::Up,
        "nothing is known"
    );
    let was_up = AddrHealth {
        reason: Some(Reason::Local(24)),
        ..health(1, State::Up, 0, 500)
    };
    assert_eq!(of(was_up), WorkerHealth::Up, "trouble of today");
}
