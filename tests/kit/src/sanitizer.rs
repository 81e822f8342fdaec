//! A module built with AddressSanitizer: what its httpd needs, and what the sanitizer reported.
//!
//! `PROXY_LIVE_PRELOAD` names the sanitizer's library (`apxs/asan-build` prints it). Judged are its log
//! files, because a child that ends by a report may be replaced before anybody notices.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The library to preload; None for a module without sanitizer.
fn library() -> Option<PathBuf> {
    std::env::var_os("PROXY_LIVE_PRELOAD").map(PathBuf::from)
}

/// Environment of a httpd with this ServerRoot. Makes the directory of the reports.
pub(crate) fn environment(root: &Path) -> Vec<(String, String)> {
    let Some(library) = library() else {
        return Vec::new();
    };
    assert!(
        library.is_file(),
        "PROXY_LIVE_PRELOAD names no file: {}",
        library.display()
    );
    let dir = root.join("sanitizer");
    fs::create_dir_all(&dir).expect("directory of the sanitizer");
    // The children run as another user.
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777))
        .expect("permissions of the sanitizer's directory");
    // httpd's own handlers would hide a crash from the sanitizer (2: theirs are refused). httpd never gives
    // back its pools at exit: valgrind's test looks for leaks.
    let options = format!(
        "log_path={}:detect_leaks=0:handle_segv=2:handle_sigbus=2:handle_sigfpe=2:handle_sigill=2:handle_abort=2:\
         detect_stack_use_after_return=1:strict_string_checks=1",
        dir.join("report").display()
    );
    vec![
        ("LD_PRELOAD".into(), library.display().to_string()),
        ("ASAN_OPTIONS".into(), options),
    ]
}

/// Configuration of such a httpd: pools give memory back at once, so that its use after that is seen.
pub(crate) fn config() -> &'static str {
    if library().is_some() {
        "MaxMemFree 1\n"
    } else {
        ""
    }
}

/// How many times longer a request may take: with a sanitizer its reports are judged, not the speed.
pub(crate) fn slower() -> u32 {
    if library().is_some() { 3 } else { 1 }
}

/// The sanitizer's reports, whole.
pub(crate) fn reports(root: &Path) -> Vec<String> {
    let files = fs::read_dir(root.join("sanitizer"))
        .into_iter()
        .flatten()
        .flatten();
    files
        .map(|f| fs::read_to_string(f.path()).unwrap_or_else(|e| format!("unreadable report: {e}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::reports;

    #[test]
    fn any_report_counts() {
        let root = std::env::temp_dir().join(format!("live-kit-{}-reports", std::process::id()));
        std::fs::create_dir_all(root.join("sanitizer")).expect("directory");
        assert!(reports(&root).is_empty());
        std::fs::write(root.join("sanitizer/report.17"), "==17==ERROR").expect("report");
        assert_eq!(reports(&root), ["==17==ERROR"]);
        std::fs::remove_dir_all(&root).expect("directory");
    }
}
