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
        "ProxyLiveDrainFile /x",
        &["ProxyLiveDrainFile is not supported yet"],
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
