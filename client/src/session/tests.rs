//! The state machine alone: inputs and times in, effects out.

use std::io;

use super::*;

const SECOND: Time = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(9);

const fn ms(ms: u64) -> Time {
    Duration::from_millis(ms)
}

fn settings() -> Settings {
    Settings {
        timeout: TIMEOUT,
        read_only: false,
        reopen: true,
        patience: Duration::from_secs(30),
        proves: false,
        resume: None,
    }
}

fn endpoint(number: u8) -> Endpoint {
    Endpoint { name: "zk".into(), addr: ([10, 0, 0, number], 2181).into(), rank: 0 }
}

fn granted(session: i64) -> ConnectResponse {
    ConnectResponse {
        timeout_ms: 6000,
        session_id: SessionId(session),
        passwd: [7; 16],
        ..ConnectResponse::refusal(Some(false))
    }
}

fn read_only(session: i64) -> ConnectResponse {
    ConnectResponse { read_only: Some(true), ..granted(session) }
}

fn broken() -> Input {
    Input::Failed(Disconnect::Broken(io::ErrorKind::ConnectionReset.into()))
}

/// A session under test, and the time.
struct World {
    session: Session,
    now: Time,
    servers: u8,
}

impl World {
    fn new(settings: Settings, servers: u8) -> Self {
        Self { session: Session::new(settings, 7), now: Time::ZERO, servers }
    }

    /// The effects of an input, in short.
    fn step(&mut self, input: Input) -> Vec<String> {
        let mut effects = Vec::new();
        self.session.step(self.now, input, &mut effects);
        effects.iter().map(short).collect()
    }

    /// Lets time pass to the next deadline.
    fn timer(&mut self) -> Vec<String> {
        self.now = self.now.max(self.session.deadline().expect("something is awaited"));
        self.step(Input::Timer)
    }

    fn resolved(&mut self) -> Vec<String> {
        let endpoints = (1..=self.servers).map(endpoint).collect();
        self.step(Input::Resolved(endpoints))
    }

    /// From a pause or the beginning to the server's first record.
    fn reach_server(&mut self) -> Vec<String> {
        if matches!(self.session.phase, Phase::Resting { .. }) {
            while !matches!(self.session.phase, Phase::Resolving) {
                self.timer();
            }
        }
        self.resolved();
        self.step(Input::Connected)
    }

    fn up(settings: Settings, servers: u8) -> Self {
        let mut world = Self::new(settings, servers);
        assert_eq!(world.step(Input::Start), ["resolve"]);
        assert_eq!(world.reach_server(), ["greet 0x0"]);
        let effects = world.step(Input::Answered(granted(1)));
        assert_eq!(effects, ["session 1", "restore", "open", "Connected"]);
        world
    }

    fn hear(&mut self) {
        self.session.heard(self.now);
    }
}

fn short(effect: &Effect) -> String {
    match effect {
        Effect::Resolve => "resolve".into(),
        Effect::Connect(endpoint) => format!("connect {}", endpoint.addr.ip()),
        Effect::Greet(greeting) => format!("greet {}", greeting.session),
        Effect::Prove => "prove".into(),
        Effect::Restore => "restore".into(),
        Effect::Open => "open".into(),
        Effect::Ping => "ping".into(),
        Effect::Probe(endpoint) => format!("probe {}", endpoint.addr.ip()),
        Effect::Disconnect(_) => "disconnect".into(),
        Effect::GiveUpCalls => "give up".into(),
        Effect::LoseSession => "lose".into(),
        Effect::NewSession(number) => format!("session {number}"),
        Effect::Publish(status) => format!("{:?}", status.state),
        Effect::End(_) => "end".into(),
    }
}

#[test]
fn an_idle_session_is_kept_alive_and_a_silent_connection_is_dropped() {
    let mut world = World::up(settings(), 1);
    for round in 1..=3 {
        assert_eq!(world.timer(), ["ping"]);
        assert_eq!(world.now, 2 * SECOND * round);
        world.hear();
    }
    assert_eq!(world.timer(), ["ping"]);
    // Nothing is heard from 6 s on.
    assert_eq!(world.timer(), ["disconnect", "Suspended"]);
    assert_eq!(world.now, 10 * SECOND);
}

#[test]
fn an_identity_is_proved_before_a_connection_is_used() {
    let mut world = World::new(Settings { proves: true, ..settings() }, 3);
    world.step(Input::Start);
    world.reach_server();
    assert_eq!(world.step(Input::Answered(granted(1))), ["session 1", "prove"]);
    assert_eq!(world.session.status().server, None);
    // It takes too long; the session is there already.
    assert_eq!(world.timer()[0], "disconnect");
    assert_eq!(world.step(Input::Connected), ["greet 0x1"]);
    assert_eq!(world.step(Input::Answered(granted(1))), ["prove"]);
    assert_eq!(world.step(Input::Proved), ["restore", "open", "Connected"]);
    assert!(world.session.status().server.is_some());
    assert_eq!(world.step(broken()), ["disconnect", "Suspended"]);
    assert_eq!(world.session.status().server, None);
    world.reach_server();
    world.step(Input::Answered(granted(1)));
    let refused = world.step(Input::Failed(Disconnect::AuthFailed));
    assert_eq!(refused, ["end"]);
}

#[test]
fn servers_of_a_lower_rank_come_first() {
    let mut world = World::up(settings(), 1);
    world.step(broken());
    world.timer();
    // The last connection was to 1, which comes last only among its equals.
    let endpoints =
        (0..5).map(|number| Endpoint { rank: u16::from(number / 2), ..endpoint(number) });
    let mut tried = world.step(Input::Resolved(endpoints.collect()));
    for _ in 0..4 {
        tried.extend_from_slice(&world.step(broken())[1..]);
    }
    assert_eq!(tried[..2], ["connect 10.0.0.0", "connect 10.0.0.1"]);
    assert_eq!(tried[4], "connect 10.0.0.4");
}

#[test]
fn a_session_is_carried_on_with_on_another_server() {
    let mut world = World::up(settings(), 3);
    world.session.seen(Zxid(5));
    world.now = 2 * SECOND;
    assert_eq!(world.step(broken()), ["disconnect", "Suspended"]);
    assert!(world.session.deadline().unwrap() <= 2 * SECOND + ms(50), "at once");
    assert_eq!(world.reach_server(), ["greet 0x1"]);
    let effects = world.step(Input::Answered(granted(1)));
    assert_eq!(effects, ["restore", "open", "Reconnected"]);
    assert_eq!(world.session.status().session_number, 1);
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_does_not_cost_the_session() {
    let mut world = World::up(settings(), 1);
    world.now = 2 * SECOND;
    world.hear();
    world.step(broken());
    assert_eq!(world.reach_server(), ["greet 0x1"]);
    // It hangs; the next attempt finds it awake.
    assert_eq!(world.timer(), ["disconnect"]);
    assert_eq!(world.reach_server(), ["greet 0x1"]);
    assert_eq!(world.step(Input::Answered(granted(1))), ["restore", "open", "Reconnected"]);
}

#[test]
fn all_servers_are_tried_before_a_pause_and_the_last_one_at_the_end() {
    let mut world = World::up(settings(), 3);
    let Phase::Up { endpoint, .. } = &world.session.phase else { panic!("it is up") };
    let last = format!("connect {}", endpoint.addr.ip());
    world.now = 2 * SECOND;
    world.step(broken());
    world.timer();
    let mut tried = world.resolved();
    for _ in 0..2 {
        let effects = world.step(broken());
        assert_eq!(effects[0], "disconnect");
        tried.extend_from_slice(&effects[1..]);
    }
    assert_eq!((tried.len(), tried.last()), (3, Some(&last)));
    assert_eq!(world.step(broken()), ["disconnect"]);
    // Pauses grow from round to round.
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let begin = world.now;
        while !matches!(world.session.phase, Phase::Resolving) {
            world.timer();
        }
        pauses.push(world.now.abs_diff(begin));
        world.resolved();
        for _ in 0..3 {
            world.step(broken());
        }
    }
    assert!(pauses[0] >= ms(25) && pauses[0] <= ms(100), "{pauses:?}");
    assert!(pauses[11] >= ms(2500) && pauses[11] <= ms(5000), "{pauses:?}");
}

#[test]
fn an_attempt_that_hangs_is_given_up() {
    let mut world = World::new(settings(), 3);
    world.step(Input::Start);
    world.resolved();
    let effects = world.timer();
    assert_eq!((&*effects[0], effects.len()), ("disconnect", 2));
    assert_eq!(world.now, 3 * SECOND, "all servers together get one timeout");
    world.step(Input::Connected);
    let effects = world.timer();
    assert_eq!((&*effects[0], effects.len()), ("disconnect", 2));
}

#[test]
fn the_client_gives_a_session_up_by_its_own_clock() {
    let mut world = World::up(settings(), 1);
    world.now = SECOND;
    world.hear();
    world.step(broken());
    let mut effects = Vec::new();
    while effects.is_empty() || !effects.contains(&"lose".to_owned()) {
        if matches!(world.session.phase, Phase::Resolving) {
            world.step(Input::Unresolved(Disconnect::Unresolved(None)));
        }
        effects = world.timer();
    }
    assert_eq!(&effects[..2], ["lose", "Lost"]);
    assert_eq!(world.now, 7 * SECOND, "the timeout after it was last heard");
    // It is never named again.
    if matches!(world.session.phase, Phase::Resolving) {
        world.resolved();
        assert_eq!(world.step(Input::Connected), ["greet 0x0"]);
    } else {
        assert_eq!(world.reach_server(), ["greet 0x0"]);
    }
    let effects = world.step(Input::Answered(granted(2)));
    assert_eq!(effects, ["session 2", "restore", "open", "Reconnected"]);
}

#[test]
fn a_greeting_under_way_does_not_outlast_the_session_it_names() {
    let mut world = World::up(settings(), 1);
    world.now = 4 * SECOND;
    world.step(broken());
    world.reach_server();
    let effects = world.timer();
    assert_eq!(effects, ["lose", "Lost", "disconnect"]);
    assert!(world.step(Input::Answered(granted(1))).is_empty(), "it is too late");
}

#[test]
fn a_server_that_knows_no_such_session_ends_it() {
    let mut world = World::up(settings(), 1);
    world.step(broken());
    world.reach_server();
    let refused = Input::Answered(ConnectResponse::refusal(Some(false)));
    assert_eq!(world.step(refused), ["lose", "Lost", "disconnect"]);

    let mut world = World::up(settings(), 1);
    world.step(broken());
    world.reach_server();
    // A server that opens another one instead.
    let effects = world.step(Input::Answered(granted(2)));
    assert_eq!(effects, ["lose", "Lost", "session 2", "restore", "open", "Reconnected"]);

    let mut world = World::up(Settings { reopen: false, ..settings() }, 1);
    world.step(broken());
    world.reach_server();
    let refused = Input::Answered(ConnectResponse::refusal(Some(false)));
    assert_eq!(world.step(refused), ["lose", "Lost", "end"]);
    assert_eq!(world.session.deadline(), None);
}

#[test]
fn calls_are_given_up_when_an_outage_lasts_too_long() {
    let mut world = World::up(Settings { patience: ms(700), ..settings() }, 1);
    world.step(broken());
    let mut effects = Vec::new();
    while !effects.contains(&"give up".to_owned()) {
        if matches!(world.session.phase, Phase::Resolving) {
            world.step(Input::Unresolved(Disconnect::Unresolved(None)));
        }
        effects = world.timer();
    }
    assert_eq!(world.now, ms(700));
    // Without patience they are at once.
    let mut world = World::up(Settings { patience: Time::ZERO, ..settings() }, 1);
    assert_eq!(world.step(broken()), ["disconnect", "Suspended", "give up"]);
}

#[test]
fn a_silent_server_costs_a_share_of_the_time_that_calls_wait() {
    let mut world = World::new(Settings { patience: 4 * SECOND, ..settings() }, 4);
    world.step(Input::Start);
    assert_eq!(world.resolved().len(), 1);
    let next = world.timer();
    assert_eq!(world.now, SECOND);
    assert!(next.iter().any(|effect| effect.starts_with("connect ")), "{next:?}");
}

#[test]
fn a_server_that_can_only_read_is_left_for_one_that_can_write() {
    let mut world = World::new(Settings { read_only: true, ..settings() }, 2);
    world.step(Input::Start);
    world.reach_server();
    let effects = world.step(Input::Answered(read_only(1)));
    assert_eq!(effects, ["session 1", "restore", "open", "ReadOnly"]);
    let probed = world.timer();
    let Phase::Up { endpoint: at, .. } = &world.session.phase else { panic!("it is up") };
    let other = if at.addr == endpoint(1).addr { endpoint(2) } else { endpoint(1) };
    assert_eq!(probed, [format!("probe {}", other.addr.ip())]);
    let nothing = world.step(Input::Probed { endpoint: other.clone(), writes: false });
    assert!(nothing.is_empty());
    assert_eq!(world.timer(), probed);
    let effects = world.step(Input::Probed { endpoint: other.clone(), writes: true });
    assert_eq!(effects, ["disconnect", "Suspended"]);
    world.timer();
    assert_eq!(world.resolved(), [format!("connect {}", other.addr.ip())]);
    // No server that can write has seen the session.
    assert_eq!(world.step(Input::Connected), ["greet 0x0"]);
    let effects = world.step(Input::Answered(granted(2)));
    assert_eq!(effects, ["session 2", "restore", "open", "Reconnected"]);
}

#[test]
fn an_identity_refused_is_the_end() {
    let mut world = World::up(settings(), 1);
    let effects = world.step(Input::Failed(Disconnect::AuthFailed));
    assert_eq!(effects, ["end"]);
    assert!(world.step(Input::Connected).is_empty());
    assert!(world.step(broken()).is_empty());
}

#[test]
fn what_comes_late_is_ignored() {
    let mut world = World::up(settings(), 1);
    assert!(world.step(Input::Connected).is_empty());
    assert!(world.step(Input::Answered(granted(9))).is_empty());
    assert!(world.resolved().is_empty());
    assert!(world.step(Input::Probed { endpoint: endpoint(1), writes: true }).is_empty());
    world.step(Input::Close);
    assert!(world.step(broken()).is_empty());
}

#[test]
fn a_server_that_drops_each_connection_is_not_hammered() {
    let mut world = World::up(settings(), 1);
    let mut attempts = 0;
    while world.now < 20 * SECOND {
        world.step(broken());
        world.reach_server();
        world.step(Input::Answered(granted(1)));
        attempts += 1;
    }
    assert!(attempts < 20, "{attempts} in 20 s");
}
