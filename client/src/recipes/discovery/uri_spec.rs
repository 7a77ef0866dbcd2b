//! How to make a URI of an instance.

use std::{borrow::Cow, str::FromStr};

use serde::{Deserialize, Serialize};

use super::instance::{ServiceInstance, ServiceType};

/// A pattern of a URI: text with variables in braces, such as `{scheme}://{address}:{port}`.
///
/// Variables are `scheme` (`https` for an instance with a port for TLS, else `http`), `name`, `id`, `address`, `port`,
/// `ssl-port`, `registration-time-utc`, `service-type`, and `[` and `]` for braces. Others stand for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UriSpec {
    /// The pattern's parts, in order.
    pub parts: Vec<UriPart>,
}

/// A part of a [`UriSpec`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UriPart {
    /// The text, or the variable's name.
    pub value: String,
    /// Whether it is a variable.
    pub variable: bool,
}

/// Why text is no [`UriSpec`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct UriSpecError {
    what: &'static str,
    at: usize,
}

impl FromStr for UriSpec {
    type Err = UriSpecError;

    fn from_str(text: &str) -> Result<Self, UriSpecError> {
        let mut parts = Vec::new();
        let mut push = |value: &str, variable| {
            if !value.is_empty() {
                let value = if variable { value.trim() } else { value };
                parts.push(UriPart { value: value.to_owned(), variable });
            }
        };
        let mut begin = 0;
        let mut is_inside = false;
        for (at, brace) in text.match_indices(['{', '}']) {
            match (brace, is_inside) {
                ("{", true) => return Err(UriSpecError { what: "'{' inside of a variable", at }),
                ("}", false) => return Err(UriSpecError { what: "'}' without '{'", at }),
                _ => push(&text[begin..at], is_inside),
            }
            is_inside = !is_inside;
            begin = at + 1;
        }
        if is_inside {
            return Err(UriSpecError { what: "'{' without '}'", at: begin - 1 });
        }
        push(&text[begin..], false);
        Ok(Self { parts })
    }
}

impl UriSpec {
    /// The URI of an instance.
    pub fn build<P>(&self, instance: &ServiceInstance<P>) -> String {
        let value = |part: &UriPart| -> Cow<'_, str> {
            if part.variable {
                variable(&part.value, instance).unwrap_or_default().into_owned().into()
            } else {
                part.value.clone().into()
            }
        };
        self.parts.iter().map(value).collect()
    }
}

fn variable<'a, P>(name: &str, instance: &'a ServiceInstance<P>) -> Option<Cow<'a, str>> {
    let number = |port: Option<u16>| port.map(|port| port.to_string().into());
    Some(match name {
        "[" => "{".into(),
        "]" => "}".into(),
        "scheme" if instance.ssl_port.is_some() => "https".into(),
        "scheme" => "http".into(),
        "name" => (&*instance.name).into(),
        "id" => (&*instance.id).into(),
        "address" => instance.address.as_deref()?.into(),
        "port" => number(instance.port)?,
        "ssl-port" => number(instance.ssl_port)?,
        "registration-time-utc" => instance.registered_ms.to_string().into(),
        "service-type" => match instance.service_type {
            ServiceType::Dynamic => "dynamic",
            ServiceType::Static => "static",
            ServiceType::Permanent => "permanent",
            ServiceType::DynamicSequential => "dynamic_sequential",
        }
        .into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in() {
        let mut instance = ServiceInstance::<()>::new("mail").id("7").at("10.0.0.1", 25);
        let check = |spec: &str, instance: &ServiceInstance<()>, uri| {
            assert_eq!(spec.parse::<UriSpec>().unwrap().build(instance), uri);
        };
        check(
            "{scheme}://{address}:{port}/{ name }?{[}{id}{]}",
            &instance,
            "http://10.0.0.1:25/mail?{7}",
        );
        check("{service-type}{other}{}", &instance, "dynamic");
        instance.ssl_port = Some(465);
        check("{scheme}:{ssl-port}", &instance, "https:465");
        for (wrong, at) in [("a{b", 1), ("a}", 1), ("{a{b}}", 2)] {
            assert_eq!(wrong.parse::<UriSpec>().unwrap_err().at, at, "{wrong}");
        }
    }
}
