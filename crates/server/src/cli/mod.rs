//! The command line: every verb is a request to the HTTP API.
