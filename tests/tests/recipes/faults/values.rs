//! Counters and shared values with a fault at each of their requests.

use bytes::Bytes;
use quorate_client::{
    Client, Error,
    recipes::shared::{Counter, SharedValue, TrySet, Value},
};

use super::{Fault, KINDS, at_each_request, nothing};
use crate::with_each;

#[test]
fn a_counter_counts_each_change_at_most_once() {
    with_each(async |server| {
        let act = async |client: &Client| {
            let counter = Counter::new(client, "/a/counter").unwrap();
            [counter.add(1).await, counter.add(1).await, counter.add(1).await]
        };
        let check = async |client: &Client,
                           fault: Fault,
                           results: Option<[Result<_, Error>; 3]>| {
            let number = Counter::new(client, "/a/counter").unwrap().get().await.unwrap();
            let Some(results) = results else {
                assert!((0..=3).contains(&number), "{fault}: {number}");
                return;
            };
            let done = i64::try_from(results.iter().flatten().count()).unwrap();
            let mut unknown = 0;
            for error in results.iter().filter_map(|result| result.as_ref().err()) {
                unknown += i64::from(!error.surely_not_done());
            }
            assert!((done..=done + unknown).contains(&number), "{fault}: {number} of {results:?}");
            assert!(unknown <= 1, "{fault}: {results:?}");
        };
        at_each_request(&server, &KINDS, &["/a", "/a/counter"], nothing, act, check).await;
    });
}

#[test]
fn a_value_is_set_if_the_caller_is_told_so() {
    with_each(async |server| {
        let act = async |client: &Client| {
            let value = SharedValue::start(client, "/value", b"old").await?;
            let old = value.read().await?;
            value.try_set(&old, b"new").await
        };
        let check = async |client: &Client, fault: Fault, result: Option<Result<TrySet, Error>>| {
            let found = match client.get("/value").linearizable().await {
                Ok(node) => node.data,
                Err(error) => panic!("{fault}: {error}"),
            };
            match result {
                Some(Ok(TrySet::Set(value))) => assert_eq!(found, value.data, "{fault}"),
                Some(Ok(TrySet::Changed(value))) => panic!("{fault}: nobody else sets: {value:?}"),
                Some(Err(error)) => assert!(!error.surely_not_done(), "{fault}: {error}"),
                None => {}
            }
        };
        let prepare = async |client: &Client| drop(client.create("/value", b"old").await.unwrap());
        at_each_request(&server, &KINDS, &["/value"], prepare, act, check).await;
    });
}

#[test]
fn an_update_is_made_at_most_once() {
    with_each(async |server| {
        let act = async |client: &Client| {
            let value = SharedValue::start(client, "/value", b"").await?;
            let longer = |value: &Value| Bytes::from([&value.data[..], b"+"].concat());
            let first = value.update(longer).await?;
            value.wait_until(&first).await?;
            value.update(longer).await
        };
        let check = async |client: &Client, fault: Fault, result: Option<Result<Value, Error>>| {
            let found = match client.get("/value").linearizable().await {
                Ok(node) => node.data,
                Err(error) if error.is_no_node() && !matches!(result, Some(Ok(_))) => return,
                Err(error) => panic!("{fault}: {error}"),
            };
            assert!(["", "+", "++"].contains(&std::str::from_utf8(&found).unwrap()), "{fault}");
            match result {
                Some(Ok(value)) => assert_eq!((&found, &value.data), (&"++".into(), &found)),
                Some(Err(error)) => assert!(!error.surely_not_done(), "{fault}: {error}"),
                None => {}
            }
        };
        at_each_request(&server, &KINDS, &["/value"], nothing, act, check).await;
    });
}
