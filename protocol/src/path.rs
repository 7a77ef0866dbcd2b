//! What a node's path may look like.

use std::fmt;

/// Why a path is not one a node can have. The text is for people; clients get `BADARGUMENTS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathError {
    reason: &'static str,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for PathError {}

/// Checks a path as ZooKeeper does for writes: `/` or `/name/name`, no empty, `.` or `..` name,
/// no control or private-use character, nothing outside the basic plane.
///
/// # Errors
/// Says what is wrong with it.
pub fn validate(path: &str) -> Result<(), PathError> {
    let wrong = |reason| Err(PathError { reason });
    if path == "/" {
        return Ok(());
    }
    let Some(names) = path.strip_prefix('/') else {
        return wrong(if path.is_empty() { "path is empty" } else { "path does not begin with /" });
    };
    for name in names.split('/') {
        match name {
            "" => return wrong("path has an empty name (// or / at its end)"),
            "." | ".." => return wrong("path has a name that is . or .."),
            _ => {}
        }
        if !is_plain(name) && name.chars().any(is_forbidden) {
            return wrong("path has a character that is not allowed");
        }
    }
    Ok(())
}

/// Whether there is nothing in `name` but printable ASCII, which is always allowed.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
}

/// `Compat:` the ranges of `PathUtils.validatePath`. Java sees a character outside the basic
/// plane as two surrogates, which are forbidden.
fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}')
        || c > '\u{ffff}'
}

/// The path of the parent and the name below it; `None` for the root and for text without `/`.
pub fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    match (parent, name) {
        ("", "") => None,
        ("", name) => Some(("/", name)),
        _ => Some((parent, name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_paths() {
        for path in ["/", "/a", "/a/b", "/.a", "/...", "/a b", "/\u{e9}\u{4e2d}", "/a/.b/c.."] {
            assert_eq!(validate(path), Ok(()), "{path:?}");
        }
    }

    #[test]
    fn bad_paths() {
        let bad = [
            "",
            "a",
            "a/b",
            "//",
            "/a/",
            "/a//b",
            "/.",
            "/a/..",
            "/a/./b",
            "/\0",
            "/a\u{1e}",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{f8ff}",
            "/\u{fffd}",
            "/\u{1f600}",
        ];
        for path in bad {
            assert!(validate(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn split_gives_parent_and_name() {
        assert_eq!(split("/"), None);
        assert_eq!(split("a"), None);
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/a/b"), Some(("/a", "b")));
    }
}
