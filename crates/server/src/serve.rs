//! `bartizan serve`: from a configuration to a running server and back.
