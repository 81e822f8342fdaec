//! Values that do not fit together.

use super::*;

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
            "liverescue=eager",
            "",
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
        ("liveprobe=http liverescue=eager", "liveprobe=tcp", "http"),
        (
            "liveprobe=http liverescue=eager",
            "liveprobe=tcp liveport=81",
            "http",
        ),
        ("liverescue=eager", "", "fcgi"),
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
    write(&mut c, "liveprobe=tcp");
    assert!(!settings(&c).eager, "nobody looks at answers");
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
