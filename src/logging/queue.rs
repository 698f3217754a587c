use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The number of bytes that wait for a slow reader before further lines are dropped.
const CAPACITY: usize = 1024 * 1024;

/// The pause before the next attempt to write to a full pipe that does not block.
const RETRY: Duration = Duration::from_millis(50);

/// Log lines on their way to the output. A thread of its own writes them, so a reader that stalls or goes away never
/// stops the thread that logs. Lines that do not fit are dropped and counted.
///
/// The crate tracing-appender does the same, but prints to standard output itself when it cannot stop, and so hangs.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    dropped: AtomicU64,
}

struct State {
    bytes: Vec<u8>,
    lines: u64,
    writing: bool,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                bytes: Vec::new(),
                lines: 0,
                writing: false,
            }),
            changed: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }

    /// The number of lines that were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.bytes.len() + line.len() > CAPACITY {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            state.bytes.extend_from_slice(line);
            state.lines += 1;
            self.changed.notify_all();
        }
    }

    /// Writes lines to `output` for ever. It calls `report` with the number of lines that were dropped since the last
    /// call, once the output accepts lines again.
    pub(super) fn write_to(&self, mut output: impl Write, report: impl Fn(u64)) {
        let mut reported = 0;
        loop {
            let (bytes, lines) = self.take();
            let written = write_all(&mut output, &bytes);
            self.lock().writing = false;
            self.changed.notify_all();
            if written.is_err() {
                self.dropped.fetch_add(lines, Ordering::Relaxed);
            } else if self.dropped() > reported {
                let dropped = self.dropped();
                report(dropped - reported);
                reported = dropped;
            }
        }
    }

    /// Waits for lines and takes all of them.
    fn take(&self) -> (Vec<u8>, u64) {
        let empty = |state: &mut State| state.bytes.is_empty();
        let mut state = self
            .changed
            .wait_while(self.lock(), empty)
            .unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        (mem::take(&mut state.bytes), mem::take(&mut state.lines))
    }

    /// Waits until all lines are written, but at most for `timeout`.
    pub(super) fn flush(&self, timeout: Duration) {
        let unwritten = |state: &mut State| state.writing || !state.bytes.is_empty();
        let _ = self
            .changed
            .wait_timeout_while(self.lock(), timeout, unwritten);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each write is one line, and always succeeds.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Like [Write::write_all], but waits if the output is a full pipe that another program has made non-blocking.
fn write_all(output: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// An output that announces each write, answers it with the next result, and waits until there is one.
    struct Output {
        begun: Sender<()>,
        results: Receiver<io::Result<usize>>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(());
            let Ok(result) = self.results.recv() else {
                loop {
                    thread::park();
                }
            };
            let count = result?.min(bytes.len());
            let _ = self.written.send(bytes[..count].to_vec());
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Fixture {
        queue: &'static Queue,
        begun: Receiver<()>,
        results: Sender<io::Result<usize>>,
        written: Receiver<Vec<u8>>,
        reports: Receiver<u64>,
    }

    fn start() -> Fixture {
        let queue: &'static Queue = Box::leak(Box::new(Queue::new()));
        let (begin, begun) = channel();
        let (results, next_result) = channel();
        let (copy, written) = channel();
        let (report, reports) = channel();
        thread::spawn(move || {
            let output = Output {
                begun: begin,
                results: next_result,
                written: copy,
            };
            queue.write_to(output, move |lines| report.send(lines).unwrap());
        });
        Fixture {
            queue,
            begun,
            results,
            written,
            reports,
        }
    }

    #[test]
    fn drops_and_counts_lines_while_the_reader_stalls() {
        let fixture = start();
        let line = vec![b'x'; CAPACITY / 4];
        fixture.queue.push(b"first\n");
        fixture.begun.recv().unwrap();
        fixture.queue.flush(Duration::from_millis(1)); // gives up, because nothing reads
        for _ in 0..9 {
            fixture.queue.push(&line);
        }
        assert!(fixture.queue.dropped() >= 5);
        for _ in 0..3 {
            fixture.results.send(Ok(usize::MAX)).unwrap();
        }
        assert_eq!(fixture.reports.recv().unwrap(), fixture.queue.dropped());
        assert!(fixture.written.recv().unwrap().starts_with(b"first\n"));
    }

    #[test]
    fn survives_an_output_that_fails() {
        let fixture = start();
        let _ = fixture.results.send(Err(io::ErrorKind::BrokenPipe.into()));
        fixture.queue.push(b"lost\n");
        fixture.queue.flush(Duration::from_secs(30));
        let _ = fixture.results.send(Ok(usize::MAX));
        fixture.queue.push(b"kept\n");
        assert_eq!(fixture.written.recv().unwrap(), b"kept\n");
        assert_eq!(fixture.reports.recv().unwrap(), 1);
    }

    #[test]
    fn writes_the_rest_after_a_partial_write() {
        let fixture = start();
        fixture.queue.push(b"line\n");
        for result in [
            Ok(2),
            Err(io::ErrorKind::WouldBlock.into()),
            Err(io::ErrorKind::Interrupted.into()),
            Ok(usize::MAX),
        ] {
            fixture.results.send(result).unwrap();
        }
        fixture.queue.flush(Duration::from_secs(30));
        let written: Vec<u8> = fixture.written.try_iter().flatten().collect();
        assert_eq!(written, b"line\n");
        assert_eq!(fixture.queue.dropped(), 0);
    }
}
