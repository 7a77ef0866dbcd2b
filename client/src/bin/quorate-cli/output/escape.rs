//! Text of others, made safe for a terminal.
//!
//! What is stored in an ensemble was written by anybody. A terminal obeys some characters (control
//! characters of both kinds) and shows others in a way that misleads (marks that reverse the
//! direction of text); they are shown as what they are.

use std::{borrow::Cow, fmt::Write};

/// A name, path or other text of one line: no control character survives.
pub(crate) fn name(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// Data as text: line feeds and tabs survive, bytes that are not UTF-8 become `\xNN`.
pub(crate) fn data(bytes: &[u8]) -> String {
    let keep = |c| matches!(c, '\n' | '\t');
    bytes.utf8_chunks().fold(String::with_capacity(bytes.len()), |mut text, chunk| {
        text.push_str(&escaped(chunk.valid(), keep));
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a string takes all");
        }
        text
    })
}

/// Data as one line of at most `width` characters.
pub(crate) fn line(bytes: &[u8], width: usize) -> String {
    // More bytes than characters are never needed: one that is cut is shown as such.
    let head = &bytes[..bytes.len().min(width * 4)];
    let text = data(head).replace('\n', "\\n").replace('\t', "\\t");
    if text.chars().count() <= width && head.len() == bytes.len() {
        return text;
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Whether a terminal would do something else with a character than show it.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|c| is_unsafe(c) && !keep(c)) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !is_unsafe(c) || keep(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if c.is_ascii() => write!(safe, "\\x{:02x}", u32::from(c)).expect("takes all"),
            c => write!(safe, "\\u{{{:x}}}", u32::from(c)).expect("takes all"),
        }
    }
    safe.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_terminal_obeys_survives() {
        assert_eq!(name("/plain é 中"), "/plain é 中");
        assert_eq!(name("a\x1b[31m\r\n\t\x07"), "a\\x1b[31m\\r\\n\\t\\x07");
        assert_eq!(name("\u{9b}31m\u{202e}gpj"), "\\u{9b}31m\\u{202e}gpj");
        for c in (0..=0x2100).filter_map(char::from_u32) {
            let safe = name(c.encode_utf8(&mut [0; 4])).into_owned();
            assert!(!safe.chars().any(is_unsafe), "{c:?}");
        }
    }

    #[test]
    fn data_keeps_its_lines_and_shows_its_bytes() {
        assert_eq!(data(b"one\n\ttwo\xff\x00\xc3"), "one\n\ttwo\\xff\\x00\\xc3");
    }

    #[test]
    fn a_line_is_cut() {
        assert_eq!(line(b"a\nb", 10), "a\\nb");
        assert_eq!(line(b"abcdef", 4), "abc…");
        assert_eq!(line(&[b'x'; 1000], 5), "xxxx…");
    }
}
