//! Finds httpd through `apxs`, generates the bindings and compiles the shim.
//!
//! `APXS=/path/to/apxs` chooses the httpd to build for. What is missing on the machine is said in one
//! message that names the package to install.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

fn main() {
    println!("cargo:rerun-if-env-changed=APXS");
    for file in [
        "shim.c",
        "shim.h",
        "request.c",
        "hold.c",
        "hold.h",
        "handler.c",
        "source.c",
        "reload.c",
        "source.h",
    ] {
        println!("cargo:rerun-if-changed=src/ffi/{file}");
    }
    let flags = Flags::find();
    // A file that is not there would count as changed each time.
    let versions = flags.include.iter().map(|dir| dir.join("ap_mmn.h"));
    for file in versions.filter(|file| file.is_file()) {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    need_compiler();
    need_libclang();
    bindings(&flags);
    shim(&flags);
    // httpd unloads modules on a graceful restart; code with a thread or a TLS destructor must stay.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}

/// What the C compiler and bindgen need to read httpd's headers.
struct Flags {
    include: Vec<PathBuf>,
    defines: Vec<String>,
}

impl Flags {
    fn find() -> Self {
        let apxs = env::var("APXS").unwrap_or_else(|_| "apxs".into());
        let mut include = vec![PathBuf::from(query(&apxs, &["-q", "INCLUDEDIR"]))];
        let apr = query(&apxs, &["-q", "APR_CONFIG"]);
        let apr = if apr.is_empty() {
            "apr-1-config".into()
        } else {
            apr
        };
        let mut defines = Vec::new();
        let mut words = query(&apr, &["--includes", "--cppflags"]);
        let apu = apr.replace("apr-1-config", "apu-1-config");
        if apu != apr {
            words.push(' ');
            words.push_str(&query(&apu, &["--includes"]));
        }
        for word in words.split_whitespace() {
            if let Some(dir) = word.strip_prefix("-I") {
                include.push(dir.into());
            } else if word.starts_with("-D") {
                defines.push(word.into());
            }
        }
        if !include.iter().any(|d| d.join("mod_proxy.h").is_file()) {
            stop(&format!(
                "mod_proxy.h is not in {}; the headers of httpd are incomplete \
                 (Debian: apt-get install apache2-dev)",
                include[0].display()
            ));
        }
        Self { include, defines }
    }

    fn args(&self) -> impl Iterator<Item = String> + '_ {
        let dirs = self.include.iter().map(|d| format!("-I{}", d.display()));
        dirs.chain(self.defines.iter().cloned())
    }
}

/// Runs a configuration program and returns what it prints, trimmed.
fn query(program: &str, args: &[&str]) -> String {
    match Command::new(program).args(args).output() {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout).trim().to_string(),
        Ok(out) => stop(&format!(
            "`{program} {}` failed: {}",
            args.join(" "),
            String::from_utf8_lossy(&out.stderr).trim()
        )),
        Err(e) => stop(&format!(
            "cannot run `{program}` ({e}): it comes with httpd's development files \
             (Debian: apt-get install apache2-dev); APXS=/path/to/apxs names another one"
        )),
    }
}

fn need_compiler() {
    let compiler = cc::Build::new().try_get_compiler();
    let runs = compiler.is_ok_and(|c| c.to_command().arg("--version").output().is_ok());
    if !runs {
        stop("no C compiler found (Debian: apt-get install gcc)");
    }
}

fn need_libclang() {
    // bindgen panics with a long text when libclang is missing; look first, in silence.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let found = std::panic::catch_unwind(bindgen::clang_version).is_ok();
    std::panic::set_hook(hook);
    if !found {
        stop(
            "libclang was not found, bindgen needs it (Debian: apt-get install libclang-dev); \
             LIBCLANG_PATH=/dir names another place",
        );
    }
}

fn bindings(flags: &Flags) {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let built = bindgen::Builder::default()
        .header("src/ffi/shim.h")
        .clang_args(flags.args())
        .allowlist_function("live_.*")
        .allowlist_function("apr_(pool_create_ex|pool_destroy|palloc|pstrmemdup|pool_cleanup_register|pool_cleanup_null|pool_pre_cleanup_register)")
        .allowlist_function("apr_(signal_block|sockaddr_info_get|socket_addr_get|os_sock_get|dynamic_fn_register|dynamic_fn_retrieve|brigade_cleanup|hook_sort_all)")
        .allowlist_function("ap_hook_(pre_config|check_config|test_config|post_config|child_init|pre_connection|child_stopping)")
        .allowlist_function("ap_(exists_config_define|server_root_relative|timeout_parameter_parse|state_query|mpm_query|register_input_filter|add_input_filter|get_brigade)")
        .allowlist_type("module|command_rec|cmd_parms|ap_directive_t|server_rec|request_rec|conn_rec|ap_filter_t|ap_input_mode_t|proxy_worker|proxy_worker_shared|proxy_balancer|proxy_balancer_shared|proxy_conn_rec|proxy_conn_pool|proxy_server_conf|proxy_remote|apr_sockaddr_t|apr_OFN_set_worker_hc_param_t")
        .allowlist_var("MODULE_MAGIC_(COOKIE|NUMBER_MAJOR|NUMBER_MINOR)|APLOG_(EMERG|ALERT|CRIT|ERR|WARNING|NOTICE|INFO|DEBUG|TRACE[1-8])|PROXY_WORKER_.*|APR_(SUCCESS|EOF|TIMEUP|INET|INET6)|APR_HOOK_.*|AP_SQ_.*|AP_MPMQ_.*|OK|DECLINED|LIVE_(HANDLER|SOURCE)_.*|AP_STATUS_SHORT|HTTP_METHOD_NOT_ALLOWED|SUSPENDED|HTTP_INTERNAL_SERVER_ERROR|ap_conftree|live_.*")
        .blocklist_item(".*long_double.*")
        .derive_default(true)
        .layout_tests(true)
        .generate_comments(false)
        .generate()
        .unwrap_or_else(|e| stop(&format!("httpd's headers could not be read: {e}")));
    let file = out.join("bindings.rs");
    if let Err(e) = built.write_to_file(&file) {
        stop(&format!("cannot write {}: {e}", file.display()));
    }
}

fn shim(flags: &Flags) {
    let mut build = cc::Build::new();
    build
        .files([
            "src/ffi/shim.c",
            "src/ffi/request.c",
            "src/ffi/hold.c",
            "src/ffi/handler.c",
            "src/ffi/source.c",
            "src/ffi/reload.c",
        ])
        .std("gnu99")
        .warnings(true);
    build.flag_if_supported("-Wno-unused-parameter");
    // Requests go through these functions, too.
    build.force_frame_pointer(false);
    for dir in &flags.include {
        build.include(Path::new(dir));
    }
    for define in &flags.defines {
        let text = &define[2..];
        match text.split_once('=') {
            Some((name, value)) => build.define(name, value),
            None => build.define(text, None),
        };
    }
    if let Err(e) = build.try_compile("live_shim") {
        stop(&format!("the C part could not be compiled: {e}"));
    }
}

fn stop(message: &str) -> ! {
    println!("cargo:warning=mod_proxy_live: {message}");
    eprintln!("mod_proxy_live: {message}");
    exit(1)
}
