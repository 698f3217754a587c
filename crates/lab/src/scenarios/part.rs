//! The parts of the lab that scenarios read and change.

/// A part of the lab that a scenario may change. Others that read or change it run before or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The first environment and its branch.
    Dev,
    /// The environments between the first and the last, and their branches.
    Staging,
    /// The last environment and its branch, from which the Applications come too.
    Prod,
    /// The registry's tags of the image.
    Images,
    /// The forge's runner: what fills it, or has a limit of time that includes its jobs.
    Runner,
}

/// All parts.
pub const EVERYTHING: &[Part] = &[
    Part::Dev,
    Part::Staging,
    Part::Prod,
    Part::Images,
    Part::Runner,
];

/// What a version changes on its way to the last environment.
pub const DELIVERED: &[Part] = &[Part::Dev, Part::Staging, Part::Prod, Part::Images];
