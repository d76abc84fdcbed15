//! Why a selector is not valid or selects nothing, with a help line.
//!
//! It has no code of its own: the caller gives it one, because `run`, `plan` and `rerun` differ. Read next:
//! `grammar.rs`, `meaning.rs`.

/// A selector that cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectError {
    /// The text does not follow the grammar.
    #[error("`{word}` is not a valid selection: {why}")]
    Unreadable {
        /// The word.
        word: String,
        /// What is wrong with it.
        why: String,
    },
    /// A method that does not exist.
    #[error("`{method}:` is not a known selection method")]
    Method {
        /// The method.
        method: String,
        /// What the user can do.
        help: String,
    },
    /// A word that matches no task.
    #[error("`{word}` selects nothing")]
    Nothing {
        /// The word.
        word: String,
        /// What the user can do.
        help: String,
    },
    /// Every word matches something, but together they select nothing.
    #[error("the selection is empty")]
    Empty,
}

impl SelectError {
    /// What the user can do.
    pub fn help(&self) -> String {
        match self {
            SelectError::Unreadable { .. } => {
                "examples: marts.delay, +marts.delay, raw.flights+, 1+x+2, @x, marts.*, step:extract, path:models/marts; a blank adds, a comma intersects".to_owned()
            }
            SelectError::Method { help, .. } | SelectError::Nothing { help, .. } => help.clone(),
            SelectError::Empty => {
                "a comma keeps only what both sides select, and `--exclude` removes: use less of both; a blank between words adds".to_owned()
            }
        }
    }
}
