//! What each code of files means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use
//! in `error.rs` or `write/error.rs`. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub(crate) const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0101",
        Remedy::FixConfig,
        "A file or folder that is to be read does not exist.",
        "The message suggests the nearest name, or lists the files that exist. Correct `from`, or the `path` of the connection.",
    ),
    CodeEntry::run(
        "R0102",
        Remedy::FixConfig,
        "A name without an ending could mean several files.",
        "Write the whole file name.",
    ),
    CodeEntry::run(
        "R0103",
        Remedy::FixConfig,
        "An option of a `files` connection is missing or not valid.",
        "`path` is the folder, relative to the project folder. `towpath connection types` lists the options.",
    ),
    CodeEntry::run(
        "R0104",
        Remedy::FixConfig,
        "A selection is outside the folder of its connection.",
        "Name files inside the folder, without `..`. If you need other files, set `path` of the connection to a folder that contains them.",
    ),
    CodeEntry::run(
        "R0105",
        Remedy::FixConfig,
        "The selection is neither the name of a file nor a glob.",
        "To read a folder, write a glob such as `orders/*.csv`. Queries are only for databases.",
    ),
    CodeEntry::run(
        "R0106",
        Remedy::FixConfig,
        "The format of files cannot be determined.",
        "Add `format: csv`, `jsonl`, `json` or `parquet` to the table or the connection. One table cannot mix formats: write a glob that matches only one of them.",
    ),
    CodeEntry::run(
        "R0107",
        Remedy::FixConfig,
        "A file cannot be read.",
        "Check that it is there, that this user may read it, and that it is not cut short or damaged.",
    ),
    CodeEntry::run(
        "R0108",
        Remedy::FixData,
        "A file is empty and has no header.",
        "Delete the file, or write its header line.",
    ),
    CodeEntry::run(
        "R0109",
        Remedy::FixData,
        "A header does not give each column its own name.",
        "Give each column its own name in the file, or read it without a header: `header: false` and `skip_lines: 1`.",
    ),
    CodeEntry::run(
        "R0110",
        Remedy::FixData,
        "A file does not have a column that the table needs.",
        "`missing_columns: null` on the table reads it as NULL. If the column was renamed, correct `from`.",
    ),
    CodeEntry::run(
        "R0111",
        Remedy::FixConfig,
        "A declared type cannot be read from this format.",
        "Declare `text`, or another simple type, and convert it with `set` or in a model.",
    ),
    CodeEntry::run(
        "R0112",
        Remedy::FixData,
        "A file is not a readable Parquet file.",
        "It is cut short or damaged. Fetch or write it again.",
    ),
    CodeEntry::run(
        "R0113",
        Remedy::FixData,
        "A file has too many columns.",
        "A table may have 10,000 columns, and JSON objects 2,000 different keys. Keys and columns that are data, such as ids or days, each become a column: write them as values instead. `max_columns` of the table or the connection allows more, at the cost of time and memory.",
    ),
    CodeEntry::run(
        "R0114",
        Remedy::Bug,
        "Rows of a file could not be put into columns.",
        "This should not happen. Nothing was committed. Please report the message.",
    ),
    CodeEntry::run(
        "R0115",
        Remedy::FixData,
        "Too many quoted fields are longer than `max_record_bytes` and never closed.",
        "If the quotes are plain characters, set `quote: \"\"`. Otherwise correct those lines, or raise `max_record_bytes`.",
    ),
    CodeEntry::run(
        "R0116",
        Remedy::Retry,
        "A file changed while it was read.",
        "Write files under a name that is not read, and rename them when they are complete.",
    ),
    CodeEntry::run(
        "R0117",
        Remedy::FixData,
        "A column has different types in files of one table.",
        "Declare its type in the table's `columns`; values that do not fit it are rejected.",
    ),
    CodeEntry::run(
        "R0120",
        Remedy::FixConfig,
        "The target of a write is not a file that can be written.",
        "The message says why and what to write instead.",
    ),
    CodeEntry::run(
        "R0121",
        Remedy::Refused,
        "A `files` connection is read-only.",
        "Set `writable: true` on the connection, in the environment that may write there.",
    ),
    CodeEntry::run(
        "R0122",
        Remedy::FixConfig,
        "The disk is full.",
        "Free some space and run again. The earlier file is unchanged.",
    ),
    CodeEntry::run(
        "R0123",
        Remedy::FixConfig,
        "A file cannot be written.",
        "Allow this user to write in the folder, or choose a different `path`.",
    ),
    CodeEntry::run(
        "R0124",
        Remedy::Retry,
        "Another process is writing the same file.",
        "Wait until the other run has ended. The lock of a dead process is released automatically.",
    ),
    CodeEntry::run(
        "R0125",
        Remedy::FixData,
        "Rows do not fit the file to which they are appended.",
        "A file has one set of columns. Write to a new file, or replace it.",
    ),
    CodeEntry::run(
        "R0126",
        Remedy::FixData,
        "A file format cannot store a value.",
        "The message names the column and the reason. Convert the column to text, or write Parquet.",
    ),
    CodeEntry::run(
        "R0127",
        Remedy::FixData,
        "Towpath's records about a file cannot be read.",
        "They are in the file's folder, in `_towpath`. Restore them, or delete the file and its records and publish again.",
    ),
    CodeEntry::run(
        "R0128",
        Remedy::Refused,
        "A later commit is already in the file.",
        "Another run was faster. You do not need to do anything.",
    ),
    CodeEntry::run(
        "R0129",
        Remedy::Bug,
        "Rows could not be written to a file.",
        "This should not happen. Nothing became visible. Please report the message.",
    ),
    CodeEntry::run(
        "R0130",
        Remedy::Retry,
        "Another process changed the file meanwhile.",
        "Towpath tries again with the current file.",
    ),
    CodeEntry::run(
        "R0131",
        Remedy::Refused,
        "A newer version of Towpath wrote the records about a file.",
        "Use that version of Towpath for this folder, or write to another folder.",
    ),
    CodeEntry::run(
        "R0140",
        Remedy::FixData,
        "A row group of a Parquet file is damaged.",
        "The message names the file, the row group and, if known, the column. Nothing was written. Download the file or write it again; if only one column is damaged and its values are not needed, leave it out with `drop`.",
    ),
    CodeEntry::run(
        "R0141",
        Remedy::FixData,
        "The number of rows in a Parquet file differs from its footer.",
        "The footer of the file has the number of rows of each row group, and a different number can be read. Nothing was written, because rows would be missing. Download the file or write it again.",
    ),
    CodeEntry::run(
        "R0142",
        Remedy::FixConfig,
        "A column of a Parquet file cannot be read as its declared type.",
        "For example, a number declared as `timestamp` (a number has no unit) or a list declared as `bigint`. Leave the type out, declare `text`, or compute the value with `set`.",
    ),
    CodeEntry::run(
        "R0143",
        Remedy::Refused,
        "A queried file is not in the folder of the project.",
        "A query in a project reads only files below the project's folder, also behind links. Put the file there, or load it with a connection of its own.",
    ),
    CodeEntry::run(
        "R0144",
        Remedy::FixConfig,
        "A file is behind a link that leads out of its connection's folder.",
        "Links inside `path` are followed only to files inside `path`, so that nobody who may put files there can make other files readable. Set `path` to the folder where the file is, or to the link itself, or copy the file into the folder. A glob that does not match the link leaves it out.",
    ),
    CodeEntry::run(
        "R0145",
        Remedy::FixConfig,
        "A query names a file that cannot be read in place of a table.",
        "A query reads regular files whose names end with .csv, .tsv, .json, .jsonl, .ndjson, .parquet, .xlsx or .xlsm; text files may end with .gz or .zst too. A file with another ending can be loaded with a `files` connection and its `format`, or copied:\n\n  towpath copy t.txt t.csv --option format=csv",
    ),
    CodeEntry::run(
        "R0150",
        Remedy::FixConfig,
        "The `path` of a `files` connection begins with `s3://` and does not name a place in a bucket.",
        "Write `s3://BUCKET` or `s3://BUCKET/PREFIX`. Users and passwords are not written there: credentials come from the environment.",
    ),
    CodeEntry::run(
        "R0151",
        Remedy::FixConfig,
        "A setting for a bucket that files are read from is wrong or is not obeyed.",
        "The message names the variable. docs/how-to/object-storage.md lists the variables that are obeyed; any other one that begins with `AWS_` and says something about requests is refused.",
    ),
    CodeEntry::run(
        "R0152",
        Remedy::Retry,
        "A request to a bucket that files are read from failed, or its answer is not whole.",
        "Towpath tries each request again for up to a minute, then the step. Where the message says what to change (credentials, rights, region, bucket), change that. A listing that ends early, repeats a page or is no listing is refused, because rows would be lost.",
    ),
    CodeEntry::run(
        "R0153",
        Remedy::FixConfig,
        "A service does not say which version an object has.",
        "Every range of an object is asked for with its ETag, so that one read never mixes two versions. Use a service that gives ETags; one that begins with `W/` does not say that all bytes are the same.",
    ),
    CodeEntry::run(
        "R0154",
        Remedy::FixConfig,
        "A selection matches an object whose key cannot be asked for.",
        "Keys with an empty part (`//`), with `.` or `..` as a part, or with control characters cannot be read. Copy the object to another key, or write a glob that does not match it.",
    ),
    CodeEntry::run(
        "R0155",
        Remedy::FixConfig,
        "A step writes files into a bucket.",
        "A `files` connection with `path: s3://…` is only read. Write the files into a folder, or the tables into a lakehouse in the bucket.",
    ),
    CodeEntry::run(
        "R0170",
        Remedy::FixData,
        "A JSON file has no array at the path in `records`.",
        "Write the names of the members on the path to the array of rows, separated by points. For {\"data\": {\"items\": [...]}}:\n\n  records: data.items",
    ),
    CodeEntry::run(
        "R0171",
        Remedy::FixData,
        "A JSON file has no columns.",
        "A row is an object with members whose names are not empty, such as {\"id\": 1}. The message names the first record that is something else. An array of rows may be inside an object: `records: data.items`.",
    ),
    CodeEntry::run(
        "R0172",
        Remedy::FixConfig,
        "A workbook does not have the sheet.",
        "`sheet` is the name of a sheet, or its place from 1. Without it, the first visible sheet is read. The message names the sheets that are there.",
    ),
    CodeEntry::run(
        "R0173",
        Remedy::FixData,
        "A workbook cannot be read.",
        "It is damaged, protected with a password, of another kind than .xlsx, or its texts need more than 256 MB. Nothing of it was loaded. Open it in Excel or LibreOffice and save it as .xlsx without a password, or each sheet as CSV in UTF-8.",
    ),
    CodeEntry::run(
        "R0174",
        Remedy::FixConfig,
        "A file has another encoding than `encoding` says.",
        "Its characters would be wrong, so nothing was loaded. Leave `encoding` out where the files of a table have different encodings: each one is then read in its own, and the report names those that are not UTF-8.",
    ),
    CodeEntry::run(
        "R0175",
        Remedy::FixData,
        "A sheet has formulas without a stored value.",
        "A program wrote the workbook and did not calculate its formulas; Towpath does not calculate them either, and an empty value would be wrong. Nothing of it was loaded. Open the workbook in Excel or LibreOffice and save it, or set a `range` without these cells.",
    ),
    CodeEntry::run(
        "R0179",
        Remedy::FixData,
        "A JSON file is one object, and several of its members may have the rows.",
        "The table has columns already, and the object has none of them, so it is not a row of the table. More than one of its members is an array of objects, or empty. Name the one with the rows:\n\n  records: data",
    ),
];
