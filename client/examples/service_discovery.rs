//! Services that register themselves, and a user who finds them, in the format of
//! `curator-x-discovery`.
//!
//! ```text
//! cargo run -p quorate-client --example service_discovery --features discovery -- localhost:2181 serve mail 10.0.0.1 25
//! cargo run -p quorate-client --example service_discovery --features discovery -- localhost:2181 find mail
//! ```

#![allow(clippy::print_stdout, reason = "it is an example")]

use std::{collections::BTreeMap, time::Duration};

use quorate_client::{
    Client,
    recipes::discovery::{ProviderStrategy, ServiceDiscovery, ServiceInstance},
};

/// What else is told of an instance.
type Details = BTreeMap<String, String>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let usage = "usage: service_discovery HOSTS serve NAME ADDRESS PORT | HOSTS find NAME";
    let client = Client::connect(arguments.first().ok_or(usage)?).await?;
    let services: ServiceDiscovery<Details> = ServiceDiscovery::new(&client, "/services")?;
    match arguments[1..] {
        ["serve", name, address, port] => {
            let mut instance = ServiceInstance::new(name).at(address, port.parse()?);
            instance.uri_spec = Some("{scheme}://{address}:{port}/".parse()?);
            instance.payload = Some(Details::from([("zone".to_owned(), "a".to_owned())]));
            // As long as this is kept: also through the loss of a session.
            let registration = services.register(&instance).await?;
            println!("{name} {} can be found", instance.id);
            tokio::signal::ctrl_c().await?;
            registration.unregister().await?;
        }
        ["find", name] => {
            let provider = services.provider(name, ProviderStrategy::RoundRobin).await?;
            loop {
                match provider.choose() {
                    None => println!("{name} is nowhere"),
                    // Whoever cannot use it says so with `note_error`, and gets another.
                    Some(found) => {
                        println!("{name} is at {}", found.uri().unwrap_or_default());
                    }
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        _ => return Err(usage.into()),
    }
    client.close().await?;
    Ok(())
}
