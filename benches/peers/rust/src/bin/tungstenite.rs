//! tokio-tungstenite on the current-thread runtime: echo after its own `echo-server` example, and a broadcast with one
//! channel for each connection.
//!
//! usage: `tungstenite echo|fanout HOST:PORT [READ_BUFFER_BYTES]`

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Where each connection's writer is fed.
type Receivers = Arc<Mutex<HashMap<u64, UnboundedSender<Message>>>>;

async fn echo(stream: TcpStream, config: WebSocketConfig) -> Result<(), WebSocketError> {
    let stream = accept_async_with_config(stream, Some(config)).await?;
    let (write, read) = stream.split();
    read.try_filter(|message| future::ready(message.is_text() || message.is_binary()))
        .forward(write)
        .await
}

async fn fanout(
    stream: TcpStream,
    config: WebSocketConfig,
    receivers: Receivers,
    number: u64,
) -> Result<(), WebSocketError> {
    let stream = accept_async_with_config(stream, Some(config)).await?;
    let (mut write, mut read) = stream.split();
    let (sender, mut inbox) = unbounded_channel();
    let lock = || receivers.lock().unwrap_or_else(PoisonError::into_inner);
    lock().insert(number, sender);
    let writer = tokio::spawn(async move {
        while let Some(message) = inbox.recv().await {
            write.feed(message).await?;
            // What waits already leaves in the same write.
            while let Ok(message) = inbox.try_recv() {
                write.feed(message).await?;
            }
            write.flush().await?;
        }
        Ok::<(), WebSocketError>(())
    });
    while let Some(Ok(message)) = read.next().await {
        if message.is_text() || message.is_binary() {
            for receiver in lock().values() {
                // One that has just gone is removed by its own task.
                let _ = receiver.send(message.clone());
            }
        }
    }
    lock().remove(&number);
    writer.await.unwrap_or(Ok(()))
}

async fn serve(kind: &str, address: &str, config: WebSocketConfig) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    let receivers = Receivers::default();
    for number in 0.. {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that ends in an error concerns nobody else.
        if kind == "fanout" {
            let receivers = Arc::clone(&receivers);
            tokio::spawn(async move { fanout(stream, config, receivers, number).await.ok() });
        } else {
            tokio::spawn(async move { echo(stream, config).await.ok() });
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (kind, address, read_buffer) = match arguments.as_slice() {
        [kind, address] => (kind, address, None),
        [kind, address, bytes] => (kind, address, Some(bytes.parse()?)),
        _ => return Err("usage: tungstenite echo|fanout HOST:PORT [READ_BUFFER_BYTES]".into()),
    };
    let mut config = WebSocketConfig::default();
    if let Some(bytes) = read_buffer {
        config = config.read_buffer_size(bytes);
    }
    serve(kind, address, config).await
}
