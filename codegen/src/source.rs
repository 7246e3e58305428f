//! The text of a manifest, and where its entries are.

use std::ops::Range;
use std::path::Path;

use crate::diag::Report;
use crate::rules;

/// A manifest's text and the name that messages call it by.
#[derive(Debug)]
pub struct Source {
    name: String,
    text: String,
    marks: Vec<Mark>,
}

/// A name between quotes, and whether it is the value of a `c` field.
#[derive(Debug)]
struct Mark {
    span: Range<usize>,
    is_c: bool,
    /// The name of the innermost `(` that it is in, such as `Function`.
    group: String,
}

/// A place in the text, for people: lines and columns count from 1.
#[derive(Debug)]
pub struct Place<'a> {
    /// The line.
    pub line: usize,
    /// The column of its first character.
    pub column: usize,
    /// How many characters of the line it covers.
    pub width: usize,
    /// The whole line.
    pub text: &'a str,
}

/// The entries of a section; their `c` begins a new entry.
const ENTRIES: [&str; 9] = [
    "Handle", "Extern", "Callback", "Enum", "Flags", "Options", "Record", "Function", "Manual",
];

impl Source {
    /// A text, and the name that messages call it by.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        Source {
            name: name.into(),
            marks: scan(&text),
            text,
        }
    }

    /// Reads a file, which messages call by its path.
    pub fn read(path: &Path) -> Result<Self, Report> {
        let name = path.display().to_string();
        let problem = match std::fs::read(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => return Ok(Source::new(name, text)),
                Err(error) => {
                    let valid = error.utf8_error().valid_up_to();
                    format!("it is not UTF-8: byte {valid} begins no character")
                }
            },
            Err(error) => format!("it cannot be read: {error}"),
        };
        let empty = Source::new(name, "");
        Err(Report::single(&empty, &rules::FILE, None, problem))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the entry of this C name begins; the last one, if there are several.
    pub fn entry(&self, c: &str) -> Option<Range<usize>> {
        self.entry_index(c)
            .map(|index| self.marks[index].span.clone())
    }

    /// Where `word` stands between quotes in the entry of `c`, else where the entry begins.
    pub fn within(&self, c: &str, word: &str) -> Option<Range<usize>> {
        let start = self.entry_index(c)?;
        let found = self.marks[start + 1..]
            .iter()
            .take_while(|mark| !mark.begins_entry())
            .find(|mark| &self.text[mark.span.clone()] == word);
        Some(found.unwrap_or(&self.marks[start]).span.clone())
    }

    /// Where `word` stands between quotes for the first time.
    pub fn word(&self, word: &str) -> Option<Range<usize>> {
        let found = self
            .marks
            .iter()
            .find(|m| &self.text[m.span.clone()] == word);
        found.map(|mark| mark.span.clone())
    }

    /// Where `word` stands between quotes for the last time.
    pub fn last_word(&self, word: &str) -> Option<Range<usize>> {
        let mut found = self.marks.iter().rev();
        let found = found.find(|mark| &self.text[mark.span.clone()] == word);
        found.map(|mark| mark.span.clone())
    }

    fn entry_index(&self, c: &str) -> Option<usize> {
        self.marks
            .iter()
            .rposition(|mark| mark.begins_entry() && &self.text[mark.span.clone()] == c)
    }

    /// The byte at a line and a column that count from 1; the end of the text, if it is shorter.
    pub fn offset(&self, line: usize, column: usize) -> usize {
        let start: usize = self
            .text
            .split_inclusive('\n')
            .take(line.saturating_sub(1))
            .map(str::len)
            .sum();
        let rest = &self.text[start..];
        let inside = rest.char_indices().nth(column.saturating_sub(1));
        start + inside.map_or(rest.len(), |(index, _)| index)
    }

    /// The place of a range of bytes; of its first line, if it has several.
    pub fn place(&self, span: &Range<usize>) -> Place<'_> {
        let start = self.floor(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |index| index + 1);
        let line_end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |index| start + index);
        let end = self.floor(span.end).clamp(start, line_end);
        Place {
            line: self.text[..start].matches('\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            width: self.text[start..end].chars().count(),
            text: &self.text[line_start..line_end],
        }
    }

    fn floor(&self, index: usize) -> usize {
        let mut index = index.min(self.text.len());
        while !self.text.is_char_boundary(index) {
            index -= 1;
        }
        index
    }
}

impl Mark {
    fn begins_entry(&self) -> bool {
        self.is_c && ENTRIES.contains(&self.group.as_str())
    }
}

/// Finds the strings of a RON text, and what stands before them.
fn scan(text: &str) -> Vec<Mark> {
    let bytes = text.as_bytes();
    let mut marks = Vec::new();
    let mut groups: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut key = String::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |end| end + 2);
            continue;
        }
        let c = bytes[at];
        match c {
            b'"' => {
                let start = at + 1;
                at = start;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                let end = at.min(bytes.len());
                if text.is_char_boundary(end) {
                    marks.push(Mark {
                        span: start..end,
                        is_c: key == "c",
                        group: groups.last().cloned().unwrap_or_default(),
                    });
                }
                key.clear();
            }
            b'(' => groups.push(std::mem::take(&mut word)),
            b')' => {
                groups.pop();
            }
            b':' => key = std::mem::take(&mut word),
            b',' => key.clear(),
            _ => {}
        }
        if c == b'_' || c.is_ascii_alphanumeric() {
            word.push(c as char);
        } else if !c.is_ascii_whitespace() {
            word.clear();
        }
        at += 1;
        // The next byte may be inside a character; none of the bytes above is.
        while at < bytes.len() && !text.is_char_boundary(at) {
            at += 1;
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"// c: "no"
Function(c: "f", params: { "buf": Fill(len: "n") }),
Enum(c: "e", variants: [Variant(c: "buf")]), é Function(c: "f")"#;

    #[test]
    fn entries_and_words_are_found() {
        let source = Source::new("t", TEXT);
        let text = |span: Option<Range<usize>>| span.map(|s| (s.start, TEXT[s].to_owned()));
        assert_eq!(source.entry("no"), None);
        assert_eq!(text(source.within("e", "buf")).unwrap().1, "buf");
        assert!(source.entry("f").unwrap().start > source.entry("e").unwrap().start);
        assert_eq!(text(source.within("e", "absent")), text(source.entry("e")));
    }

    #[test]
    fn places_count_characters() {
        let source = Source::new("t", "aé\nbc");
        let place = source.place(&(4..5));
        assert_eq!((place.line, place.column, place.width), (2, 1, 1));
        assert_eq!(source.offset(1, 3), 3);
        assert_eq!(source.offset(9, 9), 6);
    }
}
