//! Wrong values of every parameter of a worker.

/// Parameter and value, and what the message must contain.
pub const WRONG: &[(&str, &[&str])] = &[
    ("live=", &["live must be on, off or observe", "read ''"]),
    (
        "live=maybe",
        &["live must be on, off or observe", "read 'maybe'"],
    ),
    ("live=-1", &["live must be on, off or observe", "read '-1'"]),
    ("livettl=", &["livettl must be min-max", "read ''"]),
    ("livettl=5s", &["livettl must be min-max", "read '5s'"]),
    ("livettl=10s-1s", &["livettl must be", "read '10s-1s'"]),
    ("livettl=-1s-5s", &["livettl must be", "read '-1s-5s'"]),
    ("livettl=0-5s", &["livettl must be", "read '0-5s'"]),
    (
        "livettl=1s-99999999999999999999s",
        &["livettl must be", "366 days"],
    ),
    ("livettl=50ms-1s", &["from 100ms", "read '50ms-1s'"]),
    ("livettl=1s--5s", &["livettl must be", "read '1s--5s'"]),
    (
        "livettl=1sfoo-2sbar",
        &["livettl must be", "read '1sfoo-2sbar'"],
    ),
    (
        "livettl=1s-1fortnight",
        &["livettl must be", "read '1s-1fortnight'"],
    ),
    (
        "livefamily=",
        &["livefamily must be any, ipv4 or ipv6", "read ''"],
    ),
    (
        "livefamily=ipv5",
        &["livefamily must be any, ipv4 or ipv6", "read 'ipv5'"],
    ),
    (
        "livefamily=-1",
        &["livefamily must be any, ipv4 or ipv6", "read '-1'"],
    ),
    (
        "livestale=",
        &["livestale must be forever or a time", "read ''"],
    ),
    (
        "livestale=0",
        &["livestale must be forever or a time", "read '0'"],
    ),
    (
        "livestale=-3s",
        &["livestale must be forever or a time", "read '-3s'"],
    ),
    (
        "livestale=99999999999999999999s",
        &["livestale must be forever or a time"],
    ),
    (
        "livestale=soon",
        &["livestale must be forever or a time", "read 'soon'"],
    ),
    (
        "livestale=5stupid",
        &["livestale must be forever or a time", "read '5stupid'"],
    ),
    ("livespread=", &["livespread must be on or off", "read ''"]),
    (
        "livespread=2",
        &["livespread must be on or off", "read '2'"],
    ),
    (
        "livespread=maybe",
        &["livespread must be on or off", "read 'maybe'"],
    ),
    (
        "livespread=-1",
        &["livespread must be on or off", "read '-1'"],
    ),
];

/// Wrong values of the parameters about probes.
pub const WRONG_PROBES: &[(&str, &[&str])] = &[
    (
        "liveprobe=",
        &["liveprobe must be tcp, tls, http or off", "read ''"],
    ),
    (
        "liveprobe=udp",
        &["liveprobe must be tcp, tls, http or off", "read 'udp'"],
    ),
    ("liveport=", &["liveport must be a port from 1 to 65535"]),
    ("liveport=0", &["liveport must be", "read '0'"]),
    ("liveport=65536", &["liveport must be", "read '65536'"]),
    ("liveport=-1", &["liveport must be", "read '-1'"]),
    ("liveport=http", &["liveport must be", "read 'http'"]),
    ("liveinterval=", &["liveinterval must be a time from 100ms"]),
    ("liveinterval=0", &["liveinterval must be", "read '0'"]),
    ("liveinterval=99ms", &["to 1h", "read '99ms'"]),
    ("liveinterval=3601s", &["to 1h", "read '3601s'"]),
    ("liveinterval=2sec2", &["liveinterval", "read '2sec2'"]),
    ("livetimeout=", &["livetimeout must be a time from 10ms"]),
    ("livetimeout=9ms", &["livetimeout must be", "read '9ms'"]),
    ("livetimeout=61s", &["to 1min", "read '61s'"]),
    ("livetimeout=-1s", &["livetimeout must be", "read '-1s'"]),
    ("livefall=", &["livefall must be a number from 1 to 100"]),
    ("livefall=0", &["livefall must be", "read '0'"]),
    ("livefall=101", &["livefall must be", "read '101'"]),
    ("livefall=2x", &["livefall must be", "read '2x'"]),
    ("liverise=", &["liverise must be a number from 1 to 100"]),
    ("liverise=0", &["liverise must be", "read '0'"]),
    ("liverise=-2", &["liverise must be", "read '-2'"]),
    (
        "liverise=99999999999999999999",
        &["liverise must be", "read '99999999999999999999'"],
    ),
    ("liverescue=", &["liverescue must be on, off or eager"]),
    ("liverescue=2", &["liverescue must be", "read '2'"]),
    ("liveuri=", &["liveuri must be a path such as /healthz"]),
    ("liveuri=healthz", &["liveuri must be", "read 'healthz'"]),
    ("liveuri=/a#b", &["liveuri must be", "read '/a#b'"]),
    ("liveuri=/\u{e4}", &["liveuri must be", "printable ASCII"]),
    (
        "liveexpect=",
        &["liveexpect must be statuses from 100 to 599"],
    ),
    ("liveexpect=2xx", &["liveexpect must be", "read '2xx'"]),
    ("liveexpect=99", &["liveexpect must be", "read '99'"]),
    ("livehost=", &["livehost must be a host name"]),
    (
        "livehost=a.test:80",
        &["without port (that is liveport)", "read 'a.test:80'"],
    ),
    ("livehost=a/b", &["livehost must be", "read 'a/b'"]),
    (
        "livetemplate=",
        &["livetemplate must be the name", "read ''"],
    ),
    (
        "livelastresort=",
        &["livelastresort must be on or off", "read ''"],
    ),
    (
        "livelastresort=1",
        &["livelastresort must be on or off", "read '1'"],
    ),
];
