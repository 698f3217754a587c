//! The block `hold` of a values file, which the pipeline reads and the chart must take.

use crate::helm::{chart, helm};
use devkit::values::Values;

#[test]
fn the_chart_takes_a_hold_if_and_only_if_the_pipeline_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("values.yaml");
    let chart = chart("waybill");
    for (hold, held) in [
        ("hold:", Some(false)),
        ("hold: null", Some(false)),
        ("hold: ~", Some(false)),
        ("hold: {}", Some(false)),
        ("hold: false", Some(false)),
        ("hold: False", Some(false)),
        ("hold: \"false\"", Some(false)),
        // Words that YAML 1.1, and so Helm, reads as false. With quotes they are texts.
        ("hold: off", Some(false)),
        ("hold: Off", Some(false)),
        ("hold: no", Some(false)),
        ("hold: NO", Some(false)),
        ("hold: n # no longer", Some(false)),
        ("hold: &no no", Some(false)),
        ("hold: 'off'", None),
        ("hold: \"no\"", None),
        ("hold: on", None),
        ("hold: y", None),
        ("hold: oFF", None),
        ("hold: 0", None),
        // Merge keys.
        ("<<: {hold: {reason: r}}", Some(true)),
        ("<<: [{hold: {reason: r}}, {hold: off}]", Some(true)),
        ("<<: {hold: off}", Some(false)),
        ("hold: {<<: {reason: r}}", Some(true)),
        ("hold: {<<: {}}", Some(false)),
        ("<<: {hold: true}", None),
        (
            "hold: {reason: r, by: b, since: \"2026-01-02\"}",
            Some(true),
        ),
        ("hold: {reason: r, by: b, since: 2026-01-02}", Some(true)),
        ("hold: {reason: r}", Some(true)),
        ("hold: {by: b}", Some(true)),
        ("hold:\n  reason:\n  by: ''", Some(true)),
        ("hold: {reason: 12, since: today}", Some(true)),
        ("hold: {reason: r, ticket: OPS-1}", Some(true)),
        ("hold: true", None),
        ("hold: \"true\"", None),
        ("hold: \"\"", None),
        ("hold: held", None),
        ("hold: 1", None),
        ("hold: []", None),
        ("hold: [reason]", None),
    ] {
        std::fs::write(&file, format!("{hold}\n")).expect("a file");
        let path = file.to_str().expect("a path");
        let rendered = helm(&["template", "waybill", &chart, "--values", path]);
        let values = Values::parse(format!("{hold}\n")).expect("YAML");
        let read = values.hold().ok().map(|hold| hold.is_some());
        assert_eq!(read, held, "{hold}");
        assert_eq!(rendered.is_ok(), held.is_some(), "{hold}: {rendered:?}");
        if let Err(refusal) = rendered {
            assert!(refusal.contains("at '/hold'"), "{hold}: {refusal}");
        }
    }
}
