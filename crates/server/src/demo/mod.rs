//! `bartizan demo`: the server, a simulated city, and a script of attacks.
