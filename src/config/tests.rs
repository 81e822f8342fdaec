use super::*;
use crate::logic::addr::Families;
use directives::Live;
use params::tests::time;

const MAIN: usize = 1;
const VHOST: usize = 2;
const OTHER: usize = 3;
const WORKER: usize = 10;

fn config() -> Config {
    Config::default()
}

fn proxy_live(mode: Mode, template: &str) -> Live {
    Live {
        mode,
        template: (!template.is_empty()).then(|| template.to_owned()),
        place: "a.conf:9".into(),
    }
}

fn template(c: &mut Config, line: &str) {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let outcome = c.templates().define(&words, "a.conf:1".into(), &time);
    outcome.expect(line);
}

/// Writes parameters on the worker's line.
fn write(c: &mut Config, line: &str) {
    for (key, value) in line.split_whitespace().flat_map(|w| w.split_once('=')) {
        assert_eq!(c.worker(WORKER).set(key, value, &time), Ok(true), "{key}");
    }
}

/// A member in a virtual host.
const SUBJECT: Subject = Subject {
    shared_key: WORKER,
    server: VHOST,
    main: MAIN,
    balancer: Some("balancer://app"),
    scheme: "http",
    port: 80,
    hchecked: false,
    left: false,
};

fn settings(c: &Config) -> Settings {
    let balancer = Some("balancer://app");
    c.settings(WORKER, VHOST, MAIN, balancer, "http").unwrap()
}

/// Every level with a template that says something of its own.
fn five_levels() -> Config {
    let mut c = config();
    template(
        &mut c,
        "server liveuri=/s livefall=9 liverise=9 liveport=9 livefamily=ipv4 livehost=s",
    );
    template(
        &mut c,
        "vhost liveprobe=http liveuri=/v livefall=8 liverise=8 liveport=8",
    );
    template(&mut c, "proxy livefall=7 liverise=7 liveuri=/p");
    template(&mut c, "mine livefall=6 liveuri=/m");
    for (server, section, name) in [
        (MAIN, None, "server"),
        (VHOST, None, "VHOST"),
        (VHOST, Some("balancer://app"), "proxy"),
    ] {
        let live = proxy_live(Mode::On, name);
        c.defaults().set(server, section, live).unwrap();
    }
    write(&mut c, "livetemplate=mine liveuri=/l");
    c
}

#[test]
fn values_are_merged_key_by_key() {
    let c = five_levels();
    let s = settings(&c);
    assert_eq!((s.uri.as_str(), s.rules.fall, s.rules.rise), ("/l", 6, 7));
    assert_eq!(
        (s.port, s.probe, s.families),
        (Some(8), Probe::Http, Families::V4)
    );
    assert_eq!(s.host.as_deref(), Some("s"));
    assert_eq!(c.check_worker(&SUBJECT), Ok(()));
    // a worker without a line, such as one that was added later
    let added = c
        .settings(99, VHOST, MAIN, Some("balancer://app"), "http")
        .unwrap();
    assert_eq!((added.uri.as_str(), added.rules.fall), ("/p", 7));
    let plain = c.settings(99, VHOST, MAIN, None, "http").unwrap();
    assert_eq!((plain.uri.as_str(), plain.rules.fall), ("/v", 8));
    let other = c.settings(99, OTHER, MAIN, None, "https").unwrap();
    assert_eq!((other.uri.as_str(), other.probe), ("/s", Probe::Tls));
}

#[test]
fn a_template_before_or_after_its_use() {
    let mut c = config();
    write(&mut c, "live=on livetemplate=later");
    assert_eq!(settings(&c).rules.fall, 2);
    template(&mut c, "LATER livefall=5");
    assert_eq!(settings(&c).rules.fall, 5);
}

#[test]
fn the_mode_of_proxylive_wins_over_its_template_but_not_over_the_workers() {
    let mut c = config();
    template(&mut c, "watch live=observe livefall=4");
    let off = proxy_live(Mode::Off, "watch");
    c.defaults().set(VHOST, None, off).unwrap();
    assert!(!live(&c, VHOST, None));
    // ProxyLive off still gives its values to those that are live
    write(&mut c, "live=on");
    assert_eq!(settings(&c).rules.fall, 4);
    assert!(!settings(&c).observe);
    c.worker(WORKER).live = None;
    write(&mut c, "livetemplate=watch");
    assert!(settings(&c).observe);
}

#[test]
fn missing_templates_are_named_with_the_place() {
    let mut c = config();
    template(&mut c, "web livefall=4");
    c.defaults()
        .set(VHOST, None, proxy_live(Mode::Off, "Web"))
        .unwrap();
    assert_eq!(c.check_names(), Ok(()));
    c.defaults()
        .set(MAIN, None, proxy_live(Mode::On, "wep"))
        .unwrap();
    c.defaults()
        .set(MAIN, None, proxy_live(Mode::On, ""))
        .unwrap();
    assert_eq!(
        c.check_names().unwrap_err(),
        "ProxyLive at a.conf:9: no ProxyLiveTemplate is called 'wep' (known: web)"
    );
    write(&mut c, "live=off livetemplate=api");
    assert_eq!(
        c.check_worker(&SUBJECT).unwrap_err(),
        "livetemplate: no ProxyLiveTemplate is called 'api' (known: web)"
    );
}

/// What is said of a worker with this line, below this template of its virtual host.
fn said(above: &str, line: &str, subject: Subject) -> Result<(), String> {
    let mut c = config();
    if !above.is_empty() {
        template(&mut c, &format!("above {above}"));
        c.defaults()
            .set(VHOST, None, proxy_live(Mode::On, "above"))
            .unwrap();
    }
    write(&mut c, &format!("live=on {line}"));
    c.check_worker(&subject)
}

#[test]
fn contradictions() {
    for (above, line, scheme, part) in [
        (
            "",
            "liveprobe=tcp liveuri=/x",
            "http",
            "liveuri needs liveprobe=http, but liveprobe is tcp: write liveprobe=http, or remove liveuri",
        ),
        (
            "",
            "liveuri=/x",
            "http",
            "but liveprobe is tcp (the default)",
        ),
        (
            "",
            "liveuri=/x",
            "https",
            "but liveprobe is tls (the default)",
        ),
        (
            "",
            "liveexpect=200 liveprobe=off",
            "http",
            "liveexpect needs liveprobe=http",
        ),
        (
            "",
            "livehost=a",
            "http",
            "livehost needs liveprobe=tls or liveprobe=http",
        ),
        (
            "",
            "liveport=1 liveprobe=off",
            "http",
            "liveport needs probes, but liveprobe is off: write liveprobe=tcp",
        ),
        (
            "",
            "liverescue=eager",
            "http",
            "liverescue=eager needs liveprobe=tls or liveprobe=http",
        ),
        (
            "",
            "liveprobe=http liverescue=eager liveport=81",
            "http",
            "probes of the worker's own port 80, but liveport is 81",
        ),
        (
            "",
            "liveprobe=http liverescue=eager",
            "h2",
            "needs an http, https, ws or wss worker",
        ),
        (
            "",
            "liveprobe=http",
            "fcgi",
            "liveprobe=http needs an http, https, ws, wss, h2 or h2c worker, or liveport, but the worker's scheme is fcgi",
        ),
        (
            "",
            "liveprobe=tls",
            "http",
            "liveprobe=tls needs an https, wss or h2 worker, or liveport",
        ),
        (
            "liveprobe=http",
            "",
            "ajp",
            "liveprobe=http (ProxyLiveTemplate above at a.conf:1) needs",
        ),
        (
            "liveuri=/x",
            "",
            "http",
            "liveuri (ProxyLiveTemplate above at a.conf:1) needs liveprobe=http, but liveprobe is tcp (the default)",
        ),
        (
            "liveprobe=tls",
            "liveuri=/x",
            "https",
            "but liveprobe is tls (ProxyLiveTemplate above at a.conf:1): write",
        ),
        (
            "liveprobe=http liverescue=eager",
            "liveprobe=tcp",
            "http",
            "liverescue=eager (ProxyLiveTemplate above at a.conf:1) needs",
        ),
        (
            "liveprobe=http liverescue=eager",
            "liveport=81",
            "http",
            "but liveport is 81",
        ),
    ] {
        let subject = Subject { scheme, ..SUBJECT };
        let message = said(above, line, subject).expect_err(line);
        assert!(
            message.contains(part),
            "{above} | {line} | {scheme}: {message}"
        );
        let left = Subject {
            left: true,
            ..subject
        };
        assert_eq!(said(above, line, left), Ok(()), "{line}");
        assert_eq!(
            said(above, &format!("{line} live=off"), subject),
            Ok(()),
            "{line}"
        );
    }
}

#[test]
fn no_contradictions() {
    for (above, line, scheme) in [
        ("", "", "http"),
        (
            "",
            "liveprobe=http liveuri=/x liveexpect=200 livehost=a liveport=81",
            "http",
        ),
        ("", "liveprobe=http liverescue=eager liveport=80", "http"),
        ("", "liverescue=eager livehost=a", "https"),
        ("", "liveprobe=http liveport=81", "fcgi"),
        ("", "liveprobe=tls liveport=443", "http"),
        ("", "liveprobe=http", "h2c"),
        // overruled with the probe that they belong to
        (
            "liveprobe=http liveuri=/x livehost=a liveexpect=200",
            "liveprobe=tcp",
            "http",
        ),
        ("liveprobe=http liveport=81", "liveprobe=off", "http"),
        (
            "liveprobe=http liverescue=eager",
            "liveprobe=tcp liverescue=on",
            "http",
        ),
        // a template for all workers is without effect where it cannot have any
        ("liveprobe=http liverescue=eager", "", "h2c"),
        ("liveuri=/x", "liveprobe=http", "http"),
    ] {
        let subject = Subject { scheme, ..SUBJECT };
        assert_eq!(
            said(above, line, subject),
            Ok(()),
            "{above} | {line} | {scheme}"
        );
    }
    let mut c = config();
    write(&mut c, "live=on liveprobe=http liverescue=eager");
    assert!(settings(&c).eager);
    let h2 = c.settings(WORKER, VHOST, MAIN, None, "h2").unwrap();
    assert!(h2.rescue && !h2.eager);
}

#[test]
fn hcheck_and_probes() {
    let hchecked = Subject {
        hchecked: true,
        scheme: "fcgi",
        ..SUBJECT
    };
    // what ProxyLive gives to all is without effect, contradictions included
    assert_eq!(
        said("liveprobe=http liverescue=eager livefall=3", "", hchecked),
        Ok(())
    );
    assert_eq!(said("liveuri=/x", "liveprobe=off", hchecked), Ok(()));
    assert_eq!(said("", "livespread=off", hchecked), Ok(()));
    for (line, parameter) in [
        ("liveprobe=tcp", "liveprobe"),
        ("livehost=a", "livehost"),
        ("liverescue=eager", "liverescue=eager"),
    ] {
        let message = said("", line, hchecked).unwrap_err();
        let start = format!("{parameter} and hcmethod contradict each other");
        assert!(message.starts_with(&start), "{line}: {message}");
    }
    assert!(said("", "liveprobe=off liveport=3", hchecked).is_err());
    let mut c = config();
    template(&mut c, "mine liverise=3");
    write(&mut c, "live=observe livetemplate=mine");
    assert!(
        c.check_worker(&hchecked)
            .unwrap_err()
            .starts_with("liverise and hcmethod")
    );
}

fn live(c: &Config, server: usize, balancer: Option<&str>) -> bool {
    c.settings(WORKER, server, MAIN, balancer, "http").is_some()
}

#[test]
fn nothing_said_means_off() {
    assert!(!live(&config(), MAIN, None));
}

#[test]
fn the_nearest_level_wins() {
    let mut c = config();
    c.defaults()
        .set(MAIN, None, proxy_live(Mode::On, ""))
        .unwrap();
    assert!(live(&c, MAIN, None) && live(&c, VHOST, None));
    c.defaults()
        .set(VHOST, None, proxy_live(Mode::Off, ""))
        .unwrap();
    assert!(!live(&c, VHOST, None) && live(&c, OTHER, None));
    c.defaults()
        .set(VHOST, Some("balancer://App/"), proxy_live(Mode::On, ""))
        .unwrap();
    assert!(live(&c, VHOST, Some("balancer://app")));
    assert!(!live(&c, VHOST, Some("balancer://other")));
    c.worker(WORKER).live = Some(Mode::Off);
    assert!(!live(&c, VHOST, Some("balancer://app")));
    c.worker(WORKER).live = Some(Mode::On);
    assert!(live(&c, VHOST, None));
}

#[test]
fn a_section_of_the_main_server_covers_inherited_balancers() {
    let mut c = config();
    c.defaults()
        .set(MAIN, Some("balancer://app"), proxy_live(Mode::On, ""))
        .unwrap();
    assert!(live(&c, VHOST, Some("balancer://app")));
    assert!(!live(&c, VHOST, None));
}

#[test]
fn observed_workers_are_live() {
    let mut c = config();
    c.defaults()
        .set(MAIN, None, proxy_live(Mode::Observe, ""))
        .unwrap();
    let settings = |c: &Config| c.settings(WORKER, MAIN, MAIN, None, "http");
    assert!(settings(&c).unwrap().observe);
    c.worker(WORKER).live = Some(Mode::On);
    assert!(!settings(&c).unwrap().observe);
}

#[test]
fn a_reset_forgets() {
    let mut c = config();
    c.worker(WORKER).live = Some(Mode::On);
    c.set_resolver(ResolverConfig::default()).unwrap();
    assert!(c.set_resolver(ResolverConfig::default()).is_err());
    c.reset();
    assert!(!live(&c, MAIN, None));
    assert!(c.set_resolver(ResolverConfig::default()).is_ok());
}
