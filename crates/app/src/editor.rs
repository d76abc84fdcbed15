//! JSON Schemas of project files: `schema` prints them, and `init` writes them where editors look.
//!
//! Promise: the first line of each generated project file names its schema. The schemas belong to the
//! version of the binary, so they are in `.towpath/schemas/` of a project and are not committed there. Read
//! next: `project/src/json_schema.rs`, which makes them.

use std::path::Path;

use serde_json::Value;
use towpath_project::{
    json_schema_connection, json_schema_pipeline, json_schema_schemas, json_schema_towpath,
};
use towpath_vocab::{Failure, Remedy};

use crate::Result;
use crate::new_file::put;
use crate::services::connector_specs;

/// The folder of the schemas in a project.
pub(crate) const EDITOR_SCHEMAS: &str = ".towpath/schemas";

/// A kind of project file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectFile {
    /// `towpath.yml`
    Towpath,
    /// `pipelines/NAME.yml`
    Pipeline,
    /// `connections/NAME.yml`
    Connection,
    /// `schemas/CONNECTION.yml`
    Schemas,
}

/// Each kind, with the file name of its schema.
const FILES: &[(ProjectFile, &str)] = &[
    (ProjectFile::Towpath, "towpath.json"),
    (ProjectFile::Pipeline, "pipeline.json"),
    (ProjectFile::Connection, "connection.json"),
    (ProjectFile::Schemas, "schemas.json"),
];

/// The JSON Schema of a kind of project file.
pub fn json_schema(of: ProjectFile) -> Value {
    let specs = connector_specs();
    match of {
        ProjectFile::Towpath => json_schema_towpath(&specs),
        ProjectFile::Pipeline => json_schema_pipeline(&specs),
        ProjectFile::Connection => json_schema_connection(&specs),
        ProjectFile::Schemas => json_schema_schemas(),
    }
}

/// Writes the schemas of all project files to `.towpath/schemas/`.
pub(crate) fn write_editor_schemas(dir: &Path) -> Result<()> {
    for (of, name) in FILES {
        let text = serde_json::to_string_pretty(&json_schema(*of)).map_err(|error| {
            Failure::new(
                "R0926",
                Remedy::Bug,
                format!("the schema is not valid JSON: {error}"),
            )
        })?;
        put(&dir.join(EDITOR_SCHEMAS).join(name), &(text + "\n"))?;
    }
    Ok(())
}
