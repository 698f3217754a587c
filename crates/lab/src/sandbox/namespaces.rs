//! The lab's own mount, network, process, IPC and host-name namespaces: how they are created, entered and removed. Only the
//! port-forward process runs outside them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use devkit::process::{self, Run, command};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::layout::Layout;

/// The environment variable of the processes that keep a lab alive: its first process and its port-forward process.
/// It is still there after `up` was killed, so `down` needs no file to find them.
pub const MARK: &str = "LAB_HOLDS";

/// Checks that this machine can run the lab. A check whose program is not installed is left out.
///
/// # Errors
/// When the user is not root, or the kernel lacks a feature; the error names it.
pub fn check_machine() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "the lab creates namespaces, mounts and containers, which requires root; \
             run it as root, for example in a virtual machine"
        );
    }
    let filesystems =
        fs::read_to_string("/proc/filesystems").context("cannot read /proc/filesystems")?;
    if !filesystems
        .lines()
        .any(|line| line.trim_end().ends_with("overlay"))
    {
        bail!("this kernel has no overlay file system (CONFIG_OVERLAY_FS), which containers need");
    }
    if !Path::new("/sys/fs/cgroup").is_dir() {
        bail!("control groups are not mounted under /sys/fs/cgroup, and Kubernetes needs them");
    }
    // Each check runs in its own namespaces and leaves nothing behind.
    for (need, program, probe) in [
        ("private namespaces", "unshare", "true"),
        (
            "bridges (CONFIG_BRIDGE)",
            "ip",
            "ip link add probe type bridge",
        ),
        (
            "virtual Ethernet pairs (CONFIG_VETH)",
            "ip",
            "ip link add probe type veth",
        ),
        (
            "nftables with NAT (CONFIG_NF_TABLES, CONFIG_NFT_NAT)",
            "nft",
            "nft 'add table ip probe; add chain ip probe nat { type nat hook prerouting priority 0; }'",
        ),
    ] {
        if process::find(program).is_none() {
            continue;
        }
        command(
            "unshare",
            [
                "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "sh", "-c", probe,
            ],
        )
        .run_quietly()
        .with_context(|| format!("this machine does not support {need}"))?;
    }
    Ok(())
}

/// The process id of a running lab's first process, as the host sees it.
pub fn find(layout: &Layout) -> Option<i32> {
    held_by(layout)
        .into_iter()
        .find(|pid| is_first_process(*pid))
}

/// The host's ids of all processes that keep this lab alive.
pub fn held_by(layout: &Layout) -> Vec<i32> {
    let mark = [MARK.as_bytes(), b"=", layout.state.as_os_str().as_bytes()].concat();
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|pair| pair == mark))
        })
        .collect()
}

fn is_first_process(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| {
        status
            .lines()
            .find_map(|line| line.strip_prefix("NSpid:"))
            .is_some_and(|numbers| {
                let numbers: Vec<&str> = numbers.split_whitespace().collect();
                numbers.len() > 1 && numbers.last() == Some(&"1")
            })
    })
}

/// Creates the namespaces, with a first process that only reaps others. Returns its process id.
///
/// # Errors
/// When the kernel refuses.
pub fn start(layout: &Layout) -> Result<i32> {
    fs::create_dir_all(layout.state("log"))?;
    let log = fs::File::create(layout.state("log/init.log"))?;
    // Its own session: closing the terminal does not end the lab.
    let mut child = command(
        "setsid",
        [
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--ipc",
            "--uts",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
            "tini",
            "--",
            "sleep",
            "infinity",
        ],
    )
    .env(MARK, &layout.state)
    .stdout(log.try_clone()?)
    .stderr(log)
    .spawn()
    .context("cannot start unshare")?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(pid) = find(layout) {
            return Ok(pid);
        }
        if let Some(status) = child.try_wait()? {
            let said = fs::read_to_string(layout.state("log/init.log")).unwrap_or_default();
            bail!(
                "the lab's namespaces could not be created ({status}): {}",
                said.trim()
            );
        }
        if Instant::now() > deadline {
            bail!("the lab's first process did not appear within 10 s");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A command that runs inside, with these environment variables and none of the caller's.
pub fn enter<S: AsRef<OsStr>>(
    init: i32,
    variables: &[(String, String)],
    argv: impl IntoIterator<Item = S>,
) -> Command {
    let mut inside = Command::new("nsenter");
    inside
        .arg(format!("--target={init}"))
        .args([
            "--mount",
            "--net",
            "--pid",
            "--ipc",
            "--uts",
            "--wdns=/run/lab",
            "--",
        ])
        .args(argv)
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)));
    inside
}

/// The file that marks the data of a lab that was stopped completely, so that a later lab can continue with it.
const STOPPED: &str = "stopped";

/// Whether the state folder has the data of a lab that was stopped by [`stop`].
pub fn is_stopped(layout: &Layout) -> bool {
    layout.state(STOPPED).exists()
}

/// Stops the lab and keeps its data for the next `up`.
///
/// # Errors
/// When a process does not end or a control group cannot be removed.
pub fn stop(layout: &Layout) -> Result<()> {
    end(layout)?;
    fs::write(layout.state(STOPPED), "")
        .with_context(|| format!("cannot write to {}", layout.state.display()))
}

/// Prepares the data of a stopped lab for a new start: removes what belonged to the processes that have ended.
///
/// # Errors
/// When a file cannot be removed.
pub fn resume(layout: &Layout) -> Result<()> {
    for file in ["prepared", "port-forwards.json", STOPPED] {
        let path = layout.state(file);
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    remove_folder(&layout.state("tmp"))
}

/// Stops the lab and deletes its data.
///
/// # Errors
/// When a process does not end or a folder cannot be removed.
pub fn remove(layout: &Layout) -> Result<()> {
    end(layout)?;
    remove_folder(&layout.state)
}

fn remove_folder(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// Ends all processes of the lab and removes its control groups.
fn end(layout: &Layout) -> Result<()> {
    for pid in held_by(layout) {
        // The process may have ended in the meantime.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while !held_by(layout).is_empty() {
        if Instant::now() > deadline {
            bail!(
                "processes {:?} of the lab do not end; inspect them with ps",
                held_by(layout)
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    while let Err(error) = remove_control_groups(layout) {
        if Instant::now() > deadline {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The control-group folders of this lab: one in each hierarchy of cgroup v1, or a single one in cgroup v2.
pub fn control_groups(layout: &Layout) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let mut candidates = vec![root.join(layout.id())];
    if let Ok(hierarchies) = fs::read_dir(root) {
        candidates.extend(
            hierarchies
                .flatten()
                .map(|entry| entry.path().join(layout.id())),
        );
    }
    candidates.retain(|path| path.is_dir());
    candidates
}

fn remove_control_groups(layout: &Layout) -> Result<()> {
    fn remove(folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)?.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path())?;
            }
        }
        fs::remove_dir(folder).with_context(|| format!("cannot remove {}", folder.display()))
    }
    control_groups(layout)
        .iter()
        .try_for_each(|folder| remove(folder))
}

/// Connects a command to the terminal.
pub fn interactive(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
}
