//! A line cut into words as zkCli does: at white space, but not within quotes that begin a word.
//! There are no escapes.

/// The words.
///
/// # Errors
/// When a quote is not closed. `Compat:` zkCli overlooks it then, and takes the words behind it
/// one by one.
pub(super) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, behind) = match first {
            '"' | '\'' => rest[1..].split_once(first).ok_or("a quote is not closed")?,
            _ => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = behind.trim_start();
    }
    Ok(words)
}

/// The word that is being typed at the end of a line: where it begins, its quote included, and what
/// it is without the quote.
pub(super) fn last(line: &str) -> (usize, &str) {
    let mut start = 0;
    loop {
        let rest = &line[start..];
        start += rest.len() - rest.trim_start().len();
        let rest = &line[start..];
        let Some(first) = rest.chars().next() else { return (start, "") };
        let end = match first {
            '"' | '\'' => match rest[1..].find(first) {
                Some(quote) => quote + 2,
                None => return (start, &rest[1..]),
            },
            _ => match rest.find(char::is_whitespace) {
                Some(end) => end,
                None => return (start, rest),
            },
        };
        start += end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_zkcli() {
        for (line, words) in [
            ("", vec![]),
            ("  ls  / ", vec!["ls", "/"]),
            ("set /a \"b c\"", vec!["set", "/a", "b c"]),
            ("set /a 'b \"c'", vec!["set", "/a", "b \"c"]),
            ("set /a \"\"", vec!["set", "/a", ""]),
            ("set /a b\"c d\"", vec!["set", "/a", "b\"c", "d\""]),
            ("set /a \"b\"c", vec!["set", "/a", "b", "c"]),
            ("set /a {\"k\":1}", vec!["set", "/a", "{\"k\":1}"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        assert!(split("set /a \"b").is_err());
    }

    #[test]
    fn the_word_being_typed_is_found() {
        for (line, start, word) in [
            ("", 0, ""),
            ("ge", 0, "ge"),
            ("get ", 4, ""),
            ("get /a", 4, "/a"),
            ("get \"/a b", 4, "/a b"),
            ("set \"/a\" /é/x", 9, "/é/x"),
        ] {
            assert_eq!(last(line), (start, word), "{line}");
        }
    }
}
