//! Connections that do nothing, and what they cost the server.

use clap::Args;
use serde_json::{Value, json};

use crate::process::Memory;
use crate::target::{Frames, connect_all, echo_once};
use crate::{Common, Result};

#[derive(Debug, Args)]
pub(crate) struct IdleCommand {
    #[command(flatten)]
    common: Common,
    /// Process under test
    #[arg(long)]
    pid: u32,
}

pub(crate) fn run(command: &IdleCommand) -> Result<Value> {
    let common = &command.common;
    let frames = Frames::prepare(common);
    let mut buffer = vec![0; frames.echoed.len()];
    let before = Memory::of(command.pid)?;
    let mut connections = connect_all(common)?;
    let connected = Memory::of(command.pid)?;
    for stream in &mut connections {
        echo_once(stream, &frames, &mut buffer)?;
    }
    let spoken = Memory::of(command.pid)?;
    let count = connections.len();
    Ok(json!({
        "connections": count,
        "before": before.json(),
        "connected": connected.json(),
        "spoken": spoken.json(),
        "each_connected": connected.each_since(before, count),
        "each_spoken": spoken.each_since(before, count),
    }))
}
