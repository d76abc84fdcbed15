//! towpath-connectors
