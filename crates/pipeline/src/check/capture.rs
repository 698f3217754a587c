use rustix::stdio::{dup2_stderr, dup2_stdout};
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long to wait for the rest of the output. A program that a check left running may hold the pipe open.
const PATIENCE: Duration = Duration::from_secs(5);

/// What this process and the programs that it starts print, on both streams, from the start of the capture to its end.
/// All of it still appears where standard output goes.
pub(super) struct Capture {
    streams: Option<(OwnedFd, OwnedFd)>,
    copy: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Capture {
    /// Puts a pipe in the place of both streams.
    pub(super) fn start() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        io::stdout().flush()?;
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let output = File::from(stdout.try_clone()?);
        let copy = Arc::default();
        let (end, ended) = channel();
        let capture = Self {
            streams: Some((stdout, stderr)),
            copy: Arc::clone(&copy),
            ended,
        };
        thread::spawn(move || {
            let _ = copy_all(reader, output, &copy);
            let _ = end.send(());
        });
        dup2_stdout(&writer)?;
        dup2_stderr(&writer)?;
        Ok(capture)
    }

    /// Puts the streams back, and returns what was printed.
    pub(super) fn finish(mut self) -> String {
        self.restore();
        let _ = self.ended.recv_timeout(PATIENCE);
        let bytes = mem::take(&mut *self.copy.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn restore(&mut self) {
        if let Some((stdout, stderr)) = self.streams.take() {
            let _ = io::stdout().flush();
            let _ = dup2_stdout(stdout);
            let _ = dup2_stderr(stderr);
        }
    }
}

/// A panic of a check must reach the real streams.
impl Drop for Capture {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Reads to the end even if nothing reads the copy, as after `| head`: the programs that print would fail.
fn copy_all(mut from: PipeReader, mut to: File, copy: &Mutex<Vec<u8>>) -> io::Result<()> {
    let mut bytes = [0; 8192];
    loop {
        let count = from.read(&mut bytes)?;
        let read = bytes.get(..count).unwrap_or_default();
        if read.is_empty() {
            return Ok(());
        }
        let _ = to.write_all(read);
        copy.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(read);
    }
}
