//! towpath-project
