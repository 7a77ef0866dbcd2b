//! Java's properties syntax, the language of `zoo.cfg`.
//!
//! Reads what `java.util.Properties` reads: comments with `#` or `!`, keys separated from values
//! by `=`, `:` or white space, lines continued by a backslash, and `\uXXXX`. It only cuts text;
//! what a key means is not its business. Keeps every occurrence of a key, with its line.

/// One key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// The key, trimmed.
    pub key: String,
    /// The value, trimmed as ZooKeeper does.
    pub value: String,
    /// The line on which it begins, counted from 1.
    pub line: usize,
}

/// A `\u` without four hexadecimal digits behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected four hexadecimal digits after \\u")]
pub struct BadEscape {
    /// The line on which the key begins.
    pub line: usize,
}

/// Cuts the bytes of a file into properties, in their order.
///
/// UTF-8 is read as such; a file that is not UTF-8 is taken for ISO 8859-1, as Java does always.
pub fn parse(bytes: &[u8]) -> Result<Vec<Property>, BadEscape> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n");
    let mut lines = text.split(['\n', '\r']).zip(1..);
    let mut properties = Vec::new();
    while let Some((first, line)) = lines.next() {
        let first = first.trim_start_matches(is_space);
        // Compat: a backslash alone continues a line that has not begun, so nothing.
        if first.is_empty() || first == "\\" || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while is_continued(&logical) {
            logical.pop();
            let Some((more, _)) = lines.next() else { break };
            logical.push_str(more.trim_start_matches(is_space));
        }
        let (key, value) = split(&logical);
        let key = unescape(key).ok_or(BadEscape { line })?;
        let value = unescape(value).ok_or(BadEscape { line })?;
        if !trim(&key).is_empty() {
            let [key, value] = [key, value].map(|text| trim(&text).to_owned());
            properties.push(Property { key, value, line });
        }
    }
    Ok(properties)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Compat: what Java's `trim` takes away, which is not all that Unicode calls white space.
fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// Whether the line ends with a backslash that is not itself escaped.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|&b| b == b'\\').count() % 2 == 1
}

/// The raw key and the raw value of a logical line.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c| {
        let ends = !escaped && (is_space(c) || matches!(c, '=' | ':'));
        escaped = c == '\\' && !escaped;
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_space);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(is_space))
}

/// Resolves escapes; `None` for a bad `\u`. Goes by way of UTF-16 because Java does: a character
/// beyond the first 65,536 is written as two escapes.
fn unescape(raw: &str) -> Option<String> {
    if !raw.contains('\\') {
        return Some(raw.to_owned());
    }
    let mut units = Vec::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next()? {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'f' => '\u{c}',
                'u' => {
                    let digits = chars.as_str().get(..4)?;
                    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                        return None;
                    }
                    units.push(u16::from_str_radix(digits, 16).ok()?);
                    chars = chars.as_str()[4..].chars();
                    continue;
                }
                other => other,
            },
            c => c,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str, usize)]) {
        let found = parse(text.as_bytes()).unwrap();
        let found: Vec<_> =
            found.iter().map(|p| (p.key.as_str(), p.value.as_str(), p.line)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn separators() {
        for text in ["a=b", "a:b", "a b", "a\tb", " a = b ", "a =b", "a : b", "a  b\u{c}"] {
            check(text, &[("a", "b", 1)]);
        }
        check("a==b", &[("a", "=b", 1)]);
        check("a = : b", &[("a", ": b", 1)]);
        check("a", &[("a", "", 1)]);
        check("server.1=h:1:2;3", &[("server.1", "h:1:2;3", 1)]);
    }

    #[test]
    fn comments_and_lines() {
        check(
            "# a=b\n  ! c=d\n\n\te=f\r\ng=h\ri=j",
            &[("e", "f", 4), ("g", "h", 5), ("i", "j", 6)],
        );
        check("a=b # no comment", &[("a", "b # no comment", 1)]);
        check("# continued? \\\na=b", &[("a", "b", 2)]);
    }

    #[test]
    fn continuation() {
        check("a=b\\\n   c\\\n#d\ne=f", &[("a", "bc#d", 1), ("e", "f", 4)]);
        check("a=b\\\\\nc=d", &[("a", "b\\", 1), ("c", "d", 2)]);
        check("a=b\\\n\nc=d", &[("a", "b", 1), ("c", "d", 3)]);
        check("a=b\\", &[("a", "b", 1)]);
        check("\\\n#a=b\n\\\nc=d", &[("c", "d", 4)]);
    }

    #[test]
    fn escapes() {
        check(r"a\ b\=c=d\:\te\q", &[("a b=c", "d:\teq", 1)]);
        check(r"path=/\u00e9\uD83D\uDE00", &[("path", "/é😀", 1)]);
        assert_eq!(parse(b"a=1\nb=\\u12"), Err(BadEscape { line: 2 }));
        assert_eq!(parse(b"b=\\u+123"), Err(BadEscape { line: 1 }));
    }

    #[test]
    fn encodings() {
        check("\u{feff}a=é", &[("a", "é", 1)]);
        assert_eq!(parse(b"a=\xe9").unwrap()[0].value, "é");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_cut_or_refused(bytes: Vec<u8>) {
            let lines = 1 + bytes.len();
            if let Ok(properties) = parse(&bytes) {
                assert!(properties.iter().all(|p| (1..=lines).contains(&p.line)));
            }
        }

        #[test]
        fn what_is_escaped_comes_back(pairs in proptest::collection::vec(("[^ \t\n].{0,9}", ".{0,9}"), 0..5)) {
            let mut file = String::new();
            let mut escape = |text: &str, end| {
                for unit in text.encode_utf16() {
                    write!(file, "\\u{unit:04x}").unwrap();
                }
                file.push(end);
            };
            for (key, value) in &pairs {
                escape(key, '=');
                escape(value, '\n');
            }
            let expected: Vec<_> = pairs
                .iter()
                .zip(1..)
                .map(|((k, v), line)| (trim(k).to_owned(), trim(v).to_owned(), line))
                .filter(|(key, _, _)| !key.is_empty())
                .collect();
            let found = parse(file.as_bytes()).unwrap();
            let found: Vec<_> = found.into_iter().map(|p| (p.key, p.value, p.line)).collect();
            assert_eq!(found, expected);
        }
    }
}
