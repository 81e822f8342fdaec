//! Configuration of a real httpd with a ServerRoot of its own.

use crate::httpd::Httpd;
use crate::request::ID_HEADER;
use crate::{module_path, sanitizer};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// What the module says when this machine does not run it in time: true, and no scenario's fault. (62 is ETIME.)
const OVERLOADED: [&str; 2] = [
    "probes are late by up to",
    "trouble on this machine (errno 62)",
];

/// Time within which a usual httpd must have started or stopped.
const PATIENCE: Duration = Duration::from_secs(20);
/// Modules that may be static or shared, as the distribution likes.
const OFTEN_STATIC: [&str; 5] = ["log_config", "logio", "unixd", "version", "watchdog"];
const USUAL: [&str; 9] = [
    "authz_core",
    "headers",
    "status",
    "slotmem_shm",
    "proxy",
    "proxy_http",
    "proxy_balancer",
    "lbmethod_byrequests",
    "env",
];

/// Multi-processing module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mpm {
    Event,
    Worker,
    Prefork,
}

/// Configuration of a httpd.
#[derive(Clone)]
pub struct Builder {
    pub(crate) root: PathBuf,
    pub(crate) mpm: Mpm,
    pub(crate) children: usize,
    pub(crate) threads: usize,
    pub(crate) addr: SocketAddr,
    everywhere: bool,
    modules: Vec<String>,
    live: bool,
    live_after: String,
    log_level: String,
    pub(crate) text: String,
    env: Vec<(String, String)>,
    wrapper: Vec<String>,
    pub(crate) one_process: bool,
    pub(crate) patience: Duration,
    pub(crate) expected: Vec<String>,
}

impl Builder {
    /// `root`: directory to be made, the ServerRoot.
    pub(crate) fn new(root: PathBuf, port: u16) -> Builder {
        Builder {
            root,
            mpm: Mpm::Event,
            children: 4,
            threads: 8,
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            everywhere: false,
            modules: USUAL.iter().map(|m| (*m).to_owned()).collect(),
            live: false,
            live_after: "proxy".into(),
            log_level: "info".into(),
            text: String::new(),
            env: Vec::new(),
            wrapper: Vec::new(),
            one_process: false,
            patience: PATIENCE,
            expected: OVERLOADED.map(str::to_owned).to_vec(),
        }
    }

    /// Default: event.
    pub fn mpm(mut self, mpm: Mpm) -> Self {
        self.mpm = mpm;
        self
    }

    /// Exactly so many children live (default 4).
    pub fn children(mut self, n: usize) -> Self {
        self.children = n;
        self
    }

    /// Threads per child (default 8); prefork has one.
    pub fn threads(mut self, n: usize) -> Self {
        self.threads = n;
        self
    }

    /// Address to listen on (default `127.0.0.1`, port 8080 for the first httpd of a scenario, then 8081, ..).
    pub fn listen(mut self, addr: &str) -> Self {
        self.addr = addr
            .parse()
            .unwrap_or_else(|_| panic!("not an address with port: {addr}"));
        self
    }

    /// Listens on this port of all addresses; `addr` is where the scenario talks to it.
    pub fn listen_everywhere(self, addr: &str) -> Self {
        Builder {
            everywhere: true,
            ..self.listen(addr)
        }
    }

    /// Loads another module of the distribution (`proxy_hcheck`, `ssl`).
    pub fn module(mut self, name: &str) -> Self {
        if !self.modules.iter().any(|m| m == name) {
            self.modules.push(name.to_owned());
        }
        self
    }

    /// Leaves a usual module out.
    pub fn without(mut self, name: &str) -> Self {
        self.modules.retain(|m| m != name);
        self
    }

    /// Adds to the configuration.
    pub fn config(mut self, text: &str) -> Self {
        let _ = writeln!(self.text, "{text}");
        self
    }

    /// Loads the module under test and adds `text` to the configuration.
    pub fn live(mut self, text: &str) -> Self {
        self.live = true;
        self.config(text)
    }

    /// Leaves the module under test out again (a reload without it).
    pub fn without_live(mut self) -> Self {
        self.live = false;
        self
    }

    /// Position of the module under test among the LoadModule lines: behind this one (default `proxy`); an
    /// empty name: before all others.
    pub fn live_after(mut self, module: &str) -> Self {
        self.live_after = module.to_owned();
        self
    }

    /// Argument of LogLevel (default `info`).
    pub fn log_level(mut self, level: &str) -> Self {
        self.log_level = level.to_owned();
        self
    }

    /// Environment of the server.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the server under a program (`valgrind`, ..).
    pub fn wrapper(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(|w| (*w).to_owned()).collect();
        self
    }

    /// `-X`: one process, which serves and leads alone.
    pub fn one_process(mut self) -> Self {
        self.one_process = true;
        self
    }

    /// Time within which the server must have started or stopped (default 20 s).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Announces warning or error lines that contain `text`.
    pub fn expect(mut self, text: &str) -> Self {
        self.expected.push(text.to_owned());
        self
    }

    /// Does `httpd -t`: whether the configuration is valid, and what was said.
    pub fn check(&self) -> (bool, String) {
        let output = self.check_with(&[]);
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// Does `httpd -t` with further arguments (`-D`, ..).
    pub fn check_with(&self, args: &[&str]) -> Output {
        self.write();
        let mut command = self.command();
        command.arg("-t").args(args);
        command.output().expect("run httpd -t")
    }

    /// Starts the server and waits until it serves with all its children.
    ///
    /// # Panics
    /// When it does not start; the panic tells what it said.
    pub fn start(self) -> Httpd {
        self.write();
        Httpd::start(self)
    }

    pub(crate) fn spawn(&self) -> Child {
        let mut command = self.command();
        if !self.one_process {
            command.arg("-DFOREGROUND");
        } else {
            command.arg("-X");
        }
        let console = fs::File::create(self.root.join("logs/console")).expect("console file");
        // httpd ends its children by a signal to its whole process group.
        command.process_group(0);
        command
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("console file"))
            .stderr(console);
        command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run httpd (Debian package apache2): {e}"))
    }

    fn command(&self) -> Command {
        let program = program();
        let mut command = match self.wrapper.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .arg("-d")
            .arg(&self.root)
            .arg("-f")
            .arg(self.root.join("httpd.conf"));
        command.envs(sanitizer::environment(&self.root));
        command.envs(self.env.iter().map(|(n, v)| (n, v)));
        command
    }

    pub(crate) fn write(&self) {
        for dir in ["logs", "run", "htdocs"] {
            fs::create_dir_all(self.root.join(dir)).expect("directory of the server");
        }
        fs::write(self.root.join("httpd.conf"), self.whole_text()).expect("httpd.conf");
    }

    fn whole_text(&self) -> String {
        let mut text = String::new();
        let root = self.root.display();
        let mpm = format!("{:?}", self.mpm).to_lowercase();
        let _ = writeln!(
            text,
            "ServerRoot {root}\nDefaultRuntimeDir {root}/run\nPidFile {root}/run/httpd.pid"
        );
        let _ = writeln!(
            text,
            "ServerName front.test\nListen {}\nDocumentRoot {root}/htdocs",
            self.listen_text()
        );
        if rustix::process::geteuid().is_root() {
            let _ = writeln!(
                text,
                "User {}\nGroup {}",
                user("/etc/passwd"),
                user("/etc/group")
            );
        }
        self.load_modules(&mut text, &mpm);
        let _ = writeln!(text, "ErrorLog logs/error.log\nLogLevel {}", self.log_level);
        let _ = writeln!(
            text,
            "LogFormat \"%{{{ID_HEADER}}}i %P %>s %{{X-Backend}}o %D\" who\nCustomLog logs/who.log who"
        );
        let _ = writeln!(
            text,
            "KeepAlive On\nMaxKeepAliveRequests 0\nKeepAliveTimeout 30\nGracefulShutdownTimeout 10"
        );
        text += &self.mpm_text();
        text += sanitizer::config();
        text + &self.text
    }

    fn listen_text(&self) -> String {
        match self.everywhere {
            true => format!("0.0.0.0:{}", self.addr.port()),
            false => self.addr.to_string(),
        }
    }

    fn load_modules(&self, text: &mut String, mpm: &str) {
        let dir = module_dir();
        let mut names: Vec<&str> = OFTEN_STATIC
            .into_iter()
            .filter(|m| file_of(&dir, m).is_file())
            .collect();
        let mpm = format!("mpm_{mpm}");
        if file_of(&dir, &mpm).is_file() {
            names.push(&mpm);
        }
        names.extend(self.modules.iter().map(String::as_str));
        let live = |text: &mut String| {
            let _ = writeln!(
                text,
                "LoadModule proxy_live_module {}",
                module_path().display()
            );
        };
        if self.live && self.live_after.is_empty() {
            live(text);
        }
        for name in names {
            let _ = writeln!(
                text,
                "LoadModule {name}_module {}",
                file_of(&dir, name).display()
            );
            if self.live && name == self.live_after {
                live(text);
            }
        }
    }

    fn mpm_text(&self) -> String {
        let (n, threads) = (self.children.max(1), self.threads);
        if self.mpm == Mpm::Prefork {
            // As many spare ones: a reload during which the old children take their time would leave fewer.
            return format!(
                "StartServers {n}\nMinSpareServers {n}\nMaxSpareServers {}\nServerLimit {n}\nMaxRequestWorkers {n}\n",
                n + 1
            );
        }
        // Room in ServerLimit for the children of an old generation that still finish requests.
        let (all, room) = (n * threads, 3 * n + 2);
        format!(
            "ThreadLimit {threads}\nThreadsPerChild {threads}\nStartServers {n}\nServerLimit {room}\n\
             MaxRequestWorkers {all}\nMinSpareThreads 1\nMaxSpareThreads {}\n",
            all * 10
        )
    }
}

fn program() -> PathBuf {
    let known = [
        "/usr/sbin/apache2",
        "/usr/sbin/httpd",
        "/usr/local/apache2/bin/httpd",
    ]
    .map(PathBuf::from);
    let set = std::env::var_os("HTTPD").map(PathBuf::from);
    let found = set.into_iter().chain(known).find(|p| p.is_file());
    found.expect("no httpd found (Debian package apache2); HTTPD names another")
}

fn module_dir() -> PathBuf {
    let asked = Command::new(std::env::var("APXS").unwrap_or("apxs".into()))
        .args(["-q", "LIBEXECDIR"])
        .output();
    let dir = asked
        .ok()
        .filter(|o| o.status.success())
        .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    dir.map_or_else(|| PathBuf::from("/usr/lib/apache2/modules"), PathBuf::from)
}

fn file_of(dir: &Path, module: &str) -> PathBuf {
    dir.join(format!("mod_{module}.so"))
}

/// The first unprivileged user (or group) this machine has.
fn user(file: &str) -> &'static str {
    let text = fs::read_to_string(file).unwrap_or_default();
    let known = |name: &&str| text.lines().any(|l| l.split(':').next() == Some(name));
    ["www-data", "apache", "daemon", "nobody"]
        .into_iter()
        .find(known)
        .unwrap_or("nogroup")
}
