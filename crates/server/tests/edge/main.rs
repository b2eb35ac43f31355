//! The server as people and programs meet it: the HTTP API in-process, and the binary as it is typed.

mod api;
mod cli;
mod world;
