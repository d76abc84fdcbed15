//! towpath-template
