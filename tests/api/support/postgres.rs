//! A PostgreSQL server for the test run.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use tempfile::TempDir;

use super::{command, poll};
use crate::tls::{self, Validity};

/// A PostgreSQL server. The first test that needs it starts it, and it stops when the test run ends for any reason.
pub(crate) struct Server {
    pub(crate) port: u16,
    dir: PathBuf,
    next_database: AtomicUsize,
    migrated: OnceLock<String>,
    /// The standard input of the guard. The kernel closes it when this process ends.
    _guard: ChildStdin,
}

/// A script that runs the server `"$@"` until standard input ends, then stops it and removes its directory.
const GUARD: &str = r#"
dir=$PWD
"$@" >"$dir/log" 2>&1 &
cat >/dev/null
kill -QUIT $!
wait
rm -rf "$dir"
"#;

impl Server {
    pub(crate) fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    fn start() -> Self {
        let programs = programs();
        let user = Unprivileged::find();
        let dir = user.folder();
        let data = dir.join("data");
        let initdb = user
            .command(&programs.join("initdb"), &dir)
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ])
            .arg("--pgdata")
            .arg(&data)
            .output()
            .unwrap();
        assert!(
            initdb.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&initdb.stderr)
        );
        user.write_certificate(&data, Validity::EndsTomorrow);

        // Another process may take the port before the server does. The log of the server then says so.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        #[expect(
            clippy::zombie_processes,
            reason = "the guard outlives the tests and stops the server when its input ends"
        )]
        let mut guard = user
            .command(Path::new("/bin/sh"), &dir)
            .args(["-c", GUARD, "guard"])
            .arg(programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k", ""])
            .args([
                "-c",
                "ssl=on",
                "-c",
                "fsync=off",
                "-c",
                "full_page_writes=off",
                "-c",
                "max_connections=200",
            ])
            .stdin(Stdio::piped())
            // Ctrl-C must end the tests but not the guard, which cleans up afterwards.
            .process_group(0)
            .spawn()
            .unwrap();
        let server = Self {
            port,
            dir,
            next_database: AtomicUsize::new(0),
            migrated: OnceLock::new(),
            _guard: guard.stdin.take().unwrap(),
        };
        let up = poll(super::DEADLINE, || {
            PgConnection::establish(&server.url("postgres")).is_ok()
        });
        assert!(
            up,
            "PostgreSQL did not start:\n{}",
            fs::read_to_string(server.dir.join("log")).unwrap_or_default()
        );
        server
    }

    /// The URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The file with the certificate of the server.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.join("data/server.crt")
    }

    /// Gives the server another certificate for new sessions.
    pub(crate) fn replace_certificate(&self, validity: Validity) {
        Unprivileged::find().write_certificate(&self.dir.join("data"), validity);
        self.execute("SELECT pg_reload_conf()");
    }

    /// Runs statements as the superuser.
    pub(crate) fn execute(&self, statements: &str) {
        PgConnection::establish(&self.url("postgres"))
            .unwrap()
            .batch_execute(statements)
            .unwrap();
    }

    /// Copies the database `template` and returns the URL of the copy.
    pub(crate) fn create_database(&self, template: &str) -> String {
        let name = format!(
            "test_{}",
            self.next_database.fetch_add(1, Ordering::Relaxed)
        );
        self.execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"));
        self.url(&name)
    }

    /// The name of a database with the current schema.
    pub(crate) fn migrated(&self) -> &str {
        self.migrated.get_or_init(|| {
            let url = self.create_database("template0");
            let migrate = command("migrate", &[("WAYBILL_DATABASE_URL", &url)])
                .output()
                .unwrap();
            assert!(
                migrate.status.success(),
                "{}",
                String::from_utf8_lossy(&migrate.stderr)
            );
            url.rsplit('/').next().unwrap().to_owned()
        })
    }
}

/// The directory with the programs of PostgreSQL: the one on the PATH, or the one that Debian uses.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(|dir| dir.join("initdb").exists());
    let in_debian = || {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
        let version = versions
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .max()?;
        Some(PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
    };
    on_path.or_else(in_debian).expect(
        "initdb was not found; install PostgreSQL, for example with `apt-get install postgresql`",
    )
}

/// The folder of the system for files in memory, if there is room for the databases. Each test has a database, which is
/// about 300 files; ext4 needs more time to create and delete them all than the tests need to run.
fn in_memory() -> Option<&'static Path> {
    const ROOM: u64 = 4 << 30;
    let folder = Path::new("/dev/shm");
    let system = rustix::fs::statvfs(folder).ok()?;
    (system.f_bavail * system.f_frsize >= ROOM).then_some(folder)
}

/// The user that runs the server. PostgreSQL refuses to run as root.
struct Unprivileged(Option<(u32, u32)>);

impl Unprivileged {
    fn find() -> Self {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return Self(None);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let user = users.lines().find_map(|line| {
            let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        });
        Self(Some(user.expect(
            "the user `postgres` does not exist; install PostgreSQL with `apt-get install postgresql`",
        )))
    }

    /// Creates a directory that the user owns. Other users may have no access to the temporary directory of root.
    fn folder(&self) -> PathBuf {
        let dir = match in_memory() {
            Some(memory) => TempDir::new_in(memory),
            None if self.0.is_some() => TempDir::new_in("/tmp"),
            None => TempDir::new(),
        };
        let dir = dir.unwrap().keep();
        self.own(&dir);
        dir
    }

    fn write_certificate(&self, data: &Path, validity: Validity) {
        tls::write_certificate(data, validity);
        for file in ["server.crt", "server.key"] {
            self.own(&data.join(file));
        }
    }

    fn own(&self, path: &Path) {
        if let Some((uid, gid)) = self.0 {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).env("LC_ALL", "C");
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command
    }
}
