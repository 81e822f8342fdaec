//! The search list, the hosts file, kinds of names.

use super::*;

/// A view with a search list and a hosts file, which real ones get only from files that
/// cannot name a port.
fn view(server: &DnsServer, ndots: u32, search: &[&str], hosts: &str) -> View {
    let conf = ResolvConf {
        servers: vec![server.addr],
        ..ResolvConf::default()
    };
    View {
        hosts: Arc::new(Hosts::parse(hosts, &|_| None)),
        rules: Rules {
            ndots,
            search: search.iter().map(|s| s.to_string()).collect(),
        },
        dns: Arc::new(Dns::new(&config(&[server.addr]), &conf)),
    }
}

#[tokio::test]
async fn the_search_list_goes_on_after_a_no() {
    let server = DnsServer::new(|asked| match asked.name.as_str() {
        "app.b.test." => ips(&["10.0.0.1"]),
        "app.a.test." => ips(&[]),
        _ => NXDOMAIN,
    });
    let view = view(&server, 1, &["none.test", "a.test", "b.test"], "");
    let lookup = view.lookup("app", Families::ANY, None).await;
    assert_eq!(
        (list(&lookup.v4), &*lookup.candidate),
        (vec!["10.0.0.1".into()], "app.b.test.")
    );
    assert_eq!(lookup.v6, Outcome::Empty);
    assert_eq!(
        names(&server),
        ["app.none.test.", "app.a.test.", "app.b.test."]
    );
    assert_eq!(lookup.queries, 6);
    // All say no: the name itself comes last.
    let lookup = view.lookup("lost", Families::V4, None).await;
    assert_eq!((lookup.v4, &*lookup.candidate), (Outcome::NoName, "lost."));
    // A final dot: this name and no other.
    let lookup = view.lookup("app.", Families::V4, None).await;
    assert_eq!((lookup.v4, lookup.queries), (Outcome::NoName, 1));
    // Only what was fixed before.
    let lookup = view.lookup("app", Families::V6, Some("app.b.test.")).await;
    assert_eq!(
        (lookup.v4, lookup.v6, lookup.queries),
        (Outcome::NotAsked, Outcome::Empty, 1)
    );
}

#[tokio::test]
async fn the_search_list_stops_at_an_error() {
    // A wildcard in the second domain would supply a stranger's address.
    for reply in [SERVFAIL, Reply::Silence, Reply::Garbage] {
        let server = DnsServer::new(move |asked| match asked.name.as_str() {
            "app.a.test." if asked.v6 => NXDOMAIN,
            "app.a.test." => reply.clone(),
            _ => ips(&["10.6.6.6"]),
        });
        let view = view(&server, 1, &["a.test", "wild.test"], "");
        let lookup = view.lookup("app", Families::ANY, None).await;
        assert!(matches!(lookup.v4, Outcome::Failed(_)), "{:?}", lookup.v4);
        assert_eq!(
            (lookup.v6, names(&server)),
            (Outcome::NoName, vec!["app.a.test.".into()])
        );
    }
}

#[tokio::test]
async fn the_hosts_file_comes_first_and_answers_both_families() {
    let server = DnsServer::new(|_| ips(&["10.0.0.1", "fd00::1"]));
    let hosts = "10.0.0.7 app.test short\nfe80::7%3 six.test\n";
    let view = view(&server, 1, &["test"], hosts);
    let lookup = view.lookup("app.test", Families::ANY, None).await;
    assert_eq!(
        (list(&lookup.v4), lookup.v6),
        (vec!["10.0.0.7".into()], Outcome::Empty)
    );
    assert_eq!((lookup.source, lookup.by), (Source::Hosts, None));
    let lookup = view.lookup("Short.", Families::ANY, None).await;
    assert_eq!(list(&lookup.v4), ["10.0.0.7"]);
    let lookup = view.lookup("six.test", Families::V6, None).await;
    assert_eq!(list(&lookup.v6), ["fe80::7%3"]);
    assert!(view.has_host("app.test") && !view.has_host("other.test"));
    assert_eq!(server.count(), 0);
    // An entry without the wanted family is none.
    let lookup = view.lookup("six.test", Families::V4, None).await;
    assert_eq!(
        (list(&lookup.v4), server.count()),
        (vec!["10.0.0.1".into()], 1)
    );
}

#[tokio::test]
async fn localhost_and_addresses_are_never_asked_for() {
    let server = DnsServer::new(|_| ips(&["10.6.6.6"]));
    for (name, v4, v6) in [
        ("localhost", "127.0.0.1", "::1"),
        ("app.LocalHost.", "127.0.0.1", "::1"),
        ("10.0.0.1", "10.0.0.1", "Empty"),
        ("fd00::1", "Empty", "fd00::1"),
    ] {
        let lookup = resolver(&server).lookup(name, Families::ANY, None).await;
        assert_eq!(
            (list(&lookup.v4), list(&lookup.v6)),
            (vec![v4.into()], vec![v6.into()])
        );
    }
    let hosts = view(&server, 1, &[], "127.0.0.9 localhost");
    let lookup = hosts.lookup("localhost", Families::ANY, None).await;
    assert_eq!(
        (list(&lookup.v4), lookup.v6),
        (vec!["127.0.0.9".into()], Outcome::Empty)
    );
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn all_kinds_of_names() {
    let server = DnsServer::new(|_| ips(&["10.0.0.1"]));
    let resolver = resolver(&server);
    for (name, asked) in [
        ("my_app.test", "my_app.test."),
        ("APP.test.", "app.test."),
        ("b\u{fc}cher.test", "xn--bcher-kva.test."),
    ] {
        let before = server.count();
        let lookup = resolver.lookup(name, Families::V4, None).await;
        assert_eq!(list(&lookup.v4), ["10.0.0.1"], "{name}");
        assert_eq!(server.asked()[before].name, asked);
    }
    let long = "a".repeat(64) + ".test";
    let longer = "a.".repeat(130);
    for name in ["", ".", "a..b", &long, &longer] {
        let lookup = resolver.lookup(name, Families::ANY, None).await;
        assert_eq!(lookup.v4, Outcome::Failed(Failure::BadName), "{name}");
        assert_eq!(lookup.v6, Outcome::Failed(Failure::BadName), "{name}");
    }
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn a_suffix_that_makes_the_name_too_long_is_skipped() {
    let server = DnsServer::new(|_| ips(&["10.0.0.1"]));
    let long = ["x".repeat(60).as_str(); 4].join(".");
    let view = view(&server, 1, &[&long, "a.test"], "");
    let lookup = view.lookup("application-server", Families::V4, None).await;
    assert_eq!(lookup.candidate, "application-server.a.test.");
    assert_eq!(list(&lookup.v4), ["10.0.0.1"]);
}

#[test]
fn the_system_files_are_read_again() {
    let dir = std::env::temp_dir().join(format!("live-resolver-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let files = SystemFiles {
        resolv_conf: dir.join("resolv.conf"),
        hosts: dir.join("hosts"),
    };
    let put = |path: &PathBuf, text: &str| std::fs::write(path, text).unwrap();
    put(
        &files.resolv_conf,
        "nameserver 10.0.0.1\nsearch a.test\noptions timeout:1 attempts:3\n",
    );
    let mut resolver = Resolver::with_files(&ResolverConfig::default(), &files);
    let servers = |r: &Resolver| -> Vec<_> {
        r.view
            .dns
            .servers
            .iter()
            .map(|s| s.addr.to_string())
            .collect()
    };
    assert_eq!(servers(&resolver), ["10.0.0.1:53"]);
    assert_eq!(resolver.view.rules.search, ["a.test"]);
    assert_eq!(resolver.view.dns.attempts, 3);
    assert_eq!(resolver.poll_files(), FilesChanged::default());

    put(&files.hosts, "10.0.0.9 app.test\n");
    let hosts = FilesChanged {
        hosts: true,
        resolv: false,
    };
    let dns = resolver.view.dns.clone();
    assert_eq!(resolver.poll_files(), hosts);
    assert!(resolver.view().has_host("app.test"));
    // What is known of the servers stays.
    assert!(Arc::ptr_eq(&dns, &resolver.view.dns));

    put(&files.hosts, "# the same\n10.0.0.9 app.test\n");
    put(&files.resolv_conf, "nameserver 10.0.0.2\n");
    let resolv = FilesChanged {
        hosts: false,
        resolv: true,
    };
    assert_eq!(resolver.poll_files(), resolv);
    assert_eq!(servers(&resolver), ["10.0.0.2:53"]);
    assert!(resolver.view().has_host("app.test"));

    std::fs::remove_dir_all(&dir).unwrap();
    let both = FilesChanged {
        hosts: true,
        resolv: true,
    };
    assert_eq!(resolver.poll_files(), both);
    assert_eq!(servers(&resolver), ["127.0.0.1:53"]);
    assert_eq!(resolver.poll_files(), FilesChanged::default());
}
