//! Instructions of a request among few and very many workers, as callgrind counts them: what the module adds must not
//! depend on their number.

use super::site::APP;
use super::table::Table;
use live_kit::{Backend, Builder, Client, Mpm, World};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const SIZES: [usize; 2] = [10, 10_000];
/// A start of so many workers under valgrind.
const LONG: Duration = Duration::from_secs(300);
/// The difference of two counts leaves the start of the server out.
const REQUESTS: [usize; 2] = [100, 1_100];

pub fn run(world: &mut World) {
    println!(
        "== instructions of a request among {SIZES:?} workers (numbers; the first is used), by callgrind: prefork, one \
         process, the thread that serves"
    );
    let _app = Backend::start("app", APP);
    let name = |n: &usize| [format!("{n} stock"), format!("{n} live")];
    let mut table = Table::new(&SIZES.iter().flat_map(name).collect::<Vec<String>>());
    for (at, workers) in SIZES.into_iter().enumerate() {
        let each = [false, true].map(|live| {
            let counts = REQUESTS.map(|n| instructions(world, workers, live, n));
            (counts[1] - counts[0]) / (REQUESTS[1] - REQUESTS[0]) as f64
        });
        for (live, each) in each.into_iter().enumerate() {
            table.add("instructions of a request", 2 * at + live, 0, each);
        }
        table.add("what the module adds", 2 * at + 1, 0, each[1] - each[0]);
        table.add("... %", 2 * at + 1, 2, 100.0 * (each[1] / each[0] - 1.0));
    }
    table.print();
}

fn instructions(world: &mut World, workers: usize, live: bool, requests: usize) -> f64 {
    // Written at the end by the user that httpd has become.
    let dir = world.dir.join("grind");
    fs::create_dir_all(&dir).expect("a directory");
    fs::set_permissions(&dir, Permissions::from_mode(0o777)).expect("its permissions");
    let out = dir.join(format!("{workers}.{live}.{requests}"));
    let mut httpd = server(world, workers, live, &out).start();
    // It listens long before it serves.
    let mut client = Client::new(httpd.addr(), LONG);
    let request = live_kit::Request::get("/app/");
    for _ in 0..requests {
        assert_eq!(client.send(&request).expect("an answer").status, 200);
    }
    drop(client);
    httpd.stop();
    count(&out)
}

fn server(world: &mut World, workers: usize, live: bool, out: &Path) -> Builder {
    // Nothing is asked or probed but the one that is used: under valgrind all threads share one processor.
    let mut text = format!("ProxyPass /app/ http://{APP}/\n");
    for n in 1..workers {
        text += &format!(
            "ProxyPass /{n}/ http://127.1.{}.{}:9000/",
            n / 250,
            n % 250 + 1
        );
        text += if live { " liveprobe=off\n" } else { "\n" };
    }
    let file = format!("--callgrind-out-file={}", out.display());
    let words = [
        "valgrind",
        "--quiet",
        "--tool=callgrind",
        "--separate-threads=yes",
        &file,
    ];
    let httpd = world
        .httpd()
        .mpm(Mpm::Prefork)
        .one_process()
        .wrapper(&words);
    let httpd = httpd
        .log_level("notice")
        .expect("")
        .config(&text)
        .patience(LONG);
    if live {
        httpd.live("ProxyLive on")
    } else {
        httpd
    }
}

/// Of the first thread, the one that serves; its file's name ends with its number, when there are others.
fn count(out: &Path) -> f64 {
    let first = format!("{}-01", out.display());
    let text = fs::read_to_string(&first).or_else(|_| fs::read_to_string(out));
    let text = text.expect("what callgrind has written");
    let mut totals = text.lines().filter_map(|line| {
        let rest = line
            .strip_prefix("summary: ")
            .or(line.strip_prefix("totals: "))?;
        rest.trim().parse::<f64>().ok()
    });
    totals.next_back().expect("a sum")
}
