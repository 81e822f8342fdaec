//! Configuration: every wrong value is refused with a message that helps; the levels of `ProxyLive`.

use crate::common::wrong::*;
use crate::common::*;
use live_kit::{Type, World, pause, scenario};

/// Directives that must be refused, and what the message must contain.
const WRONG_DIRECTIVES: &[(&str, &[&str])] = &[
    ("ProxyLive", &["ProxyLive"]),
    (
        "ProxyLive perhaps",
        &["ProxyLive", "must be on, off or observe", "read 'perhaps'"],
    ),
    (
        "ProxyLive web",
        &["ProxyLive", "must be on, off or observe", "read 'web'"],
    ),
    (
        "ProxyLiveTemplate",
        &["ProxyLiveTemplate needs a name and at least one key=value"],
    ),
    (
        "ProxyLiveTemplate liveprobe=http",
        &["needs a name before the first key=value"],
    ),
    (
        "ProxyLiveTemplate x",
        &["ProxyLiveTemplate x: has no values"],
    ),
    (
        "ProxyLiveTemplate x liveprobe",
        &["x: takes key=value such as liveprobe=http; read 'liveprobe'"],
    ),
    (
        "ProxyLiveTemplate x livefall=2 liveport=0",
        &["x: liveport must be a port from 1 to 65535; read '0'"],
    ),
    (
        "ProxyLiveTemplate x hcmethod=GET",
        &[
            "x: takes the parameters of this module (live, livettl,",
            "read 'hcmethod=GET'",
        ],
    ),
    (
        "ProxyLiveTemplate x livetemplate=y",
        &["x: livetemplate is not allowed in a template"],
    ),
    (
        "ProxyLiveTemplate x livefall=2 LIVEFALL=2",
        &["x: livefall is given twice; read 'LIVEFALL=2'"],
    ),
    (
        "ProxyLiveTemplate x liveprobe=tcp liveuri=/healthz",
        &["x: liveuri needs liveprobe=http, but liveprobe is tcp"],
    ),
    (
        "<VirtualHost *:81>\nProxyLiveTemplate web livefall=2\n</VirtualHost>\nProxyLiveTemplate WEB livefall=2",
        &[
            "ProxyLiveTemplate WEB: a template of this name is already defined at ",
            "httpd.conf:",
        ],
    ),
    (
        "<Proxy balancer://b>\nProxyLiveTemplate x livefall=2\n</Proxy>",
        &["ProxyLiveTemplate not allowed"],
    ),
    (
        "ProxyLiveDrainFile",
        &["ProxyLiveDrainFile takes one argument"],
    ),
    (
        "ProxyLiveDrainFile /etc",
        &["ProxyLiveDrainFile takes the path of a file", "read '/etc'"],
    ),
    (
        "ProxyLiveDrainFile run/none/drain",
        &["/run/none, which is no directory", "read 'run/none/drain'"],
    ),
    (
        "ProxyLiveDrainFile run/a\nProxyLiveDrainFile run/b",
        &["ProxyLiveDrainFile is given twice", "/run/a is one already"],
    ),
    (
        "<VirtualHost *:81>\nProxyLiveDrainFile run/a\n</VirtualHost>",
        &["ProxyLiveDrainFile is allowed in the main server only"],
    ),
    (
        "<Location /x>\nProxyLive on\n</Location>",
        &["ProxyLive", "not in other sections"],
    ),
    (
        "<Proxy http://x.test/>\nProxyLive on\n</Proxy>",
        &["ProxyLive", "balancer://"],
    ),
    (
        "ProxyLiveResolver",
        &["ProxyLiveResolver", "either system or addresses"],
    ),
    (
        "ProxyLiveResolver dns.example.com",
        &["ProxyLiveResolver", "dns.example.com"],
    ),
    (
        "ProxyLiveResolver system 127.0.0.1",
        &["ProxyLiveResolver", "either system or addresses"],
    ),
    (
        "ProxyLiveResolver 127.0.0.1:99999",
        &["ProxyLiveResolver", "127.0.0.1:99999"],
    ),
    (
        "ProxyLiveResolver 127.0.0.1 timeout=-1s",
        &["ProxyLiveResolver", "timeout", "-1s"],
    ),
    (
        "ProxyLiveResolver 127.0.0.1 timeout=",
        &["ProxyLiveResolver", "timeout"],
    ),
    (
        "ProxyLiveResolver 127.0.0.1 attempts=0",
        &["ProxyLiveResolver", "attempts"],
    ),
    (
        "ProxyLiveResolver 127.0.0.1 timeout=61s",
        &["from 1ms to 60s", "read '61s'"],
    ),
    (
        "ProxyLiveResolver 127.0.0.1 timeout=99999999999999999999s",
        &["from 1ms to 60s", "read '99999999999999999999s'"],
    ),
    (
        "ProxyLiveResolver 127.0.0.1 attempts=",
        &["from 1 to 10", "read ''"],
    ),
    (
        "ProxyLiveResolver 127.0.0.1 attempts=-1",
        &["from 1 to 10", "read '-1'"],
    ),
    (
        "ProxyLiveResolver 127.0.0.1 attempts=11",
        &["from 1 to 10", "read '11'"],
    ),
    (
        "ProxyLiveResolver 127.0.0.1 attempts=99999999999999999999",
        &["from 1 to 10", "read '99999999999999999999'"],
    ),
    (
        "ProxyLiveResolver system\nProxyLiveResolver system",
        &["ProxyLiveResolver", "twice"],
    ),
    (
        "<VirtualHost *:81>\nProxyLiveResolver system\n</VirtualHost>",
        &["ProxyLiveResolver"],
    ),
];

#[track_caller]
fn refused(w: &mut World, text: &str, parts: &[&str]) {
    let (ok, said) = w.httpd().live(text).check();
    assert!(!ok, "accepted: {text}");
    for part in parts {
        assert!(said.contains(part), "{text}: no '{part}' in: {said}");
    }
    assert!(
        said.contains("Syntax error on line") || said.contains("AH00526"),
        "{text}: {said}"
    );
}

#[track_caller]
fn accepted(w: &mut World, text: &str) {
    let (ok, said) = w.httpd().module("proxy_hcheck").live(text).check();
    assert!(ok, "{text}: {said}");
}

/// Found when everything was read: no line of the file can be named by httpd.
#[track_caller]
fn refused_as_a_whole(w: &mut World, text: &str, parts: &[&str]) {
    let (ok, said) = w.httpd().module("proxy_hcheck").live(text).check();
    assert!(!ok, "accepted: {text}");
    for part in parts {
        assert!(said.contains(part), "{text}: no '{part}' in: {said}");
    }
    assert!(said.contains("proxy_live:crit"), "{text}: {said}");
}

/// Templates that are missing, and values that do not fit together.
const WRONG_AS_A_WHOLE: &[(&str, &[&str])] = &[
    (
        "ProxyLiveTemplate web livefall=2\nProxyLive on wep",
        &[
            "ProxyLive at ",
            "httpd.conf:",
            "no ProxyLiveTemplate is called 'wep' (known: web)",
        ],
    ),
    (
        "ProxyLive on wep\nProxyLive on",
        &["no ProxyLiveTemplate is called 'wep' (there are no templates)"],
    ),
    (
        "<Proxy balancer://b>\nProxyLive off wep\nBalancerMember http://app.test\n</Proxy>",
        &["no ProxyLiveTemplate is called 'wep'"],
    ),
    (
        "<VirtualHost *:81>\nProxyLive observe wep\n</VirtualHost>",
        &["no ProxyLiveTemplate is called 'wep'"],
    ),
    (
        "ProxyPass / http://app.test/ live=off livetemplate=wep",
        &["worker http://app.test/: livetemplate: no ProxyLiveTemplate is called 'wep'"],
    ),
    (
        "<Proxy balancer://b>\nBalancerMember http://app.test live=on livetemplate=wep\n</Proxy>",
        &["worker http://app.test: livetemplate: no ProxyLiveTemplate is called 'wep'"],
    ),
    (
        "ProxyPass / http://app.test/ live=on liveprobe=tcp liveuri=/healthz",
        &[
            "worker http://app.test/: liveuri needs liveprobe=http, but liveprobe is tcp: write liveprobe=http, or remove liveuri",
        ],
    ),
    (
        "ProxyPass / http://app.test/ live=observe liveuri=/healthz",
        &["liveuri needs liveprobe=http, but liveprobe is tcp (the default)"],
    ),
    (
        "ProxyPass / https://app.test/ live=on liveexpect=200",
        &["liveexpect needs liveprobe=http, but liveprobe is tls (the default)"],
    ),
    (
        "ProxyPass / http://app.test/ live=on livehost=a.test",
        &["livehost needs liveprobe=tls or liveprobe=http, but liveprobe is tcp (the default)"],
    ),
    (
        "ProxyPass / http://app.test/ live=on liveprobe=off liveport=81",
        &["liveport needs probes, but liveprobe is off"],
    ),
    (
        "ProxyPass / http://app.test/ live=on liverescue=eager",
        &[
            "liverescue=eager needs liveprobe=tls or liveprobe=http, but liveprobe is tcp (the default)",
        ],
    ),
    (
        "ProxyPass / http://app.test/ live=on liverescue=eager liveprobe=http liveport=81",
        &["liverescue=eager needs probes of the worker's own port 80, but liveport is 81"],
    ),
    (
        "ProxyPass / h2c://app.test/ live=on liverescue=eager liveprobe=http",
        &[
            "liverescue=eager needs an http, https, ws or wss worker, but the worker's scheme is h2c",
        ],
    ),
    (
        "ProxyPass / fcgi://app.test:9000/ live=on liveprobe=http",
        &[
            "liveprobe=http needs an http, https, ws, wss, h2 or h2c worker, or liveport, but the worker's scheme is fcgi",
        ],
    ),
    (
        "ProxyPass / http://app.test/ live=on liveprobe=tls",
        &[
            "liveprobe=tls needs an https, wss or h2 worker, or liveport, but the worker's scheme is http",
        ],
    ),
    (
        "ProxyLiveTemplate web liveprobe=http\n<Proxy balancer://b>\nProxyLive on web\nBalancerMember ajp://app.test\n</Proxy>",
        &[
            "worker ajp://app.test: liveprobe=http (ProxyLiveTemplate web at ",
            "httpd.conf:",
            "but the worker's scheme is ajp",
        ],
    ),
    (
        "ProxyLive on web\nProxyPass / https://app.test/ liveuri=/x\nProxyLiveTemplate web liveprobe=tls",
        &["liveuri needs liveprobe=http, but liveprobe is tls (ProxyLiveTemplate web at "],
    ),
    (
        "ProxyLiveTemplate web liverise=3\n<Proxy balancer://b>\nBalancerMember http://app.test live=on hcmethod=TCP livetemplate=web\n</Proxy>",
        &["worker http://app.test: liverise and hcmethod contradict each other"],
    ),
];

#[test]
fn wrong_as_a_whole() {
    scenario(|w: &mut World| {
        for (text, parts) in WRONG_AS_A_WHOLE {
            refused_as_a_whole(w, text, parts);
        }
        // not only by -t
        let builder = w.httpd().live(WRONG_AS_A_WHOLE[3].0);
        let panic = std::panic::catch_unwind(|| builder.start())
            .err()
            .expect("httpd must not start");
        let said = panic.downcast_ref::<String>().expect("a message");
        assert!(said.contains("is called 'wep'"), "{said}");
        assert!(
            said.contains("ended at its start (exit status: 1)"),
            "{said}"
        );
    });
}

#[test]
fn wrong_values_on_proxypass() {
    scenario(|w: &mut World| {
        for (parameter, parts) in WRONG.iter().chain(WRONG_PROBES) {
            refused(
                w,
                &format!("ProxyPass / http://app.test/ {parameter}"),
                parts,
            );
        }
    });
}

#[test]
fn wrong_values_on_members_and_in_sections() {
    scenario(|w: &mut World| {
        for (parameter, parts) in WRONG.iter().chain(WRONG_PROBES) {
            let member = format!(
                "<Proxy balancer://b>\nBalancerMember http://app.test {parameter}\n</Proxy>"
            );
            refused(w, &member, parts);
            let section = format!("<Proxy http://app.test/>\nProxySet {parameter}\n</Proxy>");
            refused(w, &section, parts);
        }
    });
}

#[test]
fn wrong_directives() {
    scenario(|w: &mut World| {
        for (text, parts) in WRONG_DIRECTIVES {
            refused(w, text, parts);
        }
    });
}

/// mod_proxy's own words for what is not ours.
#[test]
fn strange_parameters_stay_mod_proxys() {
    scenario(|w: &mut World| {
        refused(
            w,
            "ProxyPass / http://app.test/ lively=on",
            &["unknown Worker parameter"],
        );
        refused(
            w,
            "ProxyPass / http://app.test/ live=on retry=-1",
            &["Retry must be a positive value"],
        );
        let pool = "<Proxy balancer://b>\nBalancerMember http://app.test\n</Proxy>\n";
        refused(
            w,
            &format!("{pool}ProxyPass / balancer://b/ live=on"),
            &["unknown Balancer parameter"],
        );
    });
}

#[test]
fn every_form_is_accepted() {
    scenario(|w: &mut World| {
        for text in [
            "ProxyPass / http://app.test/ live=on livettl=5s-5min livefamily=ipv4 livestale=1h livespread=off",
            "ProxyPass / http://app.test/ LIVE=ON livettl=500ms-1s retry=5 connectiontimeout=2",
            "ProxyPass /a http://app.test/ live=off\nProxyPass /b http://app2.test/ livestale=forever",
            "<Proxy balancer://b>\nBalancerMember http://app.test live=on route=1\nProxySet lbmethod=byrequests\n</Proxy>",
            "<Proxy http://app.test/>\nProxySet live=on livettl=1s-1h\n</Proxy>",
            "<Location /x>\nProxyPass http://app.test/ live=on\n</Location>",
            "<VirtualHost *:81>\nProxyLive on\nProxyPass / http://app.test/\n</VirtualHost>",
            "ProxyLive off\n<Proxy balancer://b>\nProxyLive on\nBalancerMember http://app.test\n</Proxy>",
            "<Proxy balancer://b>\nBalancerMember http://app.test live=on hcmethod=TCP hcinterval=5\n</Proxy>",
            "ProxyLiveResolver system timeout=1s attempts=3",
            "ProxyLiveResolver 127.0.0.1 127.0.0.2:5353 [::1]:54 timeout=500ms",
            "ProxyPass / http://no.such.name.invalid/ live=on",
            "ProxyPass / http://app.test/ live=on liveprobe=tcp liveport=65535 liveinterval=100ms livetimeout=10ms",
            "ProxyPass / http://app.test/ live=on liveprobe=OFF liveinterval=1h livetimeout=1min",
            "ProxyPass / http://app.test/ live=on livefall=1 liverise=100 livelastresort=off",
            "<Proxy balancer://b>\nBalancerMember http://app.test live=on liveinterval=500ms livelastresort=on\n</Proxy>",
            "<Proxy balancer://b>\nBalancerMember http://app.test live=on liveprobe=off hcmethod=TCP hcinterval=5\n</Proxy>",
            "ProxyPass / http://app.test/ live=observe liveprobe=HTTP liveuri=/healthz?a=b&c=%20 liveexpect=200,204-299 livehost=www.example.com.",
            "ProxyPass / https://app.test/ live=on livehost=[::1] liverescue=Eager",
            "ProxyPass / https://app.test/ live=on liveprobe=tls liveport=8443",
            "ProxyPass / h2c://app.test/ live=on liveprobe=http liveuri=/",
            "ProxyPass / fcgi://app.test:9000/ live=on liveprobe=http liveport=8080 liveuri=/ping",
            "ProxyPass / http://app.test/ live=on liveprobe=http liverescue=eager liveport=80",
            "ProxyLive on WEB\n<VirtualHost *:81>\nProxyLiveTemplate Web liveprobe=http 'liveuri=/healthz?a=b' \"livefall=3\"\n</VirtualHost>\nProxyPass / http://app.test/ livetemplate=weB",
            "ProxyLiveTemplate web live=off livettl=1s-5s livefamily=ipv4 livestale=1h liveprobe=http liveuri=/ liveexpect=200 livehost=a liveport=80 liveinterval=1s livetimeout=1s livefall=1 liverise=1 liverescue=eager livespread=on livelastresort=off\nProxyPass / http://app.test/ live=on livetemplate=web",
            // overruled by what stands nearer to the worker
            "ProxyLiveTemplate web liveprobe=http liveuri=/x livehost=a liveport=81\nProxyLive on web\nProxyPass / http://app.test/ liveprobe=off",
            // left to httpd in any case, or to mod_proxy_hcheck
            "ProxyLiveTemplate web liveprobe=http\nProxyLive on web\nProxyPassMatch ^/(.*)$ fcgi://app.test:9000/$1\nProxyPass /u unix:/run/x.sock|fcgi://localhost/",
            "ProxyLiveTemplate web liveprobe=http\nProxyLive on web\n<Proxy balancer://b>\nBalancerMember ajp://app.test hcmethod=TCP\n</Proxy>",
            "ProxyPass / http://app.test/ live=off liveprobe=tcp liveuri=/x",
            "ProxyLive observe\n<Proxy balancer://b>\nProxyLive observe\nBalancerMember http://app.test\n</Proxy>",
        ] {
            accepted(w, text);
        }
    });
}

/// Workers of three virtual hosts and a balancer: which names does the module ask?
#[test]
fn the_nearest_proxylive_wins() {
    scenario(|w: &mut World| {
        let own = live_kit::Dns::start("127.0.0.8:53");
        let names = [
            "main",
            "worker-off",
            "vhost-off",
            "worker-on",
            "vhost-on",
            "member-off",
            "member-on",
            "balancer-on",
        ];
        for name in names {
            own.set(&format!("{name}.test"), short(&[IP_A]));
        }
        let text = "ProxyLiveResolver 127.0.0.8
            ProxyLive on
            ProxyPass /a http://main.test/
            ProxyPass /b http://worker-off.test/ live=off
            <VirtualHost *:81>
                ProxyLive off
                ProxyPass /a http://vhost-off.test/
                ProxyPass /b http://worker-on.test/ live=on
                <Proxy balancer://inside>
                    ProxyLive on
                    BalancerMember http://balancer-on.test
                </Proxy>
                ProxyPass /c balancer://inside/
            </VirtualHost>
            <VirtualHost *:82>
                ProxyPass /a http://vhost-on.test/
            </VirtualHost>
            <Proxy balancer://pool>
                ProxyLive off
                BalancerMember http://member-off.test
                BalancerMember http://member-on.test live=on
            </Proxy>
            ProxyPass /pool balancer://pool/";
        // nobody listens on port 80 there
        let _httpd = w.httpd().live(text).expect("up -> down").start();
        pause(1.5);
        let asked = |name: &&str| own.count(&format!("{name}.test"), Type::A) > 0;
        let followed: Vec<&str> = names.into_iter().filter(asked).collect();
        assert_eq!(
            followed,
            ["main", "worker-on", "vhost-on", "member-on", "balancer-on"]
        );
    });
}

/// Loaded but not used: nothing is asked, nothing logged, requests pass.
#[test]
fn loaded_and_idle() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        let httpd = w.httpd().live("ProxyPass / http://app.test:9000/").start();
        w.dns.forget();
        pause(1.2);
        assert!(w.dns.queries().is_empty());
        httpd
            .load()
            .run(std::time::Duration::from_millis(500))
            .assert_clean(QUICK);
        let loud: Vec<_> = httpd
            .live_lines()
            .into_iter()
            .filter(|l| l.level != "debug" && l.level != "info")
            .collect();
        assert!(loud.is_empty(), "{loud:?}");
    });
}
