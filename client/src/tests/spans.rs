//! What `tracing` is told of calls.

use std::{
    io::{self, Write},
    sync::Arc,
};

use parking_lot::Mutex;
use quorate_protocol::{ErrorCode, OpCode};
use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

use super::peer::{Nothing, builder};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_has_a_span_with_what_was_asked_and_when_it_was_answered() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap();
    let exists = client.exists("/a").send();
    let mut peer = listener.open().await;
    let (xid, _) = peer.expect(OpCode::Exists).await;
    peer.answer_at(xid, 0x17, ErrorCode::NoNode.wire(), &Nothing).await;
    assert_eq!(exists.await.unwrap(), None);
    drop(guard);
    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    let span = "call{op=exists path=\"/a\" xid=1 zxid=0x17}";
    assert!(log.contains(span), "{log}");
}
