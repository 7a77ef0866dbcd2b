//! Deletion of a node with everything below it.

use std::collections::VecDeque;

use quorate_protocol::{OpCode, path};

use crate::{
    Client,
    error::{Error, ErrorKind},
};

/// How many nodes are deleted in one transaction, and how many lists are asked for at once.
const BATCH: usize = 500;

/// Deletes the children first. What others create meanwhile is deleted too; those who never stop
/// are given up at.
const ROUNDS: usize = 10;

pub(crate) async fn delete_recursive(client: &Client, path: &str) -> Result<(), Error> {
    let failed = |kind: ErrorKind| Error::new(kind).of(OpCode::Delete, Some(path));
    path::validate(path).map_err(|error| failed(error.into()))?;
    if path == "/" {
        return Err(failed(ErrorKind::BadArgument("the root cannot be deleted")));
    }
    for round in 1.. {
        let nodes = list(client, path).await?;
        match delete_all(client, &nodes).await {
            Err(error)
                if round < ROUNDS
                    && error.code() == Some(quorate_protocol::ErrorCode::NotEmpty) => {}
            done => return done,
        }
    }
    Ok(())
}

/// All nodes from `path` on, parents before their children.
async fn list(client: &Client, path: &str) -> Result<Vec<String>, Error> {
    let mut nodes = vec![path.to_owned()];
    let mut answers = VecDeque::new();
    let mut next = 0;
    loop {
        while next < nodes.len() && answers.len() < BATCH {
            answers.push_back((next, client.children(&nodes[next]).send()));
            next += 1;
        }
        let Some((parent, answer)) = answers.pop_front() else { return Ok(nodes) };
        match answer.await {
            Ok(children) => {
                let parent = nodes[parent].clone();
                nodes.extend(children.names.iter().map(|name| format!("{parent}/{name}")));
            }
            Err(error) if error.is_no_node() => {}
            Err(error) => return Err(error),
        }
    }
}

/// Deletes nodes from the last to the first, in batches: each a transaction, or one by one if
/// somebody else deletes too.
async fn delete_all(client: &Client, nodes: &[String]) -> Result<(), Error> {
    for batch in nodes.rchunks(BATCH) {
        let multi = batch.iter().rev().fold(client.multi(), |multi, node| multi.delete(node, -1));
        match multi.repeatable().await {
            Ok(_) => continue,
            Err(error) if error.is_no_node() => {}
            Err(error) if matches!(error.kind(), ErrorKind::TooLarge { .. }) => {}
            Err(error) => return Err(error),
        }
        let answers: Vec<_> =
            batch.iter().rev().map(|node| client.delete(node).repeatable().send()).collect();
        for answer in answers {
            match answer.await {
                Err(error) if !error.is_no_node() => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}
