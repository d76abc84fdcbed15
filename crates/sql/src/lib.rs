//! towpath-sql
