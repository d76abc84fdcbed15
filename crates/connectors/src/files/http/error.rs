//! What can go wrong with files behind HTTP, with what to do. Codes R0182 to R0187.
//!
//! Promise: no message holds a credential or the parameters of a URL, which may be one.

use towpath_vocab::Remedy;

/// A failure of a server, or of what the project says about it.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("`{address}` was refused with status {status}")]
    Refused { address: String, status: u16 },
    #[error("`{address}` cannot be read: {why}")]
    Failed { address: String, why: String },
    #[error("`{address}` cannot be read: {why}")]
    Unreadable { address: String, why: String },
    #[error("`{address}` leads to `{target}`, from where nothing is read")]
    Redirected { address: String, target: String },
    #[error("`{place}` is no file that can be asked for: {why}")]
    Place { place: String, why: &'static str },
    #[error("option `{option}` of connection `{connection}` {why}")]
    Option {
        connection: String,
        option: String,
        why: String,
    },
}

impl HttpError {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "R0182",
            Self::Failed { .. } => "R0183",
            Self::Redirected { .. } => "R0184",
            Self::Place { .. } => "R0185",
            Self::Option { .. } => "R0186",
            Self::Unreadable { .. } => "R0187",
        }
    }

    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::Failed { .. } => Remedy::Retry,
            _ => Remedy::FixConfig,
        }
    }

    pub(crate) fn help(&self) -> Vec<String> {
        let line = match self {
            Self::Refused {
                status: 401 | 403, ..
            } => "check `auth` of the connection",
            Self::Refused { .. } => "check `path` and the name of the file",
            Self::Redirected { .. } => {
                "write the address of the file itself as `path`, if it is the one that you mean"
            }
            Self::Place { .. } => {
                "write the URL of one file, or several in braces: `path: https://HOST/data`, `from: \"trips-{2024,2025}.csv\"`"
            }
            Self::Unreadable { .. } => {
                "download it with another program, and load it from a folder"
            }
            Self::Failed { .. } | Self::Option { .. } => return Vec::new(),
        };
        vec![line.to_owned()]
    }
}
