//! towpath-orchestrator
