//! Where the module under test lies.

use std::path::PathBuf;

/// The module: `PROXY_LIVE_SO` when set, otherwise the library cargo built next to the running test
/// (`target/<profile>/deps/` or `target/<profile>/`, the newer one).
///
/// # Panics
/// When there is none, with the command that builds it.
pub fn module_path() -> PathBuf {
    if let Some(path) = std::env::var_os("PROXY_LIVE_SO") {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "PROXY_LIVE_SO names no file: {}",
            path.display()
        );
        return path;
    }
    let exe = std::env::current_exe().expect("path of this program");
    // tests are in target/<profile>/deps/, examples in target/<profile>/examples/
    let profile = exe
        .parent()
        .and_then(|p| p.parent())
        .expect("the program lies in cargo's target directory");
    let name = "libmod_proxy_live.so";
    let found = [profile.join("deps").join(name), profile.join(name)]
        .into_iter()
        .filter(|p| p.is_file());
    let modified = |p: &PathBuf| p.metadata().and_then(|m| m.modified()).ok();
    found.max_by_key(modified).unwrap_or_else(|| {
        panic!(
            "no {name} in {}: run `cargo build` first, or set PROXY_LIVE_SO",
            profile.display()
        )
    })
}
