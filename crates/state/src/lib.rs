//! towpath-state
