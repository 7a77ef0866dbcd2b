//! How the text of a value becomes a typed value.
//!
//! Each parser answers, when it refuses, what it expected: the end of the sentence "expected …"
//! that the operator reads.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What was expected instead.
pub(super) type Expected = Cow<'static, str>;

/// `true` or `false`, in any case.
pub(super) fn boolean(text: &str) -> Result<bool, Expected> {
    if text.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err("`true` or `false`".into())
    }
}

/// `yes` or `no`: how ZooKeeper writes some of its switches.
///
/// Compat: its documentation says `yes`, its users write `true` too, and both work there.
pub(super) fn yes(text: &str) -> Result<bool, Expected> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("`yes` or `no`".into()),
    }
}

/// A whole number, decimal or, as Java takes it for system properties, hexadecimal with `0x`.
fn whole(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { -number } else { number })
}

/// A whole number within bounds.
pub(super) fn number<T>(bounds: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, Expected>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    move |text| {
        whole(text)
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| {
                format!("a whole number from {} to {}", bounds.start(), bounds.end()).into()
            })
    }
}

/// A limit: a number above 0; 0 or less means none.
pub(super) fn limit(text: &str) -> Result<Option<u32>, Expected> {
    let number = number(i32::MIN..=i32::MAX)(text);
    let number = number.map_err(|_| "a whole number, or 0 for no limit")?;
    Ok(u32::try_from(number).ok().filter(|&number| number > 0))
}

/// A number of milliseconds within bounds.
pub(super) fn millis(bounds: RangeInclusive<i32>) -> impl Fn(&str) -> Result<Duration, Expected> {
    move |text| {
        let millis = number(bounds.clone())(text).map_err(|_| {
            let (least, most) = (bounds.start(), bounds.end());
            format!("a whole number of milliseconds from {least} to {most}")
        })?;
        Ok(Duration::from_millis(u64::try_from(millis).expect("callers' bounds begin at 0")))
    }
}

/// A number of milliseconds, of which `none` (0 or -1, as the key has it) means that there is none.
pub(super) fn optional_millis(none: i32) -> impl Fn(&str) -> Result<Option<Duration>, Expected> {
    move |text| match number(i32::MIN..=i32::MAX)(text) {
        Ok(number) if number == none => Ok(None),
        Ok(number) if number >= 0 => Ok(Some(Duration::from_millis(number.unsigned_abs().into()))),
        _ => Err(format!("a whole number of milliseconds, or {none} for none").into()),
    }
}

/// A duration as people write it, such as `500ms` or `1h 30m`, above zero.
pub(super) fn duration(text: &str) -> Result<Duration, Expected> {
    humantime::parse_duration(text)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or("a duration such as `500ms`, `30s` or `1h 30m`, above zero".into())
}

/// A number of bytes, with a unit (`64MiB`, `64M`, `512k`) or without.
pub(super) fn size(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, Expected> {
    move |text| {
        bytes(text).filter(|size| bounds.contains(size)).ok_or_else(|| {
            let [least, most] = [*bounds.start(), *bounds.end()].map(show_size);
            format!("a size such as `64MiB` or `65536`, from {least} to {most}").into()
        })
    }
}

fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn show_size(bytes: u64) -> String {
    let unit = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match unit.into_iter().find(|&(size, _)| bytes >= size && bytes.is_multiple_of(size)) {
        Some((size, unit)) => format!("{}{unit}", bytes / size),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let parse = number(-5i32..=0xf_ffff);
        for (text, value) in [
            ("0", Some(0)),
            ("-5", Some(-5)),
            ("-6", None),
            ("+7", Some(7)),
            ("0xfffff", Some(0xf_ffff)),
            ("0XA", Some(10)),
            ("-0x5", Some(-5)),
            ("0x100000", None),
            ("--1", None),
            ("0x-1", None),
            ("", None),
            ("1 ", None),
            ("1k", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse(text).ok(), value, "{text:?}");
        }
        assert_eq!(parse("x").unwrap_err(), "a whole number from -5 to 1048575");
    }

    #[test]
    fn limits() {
        for (text, value) in [("60", Some(Some(60))), ("0", Some(None)), ("-1", Some(None))] {
            assert_eq!(limit(text).ok(), value);
        }
        assert!(limit("many").is_err());
    }

    #[test]
    fn durations() {
        assert_eq!(duration("1m 30s").unwrap(), Duration::from_secs(90));
        assert!(duration("0s").is_err() && duration("30").is_err());
        assert_eq!(millis(1..=10)("10").unwrap(), Duration::from_millis(10));
        assert!(millis(1..=10)("0").is_err());
        assert_eq!(optional_millis(-1)("-1").unwrap(), None);
        assert_eq!(optional_millis(-1)("0").unwrap(), Some(Duration::ZERO));
        assert!(optional_millis(-1)("-2").is_err());
    }

    #[test]
    fn sizes() {
        for (text, value) in [
            ("65536", Some(65536)),
            ("64KiB", Some(65536)),
            ("64 k", Some(65536)),
            ("1m", Some(1 << 20)),
            ("2GB", None),
            ("1.5M", None),
            ("", None),
            ("MiB", None),
            ("99999999999T", None),
        ] {
            assert_eq!(size(0..=1 << 30)(text).ok(), value, "{text:?}");
        }
        assert_eq!(
            size(4096..=1 << 30)("1").unwrap_err(),
            "a size such as `64MiB` or `65536`, from 4KiB to 1GiB"
        );
    }

    #[test]
    fn switches() {
        assert_eq!((boolean("TRUE"), boolean("false")), (Ok(true), Ok(false)));
        assert!(boolean("yes").is_err() && boolean("").is_err());
        assert_eq!((yes("Yes"), yes("no")), (Ok(true), Ok(false)));
    }
}
