//! The zookeeper-client crate.

use std::{future::Future, time::Duration};

use anyhow::Result;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use crate::Library;

pub(crate) struct ZooKeeper;

impl Library for ZooKeeper {
    const NAME: &'static str = "zookeeper-client";
    type Client = Client;

    async fn connect(host: &str) -> Result<Client> {
        let connector = Client::connector().with_session_timeout(Duration::from_secs(20));
        Ok(connector.connect(host).await?)
    }

    async fn create(client: &Client, path: &str) -> Result<()> {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        match client.create(path, b"", &options).await {
            Ok(_) | Err(Error::NodeExists) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn get(client: &Client, path: &'static str) -> impl Future<Output = Result<()>> {
        let answer = client.get_data(path);
        async { answer.await.map(drop).map_err(Into::into) }
    }

    fn set(
        client: &Client,
        path: &'static str,
        data: &'static [u8],
    ) -> impl Future<Output = Result<()>> {
        let answer = client.set_data(path, data, None);
        async { answer.await.map(drop).map_err(Into::into) }
    }
}
