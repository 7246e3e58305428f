//! What is counted or timed once, without an opponent.

mod allocations;
mod builds;
mod instructions;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::program::{Program, Setting};
use crate::ui;

/// A number of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) unit: String,
    /// By which part of itself it varies from run to run; 0 for a count.
    pub(super) noise: f64,
}

impl Figure {
    fn new(name: impl Into<String>, value: f64, unit: &str, noise: f64) -> Self {
        Figure {
            name: name.into(),
            value,
            unit: unit.to_owned(),
            noise,
        }
    }
}

/// A source of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Allocations for each I/O, and bytes for each operation in flight.
    Allocations,
    /// Instructions for each I/O, in each program.
    Instructions,
    /// A clean release build of the example.
    CleanBuild,
    /// Making all wrappers from the manifest.
    Codegen,
}

impl Source {
    pub(super) const ALL: [Source; 4] = [
        Source::Allocations,
        Source::Instructions,
        Source::CleanBuild,
        Source::Codegen,
    ];

    /// What the command line calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Source::Allocations => "allocations",
            Source::Instructions => "instructions",
            Source::CleanBuild => "clean-build",
            Source::Codegen => "codegen",
        }
    }

    /// Whether it runs one of SPDK's programs.
    pub(super) fn has(self, program: Program) -> bool {
        self == Source::Instructions && program == Program::Bdevperf
    }

    /// Counts, or takes the time. What cannot be measured on this machine gives no figures; `step` says why.
    pub(super) fn figures(self, setting: &Setting<'_>, step: &ui::Step) -> Result<Vec<Figure>> {
        match self {
            Source::Allocations => allocations::count(setting),
            Source::Instructions => instructions::count(setting, step),
            Source::CleanBuild => builds::clean(setting),
            Source::Codegen => builds::codegen(),
        }
    }
}
