use super::*;

/// Enough of httpd's reading of times for these tests; the real one is used on a real server.
pub(crate) fn time(text: &str) -> Option<i64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "s" => 1_000_000,
        "ms" => 1000,
        "min" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

fn set(key: &str, value: &str) -> Result<Params, String> {
    let mut params = Params::default();
    params.set(key, value, &time).map(|ours| {
        assert!(ours, "{key}");
        params
    })
}

#[test]
fn good_values() {
    assert_eq!(set("live", "On").unwrap().live, Some(Mode::On));
    assert_eq!(set("LIVE", "off").unwrap().live, Some(Mode::Off));
    assert_eq!(set("live", "observe").unwrap().live, Some(Mode::Observe));
    let bounds = set("livettl", "500ms-10min").unwrap().ttl.unwrap();
    assert_eq!(bounds.min, Duration::from_millis(500));
    assert_eq!(bounds.max, Duration::from_secs(600));
    let six = set("livefamily", "ipv6").unwrap();
    assert_eq!(six.families, Some(Families::V6));
    assert_eq!(set("livestale", "forever").unwrap().stale, Some(None));
    let hour = Some(Some(Duration::from_secs(3600)));
    assert_eq!(set("livestale", "1h").unwrap().stale, hour);
    assert_eq!(set("livespread", "off").unwrap().spread, Some(false));
    assert_eq!(set("liveprobe", "TCP").unwrap().probe, Some(Probe::Tcp));
    assert_eq!(set("liveprobe", "off").unwrap().probe, Some(Probe::Off));
    assert_eq!(set("liveport", "65535").unwrap().port, Some(65_535));
    let (least, most) = (Duration::from_millis(100), Duration::from_secs(3600));
    assert_eq!(set("liveinterval", "100ms").unwrap().interval, Some(least));
    assert_eq!(set("liveinterval", "1h").unwrap().interval, Some(most));
    let ten = Duration::from_millis(10);
    assert_eq!(set("livetimeout", "10ms").unwrap().timeout, Some(ten));
    assert_eq!(set("livefall", "100").unwrap().fall, Some(100));
    assert_eq!(set("liverise", "1").unwrap().rise, Some(1));
    assert_eq!(
        set("livelastresort", "off").unwrap().last_resort,
        Some(false)
    );
}

#[test]
fn wrong_values_name_key_and_value() {
    let table = [
        ("live", "", "live must be on, off or observe; read ''"),
        ("live", "yes", "read 'yes'"),
        ("livettl", "", "livettl must be min-max"),
        ("livettl", "5s", "read '5s'"),
        ("livettl", "10s-1s", "read '10s-1s'"),
        ("livettl", "0-1s", "from 100ms"),
        ("livettl", "-1s", "read '-1s'"),
        ("livettl", "1s-", "read '1s-'"),
        ("livettl", "1s-99999999999999h", "read '1s-99999999999999h'"),
        ("livettl", "1s-1fortnight", "read '1s-1fortnight'"),
        (
            "livefamily",
            "ipv5",
            "must be any, ipv4 or ipv6; read 'ipv5'",
        ),
        ("livestale", "", "must be forever or a time"),
        ("livettl", "1sfoo-2s", "read '1sfoo-2s'"),
        ("livestale", "5stupid", "read '5stupid'"),
        ("livestale", "0", "read '0'"),
        ("livestale", "-3s", "read '-3s'"),
        ("livestale", "99999999999999999999s", "must be forever"),
        ("livespread", "maybe", "must be on or off; read 'maybe'"),
        ("liveprobe", "", "must be tcp, tls, http or off; read ''"),
        (
            "liveprobe",
            "icmp",
            "must be tcp, tls, http or off; read 'icmp'",
        ),
        ("liveport", "0", "must be a port from 1 to 65535; read '0'"),
        ("liveport", "65536", "read '65536'"),
        ("liveport", "+80", "read '+80'"),
        ("liveinterval", "99ms", "must be a time from 100ms to 1h"),
        ("liveinterval", "2h", "read '2h'"),
        ("livetimeout", "9ms", "must be a time from 10ms to 1min"),
        ("livetimeout", "61s", "read '61s'"),
        ("livefall", "0", "must be a number from 1 to 100; read '0'"),
        ("livefall", "101", "read '101'"),
        ("liverise", "1.5", "read '1.5'"),
        ("liverise", "", "read ''"),
        ("livelastresort", "perhaps", "must be on or off"),
        (
            "livetemplate",
            "",
            "must be the name of a ProxyLiveTemplate",
        ),
        ("liverescue", "", "must be on, off or eager; read ''"),
        ("liverescue", "greedy", "read 'greedy'"),
        ("liveuri", "", "must be a path such as /healthz"),
        ("liveuri", "healthz", "read 'healthz'"),
        ("liveuri", "http://a/b", "read 'http://a/b'"),
        ("liveuri", "/a b", "read '/a b'"),
        ("liveuri", "/a#b", "read '/a#b'"),
        ("liveuri", "/a\rHost: x", "without blanks"),
        ("liveuri", "/\u{e4}", "printable ASCII"),
        ("liveuri", "/\u{7f}", "printable ASCII"),
        ("liveexpect", "", "must be statuses from 100 to 599"),
        ("liveexpect", "2xx", "read '2xx'"),
        ("liveexpect", "200-", "read '200-'"),
        ("liveexpect", "399-200", "read '399-200'"),
        ("livehost", "", "must be a host name or an IP address"),
        ("livehost", ".", "read '.'"),
        ("livehost", "a..b", "read 'a..b'"),
        ("livehost", "a.test:80", "without port (that is liveport)"),
        ("livehost", "[::1]:80", "read '[::1]:80'"),
        ("livehost", "a b", "read 'a b'"),
        ("livehost", "a\r\nx", "must be a host name"),
        ("livehost", "*.test", "read '*.test'"),
    ];
    for (key, value, part) in table {
        let message = set(key, value).expect_err(value);
        assert!(message.starts_with(key), "{message}");
        assert!(message.contains(part), "{key}={value}: {message}");
    }
}

#[test]
fn what_probes_send_and_expect() {
    let uri = |value: &str| set("liveuri", value).map(|p| p.uri.unwrap());
    assert_eq!(uri("/").unwrap(), "/");
    assert_eq!(
        uri("/healthz?full=1&x=%20~").unwrap(),
        "/healthz?full=1&x=%20~"
    );
    let longest = format!("/{}", "a".repeat(1023));
    assert_eq!(uri(&longest).unwrap(), longest);
    let message = uri(&format!("{longest}a")).unwrap_err();
    assert!(message.ends_with("read 1025 bytes"), "{message}");
    let expect = set("liveexpect", "204,200-201").unwrap().expect.unwrap();
    assert_eq!(expect.to_string(), "200-201,204");
    let host = |value: &str| set("livehost", value).map(|p| p.host.unwrap());
    for (value, read) in [
        ("www.example.com", "www.example.com"),
        ("www.example.com.", "www.example.com"),
        ("my_app-1", "my_app-1"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[::1]", "::1"),
    ] {
        assert_eq!(host(value).unwrap(), read);
    }
    assert!(host(&["a"; 127].join(".")).is_ok());
    for long in [["a"; 128].join("."), "a".repeat(64)] {
        assert!(host(&long).is_err(), "{long}");
    }
}

#[test]
fn kinds_of_probes_and_rescues() {
    for (value, want) in [("tls", Probe::Tls), ("HTTP", Probe::Http)] {
        assert_eq!(set("liveprobe", value).unwrap().probe, Some(want));
    }
    for (value, rescue, eager) in [
        ("on", true, false),
        ("off", false, false),
        ("Eager", true, true),
    ] {
        let mut params = set("liverescue", value).unwrap();
        params.probe = Some(Probe::Http);
        let settings = params.settings(Mode::On, "http");
        assert_eq!((settings.rescue, settings.eager), (rescue, eager));
    }
}

#[test]
fn the_usual_probe_follows_the_scheme() {
    for scheme in ["https", "wss", "h2", "HTTPS"] {
        assert_eq!(
            Params::default().settings(Mode::On, scheme).probe,
            Probe::Tls
        );
    }
    for scheme in ["http", "ws", "h2c", "fcgi", "ajp", ""] {
        assert_eq!(
            Params::default().settings(Mode::On, scheme).probe,
            Probe::Tcp
        );
    }
    let given = set("liveprobe", "tcp").unwrap();
    assert_eq!(given.settings(Mode::On, "https").probe, Probe::Tcp);
}

#[test]
fn foreign_parameters_are_passed_on() {
    let mut params = Params::default();
    assert_eq!(params.set("hcmethod", "TCP", &time), Ok(false));
    assert_eq!(params.set("lives", "9", &time), Ok(false));
    assert_eq!(params, Params::default());
}

#[test]
fn defaults() {
    let s = Params::default().settings(Mode::On, "http");
    assert_eq!(s.ttl.min, Duration::from_secs(1));
    assert_eq!(s.ttl.max, Duration::from_secs(3600));
    assert!(!s.observe && !s.eager && s.rescue);
    assert_eq!((s.uri.as_str(), s.host), ("/", None));
    assert_eq!(s.expect, Statuses::default());
    assert!(s.spread && s.stale.is_none() && s.families == Families::ANY);
    assert_eq!((s.probe, s.port), (Probe::Tcp, None));
    assert_eq!((s.rules.interval_ms, s.rules.timeout_ms), (2_000, 500));
    assert_eq!((s.rules.fall, s.rules.rise, s.last_resort), (2, 2, true));
}

#[test]
fn probe_parameters_that_are_given_are_known() {
    let given = |key, value| set(key, value).unwrap().probe_given();
    assert_eq!(given("liveprobe", "tcp"), Some("liveprobe"));
    assert_eq!(given("liverise", "3"), Some("liverise"));
    assert_eq!(given("liveprobe", "off"), None);
    assert_eq!(given("livespread", "off"), None);
}

#[test]
fn every_key_is_known() {
    for key in KEYS {
        assert!(Params::default().set(key, "?", &time).is_err(), "{key}");
    }
}

/// One value of each key, in two variants.
fn full(variant: usize) -> Params {
    const VALUES: [(&str, [&str; 2]); 17] = [
        ("live", ["on", "off"]),
        ("livetemplate", ["a", "b"]),
        ("livettl", ["1s-2s", "2s-3s"]),
        ("livefamily", ["ipv4", "ipv6"]),
        ("livestale", ["forever", "3s"]),
        ("liveprobe", ["http", "tls"]),
        ("liveuri", ["/a", "/b"]),
        ("liveexpect", ["200", "204"]),
        ("livehost", ["a", "b"]),
        ("liveport", ["1", "2"]),
        ("liveinterval", ["1s", "2s"]),
        ("livetimeout", ["1s", "2s"]),
        ("livefall", ["1", "2"]),
        ("liverise", ["1", "2"]),
        ("liverescue", ["on", "off"]),
        ("livespread", ["on", "off"]),
        ("livelastresort", ["on", "off"]),
    ];
    let mut params = Params::default();
    for (key, values) in VALUES {
        assert_eq!(params.set(key, values[variant], &time), Ok(true), "{key}");
    }
    params
}

#[test]
fn nearer_values_win_one_by_one() {
    let (near, far, none) = (full(0), full(1), Params::default());
    assert_eq!(near.clone().over(&far), near);
    assert_eq!(none.clone().over(&far), far);
    assert_eq!(near.clone().over(&none), near);
    let mut some = Params::default();
    some.set("liveuri", "/near", &time).unwrap();
    let merged = some.over(&far);
    assert_eq!(merged.uri.as_deref(), Some("/near"));
    assert_eq!(
        Params {
            uri: far.uri.clone(),
            ..merged
        },
        far
    );
}
