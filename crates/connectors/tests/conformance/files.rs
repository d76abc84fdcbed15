//! Files in every format, one file and one file per commit, looked at with other readers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;
use towpath_ports::{ConnectorContext, Destination, ReadSpec, Source};
use towpath_testkit::conformance::{
    Ample, DestinationUnderTest, Limits, SourceUnderTest, line, line_of_json, lines_of_batch,
    read_spec,
};
use towpath_testkit::{destination_conformance, source_conformance};
use towpath_vocab::{ConnectionPlan, OptionValue, ReadMode, TableName, WriteMode};

use super::{MORE, ROWS, connector, lines, row};

/// A project folder whose connection `out` is the folder `out/`.
struct Folder {
    dir: tempfile::TempDir,
    format: &'static str,
    /// A table is a folder with one file per commit.
    many: bool,
    /// Rows in the files to read.
    rows: AtomicI64,
}

fn folder(format: &'static str, many: bool) -> Folder {
    Folder {
        dir: tempfile::tempdir().unwrap(),
        format,
        many,
        rows: AtomicI64::new(0),
    }
}

fn with_rows(format: &'static str) -> Folder {
    let folder = folder(format, true);
    fs::create_dir_all(folder.path("t")).unwrap();
    folder.add(ROWS / 2);
    folder.add(ROWS / 2);
    folder
}

/// A CSV field without quotes; empty is NULL.
fn fields(line: &str) -> Vec<Option<String>> {
    let field = |text: &str| match text {
        "" => None,
        "\"\"" => Some(String::new()),
        text => Some(text.to_owned()),
    };
    line.split(',').map(field).collect()
}

/// The rows of a file, as another program reads it.
pub(crate) fn rows_of(path: &Path, format: &str) -> Vec<String> {
    match format {
        "csv" => {
            let text = fs::read_to_string(path).unwrap();
            let mut rows = text.lines();
            let names = fields(rows.next().unwrap());
            let names: Vec<String> = names.into_iter().flatten().collect();
            rows.map(|row| line(names.iter().cloned().zip(fields(row))))
                .collect()
        }
        "jsonl" => {
            let text = fs::read_to_string(path).unwrap();
            text.lines().map(line_of_json).collect()
        }
        _ => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap());
            let batches = reader.unwrap().build().unwrap();
            batches
                .flat_map(|batch| lines_of_batch(&batch.unwrap()))
                .collect()
        }
    }
}

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("out").join(name)
    }

    fn context(&self) -> ConnectorContext {
        Ample::context(self.dir.path())
    }

    fn plan(&self) -> ConnectionPlan {
        ConnectionPlan {
            name: "out".to_owned(),
            kind: "files".to_owned(),
            writable: true,
            options: BTreeMap::from([("path".to_owned(), OptionValue::Plain(json!("out")))]),
        }
    }

    fn open(&self) -> Arc<dyn Source> {
        connector("files")
            .source(&self.plan(), &self.context())
            .unwrap()
    }

    /// Puts one more file beside those to read.
    fn add(&self, count: i64) -> Vec<String> {
        let first = self.rows.fetch_add(count, Ordering::SeqCst);
        let rows: Vec<_> = (first..first + count).map(row).collect();
        let path = self.path(&format!("t/{first:06}.{}", self.format));
        let text = |c: Option<i64>, none: &str| c.map_or(none.to_owned(), |c| c.to_string());
        match self.format {
            "csv" => {
                let rows = rows
                    .iter()
                    .map(|row| format!("{},{},{}\n", row.id, row.v, text(row.c, "")));
                fs::write(path, format!("id,v,c\n{}", rows.collect::<String>())).unwrap();
            }
            "jsonl" => {
                let rows = rows.iter().map(|row| {
                    let c = text(row.c, "null");
                    format!("{{\"id\":{},\"v\":\"{}\",\"c\":{c}}}\n", row.id, row.v)
                });
                fs::write(path, rows.collect::<String>()).unwrap();
            }
            "xml" => {
                let rows = rows.iter().map(|row| {
                    let c = row.c.map_or(String::new(), |c| format!("<c>{c}</c>"));
                    format!("<row><id>{}</id><v>{}</v>{c}</row>\n", row.id, row.v)
                });
                fs::write(path, format!("<rows>{}</rows>", rows.collect::<String>())).unwrap();
            }
            "regex" => {
                let rows = rows
                    .iter()
                    .map(|row| format!("{} {} {}\n", row.id, row.v, text(row.c, "")));
                fs::write(path, rows.collect::<String>()).unwrap();
            }
            "fixed" => {
                let rows = rows
                    .iter()
                    .map(|row| format!("{:8}{:>12}{:8}\n", row.id, row.v, text(row.c, "")));
                fs::write(path, rows.collect::<String>()).unwrap();
            }
            _ => {
                let ids: Int64Array = rows.iter().map(|row| Some(row.id)).collect();
                let values: StringArray = rows.iter().map(|row| Some(row.v.clone())).collect();
                let cursors: Int64Array = rows.iter().map(|row| row.c).collect();
                let columns: Vec<(&str, ArrayRef, bool)> = vec![
                    ("id", Arc::new(ids), true),
                    ("v", Arc::new(values), true),
                    ("c", Arc::new(cursors), true),
                ];
                let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
                let file = File::create(path).unwrap();
                let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
                writer.write(&batch).unwrap();
                writer.close().unwrap();
            }
        }
        lines(first..first + count)
    }
}

#[async_trait]
impl DestinationUnderTest for Folder {
    fn modes(&self) -> Vec<WriteMode> {
        connector("files").spec().writes
    }

    fn limits(&self) -> Limits {
        Limits {
            new_columns: self.format != "csv" || self.many,
            types: self.format == "parquet",
            ..Limits::default()
        }
    }

    fn destination(&self) -> Arc<dyn Destination> {
        connector("files")
            .destination(&self.plan(), &self.context())
            .unwrap()
    }

    fn table(&self, name: &str) -> TableName {
        let end = if self.many {
            "/".to_owned()
        } else {
            format!(".{}", self.format)
        };
        TableName::new("out", format!("{name}{end}"))
    }

    fn options(&self) -> BTreeMap<String, serde_json::Value> {
        BTreeMap::from([("format".to_owned(), json!(self.format))])
    }

    async fn look(&self, table: &TableName) -> Option<Vec<String>> {
        let path = self.path(table.table());
        if !self.many {
            return path.exists().then(|| rows_of(&path, self.format));
        }
        let entries = fs::read_dir(&path).ok()?.map(|entry| entry.unwrap().path());
        let parts = entries.filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("part-")
        });
        let parts: Vec<PathBuf> = parts.collect();
        let rows = parts.iter().flat_map(|part| rows_of(part, self.format));
        (!parts.is_empty()).then(|| rows.collect())
    }

    fn reading(&self, table: &TableName, known: &SchemaRef) -> (Arc<dyn Source>, ReadSpec) {
        let object = match self.many {
            true => format!("{}*.{}", table.table(), self.format),
            false => table.table().to_owned(),
        };
        let spec = ReadSpec {
            known: (self.format != "parquet").then(|| Arc::clone(known)),
            ..read_spec(&object)
        };
        (self.open(), spec)
    }
}

#[async_trait]
impl SourceUnderTest for Folder {
    fn reads(&self) -> Vec<ReadMode> {
        connector("files").spec().reads
    }

    fn source(&self) -> Arc<dyn Source> {
        self.open()
    }

    fn spec(&self, mode: ReadMode) -> ReadSpec {
        let options = match self.format {
            "regex" => json!({ "format": "regex", "pattern": r"(?<id>\d+) (?<v>\w+) (?<c>\d*)" }),
            "fixed" => json!({ "format": "fixed", "fields": ["id 8", "v 9-20", "c 8"] }),
            _ => json!({}),
        };
        ReadSpec {
            mode,
            batch_rows: 100,
            options: options.as_object().unwrap().clone().into_iter().collect(),
            ..read_spec(&format!("t/*.{}", self.format))
        }
    }

    fn expected(&self) -> Vec<String> {
        lines(0..self.rows.load(Ordering::SeqCst))
    }

    async fn grow(&self) -> Option<Vec<String>> {
        Some(self.add(MORE))
    }
}

destination_conformance!(into_a_csv_file, folder("csv", false));
destination_conformance!(into_a_jsonl_file, folder("jsonl", false));
destination_conformance!(into_a_parquet_file, folder("parquet", false));
destination_conformance!(into_a_folder_of_csv, folder("csv", true));
destination_conformance!(into_a_folder_of_jsonl, folder("jsonl", true));
destination_conformance!(into_a_folder_of_parquet, folder("parquet", true));
source_conformance!(from_csv, with_rows("csv"));
source_conformance!(from_jsonl, with_rows("jsonl"));
source_conformance!(from_xml, with_rows("xml"));
source_conformance!(from_lines_by_a_pattern, with_rows("regex"));
source_conformance!(from_fixed_fields, with_rows("fixed"));
source_conformance!(from_parquet, with_rows("parquet"));
