//! Label files: CSV with a head line; columns are found by name, others are ignored.

use crate::cli::{Code, Failure};
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

/// A label file in memory.
pub struct Table {
    path: String,
    columns: HashMap<String, usize>,
    rows: Vec<csv::StringRecord>,
}

/// One line of it.
pub struct Row<'a> {
    table: &'a Table,
    record: &'a csv::StringRecord,
}

impl Table {
    /// Reads a file whose head line names at least `needed`.
    ///
    /// # Errors
    /// Exit 65 naming the file, the line or the missing column.
    pub fn read(path: &Path, needed: &[&str]) -> Result<Table, Failure> {
        let name = path.display().to_string();
        let bad = |what: String| Failure::new(Code::BadInput, &name, what, "give a CSV file with a head line");
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path).map_err(|e| bad(e.to_string()))?;
        let head = reader.headers().map_err(|e| bad(e.to_string()))?.clone();
        let columns: HashMap<String, usize> =
            head.iter().enumerate().map(|(i, c)| (c.trim().trim_start_matches('\u{feff}').to_owned(), i)).collect();
        if let Some(missing) = needed.iter().find(|n| !columns.contains_key(**n)) {
            return Err(bad(format!("the column `{missing}` is missing")));
        }
        let rows = reader.records().collect::<Result<Vec<_>, _>>().map_err(|e| bad(e.to_string()))?;
        Ok(Table { path: name, columns, rows })
    }

    /// All lines in order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|record| Row { table: self, record })
    }
}

impl Row<'_> {
    /// A cell; empty when the line is short or the column does not exist.
    pub fn get(&self, column: &str) -> &str {
        self.table.columns.get(column).and_then(|i| self.record.get(*i)).unwrap_or_default().trim()
    }

    /// A cell that names a file below the root.
    ///
    /// # Errors
    /// Exit 65 for an empty, absolute or climbing path, naming the line.
    pub fn file(&self, column: &str) -> Result<PathBuf, Failure> {
        let path = PathBuf::from(self.get(column));
        let plain = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if plain && path.components().next().is_some() {
            return Ok(path);
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        let subject = format!("{}:{line}", self.table.path);
        Err(Failure::new(
            Code::BadInput,
            subject,
            format!("`{}` is no path below the root", path.display()),
            "mend the line",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str, needed: &[&str]) -> Result<Table, Failure> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("l.csv");
        std::fs::write(&path, text).expect("written");
        Table::read(&path, needed)
    }

    #[test]
    fn columns_are_found_by_name() {
        let t = table("person,file\nada,a/1.jpg\n", &["file", "person"]).expect("reads");
        let row = t.rows().next().expect("a line");
        assert_eq!((row.get("person"), row.get("nothing")), ("ada", ""));
        assert_eq!(row.file("file").expect("plain"), Path::new("a/1.jpg"));
    }

    #[test]
    fn a_missing_column_and_a_climbing_path_are_named() {
        let e = table("person\nada\n", &["file"]).err().expect("refused");
        assert!(e.what.contains("`file`"), "{}", e.what);
        let t = table("file\n../x\n", &["file"]).expect("reads");
        let e = t.rows().next().expect("a line").file("file").expect_err("refused");
        assert!(e.subject.ends_with(":2"), "{}", e.subject);
    }
}
