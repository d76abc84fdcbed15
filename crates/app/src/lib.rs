//! towpath-app
