//! What is said of an instance.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::uri_spec::UriSpec;

/// How long an instance stays registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceType {
    /// As long as its session.
    #[default]
    Dynamic,
    /// Until it is unregistered.
    Static,
    /// As `Static`: Curator makes no difference.
    Permanent,
    /// As `Dynamic`, with a number behind the id. These are found, but not registered: see
    /// [`register`](super::ServiceDiscovery::register).
    DynamicSequential,
}

/// An instance of a service: what its node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceInstance<P = serde_json::Value> {
    /// The service.
    pub name: String,
    /// The instance among those of the service.
    pub id: String,
    /// Where it is.
    #[serde(default)]
    pub address: Option<String>,
    /// Where it listens.
    #[serde(default)]
    pub port: Option<u16>,
    /// Where it listens for TLS.
    #[serde(default)]
    pub ssl_port: Option<u16>,
    /// What else its users should know.
    #[serde(default = "Option::default")]
    pub payload: Option<P>,
    /// When it was made, in milliseconds since 1970.
    #[serde(rename = "registrationTimeUTC", default)]
    pub registered_ms: u64,
    /// How long it stays registered.
    #[serde(default)]
    pub service_type: ServiceType,
    /// How to make a URI of it.
    #[serde(default)]
    pub uri_spec: Option<UriSpec>,
    /// Whether it is to be used. One that is not is found, but not provided.
    // Compat: Curator before 3.1 does not know this, and writes no instance with it unless told to.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_yes(enabled: &bool) -> bool {
    *enabled
}

impl<P> ServiceInstance<P> {
    /// A dynamic instance of a service with a unique id, made now.
    #[expect(clippy::disallowed_methods, reason = "it says when it was made")]
    pub fn new(name: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self {
            name: name.to_owned(),
            id: Uuid::new_v4().to_string(),
            address: None,
            port: None,
            ssl_port: None,
            payload: None,
            registered_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            service_type: ServiceType::Dynamic,
            uri_spec: None,
            enabled: true,
        }
    }

    /// The same with another id.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// The same at an address and a port.
    #[must_use]
    pub fn at(mut self, address: &str, port: u16) -> Self {
        self.address = Some(address.to_owned());
        self.port = Some(port);
        self
    }

    /// The same with a payload.
    #[must_use]
    pub fn payload(mut self, payload: P) -> Self {
        self.payload = Some(payload);
        self
    }

    /// The URI of the instance, if it says how to make one.
    pub fn uri(&self) -> Option<String> {
        self.uri_spec.as_ref().map(|spec| spec.build(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Curator 5 writes it.
    const JAVA: &str = r#"{"name":"test","id":"1","address":"10.0.0.1","port":80,"sslPort":null,"payload":{"@class":"com.acme.P","x":5},"registrationTimeUTC":1234,"serviceType":"DYNAMIC","uriSpec":{"parts":[{"value":"scheme","variable":true},{"value":"://","variable":false}]}}"#;

    #[test]
    fn json_is_that_of_curator() {
        let instance: ServiceInstance = serde_json::from_str(JAVA).unwrap();
        assert_eq!(serde_json::to_string(&instance).unwrap(), JAVA);
        assert_eq!((instance.port, instance.ssl_port), (Some(80), None));
        assert_eq!(instance.uri().unwrap(), "http://");
        assert!(instance.enabled);
    }

    #[test]
    fn what_is_missing_or_unknown_does_no_harm() {
        let text = r#"{"name":"n","id":"i","enabled":false,"future":[1]}"#;
        let instance: ServiceInstance<u32> = serde_json::from_str(text).unwrap();
        assert!(!instance.enabled);
        assert_eq!((instance.payload, instance.service_type), (None, ServiceType::Dynamic));
        let written = serde_json::to_string(&instance).unwrap();
        assert!(written.ends_with(r#""enabled":false}"#), "{written}");
        assert!(serde_json::from_str::<ServiceInstance>(r#"{"name":"n"}"#).is_err());
    }
}
