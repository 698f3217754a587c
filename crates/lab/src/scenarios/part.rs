//! The parts of the lab that scenarios read and change.

/// A part of the lab that a scenario may change. Others that read or change it run before or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The first environment, its branch and the images that are built from it.
    Dev,
    /// The environments between the first and the last, and their branches.
    Staging,
    /// The last environment and its branch, from which the Applications come too.
    Prod,
    /// The forge's runner: what fills it, or has a limit of time that includes its jobs.
    Runner,
}

/// All parts.
pub const EVERYTHING: &[Part] = &[Part::Dev, Part::Staging, Part::Prod, Part::Runner];

/// What gets images: the registry's tags stay as they are unless one of these changes.
pub const DELIVERED: &[Part] = &[Part::Dev, Part::Staging, Part::Prod];
