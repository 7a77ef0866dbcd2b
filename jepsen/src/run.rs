//! A run from beginning to end: start, clients and faults, healing, what remains.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    client::{Client, Shared},
    clock::Clock,
    ensemble::{Ensemble, SYNC_LIMIT, TICK},
    history::{Fault, Op, Operation, Phase, Recorder, Reply, Settings},
    nemesis,
    target::Target,
    workload::{self, Step},
};

/// How long servers may take to serve, in the beginning and when all faults are healed.
const SERVING: Duration = Duration::from_mins(1);

/// How long the clients go on when all is healed, to see that it works.
const HEALED: Duration = Duration::from_secs(2);

/// Timeouts of sessions: clients of even and odd numbers differ.
const TIMEOUTS: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(2)];

/// How long the last reads may take, all servers together.
const FINAL_READS: Duration = Duration::from_mins(1);

/// Reads that are sent together in the end.
const BATCH: usize = 50;

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What serves.
    pub target: Target,
    /// How many servers.
    pub servers: usize,
    /// What the clients do.
    pub workload: workload::Kind,
    /// The faults, and how the user called them.
    pub nemesis: (Vec<nemesis::Kind>, String),
    /// How long clients and faults go on.
    pub time: Duration,
    /// What everything random follows from.
    pub seed: u64,
    /// How many clients.
    pub clients: usize,
    /// Steps of all clients together in a second; each may be several requests.
    pub rate: f64,
    /// The folder for the history and the servers; it has to be there.
    pub dir: PathBuf,
}

/// What a run has left.
#[derive(Debug)]
pub struct Traces {
    /// The history's file.
    pub history: PathBuf,
    /// What the servers said.
    pub logs: Vec<PathBuf>,
    /// What went wrong besides what the history shows: servers that ended by themselves or did
    /// not come back.
    pub trouble: Option<anyhow::Error>,
}

/// Runs it. An error means that there is nothing to judge; the processes have ended either way.
pub async fn run(options: &Options) -> anyhow::Result<Traces> {
    let path = options.dir.join("history.jsonl");
    let settings = Settings {
        target: options.target.kind(),
        servers: options.servers,
        workload: options.workload,
        nemesis: options.nemesis.1.clone(),
        seed: options.seed,
        tick_ms: u64::try_from(TICK.as_millis()).expect("a tick is short"),
        sync_limit: SYNC_LIMIT,
    };
    ensure!(options.servers % 2 == 1, "an even number of servers is not supported");
    let recorder = Recorder::create(&path, &settings)?;
    let mut ensemble = Ensemble::prepare(&options.target, options.servers, &options.dir).await?;
    let logs = ensemble.logs();
    for server in 0..ensemble.size() {
        ensemble.start(server)?;
    }
    ensemble.all_serve(SERVING).await.context("start")?;
    let clock = Clock::start();
    let servers = ensemble.network().clients().to_vec();
    let hopeless = AtomicBool::new(false);
    let shared = Arc::new(Shared { clock, recorder, servers, hopeless });
    set_up(options, &shared).await?;

    let mut crew = Crew::hire(options, &shared);
    let outcome = under_faults(options, &mut ensemble, &shared, &crew).await;
    if outcome.is_err() {
        shared.hopeless.store(true, Ordering::Relaxed);
    }
    let read = if outcome.is_ok() { read_all(options, &shared).await } else { Ok(()) };
    crew.dismiss().await;
    shared.recorder.finish()?;
    Ok(Traces { history: path, logs, trouble: outcome.and(read).err() })
}

/// Creates what has to be there.
async fn set_up(options: &Options, shared: &Arc<Shared>) -> anyhow::Result<()> {
    let mut client = Client::new(Arc::clone(shared), options.clients, 0, TIMEOUTS[0]);
    client.phase = Phase::Setup;
    let created = client.perform(options.workload.setup()).await;
    ensure!(created.iter().all(Operation::is_ok), "set-up failed: {created:?}");
    client.perform(vec![Op::Close]).await;
    Ok(())
}

/// Clients and faults, until all is healed and settled.
async fn under_faults(
    options: &Options,
    ensemble: &mut Ensemble,
    shared: &Shared,
    crew: &Crew,
) -> anyhow::Result<()> {
    let planned = nemesis::plan(&options.nemesis.0, options.time, options.seed);
    let faults =
        nemesis::perform(ensemble, &planned, options.time, shared.clock, &shared.recorder).await;
    faults?;
    ensemble.all_serve(SERVING).await.context("after all faults were healed")?;
    let what = "all servers serve".to_owned();
    shared.recorder.fault(Fault { at: shared.clock.now(), what, begins: false });
    sleep(HEALED).await;
    crew.stop_working();
    if options.workload.expires_sessions() {
        // Sessions that were left alone have to be gone when the last reads come.
        sleep(TIMEOUTS[0] + Duration::from_secs(4)).await;
    }
    ensemble.check()
}

/// Reads everything from each server.
async fn read_all(options: &Options, shared: &Arc<Shared>) -> anyhow::Result<()> {
    let reads = async {
        for server in 0..options.servers {
            let number = options.clients + 1 + server;
            let mut client = Client::at(Arc::clone(shared), number, server, TIMEOUTS[0]);
            client.phase = Phase::Final;
            for parent in options.workload.parents() {
                read_below(&mut client, parent).await;
            }
            client.perform(vec![Op::Close]).await;
        }
    };
    timeout(FINAL_READS, reads).await.context("the last reads took too long")
}

/// Reads a parent's children and their values.
async fn read_below(client: &mut Client, parent: String) {
    let names = loop {
        let reads = vec![Op::Sync, Op::Children { path: parent.clone() }];
        let answers = client.perform(reads).await;
        if let Some(Reply::Names { names, .. }) = answers.last().and_then(|last| last.reply()) {
            break names.clone();
        }
    };
    for batch in names.chunks(BATCH) {
        let gets = batch.iter().map(|name| Op::Get { path: format!("{parent}/{name}") });
        let reads: Vec<_> = std::iter::once(Op::Sync).chain(gets).collect();
        while !client.perform(reads.clone()).await.iter().all(|read| read.returned.is_some()) {}
    }
}

/// What clients are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Go on with the workload.
    Work,
    /// Keep the session alive and do nothing else.
    Hold,
    /// End.
    End,
}

/// The clients at work.
#[derive(Debug)]
struct Crew {
    orders: watch::Sender<Order>,
    tasks: JoinSet<()>,
}

impl Crew {
    fn hire(options: &Options, shared: &Arc<Shared>) -> Self {
        let orders = watch::Sender::new(Order::Work);
        let mut tasks = JoinSet::new();
        let mut rng = fastrand::Rng::with_seed(options.seed);
        for number in 0..options.clients {
            let timeout = TIMEOUTS[number % TIMEOUTS.len()];
            let client = Client::new(Arc::clone(shared), number, rng.u64(..), timeout);
            let generator = options.workload.client(number, options.seed);
            #[expect(clippy::cast_precision_loss, reason = "there are few clients")]
            let pause = Duration::from_secs_f64(options.clients as f64 / options.rate);
            tasks.spawn(work(client, generator, pause, rng.fork(), orders.subscribe()));
        }
        Self { orders, tasks }
    }

    /// Lets the clients keep their sessions alive and do nothing else.
    fn stop_working(&self) {
        self.orders.send_replace(Order::Hold);
    }

    /// Waits until all clients have ended. They end by themselves, so that no request is left
    /// out of the history.
    async fn dismiss(&mut self) {
        self.orders.send_replace(Order::End);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn work(
    mut client: Client,
    mut generator: Box<dyn workload::Generator>,
    pause: Duration,
    mut rng: fastrand::Rng,
    mut orders: watch::Receiver<Order>,
) {
    loop {
        let order = *orders.borrow_and_update();
        match order {
            Order::End => return,
            Order::Hold => {
                if client.session().is_some() {
                    client.perform(vec![Op::Ping]).await;
                }
            }
            Order::Work => match generator.next() {
                Step::Send(ops) => {
                    for operation in client.perform(ops).await {
                        generator.observe(&operation);
                    }
                }
                Step::Move => client.disconnect(),
                Step::Away(share) => {
                    client.disconnect();
                    sleep(client.timeout().mul_f64(share)).await;
                }
                Step::Abandon => client.forget(),
            },
        }
        // Half of the pauses are shorter; none is long for a session.
        let pause = pause.mul_f64(2.0 * rng.f64()).min(TIMEOUTS[1] / 4);
        let _ = timeout(pause, orders.changed()).await;
    }
}

/// A folder for a run that stays.
pub fn lasting_folder(wanted: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(dir) = wanted {
        std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        // Servers run in folders of their own.
        return dir.canonicalize().with_context(|| format!("find {}", dir.display()));
    }
    let dir = tempfile::Builder::new().prefix("quorate-jepsen-").tempdir();
    Ok(dir.context("create a folder")?.keep())
}
