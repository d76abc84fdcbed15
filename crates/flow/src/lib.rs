//! towpath-flow
