//! One server, told by hand what happens; what it says, as text.

use quorate_protocol::Zxid;

use crate::{
    storage::log::Epochs,
    zab::{
        Configs, Configuration, Effect, Features, History, Input, LinkId, Member, Message,
        Position, Record, Role, ServerId, Settings, SyncPlan, Vouch, Zab,
        election::{Notification, PeerState, Vote},
    },
};

/// Server 2 of three, whose log becomes durable at once unless it is held.
pub(super) struct Solo {
    pub(super) zab: Zab,
    pub(super) now_ms: i64,
    pub(super) holds: bool,
    round: i64,
    appended: Position,
    durable: Position,
    vouched: Vec<(Position, LinkId, Vouch)>,
    said: Vec<String>,
}

pub(super) fn z(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(epoch, counter)
}

impl Solo {
    /// With transactions up to these, and in the epoch of the last of them.
    pub(super) fn new(ends: &[Zxid]) -> Self {
        Self::with_servers(ends, "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2")
    }

    pub(super) fn with_servers(ends: &[Zxid], servers: &str) -> Self {
        Self::with_configs(ends, Configs::new(Configuration::parse(servers).unwrap(), false))
    }

    pub(super) fn with_configs(ends: &[Zxid], configs: Configs) -> Self {
        let epoch = ends.last().map_or(0, |end| end.epoch());
        let epochs = Epochs::from_ends(Zxid::ZERO, ends.to_vec()).unwrap();
        let committed = Zxid::ZERO;
        let settings = Settings {
            server: ServerId(2),
            tick_ms: 100,
            init_limit: 10,
            sync_limit: 5,
            roll_over: 1000,
            observer_masters: false,
        };
        let zab = Zab::new(settings, History::new(epoch, epoch, epochs, committed, configs));
        Self {
            zab,
            now_ms: 0,
            holds: false,
            round: 1,
            appended: Position(0),
            durable: Position(0),
            vouched: Vec::new(),
            said: Vec::new(),
        }
    }

    /// Tells the server something; what it says to that.
    pub(super) fn tell(&mut self, input: Input<'_>) -> Vec<String> {
        let mut effects = Vec::new();
        self.zab.step(self.now_ms, input, &mut effects);
        for effect in &effects {
            self.perform(effect);
        }
        if !self.holds {
            self.sync();
        }
        std::mem::take(&mut self.said)
    }

    /// Makes the log durable.
    pub(super) fn sync(&mut self) {
        while self.durable < self.appended {
            self.durable = self.appended;
            let ready = |(after, ..): &(Position, LinkId, Vouch)| *after <= self.durable;
            let count = self.vouched.iter().take_while(|vouched| ready(vouched)).count();
            for (_, link, vouch) in self.vouched.drain(..count).collect::<Vec<_>>() {
                self.say_vouch(link, vouch);
            }
            let mut effects = Vec::new();
            let position = self.durable;
            self.zab.step(self.now_ms, Input::Durable { position }, &mut effects);
            for effect in &effects {
                self.perform(effect);
            }
        }
    }

    /// What became durable and was said since.
    pub(super) fn synced(&mut self) -> Vec<String> {
        self.sync();
        std::mem::take(&mut self.said)
    }

    pub(super) fn hears(&mut self, link: u64, message: Message<'_>) -> Vec<String> {
        self.tell(Input::Message { link: LinkId(link), message })
    }

    /// Time passes.
    pub(super) fn wait(&mut self, ms: i64) -> Vec<String> {
        let mut said = Vec::new();
        for _ in 0..ms / 50 {
            self.now_ms += 50;
            said.extend(self.tell(Input::Tick { log_waits_ms: 0 }));
        }
        said
    }

    /// A learner connects and says who it is.
    pub(super) fn joins(
        &mut self,
        link: u64,
        server: i64,
        member: Member,
        accepted_epoch: u32,
        features: Features,
    ) -> Vec<String> {
        let mut said = self.tell(Input::Accepted { link: LinkId(link) });
        let server = ServerId(server);
        let info =
            Message::LearnerInfo { server, member, accepted_epoch, config_version: 0, features };
        said.extend(self.hears(link, info));
        said
    }

    fn notification(&mut self, from: i64, state: PeerState, vote: Vote) -> Vec<String> {
        let notification = Notification { state, vote, round: self.round, config: Vec::new() };
        self.tell(Input::Notification { from: ServerId(from), notification })
    }

    /// The others elect a server.
    pub(super) fn elect(&mut self, leader: i64) -> Vec<String> {
        let history = self.zab.history();
        let (zxid, epoch) = (history.last(), history.current_epoch());
        let zxid = if leader == 2 { zxid } else { Zxid(zxid.0 + 100) };
        let vote = Vote { leader: ServerId(leader), zxid, epoch };
        let mut said = self.tell(Input::Tick { log_waits_ms: 0 });
        self.round += 10;
        for other in [1, 3] {
            said.extend(self.notification(other, PeerState::Looking, vote));
        }
        said
    }

    /// The others turn to another leader.
    pub(super) fn turn_to(&mut self, leader: i64) -> Vec<String> {
        let vote = Vote { leader: ServerId(leader), zxid: z(9, 9), epoch: 9 };
        let mut said = self.notification(1, PeerState::Looking, vote);
        said.extend(self.notification(3, PeerState::Looking, vote));
        said
    }

    fn say(&mut self, what: String) {
        self.said.push(what);
    }

    fn say_vouch(&mut self, link: LinkId, vouch: Vouch) {
        let message = match vouch {
            Vouch::LeaderInfo { epoch } => Message::LeaderInfo { epoch, features: Features::ALL },
            Vouch::AckEpoch { current_epoch, last } => Message::AckEpoch { current_epoch, last },
            Vouch::Ack { zxid, .. } => Message::Ack { zxid },
        };
        self.say(format!("{} {}", link.0, text(&message)));
    }

    fn perform(&mut self, effect: &Effect<'_>) {
        let said = match *effect {
            Effect::Wake { .. } | Effect::Notify { .. } | Effect::Configured => return,
            Effect::SendNewLeader { link, epoch, newest } => {
                match self.zab.configs().of_new_leader(newest).version {
                    0 => format!("{} NEWLEADER {epoch}", link.0),
                    version => {
                        format!("{} NEWLEADER {epoch}, servers of {}", link.0, show(Zxid(version)))
                    }
                }
            }
            Effect::SendActivation { link, zxid, leader, observes } => {
                let kind = if observes { "INFORMANDACTIVATE" } else { "COMMITANDACTIVATE" };
                format!("{} {kind} {} {leader}", link.0, show(zxid))
            }
            Effect::Connect { leader } => format!("connect {leader}"),
            Effect::Close { link } => format!("close {}", link.0),
            Effect::Send { link, message } => format!("{} {}", link.0, text(&message)),
            Effect::SendDurable { after, link, message } => {
                if after > self.durable || !self.vouched.is_empty() {
                    self.vouched.push((after, link, message));
                } else {
                    self.say_vouch(link, message);
                }
                return;
            }
            Effect::Append { position, ref record } => {
                assert_eq!(position.0, self.appended.0 + 1);
                self.appended = position;
                match record {
                    Record::AcceptedEpoch(epoch) => format!("log accepted {epoch}"),
                    Record::CurrentEpoch(epoch) => format!("log current {epoch}"),
                    Record::Configuration(bytes) => {
                        format!("log configuration {}", bytes.escape_ascii())
                    }
                    Record::Transaction { zxid, .. } => format!("log {}", show(*zxid)),
                }
            }
            Effect::Truncate { to } => format!("cut {}", show(to)),
            Effect::InstallSnapshot { link } => format!("install {}", link.0),
            Effect::Become(role) => match role {
                Role::Looking { planned: false } => "looking".to_owned(),
                Role::Looking { planned: true } => "looking as planned".to_owned(),
                Role::Leading { epoch } => format!("leading {epoch}"),
                Role::Draining => "draining".to_owned(),
                Role::Following { leader, epoch, member: Member::Participant, .. } => {
                    format!("following {leader} in {epoch}")
                }
                Role::Following { leader, epoch, member: Member::Observer, .. } => {
                    format!("observing {leader} in {epoch}")
                }
            },
            Effect::Commit { upto } => format!("commit {}", show(upto)),
            Effect::Synchronize { link, plan, until } => {
                let plan = match plan {
                    SyncPlan::Diff { after } => format!("DIFF behind {}", show(after)),
                    SyncPlan::Trunc { to } => format!("TRUNC to {}", show(to)),
                    SyncPlan::Snap => "SNAP".to_owned(),
                };
                format!("{} {plan} until {}", link.0, show(until))
            }
            Effect::SendWindow { link, after, upto } => {
                format!("{} PROPOSALs behind {} up to {}", link.0, show(after), show(upto))
            }
            Effect::SendProposals { link } => format!("{} PROPOSALs", link.0),
            Effect::SendCommits { link, after, upto, cumulative } => {
                let each = if cumulative { "COMMIT" } else { "COMMITs" };
                format!("{} {each} behind {} up to {}", link.0, show(after), show(upto))
            }
            Effect::SendInforms { link, after, upto } => {
                format!("{} INFORMs behind {} up to {}", link.0, show(after), show(upto))
            }
            Effect::AnswerPing { link, round } => format!("{} PING {round}", link.0),
            Effect::SessionsHeard { link, .. } => format!("{} heard", link.0),
            Effect::Confirmed { ticket } => format!("confirmed {ticket}"),
            Effect::Halt(why) => format!("halt: {why}"),
        };
        self.say(said);
    }

    /// Transactions that this server as the leader has put into its log.
    pub(super) fn proposes(&mut self, last: Zxid, count: u64) -> Vec<String> {
        self.appended.0 += count;
        self.tell(Input::Proposed { last, count, reconfig: None })
    }

    /// A transaction that this server as the leader has put into its log, with other servers.
    pub(super) fn proposes_servers(&mut self, next: Configuration) -> Vec<String> {
        self.appended.0 += 1;
        let last = Zxid(next.version);
        self.tell(Input::Proposed { last, count: 1, reconfig: Some(next) })
    }

    pub(super) fn caught_up(&mut self, link: u64, upto: Zxid) -> Vec<String> {
        self.tell(Input::CaughtUp { link: LinkId(link), upto })
    }
}

fn show(zxid: Zxid) -> String {
    if zxid < Zxid::ZERO {
        return zxid.0.to_string();
    }
    format!("{}:{}", zxid.epoch(), zxid.counter())
}

fn text(message: &Message<'_>) -> String {
    match *message {
        Message::LearnerInfo { member: Member::Participant, accepted_epoch, .. } => {
            format!("FOLLOWERINFO {accepted_epoch}")
        }
        Message::LearnerInfo { member: Member::Observer, accepted_epoch, .. } => {
            format!("OBSERVERINFO {accepted_epoch}")
        }
        Message::LeaderInfo { epoch, .. } => format!("LEADERINFO {epoch}"),
        Message::AckEpoch { current_epoch: Some(epoch), last } => {
            format!("ACKEPOCH {epoch} {}", show(last))
        }
        Message::AckEpoch { current_epoch: None, last } => format!("ACKEPOCH -1 {}", show(last)),
        Message::NewLeader { epoch, .. } => format!("NEWLEADER {epoch}"),
        Message::UpToDate => "UPTODATE".to_owned(),
        Message::Ack { zxid } => format!("ACK {}", show(zxid)),
        Message::Ping { round, .. } => format!("PING {round}"),
        Message::HandOver { to } => format!("HANDOVER {to}"),
        Message::Diff { .. }
        | Message::Trunc { .. }
        | Message::Snap { .. }
        | Message::Proposal { .. }
        | Message::Commit { .. }
        | Message::CommitAndActivate { .. }
        | Message::InformAndActivate { .. }
        | Message::Inform { .. } => unreachable!("said by other effects"),
    }
}
