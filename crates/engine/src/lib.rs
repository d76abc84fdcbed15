//! towpath-engine
