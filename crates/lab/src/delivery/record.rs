//! The record of the last delivery, kept in the state folder.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::sandbox::layout::Layout;
use crate::timeline::Timeline;

const FILE: &str = "delivery.json";

/// A commit that was delivered to the first environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The commit of the checkout.
    pub commit: String,
    /// The commit that the image was built from: the same, or the commit that merged it.
    pub built_commit: String,
    /// The service's URL on the host's loopback.
    pub url: String,
    /// The steps of the delivery.
    pub timeline: Timeline,
}

impl Record {
    /// The last delivery; `None` if nothing was delivered yet.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn last(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.state(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let record = serde_json::from_slice(&text)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Some(record))
    }

    /// Saves it as the last delivery.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn save(&self, layout: &Layout) -> Result<()> {
        let path = layout.state(FILE);
        fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Recorder;

    #[test]
    fn the_last_delivery_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout {
            state: folder.path().into(),
            cache: folder.path().into(),
        };
        assert!(Record::last(&layout).unwrap().is_none());
        let mut recorder = Recorder::start();
        recorder.record("pushed");
        let record = Record {
            commit: "1f0c".into(),
            built_commit: "2a1b".into(),
            url: String::new(),
            timeline: recorder.finish(),
        };
        record.save(&layout).unwrap();
        let last = Record::last(&layout).unwrap().unwrap();
        assert_eq!(
            (last.commit, last.built_commit),
            (record.commit, record.built_commit)
        );
        assert!(last.timeline.table().contains("pushed"));
    }
}
