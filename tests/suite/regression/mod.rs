//! A test for each input that failed once, its origin named above it.

mod api;
mod disk;
mod memory;
mod mime;
mod relay;
mod sasl;
mod web;
mod wire;
