//! Nothing: see `main.rs`.
