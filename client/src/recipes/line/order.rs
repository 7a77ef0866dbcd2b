//! Who stands where in a line: names of sequential nodes, and what they say of each other.
//!
//! A line is a folder of sequential nodes. All its nodes with a number count, whatever their names
//! are otherwise, so that the lines of Apache Curator (`_c_<uuid>-lock-0000000007`) and of kazoo
//! (`<uuid>__lock__0000000007`) are lines too, with both of them in one.

/// The words that make a node a reader: Curator's and kazoo's. It goes with other readers.
const READERS: [&str; 2] = ["__READ__", "__rlock__"];

/// How wide a sequential node's number is, its sign included; ten digits have a sign in front.
const WIDTH: usize = 10;

/// The number of a sequential node, by its name.
///
/// `Compat:` the number is the parent's `cversion`, which goes on below zero after 2^31 - 1 and is
/// printed as Java's `%010d`. A minus sign belongs to the number when it stands behind another
/// separator; otherwise it is the end of a name like `lock-`.
pub(crate) fn sequence_of(name: &str) -> Option<i32> {
    let (front, digits) = name.split_at_checked(name.len().checked_sub(WIDTH)?)?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (digits, negative) = match digits.strip_prefix('-') {
        Some(_) if !front.ends_with(['-', '_']) => return None,
        Some(digits) => (digits, true),
        None => (digits, front.ends_with("--") || front.ends_with("_-")),
    };
    if !is_number(digits) {
        return None;
    }
    let number: i64 = digits.parse().ok()?;
    i32::try_from(if negative { -number } else { number }).ok()
}

/// Whether the first number was given out before the second. They wrap around, so this holds as
/// long as less than 2^31 nodes were created in between.
pub(crate) fn is_before(first: i32, second: i32) -> bool {
    first.wrapping_sub(second) < 0
}

/// The names with a number, in the order of their creation.
pub(crate) fn in_order(names: Vec<String>) -> Vec<String> {
    let mut numbered: Vec<_> =
        names.into_iter().filter_map(|name| Some((sequence_of(&name)?, name))).collect();
    // Relative to one of them the numbers are in order even where they wrap around.
    let Some(&(origin, _)) = numbered.first() else { return Vec::new() };
    numbered.sort_by(|(a, a_name), (b, b_name)| {
        (a.wrapping_sub(origin), a_name).cmp(&(b.wrapping_sub(origin), b_name))
    });
    numbered.into_iter().map(|(_, name)| name).collect()
}

/// Who may be in at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// One alone: nobody is ahead.
    Alone,
    /// With others like it: nobody is ahead who wants to be alone.
    Shared,
    /// So many: fewer are ahead.
    Places(usize),
}

/// What a list of names means for one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in.
    In,
    /// This one is ahead, the nearest of those that keep it out. There is nothing new before this
    /// one has gone.
    Behind(String),
    /// All places are taken. There is nothing new before anybody has gone.
    Full,
    /// It is not in the list.
    Missing,
}

/// What a list means for the node `mine`.
///
/// A list that shows `mine` shows everybody who is ahead: they were created before it. Who is in
/// stays in, because nobody comes ahead of anybody later.
pub(crate) fn judge(rule: Rule, names: &[String], mine: &str) -> Verdict {
    if !names.iter().any(|name| name == mine) {
        return Verdict::Missing;
    }
    let Some(my_sequence) = sequence_of(mine) else { return Verdict::Missing };
    let ahead = names.iter().filter_map(|name| {
        let sequence = sequence_of(name)?;
        is_before(sequence, my_sequence).then_some((sequence, name))
    });
    let nearest = match rule {
        Rule::Places(places) => {
            return if ahead.count() < places { Verdict::In } else { Verdict::Full };
        }
        Rule::Alone => ahead.max_by_key(|(sequence, _)| sequence.wrapping_sub(my_sequence)),
        Rule::Shared => ahead
            .filter(|(_, name)| !READERS.iter().any(|word| name.contains(word)))
            .max_by_key(|(sequence, _)| sequence.wrapping_sub(my_sequence)),
    };
    nearest.map_or(Verdict::In, |(_, name)| Verdict::Behind(name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_names_of_all_recipes() {
        for (name, sequence) in [
            ("_c_0f0e-lock-0000000007", Some(7)),
            ("0f0e__lock__0000000012", Some(12)),
            ("_c_0f0e-__READ__2147483647", Some(i32::MAX)),
            ("_c_0f0e-lock--2147483648", Some(i32::MIN)),
            ("0f0e__lock__-2147483647", Some(-i32::MAX)),
            ("_c_0f0e-lock--000000005", Some(-5)),
            ("0000000003", Some(3)),
            ("lock-2147483648", None),
            ("lock-000000001", None),
            ("lease", None),
            ("lock-00000x0001", None),
            ("größe000000001", None),
            ("", None),
        ] {
            assert_eq!(sequence_of(name), sequence, "{name}");
        }
    }

    #[test]
    fn numbers_that_wrap_around_keep_their_order() {
        assert!(is_before(1, 2) && !is_before(2, 1) && !is_before(2, 2));
        assert!(is_before(i32::MAX, i32::MIN) && !is_before(i32::MIN, i32::MAX));
        let names = ["a--2147483648", "a-2147483646", "other", "a-2147483647"];
        let ordered = in_order(names.map(str::to_owned).into());
        assert_eq!(ordered, ["a-2147483646", "a-2147483647", "a--2147483648"]);
    }

    #[test]
    fn a_list_says_who_is_in_and_who_waits_for_whom() {
        let names = [
            "_c_5-__READ__0000000005",
            "_c_3-__WRIT__0000000003",
            "2__rlock__0000000002",
            "_c_1-__WRIT__0000000001",
            "_c_6-__READ__0000000006",
            "4__lock__0000000004",
            "notes",
        ]
        .map(str::to_owned);
        let judged = |rule, mine: &str| judge(rule, &names, mine);
        let behind = |name: &str| Verdict::Behind(name.to_owned());
        assert_eq!(judged(Rule::Alone, &names[3]), Verdict::In);
        assert_eq!(judged(Rule::Alone, &names[1]), behind("2__rlock__0000000002"));
        assert_eq!(judged(Rule::Shared, &names[2]), behind("_c_1-__WRIT__0000000001"));
        assert_eq!(judged(Rule::Shared, &names[4]), behind("4__lock__0000000004"));
        assert_eq!(judged(Rule::Shared, &names[0]), behind("4__lock__0000000004"));
        assert_eq!(judge(Rule::Shared, &names[4..5], &names[4]), Verdict::In);
        assert_eq!(judged(Rule::Places(3), &names[1]), Verdict::In);
        assert_eq!(judged(Rule::Places(2), &names[1]), Verdict::Full);
        assert_eq!(judged(Rule::Alone, "_c_9-__WRIT__0000000009"), Verdict::Missing);
    }
}
