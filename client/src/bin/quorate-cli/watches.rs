//! The watches of a shell, and how their events are shown.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use quorate_client::{
    Client, Event, EventType, OneShot, State, WatchItem, WatchStream, WatcherType,
};
use tokio::sync::oneshot;
use tokio_stream::StreamExt;
use tokio_util::task::AbortOnDropHandle;

use crate::output::escape;

/// Shows lines while the shell may be waiting for input.
pub(crate) type Printer = Arc<dyn Fn(String) + Send + Sync>;

/// Watches that are set. They end with this.
pub(crate) struct Watches {
    set: Vec<Set>,
    states: Option<AbortOnDropHandle<()>>,
    show: Show,
}

/// Shows events, or does not.
#[derive(Clone)]
struct Show {
    printer: Printer,
    enabled: Arc<AtomicBool>,
}

/// Resolves when a watch is to end.
type End = oneshot::Receiver<()>;

struct Set {
    path: String,
    kind: WatcherType,
    /// Dropping it ends the watch.
    end: oneshot::Sender<()>,
    task: AbortOnDropHandle<()>,
}

impl Watches {
    pub(crate) fn new(printer: Printer) -> Self {
        let show = Show { printer, enabled: Arc::new(AtomicBool::new(true)) };
        Self { set: Vec::new(), states: None, show }
    }

    /// Whether events are shown.
    pub(crate) fn printing(&self) -> bool {
        self.show.enabled.load(Ordering::Relaxed)
    }

    pub(crate) fn set_printing(&self, printing: bool) {
        self.show.enabled.store(printing, Ordering::Relaxed);
    }

    /// Shows what becomes of a client's connection.
    pub(crate) fn follow(&mut self, client: &Client) {
        let (mut states, show) = (client.states(), self.show.clone());
        let task = tokio::spawn(async move {
            while let Some(state) = states.next().await {
                if let Some(name) = keeper_state(state) {
                    show.event(&format!("state:{name} type:None path:null zxid: -1"));
                }
            }
        });
        self.states = Some(AbortOnDropHandle::new(task));
    }

    /// Shows the event of a watch that tells one.
    pub(crate) fn add_one_shot(&mut self, path: &str, kind: WatcherType, watch: OneShot) {
        let show = self.show.clone();
        self.add(path, kind, async move |ended| {
            tokio::select! {
                // What has happened before the end is shown.
                biased;
                Ok(event) = watch => show.event(&event_text(&event)),
                _ = ended => {}
            }
        });
    }

    /// Shows the events of a stream.
    pub(crate) fn add_stream(&mut self, path: &str, kind: WatcherType, mut stream: WatchStream) {
        let show = self.show.clone();
        self.add(path, kind, async move |mut ended| {
            loop {
                let item = tokio::select! {
                    biased;
                    item = stream.next() => item,
                    _ = &mut ended => None,
                };
                match item {
                    Some(WatchItem::Event(event)) => show.event(&event_text(&event)),
                    Some(WatchItem::Resync { from, .. }) => show.event(&format!(
                        "events after zxid {from} may be missing, read the nodes again"
                    )),
                    None => break,
                }
            }
        });
    }

    fn add<F>(&mut self, path: &str, kind: WatcherType, task: impl FnOnce(End) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.set.retain(|set| !set.task.is_finished());
        let (end, ended) = oneshot::channel();
        let task = AbortOnDropHandle::new(tokio::spawn(task(ended)));
        self.set.push(Set { path: path.to_owned(), kind, end, task });
    }

    /// Ends the watches of a kind at a path; says whether there were any. Events that have arrived
    /// are shown.
    pub(crate) async fn remove(&mut self, path: &str, kind: WatcherType) -> bool {
        self.set.retain(|set| !set.task.is_finished());
        let meant = |set: &Set| set.path == path && (kind == WatcherType::Any || kind == set.kind);
        let (removed, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.set).into_iter().partition(meant);
        self.set = kept;
        let any = !removed.is_empty();
        end(removed).await;
        any
    }

    /// Ends all watches. Events that have arrived are shown.
    pub(crate) async fn clear(&mut self) {
        end(std::mem::take(&mut self.set)).await;
        self.states = None;
    }
}

async fn end(watches: Vec<Set>) {
    for Set { end, task, .. } in watches {
        drop(end);
        // One that has panicked has ended, too.
        let _ = task.await;
    }
}

impl Show {
    fn event(&self, text: &str) {
        if self.enabled.load(Ordering::Relaxed) {
            // `Compat:` the lines that zkCli shows, the empty ones included.
            (self.printer)(format!("\nWATCHER::\n\nWatchedEvent {text}\n"));
        }
    }
}

/// ZooKeeper's name of what happened.
pub(crate) fn event_name(kind: EventType) -> &'static str {
    match kind {
        EventType::NodeCreated => "NodeCreated",
        EventType::NodeDeleted => "NodeDeleted",
        EventType::NodeDataChanged => "NodeDataChanged",
        EventType::NodeChildrenChanged => "NodeChildrenChanged",
    }
}

fn event_text(event: &Event) -> String {
    let zxid = event.zxid.map_or(-1, |zxid| zxid.0);
    let (name, path) = (event_name(event.kind), escape::name(&event.path));
    format!("state:SyncConnected type:{name} path:{path} zxid: {zxid}")
}

/// The state's name in ZooKeeper's clients, if they tell it.
fn keeper_state(state: State) -> Option<&'static str> {
    match state {
        State::Connected | State::Reconnected => Some("SyncConnected"),
        State::ReadOnly => Some("ConnectedReadOnly"),
        State::Suspended => Some("Disconnected"),
        State::Lost => Some("Expired"),
        State::Closed => Some("Closed"),
        _ => None,
    }
}
