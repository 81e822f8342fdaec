//! Names that fail, families that fail or are slow.

use super::*;

#[tokio::test]
async fn failures_do_not_flood() {
    let (board, env) = (board(4), Fake::new());
    let server = DnsServer::new(|_| fleeting(&["10.0.0.1", "fd00::1"]));
    let plan = plan(board, &server, &["app.test"]);
    run_for(&plan, board, &env, 100).await;
    server.set(|_| SERVFAIL);
    let before = server.count();
    // At 0.2 s, then 1 to 1.2 s and 2 to 2.4 s later.
    run_for(&plan, board, &env, 1_700).await;
    assert_eq!(server.count() - before, 4);
    let mut known = record(board, &plan.names[0]);
    assert_eq!(shows(&known), "10.0.0.1 fd00::1");
    assert!(name::is_failing(&known));
    assert!(known.v4.retry_ms >= env.now_ms() + 1_000);
    assert_eq!(board.get(Counter::LookupFailures), 2);
    let text = "name app.test: DNS fails (A: SERVFAIL, AAAA: SERVFAIL), \
                keeping 10.0.0.1, fd00::1; next try in 1 s";
    assert_eq!(env.lines()[1..], [text]);

    server.set(|_| ips(&["10.0.0.1", "fd00::1"]));
    name::hurry(&mut known, env.now_ms());
    board
        .write(plan.names[0].id, plan.names[0].tag, &known)
        .unwrap();
    run_for(&plan, board, &env, 100).await;
    assert!(!name::is_failing(&record(board, &plan.names[0])));
    let last = env.lines().pop().unwrap();
    assert!(
        last.starts_with("name app.test: DNS answers again after "),
        "{last}"
    );
    assert_eq!((env.lines().len(), env.published()), (3, 3));
}

#[tokio::test]
async fn a_failing_family_is_asked_alone() {
    let (board, env) = (board(4), Fake::new());
    let fails = AtomicUsize::new(0);
    let server =
        DnsServer::new(
            move |asked| match asked.v6 && fails.fetch_add(1, Ordering::SeqCst) == 0 {
                true => SERVFAIL,
                false => ips(&["10.0.0.1", "fd00::1"]),
            },
        );
    let plan = plan(board, &server, &["app.test"]);
    run_for(&plan, board, &env, 1_600).await;
    assert_eq!((count(&server, false), count(&server, true)), (1, 2));
    let known = record(board, &plan.names[0]);
    assert_eq!(shows(&known), "10.0.0.1 fd00::1");
    assert!(!name::is_failing(&known));
    let lines = env.lines();
    assert!(lines[0].contains("DNS fails (AAAA: SERVFAIL), keeping 10.0.0.1; next"));
    assert!(
        lines[2].ends_with("DNS answers again after 1 s"),
        "{}",
        lines[2]
    );
    assert_eq!(lines.len(), 4);
}

#[tokio::test]
async fn a_slow_family_does_not_hold_up_the_other() {
    let (board, env) = (board(4), Fake::new());
    let server = DnsServer::new(|asked| match asked.v6 {
        true => Reply::Silence,
        false => fleeting(&["10.0.0.1"]),
    });
    let plan = plan(board, &server, &["app.test"]);
    // AAAA has no answer within 0.5 s; A is asked every 200 to 220 ms meanwhile.
    run_for(&plan, board, &env, 450).await;
    assert_eq!(shows(&record(board, &plan.names[0])), "10.0.0.1");
    assert_eq!((count(&server, false), count(&server, true)), (2, 1));
    assert_eq!(env.lines().len(), 1, "{:?}", env.lines());
    server.set(|asked| match asked.v6 {
        true => Reply::Silence,
        false => fleeting(&["10.0.0.2"]),
    });
    run_for(&plan, board, &env, 900).await;
    let known = record(board, &plan.names[0]);
    assert_eq!(shows(&known), "10.0.0.2");
    assert_eq!((known.v6.failures, known.v4.failures), (1, 0));
    assert_eq!(count(&server, true), 2);
    let (a, lines) = (count(&server, false), env.lines());
    assert!((4..=8).contains(&a), "{a} questions");
    assert!(
        lines[2].contains("(AAAA: no answer in time), keeping 10.0.0.2; next"),
        "{lines:?}"
    );
    assert_eq!(
        (lines.len(), board.get(Counter::Queries) as usize),
        (3, a + 1)
    );
}

/// The server never answers for AAAA: the A records of many names do not wait for that.
#[tokio::test]
async fn many_slow_families_leave_room() {
    let (board, env) = (board(300), Fake::new());
    let server = DnsServer::new(|asked| match asked.v6 {
        true => Reply::Silence,
        false => fleeting(&["10.0.0.1"]),
    });
    let names: Vec<String> = (0..250).map(|n| format!("n{n}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = plan(board, &server, &names);
    run_for(&plan, board, &env, 1_300).await;
    for task in &plan.names {
        assert_eq!(shows(&record(board, task)), "10.0.0.1");
    }
    // They move: seen while the retries for AAAA go on.
    server.set(|asked| match asked.v6 {
        true => Reply::Silence,
        false => fleeting(&["10.0.0.2"]),
    });
    run_for(&plan, board, &env, 1_000).await;
    for task in &plan.names {
        assert_eq!(shows(&record(board, task)), "10.0.0.2");
    }
}
