use super::*;

/// `call-return` in the order of the list's indices, and what was done.
fn event(index: usize, call: Nanos, returned: Option<Nanos>, write: Write<'_>) -> Event<'_> {
    Event { index, call, returned, write }
}

fn set(value: &str, version: i32) -> Write<'_> {
    Write::Set { value, expected: None, version: Some(version) }
}

fn cas(value: &str, expected: i32, version: Option<i32>) -> Write<'_> {
    Write::Set { value, expected: Some(expected), version }
}

fn read(value: &str, version: i32) -> Write<'_> {
    Write::Read { value, version }
}

fn search(events: &[Event<'_>]) -> Answer {
    search::search("0", events, 10_000)
}

fn has_none(answer: &Answer) -> bool {
    matches!(answer, Answer::None { .. })
}

#[test]
fn concurrent_writes_take_any_order_that_the_answers_allow() {
    let one = event(0, 0, Some(10), set("a", 2));
    let two = event(1, 1, Some(9), set("b", 1));
    let reads = [event(2, 11, Some(12), read("a", 2)), event(3, 2, Some(12), read("0", 0))];
    assert_eq!(
        search(&[one.clone(), two.clone(), reads[0].clone(), reads[1].clone()]),
        Answer::Found
    );
    let wrong = event(2, 11, Some(12), read("b", 2));
    assert!(has_none(&search(&[one, two, wrong])));
}

#[test]
fn a_stale_read_has_no_place() {
    let write = event(0, 0, Some(10), set("a", 1));
    assert_eq!(search(&[write.clone(), event(1, 5, Some(20), read("0", 0))]), Answer::Found);
    let stale = event(1, 11, Some(20), read("0", 0));
    assert!(has_none(&search(&[write, stale])));
}

#[test]
fn an_unanswered_write_happens_at_any_time_or_never() {
    let lost = event(0, 0, None, Write::Set { value: "x", expected: None, version: None });
    for (late, answer) in [(read("0", 0), Answer::Found), (read("x", 1), Answer::Found)] {
        assert_eq!(search(&[lost.clone(), event(1, 500, Some(501), late)]), answer);
    }
    assert!(has_none(&search(&[lost.clone(), event(1, 500, Some(501), read("y", 1))])));
    // It cannot be undone, nor happen twice.
    let seen = event(1, 500, Some(501), read("x", 1));
    let gone = event(2, 502, Some(503), read("0", 0));
    assert!(has_none(&search(&[lost.clone(), seen.clone(), gone])));
    let skipped = event(2, 502, Some(503), set("a", 3));
    assert!(has_none(&search(&[lost, seen, skipped])));
}

#[test]
fn a_compare_and_set_needs_its_version() {
    let first = event(0, 0, Some(1), cas("a", 0, Some(1)));
    assert_eq!(search(std::slice::from_ref(&first)), Answer::Found);
    let both = event(1, 0, Some(1), cas("b", 0, Some(2)));
    assert!(has_none(&search(&[first.clone(), both])));
    let refused = |call| event(1, call, Some(call + 1), Write::Refused { expected: 0 });
    assert_eq!(search(&[first, refused(2)]), Answer::Found);
    assert!(has_none(&search(&[refused(2)])));
    // Refused though only a write without an answer can have been there.
    let lost = event(0, 0, None, cas("x", 0, None));
    assert_eq!(search(&[lost, refused(2)]), Answer::Found);
}

#[test]
fn a_register_that_nobody_uses_is_fine() {
    assert_eq!(search(&[]), Answer::Found);
    let lost = Write::Set { value: "x", expected: None, version: None };
    assert_eq!(search(&[event(0, 0, None, lost)]), Answer::Found);
}

#[test]
fn many_unanswered_writes_do_not_blow_up_the_search() {
    let values: Vec<String> = (0..400).map(|n| format!("v{n}")).collect();
    let mut events = Vec::new();
    let mut version = 0;
    for (n, value) in (0_u64..).zip(&values) {
        if n % 10 == 3 {
            // Every other one has happened.
            version += i32::from(n % 20 == 3);
            events.push(event(
                events.len(),
                n * 10,
                None,
                Write::Set { value, expected: None, version: None },
            ));
        } else {
            version += 1;
            events.push(event(events.len(), n * 10, Some(n * 10 + 15), set(value, version)));
        }
    }
    assert_eq!(search::search("0", &events, STEPS), Answer::Found);
}

#[test]
fn it_gives_up_within_its_bounds_and_looks_at_the_beginning_only() {
    let write = |n| event(0, n, Some(n + 1), set("a", 7));
    assert_eq!(search::search("0", &[write(0)], 0), Answer::GaveUp);
    let events = vec![write(0), write(5), event(2, 2, Some(9), read("a", 1))];
    let kept = beginning(events, 2);
    assert_eq!(kept.len(), 1, "the read had not returned when the third was called: {kept:?}");
}
