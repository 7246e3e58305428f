//! What a case has done so far, in memory and in a file, which is there after a crash too.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// The journal of a test.
pub struct Journal {
    path: PathBuf,
    file: Option<File>,
    lines: String,
}

impl Journal {
    /// For the test of this name.
    pub fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{test}-{}.case", std::process::id()));
        eprintln!("what is running is written to {}", path.display());
        Journal {
            path,
            file: None,
            lines: String::new(),
        }
    }

    /// The next case.
    ///
    /// # Panics
    ///
    /// When the file cannot be made.
    pub fn begin(&mut self, heading: &str) {
        self.file = match File::create(&self.path) {
            Ok(file) => Some(file),
            Err(error) => panic!("{}: {error}", self.path.display()),
        };
        self.lines.clear();
        self.line(heading);
    }

    /// What it does next.
    pub fn line(&mut self, line: &str) {
        self.lines.push_str(line);
        self.lines.push('\n');
        let written = self.file.as_mut().map(|file| writeln!(file, "{line}"));
        if let Some(Err(error)) = written {
            eprintln!("{}: {error}", self.path.display());
        }
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.lines
    }

    /// No case is running any more.
    pub fn end(&mut self) {
        self.file = None;
        // It tells nothing that is of use.
        drop(std::fs::remove_file(&self.path));
    }
}
