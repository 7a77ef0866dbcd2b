//! Quorate's client.

use std::{future::Future, time::Duration};

use anyhow::Result;
use quorate_client::Client;

use crate::Library;

pub(crate) struct Quorate;

impl Library for Quorate {
    const NAME: &'static str = "quorate-client";
    type Client = Client;

    async fn connect(host: &str) -> Result<Client> {
        let builder = Client::builder(host).session_timeout(Duration::from_secs(20));
        Ok(builder.connect().await?)
    }

    async fn create(client: &Client, path: &str) -> Result<()> {
        match client.create(path, b"").await {
            Ok(_) => Ok(()),
            Err(error) if error.is_node_exists() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn get(client: &Client, path: &'static str) -> impl Future<Output = Result<()>> {
        let answer = client.get(path).send();
        async { answer.await.map(drop).map_err(Into::into) }
    }

    fn set(
        client: &Client,
        path: &'static str,
        data: &'static [u8],
    ) -> impl Future<Output = Result<()>> {
        let answer = client.set(path, data).send();
        async { answer.await.map(drop).map_err(Into::into) }
    }
}
