//! What stands between a client and its server, and lets things go wrong at a chosen request.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use quorate_client::{OpCode, SessionId};
use quorate_tests::{Connection, Op, Session, wire::is_closed};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinHandle,
};

/// What happens at the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is lost before the server gets it.
    CutBefore,
    /// The connection is lost when it is done, before the client gets the answer.
    CutAfter,
    /// As [`CutBefore`](Self::CutBefore), and the session ends.
    ExpireBefore,
    /// As [`CutAfter`](Self::CutAfter), and the session ends.
    ExpireAfter,
    /// The request is held back until it is let go.
    HoldBefore,
    /// The answer is held back until it is let go.
    HoldAfter,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::CutBefore,
        Self::CutAfter,
        Self::ExpireBefore,
        Self::ExpireAfter,
        Self::HoldBefore,
        Self::HoldAfter,
    ];

    pub(crate) fn holds(self) -> bool {
        matches!(self, Self::HoldBefore | Self::HoldAfter)
    }

    pub(crate) fn expires(self) -> bool {
        matches!(self, Self::ExpireBefore | Self::ExpireAfter)
    }

    fn is_before(self) -> bool {
        matches!(self, Self::CutBefore | Self::ExpireBefore | Self::HoldBefore)
    }
}

struct Shared {
    server: SocketAddr,
    /// At the request of which number, counted from 0.
    plan: Mutex<Option<(usize, Fault)>>,
    requests: watch::Sender<usize>,
    held: Notify,
    let_go: Notify,
    session: Mutex<Option<Session>>,
}

/// A place to connect to instead of the server.
pub(crate) struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr, plan: Option<(usize, Fault)>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            server,
            plan: Mutex::new(plan),
            requests: watch::Sender::new(0),
            held: Notify::new(),
            let_go: Notify::new(),
            session: Mutex::new(None),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("accept");
                // Its end, whoever's fault, is what this is for.
                let serving = Arc::clone(&serving);
                tokio::spawn(async move { serving.serve(client).await });
            }
        });
        Self { addr, shared, task }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many calls came.
    pub(crate) fn requests(&self) -> usize {
        *self.shared.requests.borrow()
    }

    /// Waits until so many came.
    pub(crate) async fn wait_for_requests(&self, number: usize) {
        let mut requests = self.shared.requests.subscribe();
        let came = requests.wait_for(|requests| *requests >= number).await;
        drop(came.expect("the sender lives as long as this"));
    }

    /// Lets nothing happen any more.
    pub(crate) fn disarm(&self) {
        *self.shared.plan.lock().unwrap() = None;
    }

    /// Waits until the request comes that is to be held back.
    pub(crate) async fn held(&self) {
        self.shared.held.notified().await;
    }

    /// Ends the client's session behind its back.
    pub(crate) async fn expire(&self) {
        self.shared.expire().await;
    }

    /// Lets it go.
    pub(crate) fn let_go(&self) {
        self.shared.let_go.notify_one();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn serve(&self, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (mut client_in, mut client_out) = client.into_split();
        let (mut server_in, mut server_out) = server.into_split();
        let mut from_client = BytesMut::new();
        let mut from_server = BytesMut::new();
        let (mut connected, mut answered) = (false, false);
        // The request whose answer the fault waits for.
        let mut awaited: Option<(i32, Fault)> = None;
        loop {
            tokio::select! {
                read = client_in.read_buf(&mut from_client) => if read? == 0 { return Ok(()) },
                read = server_in.read_buf(&mut from_server) => if read? == 0 { return Ok(()) },
            }
            while let Some(frame) = next_frame(&mut from_client) {
                let xid = number(&frame);
                let is_call = connected && xid > 0;
                connected = true;
                if is_call {
                    let index = *self.requests.borrow();
                    self.requests.send_modify(|requests| *requests += 1);
                    let plan = *self.plan.lock().unwrap();
                    let due = plan.filter(|(at, _)| *at == index).map(|(_, fault)| fault);
                    if let Some(fault) = due {
                        if !fault.is_before() {
                            awaited = Some((xid, fault));
                        } else if !self.happen(fault).await {
                            return Ok(());
                        }
                    }
                }
                server_out.write_all(&frame).await?;
            }
            while let Some(frame) = next_frame(&mut from_server) {
                if !answered {
                    answered = true;
                    self.note_session(&frame);
                } else if let Some((_, fault)) = awaited.take_if(|(xid, _)| *xid == number(&frame))
                    && !self.happen(fault).await
                {
                    return Ok(());
                }
                client_out.write_all(&frame).await?;
            }
        }
    }

    /// Lets it happen, and says whether the connection goes on.
    async fn happen(&self, fault: Fault) -> bool {
        if fault.holds() {
            self.held.notify_one();
            self.let_go.notified().await;
            return true;
        }
        if fault.expires() {
            self.expire().await;
        }
        false
    }

    async fn expire(&self) {
        let session = self.session.lock().unwrap().clone().expect("it is connected");
        let server = self.server;
        let end = move || end_session(server, &session);
        tokio::task::spawn_blocking(end).await.expect("it ends");
    }

    fn note_session(&self, answer: &[u8]) {
        // length, protocol, timeout, id, length of the password, password
        let timeout_ms = i32::from_be_bytes(answer[8..12].try_into().unwrap());
        let id = SessionId(i64::from_be_bytes(answer[12..20].try_into().unwrap()));
        let passwd = answer[24..40].to_vec();
        *self.session.lock().unwrap() = Some(Session { id, passwd, timeout_ms });
    }
}

/// Ends a session behind its client's back, which it cannot tell from an expiry. The client may take it
/// back meanwhile; then once more.
fn end_session(server: SocketAddr, session: &Session) {
    loop {
        let mut connection = Connection::open(server).expect("the server listens");
        let taken = connection.attach(session, 0);
        let ended = taken.and_then(|taken| {
            if taken.is_accepted() {
                connection.call(&Op::Plain(OpCode::CloseSession))?;
            }
            Ok(())
        });
        match ended {
            Ok(()) => return,
            Err(error) => assert!(is_closed(&error), "{error}"),
        }
    }
}

/// A whole frame, with its length.
fn next_frame(buffer: &mut BytesMut) -> Option<Bytes> {
    let length = i32::from_be_bytes(*buffer.first_chunk()?);
    let whole = 4 + usize::try_from(length).expect("no frame is negative");
    (buffer.len() >= whole).then(|| buffer.split_to(whole).freeze())
}

/// The first number in a frame: its xid.
fn number(frame: &[u8]) -> i32 {
    frame[4..].first_chunk().map_or(0, |bytes| i32::from_be_bytes(*bytes))
}
