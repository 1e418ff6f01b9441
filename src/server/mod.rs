//! Settings to running threads: acceptor, workers, signals, drain.

pub mod settings;
