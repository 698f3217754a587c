use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection, ConnectionError, ConnectionResult, QueryResult, SqliteConnection};

use super::DatabaseUrl;

/// The device and the inode of a file. Another file does not get them while this one is open.
pub(super) type FileId = (u64, u64);

/// The file at the path of an SQLite database, if there is one. Other databases have none.
pub(super) fn file_id(url: &DatabaseUrl) -> Option<FileId> {
    match url {
        DatabaseUrl::Sqlite(path) => {
            let file = std::fs::metadata(path).ok()?;
            Some((file.dev(), file.ino()))
        }
        #[cfg(feature = "postgres")]
        DatabaseUrl::Postgres(_) => None,
    }
}

/// Opens the file, and waits at most `timeout` for a lock.
pub(super) fn establish(path: &Path, timeout: Duration) -> ConnectionResult<SqliteConnection> {
    let mut connection = SqliteConnection::establish(&path.to_string_lossy())?;
    connection
        .batch_execute(&format!("PRAGMA busy_timeout = {}", timeout.as_millis()))
        .and_then(|()| use_write_ahead_log(&mut connection, timeout))
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// Switches the file to the write-ahead log. If several connections do this at the same time on a new file, SQLite
/// rejects some of them without waiting to avoid a deadlock (<https://sqlite.org/c3ref/busy_handler.html>), so they
/// retry.
fn use_write_ahead_log(connection: &mut SqliteConnection, timeout: Duration) -> QueryResult<()> {
    let started = Instant::now();
    loop {
        match connection.batch_execute("PRAGMA journal_mode = WAL") {
            Err(error) if is_locked(&error) && started.elapsed() < timeout => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// Whether SQLite reported SQLITE_BUSY. diesel has no error kind for it and provides only the message.
fn is_locked(error: &diesel::result::Error) -> bool {
    use diesel::result::Error::DatabaseError;
    matches!(error, DatabaseError(_, info) if info.message() == "database is locked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_can_open_a_new_file_at_once() {
        for _ in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("waybill.db");
            std::thread::scope(|scope| {
                let openers: Vec<_> = (0..8)
                    .map(|_| scope.spawn(|| establish(&path, Duration::from_secs(60)).map(drop)))
                    .collect();
                for opener in openers {
                    assert_eq!(opener.join().unwrap(), Ok(()));
                }
            });
        }
    }
}
