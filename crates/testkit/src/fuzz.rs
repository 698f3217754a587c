//! Runs a property on given and on generated inputs.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseResult, TestRunner};
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Runs a target on each of the given inputs, and then on generated ones for a moment, or for `FUZZ_SECONDS` seconds.
///
/// # Panics
/// With the input, when the target fails. A generated input adds its seed to the file `regressions`, which every later
/// run repeats first.
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
pub fn fuzz<S>(
    regressions: &'static str,
    given: impl IntoIterator<Item = S::Value>,
    strategy: S,
    test: impl Fn(S::Value) -> TestCaseResult,
) where
    S: Strategy,
    S::Value: Clone + Debug,
{
    for input in given {
        if let Err(error) = test(input.clone()) {
            panic!("{input:?}: {error}");
        }
    }
    let seconds = std::env::var("FUZZ_SECONDS").map_or(0, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        let regressions = FileFailurePersistence::Direct(regressions);
        let mut runner = TestRunner::new(Config {
            failure_persistence: Some(Box::new(regressions)),
            ..Config::default()
        });
        runner.run(&strategy, &test).unwrap();
        if Instant::now() >= end {
            return;
        }
    }
}
