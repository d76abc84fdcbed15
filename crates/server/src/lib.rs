//! The HTTP API of `towpath serve`: not written yet.
