//! Runs a scenario in namespaces of its own: the test binary starts itself again under `unshare`.

use crate::World;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Hard limit of one scenario.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(90);
/// Lines with this mark are passed on when the scenario has passed (`--nocapture` shows them).
const FIGURE: &str = "figure: ";
/// Set in the process that runs inside the namespaces: the scenario's name.
const MARKER: &str = "LIVE_KIT_SCENARIO";
/// The scenario's directory, made by the outer process.
const DIR: &str = "LIVE_KIT_DIR";

/// Runs `body` in private network, mount, process and IPC namespaces. Call it from a `#[test]` function,
/// either with a closure written there or with a function of the test's own name: the test is found again
/// by the type name of `body`.
///
/// # Panics
/// When the scenario fails, runs longer than [`DEFAULT_LIMIT`], or cannot run on this machine.
pub fn scenario<F: FnOnce(&mut World)>(body: F) {
    scenario_within(DEFAULT_LIMIT, body);
}

/// Like [`scenario`], with a time limit of its own.
pub fn scenario_within<F: FnOnce(&mut World)>(limit: Duration, body: F) {
    let test = test_name(std::any::type_name::<F>());
    if std::env::var(MARKER).is_ok_and(|name| name == test) {
        return inside(body);
    }
    let args = [test.as_str(), "--exact", "--nocapture", "--test-threads=1"];
    let dir = make_dir(&test);
    let mut child = unshared(&args, &test, &dir, true);
    let _leash = child.stdin.take();
    let (status, output) = wait_captured(&mut child, limit);
    // "1 passed" guards against a name that matches no test: that would run nothing and succeed.
    if status.is_some_and(|s| s.success()) && output.contains("1 passed") {
        // libtest may have begun the line with the test's name.
        let figures = output.lines().filter_map(|l| l.split_once(FIGURE));
        figures.for_each(|(_, figure)| println!("{test}: {FIGURE}{figure}"));
        let _ = std::fs::remove_dir_all(&dir);
        return;
    }
    println!("{output}");
    println!("files of the failed scenario: {}", dir.display());
    match status {
        None => panic!("scenario {test} did not end within {limit:?}"),
        Some(s) if s.success() => {
            panic!("scenario {test} ran no test: is it called from a test of this name?")
        }
        Some(s) => panic!("scenario {test} failed{}", signal_text(s)),
    }
}

/// For programs that are not tests (the demo): runs `body` in the namespaces, with this program's own
/// terminal. Returns the exit code to end with.
pub fn private<F: FnOnce(&mut World)>(name: &str, body: F) -> i32 {
    if std::env::var(MARKER).is_ok_and(|n| n == name) {
        inside(body);
        return 0;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let dir = make_dir(name);
    let mut child = unshared(&args, name, &dir, false);
    let _leash = child.stdin.take();
    let status = child.wait().expect("wait for the private namespace");
    let _ = std::fs::remove_dir_all(&dir);
    status.code().unwrap_or(1)
}

fn inside(body: impl FnOnce(&mut World)) {
    std::thread::spawn(end_with_outer);
    let dir = PathBuf::from(std::env::var_os(DIR).expect("the outer process passes the directory"));
    let mut world = World::enter(dir);
    body(&mut world);
    world.leave();
}

/// Standard input is a pipe that the outer process holds open: its end means that the outer process is gone
/// (interrupted, killed). The end of this process is the end of everything in its process namespace.
fn end_with_outer() {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    std::process::exit(130);
}

/// `crate::module::test::{{closure}}` -> `module::test`.
fn test_name(type_name: &str) -> String {
    let name = type_name.trim_end_matches("::{{closure}}");
    name.split_once("::")
        .map_or(name, |(_, rest)| rest)
        .to_owned()
}

fn make_dir(name: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let dir = std::env::temp_dir().join(format!(
        "live-kit-{}-{}",
        std::process::id(),
        name.replace("::", "-")
    ));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
    // The children of httpd run as another user.
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&dir, mode).expect("permissions of the scenario's directory");
    dir
}

fn unshared(args: &[&str], name: &str, dir: &Path, captured: bool) -> Child {
    let mut cmd = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        cmd.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    cmd.args([
        "--mount",
        "--net",
        "--ipc",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    cmd.arg(std::env::current_exe().expect("path of this program"))
        .args(args);
    cmd.env(MARKER, name)
        .env(DIR, dir)
        .env("RUST_BACKTRACE", "0")
        .env_remove("TERM");
    cmd.stdin(Stdio::piped());
    if captured {
        // A signal to a whole group inside must not reach the test runner.
        cmd.process_group(0);
        cmd.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    cmd.spawn()
        .unwrap_or_else(|e| panic!("cannot run unshare (Debian package util-linux): {e}"))
}

/// Collects both outputs; `None` as status: the limit passed and everything in the namespace was killed.
fn wait_captured(child: &mut Child, limit: Duration) -> (Option<ExitStatus>, String) {
    let (send, chunks) = mpsc::channel::<Vec<u8>>();
    follow(child.stdout.take().expect("piped"), send.clone());
    follow(child.stderr.take().expect("piped"), send);
    let end = Instant::now() + limit;
    let mut output = Vec::new();
    let status = loop {
        match chunks.recv_timeout(Duration::from_millis(20)) {
            Ok(chunk) => output.extend(chunk),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                std::thread::sleep(Duration::from_millis(2))
            }
        }
        if let Some(status) = child.try_wait().expect("wait for the scenario") {
            break Some(status);
        }
        if Instant::now() > end {
            // unshare's own end takes the whole process namespace with it (--kill-child).
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
    };
    while let Ok(chunk) = chunks.recv_timeout(Duration::from_millis(500)) {
        output.extend(chunk);
    }
    (status, String::from_utf8_lossy(&output).into_owned())
}

fn follow(mut from: impl Read + Send + 'static, to: mpsc::Sender<Vec<u8>>) {
    std::thread::spawn(move || {
        let mut buf = [0; 8192];
        while let Ok(n) = from.read(&mut buf) {
            if n == 0 || to.send(buf[..n].to_vec()).is_err() {
                break;
            }
        }
    });
}

fn signal_text(status: ExitStatus) -> String {
    status
        .signal()
        .map_or(String::new(), |s| format!(" (killed by signal {s})"))
}

#[cfg(test)]
mod tests {
    use super::test_name;

    #[test]
    fn names_of_tests() {
        assert_eq!(test_name("move::moves_event::{{closure}}"), "moves_event");
        assert_eq!(test_name("queries::ttl::zero"), "ttl::zero");
        assert_eq!(test_name("x::a::{{closure}}::{{closure}}"), "a");
    }
}
