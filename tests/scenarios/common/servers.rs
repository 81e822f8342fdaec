//! Debian's nginx and `openssl s_server` as backends, each with a configuration of the scenario's own.

// Each test file uses its own part.
#![allow(dead_code)]

use live_kit::{World, eventually};
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server of Debian in the foreground, killed when dropped.
pub struct Server {
    process: Child,
}

impl Server {
    /// `package` has `program`. It listens on all of `ports` (`127.0.0.2:8443`) when this returns; what it says goes to
    /// `name.log`.
    #[track_caller]
    fn start(
        w: &World,
        name: &str,
        package: &str,
        program: &str,
        args: &[&str],
        ports: &[String],
    ) -> Server {
        let found = ["/usr/sbin", "/usr/bin"].map(|dir| format!("{dir}/{program}"));
        let path = found.iter().find(|p| Path::new(p).is_file());
        let path =
            path.unwrap_or_else(|| panic!("no {program}: it is in the Debian package {package}"));
        let log = w.dir.join(format!("{name}.log"));
        let console = File::create(&log).expect("log file");
        let process = Command::new(path)
            .args(args)
            .current_dir(&w.dir)
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("log file"))
            .stderr(console)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run {program}: {e}"));
        let mut server = Server { process };
        eventually(Duration::from_secs(10), || {
            let ended = server.process.try_wait().expect("wait for the server");
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none(), "{program} ended: {}", said());
            ports.iter().all(|port| TcpStream::connect(port).is_ok())
        });
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes an RSA key and a certificate signed with it, `<name>.key` and `<name>.pem`, in the scenario's directory.
pub fn make_certificate(w: &World, name: &str) {
    w.certificate(name);
}

/// nginx with these `server` blocks; a path `/healthz` of each answers 200, `/down` 503, all others 200 with the name
/// of the block in the header `X-Backend`.
pub fn nginx(w: &World, ip: &str, blocks: &[(u16, String)]) -> Server {
    let mut servers = String::new();
    for (port, settings) in blocks {
        let tls = if settings.is_empty() { "" } else { "ssl" };
        servers += &format!(
            "server {{ listen {ip}:{port} {tls}; server_name app.test; {settings}
                add_header X-Backend nginx{port} always;
                location /healthz {{ return 200 well; }} location /down {{ return 503; }}
                location / {{ return 200 page; }} }}\n"
        );
    }
    let dir = w.dir.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {dir}/nginx-{name};\n"))
        .concat();
    let text = format!(
        "daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx-error.log info;
         events {{ worker_connections 512; }}
         http {{ access_log {dir}/nginx-access.log; ssl_certificate {dir}/app.test.pem;
            ssl_certificate_key {dir}/app.test.key;
            {temporary}{servers} }}"
    );
    let conf = w.file("nginx.conf", &text).display().to_string();
    let prefix = format!("{dir}/");
    let args = ["-c", &conf, "-p", &prefix, "-e", "nginx-error.log"];
    let ports: Vec<_> = blocks
        .iter()
        .map(|(port, _)| format!("{ip}:{port}"))
        .collect();
    Server::start(w, "nginx", "nginx", "nginx", &args, &ports)
}

/// `openssl s_server` with these settings; it answers a GET with a page of its own.
pub fn s_server(w: &World, ip: &str, port: u16, settings: &str) -> Server {
    let addr = format!("{ip}:{port}");
    let all = format!("s_server -accept {addr} -www -quiet {settings}");
    let args: Vec<&str> = all.split_whitespace().collect();
    let name = format!("s_server{port}");
    Server::start(
        w,
        &name,
        "openssl",
        "openssl",
        &args,
        std::slice::from_ref(&addr),
    )
}
