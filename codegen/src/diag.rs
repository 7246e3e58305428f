//! Diagnostics: what is wrong, where, which rule it breaks, and the way out.

use std::fmt::{self, Write as _};
use std::ops::Range;

use crate::rules::Rule;
use crate::source::Source;

/// One mistake.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// The rule that is broken.
    pub rule: &'static Rule,
    /// What is wrong here, with the names of this case.
    pub message: String,
    /// The bytes of the source it is about, if it is about some.
    pub span: Option<Range<usize>>,
    /// The way out in this case, if it is more specific than the rule's.
    pub help: Option<String>,
}

/// The mistakes of one stage.
#[derive(Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds a mistake.
    pub fn push(&mut self, rule: &'static Rule, span: Option<Range<usize>>, message: String) {
        self.list.push(Diagnostic {
            rule,
            message,
            span,
            help: None,
        });
    }

    /// Adds a mistake with a way out of its own.
    pub fn push_with_help(
        &mut self,
        rule: &'static Rule,
        span: Option<Range<usize>>,
        message: String,
        help: String,
    ) {
        self.list.push(Diagnostic {
            rule,
            message,
            span,
            help: Some(help),
        });
    }

    /// The report of what was found.
    pub(crate) fn into_report(self, source: &Source) -> Report {
        Report::new(source, self.list)
    }

    /// Stops here if there was a mistake.
    pub fn propagate(&mut self, source: &Source) -> Result<(), Report> {
        if self.list.is_empty() {
            return Ok(());
        }
        let mut list = std::mem::take(&mut self.list);
        list.sort_by_key(|d| d.span.as_ref().map_or(0, |span| span.start));
        Err(Report::new(source, list))
    }
}

/// The mistakes of a manifest, ready to be read.
#[derive(Debug)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    text: String,
}

impl std::error::Error for Report {}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Report {
    fn new(source: &Source, diagnostics: Vec<Diagnostic>) -> Self {
        let mut text = String::new();
        for (index, diagnostic) in diagnostics.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            render(&mut text, source, diagnostic);
        }
        if diagnostics.len() > 1 {
            let _ = write!(
                text,
                "\n{} mistakes in {}\n",
                diagnostics.len(),
                source.name()
            );
        }
        Report { diagnostics, text }
    }

    /// A report of one mistake.
    pub fn single(
        source: &Source,
        rule: &'static Rule,
        span: Option<Range<usize>>,
        message: String,
    ) -> Self {
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(rule, span, message);
        Report::new(source, diagnostics.list)
    }

    /// The mistakes, in the order of the source.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

/// Writes one mistake in the way of rustc.
fn render(out: &mut String, source: &Source, diagnostic: &Diagnostic) {
    let Diagnostic {
        rule,
        message,
        span,
        help,
    } = diagnostic;
    // Writing to a `String` cannot fail.
    let _ = writeln!(out, "error[{}]: {message}", rule.id);
    let mut gutter = String::new();
    match span {
        Some(span) => {
            let place = source.place(span);
            let number = place.line.to_string();
            gutter = " ".repeat(number.len());
            let _ = writeln!(
                out,
                "{gutter}--> {}:{}:{}",
                source.name(),
                place.line,
                place.column
            );
            let _ = writeln!(out, "{gutter} |");
            let _ = writeln!(out, "{number} | {}", place.text);
            let indent = " ".repeat(place.column - 1);
            let carets = "^".repeat(place.width.max(1));
            let _ = writeln!(out, "{gutter} | {indent}{carets}");
        }
        None => {
            let _ = writeln!(out, " --> {}", source.name());
        }
    }
    let _ = writeln!(out, "{gutter} = rule: {}", rule.says);
    let help = help.as_deref().unwrap_or(rule.way_out);
    let _ = writeln!(out, "{gutter} = help: {help}");
}
