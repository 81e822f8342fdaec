//! Servers and machines that the module cannot run on: each is told in one clear message, nothing crashes.

use crate::common::*;
use live_kit::{Builder, World, eventually, scenario, scenario_within};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// The module is built once more, against other headers.
const BUILD: Duration = Duration::from_secs(400);

/// Headers of a httpd that is one step newer than the one that runs.
#[test]
fn an_older_httpd_is_refused() {
    scenario_within(BUILD, |w: &mut World| {
        let (apxs, running) = newer_headers(&w.dir);
        let module = build_against(&apxs);
        let text = format!("LoadModule proxy_live_module {}", module.display());
        let said = refused(w.httpd().config(&text));
        let (older, newer) = (format!(":{running})"), format!(":{})", running + 1));
        for part in [
            "this httpd (module magic number",
            &older,
            &newer,
            "update httpd",
        ] {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
    });
}

#[test]
fn mod_proxy_must_be_loaded_before() {
    scenario(|w: &mut World| {
        let said = refused(w.httpd().live("").live_after(""));
        assert!(
            said.contains(NOT_LOADED) && said.contains("LoadModule proxy_module"),
            "{said}"
        );
    });
}

#[test]
fn mod_proxy_must_be_loaded() {
    scenario(|w: &mut World| {
        let said = refused(without_proxy(w.httpd()).live("").live_after("headers"));
        assert!(said.contains(NOT_LOADED), "{said}");
    });
}

/// A reload that leaves mod_proxy out: its code is still in the parent's memory, but not in the configuration.
#[test]
fn mod_proxy_must_not_go_in_a_reload() {
    scenario(|w: &mut World| {
        let _backends = backends();
        set_app(w, &[IP_A]);
        let mut httpd =
            start_following(w.httpd().live(FOLLOW).expect(NOT_LOADED).expect("AH00017"));
        httpd.rewrite("");
        httpd.reconfigure(|b| without_proxy(b).live_after("headers"));
        let parent = httpd.pid();
        httpd.signal(parent, live_kit::Signal::USR1);
        eventually(Duration::from_secs(10), || httpd.logged(NOT_LOADED) > 0);
        eventually(Duration::from_secs(10), || {
            !Path::new(&format!("/proc/{parent}/exe")).exists()
        });
        assert_eq!(httpd.logged("exit signal"), 0);
    });
}

const NOT_LOADED: &str = "mod_proxy is not loaded before mod_proxy_live";

fn without_proxy(builder: Builder) -> Builder {
    let all = [
        "lbmethod_byrequests",
        "proxy_balancer",
        "proxy_http",
        "proxy",
    ];
    all.into_iter().fold(builder, Builder::without)
}

/// What httpd said when it refused to start. It must end by itself, not by a signal.
fn refused(builder: Builder) -> String {
    let (ok, said) = builder.check();
    assert!(
        !ok && said.contains("proxy_live:crit"),
        "not refused by -t: {said}"
    );
    let panic = std::panic::catch_unwind(|| builder.start())
        .err()
        .expect("httpd must not start");
    let said = panic.downcast_ref::<String>().expect("a message").clone();
    assert!(
        said.contains("httpd ended at its start (exit status: 1)"),
        "{said}"
    );
    said
}

/// A copy of httpd's headers with a higher minor magic number, behind an `apxs` that names it; and the number
/// of the headers as they are.
fn newer_headers(dir: &Path) -> (PathBuf, u32) {
    let apxs = std::env::var("APXS").unwrap_or("apxs".into());
    let asked = run(Command::new(&apxs).args(["-q", "INCLUDEDIR"]));
    let from = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    let to = dir.join("include");
    fs::create_dir(&to).expect("directory of headers");
    for header in fs::read_dir(&from).expect("httpd's headers").flatten() {
        if header.path().extension().is_some_and(|e| e == "h") {
            fs::copy(header.path(), to.join(header.file_name())).expect("copy of a header");
        }
    }
    let file = to.join("ap_mmn.h");
    let text = fs::read_to_string(&file).expect("ap_mmn.h");
    let define = "#define MODULE_MAGIC_NUMBER_MINOR ";
    let (before, rest) = text.split_once(define).expect("the number is in ap_mmn.h");
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let number: u32 = rest[..digits].parse().expect("a number");
    fs::write(
        &file,
        format!("{before}{define}{}{}", number + 1, &rest[digits..]),
    )
    .expect("ap_mmn.h");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n\"-q INCLUDEDIR\") echo '{}' ;;\n*) exec '{apxs}' \"$@\" ;;\nesac\n",
        to.display()
    );
    (program(dir, "apxs", &script), number)
}

/// Builds the module with another apxs. A copy of the crate under another name, so that what it depends on is
/// taken from the target directory of this test and the module under test stays as it is.
fn build_against(apxs: &Path) -> PathBuf {
    let (target, profile) = target();
    let (root, copy) = (
        Path::new(env!("CARGO_MANIFEST_DIR")),
        target.join("newer_server"),
    );
    let _ = fs::remove_dir_all(&copy);
    fs::create_dir(&copy).expect("directory of the copy");
    for name in ["src", "examples", "build.rs", "Cargo.lock"] {
        run(Command::new("cp").arg("-r").arg(root.join(name)).arg(&copy));
    }
    let kit = format!("path = \"{}/tests/kit\"", root.display());
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("Cargo.toml");
    let manifest = manifest
        .replace("name = \"mod_proxy_live\"", "name = \"newer_proxy_live\"")
        .replace("path = \"tests/kit\"", &kit)
        .replace("members = [\".\", \"tests/kit\"]", "");
    fs::write(copy.join("Cargo.toml"), manifest).expect("Cargo.toml of the copy");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--lib", "--offline", "--target-dir"])
        .arg(&target)
        .current_dir(&copy);
    if profile == "release" {
        cargo.arg("--release");
    }
    run(cargo.env("APXS", apxs).env_remove("RUSTFLAGS"));
    target.join(profile).join("libnewer_proxy_live.so")
}

/// cargo's target directory and the profile's directory in it, from where this test lies: `<target>/debug/deps/`.
fn target() -> (PathBuf, String) {
    let exe = std::env::current_exe().expect("path of this test");
    let profile = exe.ancestors().nth(2).expect("cargo's layout");
    let name = profile
        .file_name()
        .expect("cargo's layout")
        .to_string_lossy()
        .into_owned();
    (
        profile.parent().expect("cargo's layout").to_path_buf(),
        name,
    )
}

fn program(dir: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    fs::write(&path, text).expect("script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions of a script");
    path
}

/// Runs a program that must succeed.
fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The build script as cargo calls it, in an empty directory, with changes to its environment.
fn build_script(change: impl FnOnce(&mut Command, &Path)) -> Output {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let out = std::env::temp_dir().join(format!("proxy-live-build-{}-{n}", std::process::id()));
    fs::create_dir_all(out.join("empty")).expect("directory of a build");
    let host = run(Command::new("rustc").arg("-vV"));
    let host = String::from_utf8_lossy(&host.stdout).into_owned();
    let host = host
        .lines()
        .find_map(|l| l.strip_prefix("host: "))
        .expect("rustc names its host");
    let mut command = Command::new(script());
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("OUT_DIR", &out);
    command
        .env("TARGET", host)
        .env("HOST", host)
        .env("OPT_LEVEL", "0")
        .env("DEBUG", "false")
        .env("PROFILE", "debug");
    for name in ["CC", "CFLAGS", "LIBCLANG_PATH"] {
        command.env_remove(name);
    }
    change(&mut command, &out.join("empty"));
    let output = command.output().expect("run the build script");
    fs::remove_dir_all(&out).expect("directory of a build");
    output
}

/// The newest compiled build script of the module.
fn script() -> PathBuf {
    let (target, profile) = target();
    let all = fs::read_dir(target.join(profile).join("build"))
        .expect("cargo's build directory")
        .flatten();
    let ours = all.filter(|d| {
        d.file_name()
            .to_string_lossy()
            .starts_with("mod_proxy_live-")
    });
    let scripts = ours
        .map(|d| d.path().join("build-script-build"))
        .filter(|p| p.is_file());
    let newest = scripts.max_by_key(|p| p.metadata().and_then(|m| m.modified()).ok());
    newest.expect("cargo has built build.rs")
}

/// The build script fails with one message, which names this Debian package.
fn fails_naming(package: &str, change: impl FnOnce(&mut Command, &Path)) {
    let output = build_script(change);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines.len() == 1 && lines[0].contains(&format!("(Debian: apt-get install {package})")),
        "{said}"
    );
}

#[test]
fn a_machine_with_everything_builds() {
    let output = build_script(|_, _| ());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn without_apxs() {
    fails_naming("apache2-dev", |c, empty| {
        c.env("APXS", empty.join("apxs"));
    });
    // As on a machine without the package: nothing of that name in PATH.
    fails_naming("apache2-dev", |c, empty| {
        c.env_remove("APXS").env("PATH", empty);
    });
}

#[test]
fn without_headers() {
    fails_naming("apache2-dev", |c, empty| {
        let script = format!(
            "#!/bin/sh\n[ \"$2\" = INCLUDEDIR ] && echo '{}'\nexit 0\n",
            empty.display()
        );
        c.env("APXS", program(empty, "apxs", &script));
    });
}

#[test]
fn without_libclang() {
    fails_naming("libclang-dev", |c, empty| {
        c.env("LIBCLANG_PATH", empty);
    });
}

#[test]
fn without_compiler() {
    fails_naming("gcc", |c, empty| {
        c.env("CC", empty.join("cc"));
    });
}
