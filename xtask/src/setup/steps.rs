//! The steps of a set-up, in order, each with its log; what an interruption left is continued.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::plan::Plan;
use super::work::Work;
use super::{build, distro, help, install, lock, obtain, packages};
use crate::run::Log;
use crate::ui::Step;

/// One set-up at work.
pub(super) struct Setup<'a> {
    pub(super) cache: &'a Path,
    pub(super) logs: PathBuf,
    pub(super) plan: &'a Plan,
    pub(super) lock: &'a lock::Lock,
    pub(super) jobs: usize,
}

impl Setup<'_> {
    /// Runs the steps that are left to do.
    pub(super) fn run(&self, keep_build: bool) -> Result<()> {
        self.packages()?;
        self.lock.share_with_children()?;
        let mut work = Work::open(self.cache, &self.plan.key)?;
        let resumed = work.is_resumed();
        match self.build(&work) {
            // A machine that went down in the middle may have left a file cut short.
            Err(error) if resumed && work.is_done("tree") => {
                eprintln!(
                    "{error:#}\nThat was a build which an interruption had cut short; starting it over."
                );
                work.restart()?;
                self.build(&work)?;
            }
            result => result?,
        }
        if keep_build {
            eprintln!("The tree that was built is {}.", work.tree().display());
            return work.forget();
        }
        work.wipe()
    }

    fn packages(&self) -> Result<()> {
        if !distro::has_apt() {
            eprintln!("{}", help::PACKAGES_UNKNOWN);
            return Ok(());
        }
        self.step("packages", |log, step| {
            let missing = packages::missing()?;
            if missing.is_empty() {
                return Ok("all there".to_owned());
            }
            packages::install(&missing, log, step)?;
            Ok(format!("installed {}", missing.join(" ")))
        })
    }

    fn build(&self, work: &Work) -> Result<()> {
        let prefix = &self.plan.prefix;
        match &self.plan.checkout {
            Some(checkout) => {
                self.once(work, "tree", "copy", |log, step| {
                    checkout.copy(work, log, step)
                })?;
            }
            None => {
                self.once(work, "download", "download", |log, step| {
                    obtain::download(self.cache, work, log, step)
                })?;
                self.once(work, "tree", "unpack", |log, step| {
                    obtain::unpack(self.cache, work, log, step)
                })?;
            }
        }
        self.once(work, "configure", "configure", |log, step| {
            build::configure(work, prefix, log, step).map(|()| String::new())
        })?;
        self.once(work, "build", "build", |log, step| {
            build::make(work, self.jobs, log, step).map(|()| format!("with -j{}", self.jobs))
        })?;
        self.step("install", |log, step| {
            install::install(work, prefix, &self.plan.key, log, step)?;
            Ok(prefix.display().to_string())
        })
    }

    /// Runs a step unless an earlier run with the same key has done it.
    fn once(
        &self,
        work: &Work,
        mark: &str,
        title: &str,
        action: impl FnOnce(&mut Log, &Step) -> Result<String>,
    ) -> Result<()> {
        if work.is_done(mark) {
            return self
                .begin(title)
                .map(|step| step.done("done by an earlier run"));
        }
        self.step(title, action)?;
        work.mark_done(mark)
    }

    fn step(
        &self,
        title: &str,
        action: impl FnOnce(&mut Log, &Step) -> Result<String>,
    ) -> Result<()> {
        let step = self.begin(title)?;
        let mut log = Log::create(&self.logs, title)?;
        let summary =
            action(&mut log, &step).with_context(|| format!("the step `{title}` failed"))?;
        step.done(&summary);
        Ok(())
    }

    fn begin(&self, title: &str) -> Result<Step> {
        let titles = self.plan.steps();
        let index = titles.iter().position(|known| *known == title);
        let index = index.with_context(|| format!("`{title}` is no step of this set-up"))?;
        Ok(Step::begin(index + 1, titles.len(), title))
    }
}
