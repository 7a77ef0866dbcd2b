//! One server as a process.

use std::{
    env, fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::BytesMut;
use quorate_protocol::{
    Decode, Encode, OpCode, SessionId, Xid, Zxid,
    frame::put_frame,
    record::{ConnectRequest, ConnectResponse, RequestHeader},
};
use tempfile::TempDir;

use super::{During, TestingError, ports, wait_for};

const PROGRAM: &str = "quorate-server";
/// How long the answer to a word or a connect request may take.
const ANSWER: Duration = Duration::from_secs(2);
/// How often a session is taken from a client that takes it back, at the most.
const TAKES: usize = 1000;

/// A server: running, or killed and to be restarted with its data. See the [module](super).
#[derive(Debug)]
pub struct TestServer {
    program: PathBuf,
    folder: TempDir,
    address: SocketAddr,
    child: Option<Child>,
}

impl TestServer {
    /// Starts a server alone on an empty folder, and waits until it serves.
    ///
    /// # Errors
    /// When there is no program, or it does not come up.
    ///
    /// # Cancel safety
    /// The process ends when the future is dropped.
    pub async fn start() -> Result<Self, TestingError> {
        Self::start_with(&[]).await
    }

    /// The same with further lines of `zoo.cfg`, which outdo the lines every test server has.
    ///
    /// # Errors
    /// As [`start`](Self::start); a line that the server refuses is in [`TestingError::Ended`].
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn start_with(settings: &[&str]) -> Result<Self, TestingError> {
        let lines: Vec<_> = settings.iter().map(ToString::to_string).collect();
        let mut server = Self::prepare(None, &lines)?;
        server.restart().await?;
        Ok(server)
    }

    /// A server that was not started yet; with a number, one of an ensemble.
    pub(super) fn prepare(
        number: Option<usize>,
        settings: &[String],
    ) -> Result<Self, TestingError> {
        let program = find_program()?;
        let folder = tempfile::Builder::new().prefix("quorate-testing-").tempdir();
        let folder = folder.during(|| "make a temporary folder".to_owned())?;
        let port = ports::free().during(|| "find a free port".to_owned())?;
        let data = folder.path().join("data");
        fs::create_dir(&data).during(|| format!("make {}", data.display()))?;
        if let Some(number) = number {
            let file = data.join("myid");
            fs::write(&file, number.to_string()).during(|| format!("write {}", file.display()))?;
        }
        // Short ticks let sessions expire soon, for tests that wait for that.
        let config = format!(
            "tickTime=200\nmaxSessionTimeout=60000\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             dataDir={}\nmaxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n{}\n",
            data.display(),
            settings.join("\n")
        );
        let file = folder.path().join("zoo.cfg");
        fs::write(&file, config).during(|| format!("write {}", file.display()))?;
        let address = (Ipv4Addr::LOCALHOST, port).into();
        Ok(Self { program, folder, address, child: None })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a string of hosts, for a client.
    pub fn hosts(&self) -> String {
        self.address.to_string()
    }

    /// The folder with `zoo.cfg`, the server's data (in `data`) and what it says (`server.log`). It goes with the server.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether a process was started that was not ended.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Ends the process at once, as a crash does. Its data stay.
    ///
    /// # Errors
    /// [`TestingError::WrongState`] when it is not running.
    pub fn kill(&mut self) -> Result<(), TestingError> {
        let mut child = self.child.take().ok_or(TestingError::WrongState("not running"))?;
        child.kill().and_then(|()| child.wait()).during(|| "kill the server".to_owned())?;
        Ok(())
    }

    /// Starts the process again, on the same port and data, and waits until it serves.
    ///
    /// # Errors
    /// [`TestingError::WrongState`] when it is running; otherwise as [`start`](Self::start).
    ///
    /// # Cancel safety
    /// The process stays; [`wait_until_serving`](Self::wait_until_serving) goes on waiting.
    pub async fn restart(&mut self) -> Result<(), TestingError> {
        self.spawn()?;
        self.wait_until_serving().await?;
        Ok(())
    }

    /// Waits until the server serves clients; what it is: `standalone`, `leader`, `follower`, `observer`.
    ///
    /// # Errors
    /// When it ends or does not come up.
    ///
    /// # Cancel safety
    /// It may be called again.
    pub async fn wait_until_serving(&mut self) -> Result<String, TestingError> {
        let waited = wait_for(|| {
            self.check_running()?;
            Ok(self.mode())
        });
        let mode = waited.await?;
        mode.ok_or_else(|| {
            let what = "a server that serves";
            TestingError::TimedOut { what, said: self.said_at_last() }
        })
    }

    /// What the server is, if it serves clients.
    pub fn mode(&self) -> Option<String> {
        let answer = self.word("srvr").ok()?;
        answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    /// The answer to a four-letter word.
    ///
    /// # Errors
    /// When nobody listens or answers.
    pub fn word(&self, word: &str) -> Result<String, TestingError> {
        let ask = || {
            let mut stream = self.open()?;
            stream.write_all(word.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().during(|| format!("ask {} for {word}", self.address))
    }

    /// Has a session expire: its ephemeral nodes go, its client is told with its next connection. For that somebody else takes the
    /// session and ends it, which no client can tell from an expiry. [`Client::session`](crate::Client::session) tells both.
    ///
    /// # Errors
    /// [`TestingError::NoSession`] when there is none with this id and password.
    pub fn expire_session(
        &self,
        id: SessionId,
        password: impl AsRef<[u8]>,
    ) -> Result<(), TestingError> {
        let connect = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session_id: id,
            passwd: password.as_ref(),
            read_only: None,
        };
        let close = RequestHeader { xid: Xid(1), op: OpCode::CloseSession.wire() };
        let mut requests = BytesMut::new();
        put_frame(&mut requests, |out| connect.encode(out));
        put_frame(&mut requests, |out| close.encode(out));
        let take = || {
            let mut stream = self.open()?;
            // Both at once, since the client wants its session back.
            stream.write_all(&requests)?;
            let answer = receive(&mut stream)?;
            let taken = ConnectResponse::from_bytes(&answer).map_err(io::Error::other)?;
            if taken.session_id != id {
                return Ok(false);
            }
            receive(&mut stream)?;
            Ok(true)
        };
        let mut takes = 0;
        loop {
            takes += 1;
            match take() {
                Ok(true) => return Ok(()),
                Ok(false) if takes > 1 => return Ok(()),
                Ok(false) => return Err(TestingError::NoSession(id)),
                // Its client took it back before the server answered. It may have ended nevertheless.
                Err(error) if is_closed(&error) && takes < TAKES => {}
                Err(source) => {
                    let what = format!("take session {id} at {}", self.address);
                    return Err(TestingError::Io { what, source });
                }
            }
        }
    }

    pub(super) fn spawn(&mut self) -> Result<(), TestingError> {
        if self.child.is_some() {
            return Err(TestingError::WrongState("running already"));
        }
        let start = || {
            let path = self.folder.path().join("server.log");
            let log = fs::File::options().create(true).append(true).open(path)?;
            let mut command = Command::new(&self.program);
            command.arg(self.folder.path().join("zoo.cfg")).stdin(Stdio::null());
            // What is set for the program under test is not meant for this server.
            for (name, _) in env::vars_os() {
                if name.as_encoded_bytes().starts_with(b"QUORATE_") {
                    command.env_remove(name);
                }
            }
            command.stdout(log.try_clone()?).stderr(log).spawn()
        };
        self.child = Some(start().during(|| format!("start {}", self.program.display()))?);
        Ok(())
    }

    fn check_running(&mut self) -> Result<(), TestingError> {
        let child = self.child.as_mut().ok_or(TestingError::WrongState("not running"))?;
        if let Some(status) = child.try_wait().during(|| "look at the server".to_owned())? {
            self.child = None;
            return Err(TestingError::Ended { status, said: self.said_at_last() });
        }
        Ok(())
    }

    fn open(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        Ok(stream)
    }

    fn said_at_last(&self) -> String {
        let said = fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        let lines: Vec<_> = said.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already; there is nobody to tell.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether the server has closed the connection.
fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    let mut body = vec![0; length.min(1 << 20)];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn find_program() -> Result<PathBuf, TestingError> {
    let named = env::var_os("QUORATE_SERVER").map(PathBuf::from);
    let beside = env::current_exe().ok().into_iter().flat_map(|test| {
        // Tests are in `target/debug/deps`, examples in `target/debug/examples`.
        let folders = test.ancestors().skip(1).take(2).map(Path::to_owned);
        folders.map(|folder| folder.join(PROGRAM)).collect::<Vec<_>>()
    });
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).map(|folder| folder.join(PROGRAM)).collect::<Vec<_>>();
    let mut candidates: Vec<_> = named.iter().cloned().collect();
    if named.is_none() {
        candidates.extend(beside.chain(in_path));
    }
    let found = candidates.into_iter().find(|candidate| candidate.is_file());
    found.ok_or(TestingError::NoProgram { named })
}
