//! A program of the distribution that runs beside the servers of a scenario.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// It must have ended so long after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program in the foreground; ended by SIGTERM when dropped. What it said is told when the scenario fails.
pub struct Program {
    name: String,
    log: PathBuf,
    process: Child,
}

impl Program {
    /// What it says goes to `name.log` in `dir`.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn start(dir: &Path, name: &str, words: &[&str]) -> Program {
        let log = dir.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let console = file.expect("log file");
        let (program, args) = words.split_first().expect("a command line");
        let process = Command::new(program)
            .args(args)
            .current_dir(dir)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("log file"))
            .stderr(console)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run {program}: {e}"));
        Program {
            name: name.to_owned(),
            log,
            process,
        }
    }

    /// All it has said, also before an earlier end.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn alive(&mut self) -> bool {
        self.process.try_wait().is_ok_and(|status| status.is_none())
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) {
        if !self.alive() {
            return;
        }
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        let _ = kill_process(pid.expect("a pid"), Signal::TERM);
        let end = Instant::now() + PATIENCE;
        while self.alive() {
            if Instant::now() > end {
                let _ = self.process.kill();
                let _ = self.process.wait();
                panic!("{} does not end within {PATIENCE:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- {} said:\n{}\n---", self.name, self.said());
            let _ = self.process.kill();
            let _ = self.process.wait();
            return;
        }
        self.stop();
    }
}
