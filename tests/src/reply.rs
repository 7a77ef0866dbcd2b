//! Replies and events taken apart, so that two servers' answers can be compared field by field.

use quorate_protocol::{
    OpCode, Stat,
    codec::{Decode, DecodeError, Decoder},
};

use crate::{Frame, Op};

/// What a successful reply carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Empty,
    /// A path, alone or with the node's `Stat`.
    Path(String, Option<Stat>),
    /// A `Stat`.
    Stat(Stat),
    /// Data and `Stat`; in a multiRead too.
    Data(Option<Vec<u8>>, Stat),
    /// An ACL and the node's `Stat`.
    Acl(Vec<(i32, String, String)>, Stat),
    /// Names or paths, with the `Stat` of `getChildren2`.
    Names(Vec<String>, Option<Stat>),
    /// A number.
    Int(i32),
    /// Identities: scheme and user.
    Ids(Vec<(String, String)>),
    /// A SASL token.
    Token(Option<Vec<u8>>),
    /// The results of a multi: type, error and body of each.
    Results(Vec<(i32, i32, Body)>),
    /// An event: type, state and path.
    Event(i32, i32, String),
    /// Bytes that are not what the request's reply should be.
    Malformed(Vec<u8>),
}

/// A reply or event with its body taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The request's number; -1 for an event.
    pub xid: i32,
    /// The state it belongs to.
    pub zxid: i64,
    /// 0 or why there is no body.
    pub error: i32,
    /// What follows the header.
    pub body: Body,
}

impl Reply {
    /// The reply to a request of the number `op`, or an event.
    pub fn parse(frame: &Frame, op: i32) -> Self {
        let mut input = Decoder::new(&frame.body);
        let body = if frame.is_event() {
            event(&mut input)
        } else if frame.error == 0 || input.remaining() > 0 {
            // ZooKeeper answers a multiRead with a null path by an error and a body.
            reply_body(op, &mut input)
        } else {
            Ok(Body::Empty)
        };
        let whole = body.ok().filter(|_| input.remaining() == 0);
        let body = whole.unwrap_or_else(|| Body::Malformed(frame.body.clone()));
        Self { xid: frame.xid, zxid: frame.zxid, error: frame.error, body }
    }

    /// Every `Stat` within.
    pub fn stats_mut(&mut self) -> Vec<&mut Stat> {
        fn collect<'a>(body: &'a mut Body, into: &mut Vec<&'a mut Stat>) {
            match body {
                Body::Stat(stat)
                | Body::Path(_, Some(stat))
                | Body::Data(_, stat)
                | Body::Acl(_, stat)
                | Body::Names(_, Some(stat)) => into.push(stat),
                Body::Results(results) => {
                    for (_, _, body) in results {
                        collect(body, into);
                    }
                }
                _ => {}
            }
        }
        let mut stats = Vec::new();
        collect(&mut self.body, &mut stats);
        stats
    }
}

/// A shorthand for tests that expect one kind of answer.
impl Frame {
    /// The reply to `op`, taken apart.
    pub fn parse(&self, op: &Op) -> Reply {
        Reply::parse(self, op.code())
    }
}

fn reply_body(op: i32, input: &mut Decoder<'_>) -> Result<Body, DecodeError> {
    let Some(op) = OpCode::from_wire(op) else { return Ok(Body::Empty) };
    Ok(match op {
        OpCode::Create | OpCode::Sync => Body::Path(string(input)?, None),
        OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            Body::Path(string(input)?, Some(Stat::decode(input)?))
        }
        OpCode::Exists | OpCode::SetData | OpCode::SetAcl => Body::Stat(Stat::decode(input)?),
        OpCode::GetData | OpCode::Reconfig => data(input)?,
        OpCode::GetAcl => {
            let entry =
                |input: &mut Decoder<'_>| Ok((input.int()?, string(input)?, string(input)?));
            Body::Acl(vector(input, entry)?, Stat::decode(input)?)
        }
        OpCode::GetChildren | OpCode::GetEphemerals => Body::Names(vector(input, string)?, None),
        OpCode::GetChildren2 => Body::Names(vector(input, string)?, Some(Stat::decode(input)?)),
        OpCode::GetAllChildrenNumber | OpCode::AddWatch => Body::Int(input.int()?),
        OpCode::WhoAmI => Body::Ids(vector(input, |input| Ok((string(input)?, string(input)?)))?),
        OpCode::Sasl => Body::Token(input.buffer()?.map(<[u8]>::to_vec)),
        OpCode::Multi | OpCode::MultiRead => Body::Results(results(input)?),
        _ => Body::Empty,
    })
}

fn results(input: &mut Decoder<'_>) -> Result<Vec<(i32, i32, Body)>, DecodeError> {
    let mut results = Vec::new();
    loop {
        let (kind, done, error) = (input.int()?, input.boolean()?, input.int()?);
        if done {
            return Ok(results);
        }
        let body = if kind == -1 { Body::Int(input.int()?) } else { reply_body(kind, input)? };
        results.push((kind, error, body));
    }
}

fn event(input: &mut Decoder<'_>) -> Result<Body, DecodeError> {
    Ok(Body::Event(input.int()?, input.int()?, string(input)?))
}

fn data(input: &mut Decoder<'_>) -> Result<Body, DecodeError> {
    let data = input.buffer()?.map(<[u8]>::to_vec);
    Ok(Body::Data(data, Stat::decode(input)?))
}

fn string(input: &mut Decoder<'_>) -> Result<String, DecodeError> {
    Ok(input.required_ustring("a string of a reply")?.into_owned())
}

fn vector<T>(
    input: &mut Decoder<'_>,
    element: impl Fn(&mut Decoder<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = input.vector_len(4)?.unwrap_or(0);
    (0..count).map(|_| element(input)).collect()
}
