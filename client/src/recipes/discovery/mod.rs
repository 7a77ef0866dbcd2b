//! Service discovery, in the format of `curator-x-discovery`: instances of services register themselves, and others find
//! them.
//!
//! An instance is a node `<base>/<name of the service>/<id of the instance>` with JSON as data: see [`ServiceInstance`].
//!
//! # Delivery
//! A dynamic instance is there as long as its program keeps its [`Registration`]; when the program crashes, until its
//! session ends; after the loss of a session it comes back by itself. [`ServiceCache`] and [`ServiceProvider`] show one
//! moment of a service's instances, a little behind, and while there is no connection what they had.

mod instance;
mod provider;
mod uri_spec;

use std::{marker::PhantomData, sync::Arc};

use quorate_protocol::{OpCode, path};
use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    instance::{ServiceInstance, ServiceType},
    provider::{DownInstances, ProviderStrategy, ServiceProvider},
    uri_spec::{UriPart, UriSpec, UriSpecError},
};
use crate::{
    Client,
    cache::{Changes, ChildrenCache},
    create::join,
    error::{Error, ErrorKind},
    recipes::{
        Loss,
        membership::{PersistentNode, Presence},
    },
    request::Node,
};

/// The services below a path, whose instances have a payload of type `P`.
///
/// For a payload that Java programs read, Jackson wants the name of its class in a field `@class` of an object; text,
/// numbers and `true` do without.
#[derive(Debug, Clone)]
pub struct ServiceDiscovery<P = serde_json::Value> {
    client: Client,
    base: String,
    payload: PhantomData<fn() -> P>,
}

impl<P: Serialize + DeserializeOwned> ServiceDiscovery<P> {
    /// The services below a path.
    ///
    /// # Errors
    /// When the path is none.
    pub fn new(client: &Client, base: &str) -> Result<Self, Error> {
        path::validate(base)?;
        Ok(Self { client: client.clone(), base: base.to_owned(), payload: PhantomData })
    }

    /// Registers an instance, and waits until it can be found.
    ///
    /// # Errors
    /// When its name or id are no names of nodes, its node cannot be created, or its type is
    /// [`ServiceType::DynamicSequential`], which Curator itself cannot remove.
    ///
    /// # Cancel safety
    /// Dropping the future unregisters it.
    pub async fn register(&self, instance: &ServiceInstance<P>) -> Result<Registration<P>, Error> {
        let path = self.path_of(&instance.name, &instance.id)?;
        let node = PersistentNode::builder(&self.client, &path, encoded(instance)?);
        let node = match instance.service_type {
            ServiceType::Dynamic => node,
            ServiceType::Static | ServiceType::Permanent => node.outlive_session(),
            ServiceType::DynamicSequential => {
                return Err(
                    ErrorKind::BadArgument("sequential instances cannot be registered").into()
                );
            }
        };
        let (name, id) = (instance.name.clone(), instance.id.clone());
        Ok(Registration { node: node.start().await?, name, id, payload: PhantomData })
    }

    /// The names of the services that have, or had lately, an instance.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn names(&self) -> Result<Vec<String>, Error> {
        match self.client.children(&self.base).await {
            Err(error) if error.is_no_node() => Ok(Vec::new()),
            children => Ok(children?.names),
        }
    }

    /// The instances of a service, in the order of their ids. Nodes that are no instances are left out.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn instances(&self, name: &str) -> Result<Vec<ServiceInstance<P>>, Error> {
        let service = self.path_of_service(name)?;
        let mut ids = match self.client.children(&service).await {
            Err(error) if error.is_no_node() => Vec::new(),
            children => children?.names,
        };
        ids.sort_unstable();
        let paths: Vec<_> = ids.iter().map(|id| join(&service, id)).collect();
        let answers: Vec<_> = paths.iter().map(|path| self.client.get(path).send()).collect();
        let mut instances = Vec::with_capacity(answers.len());
        for (answer, path) in answers.into_iter().zip(&paths) {
            match answer.await {
                Err(error) if error.is_no_node() => {}
                node => instances.extend(shown(path, &node?)),
            }
        }
        Ok(instances)
    }

    /// An instance of a service, if it is there.
    ///
    /// # Errors
    /// When its data is not that of an instance, too.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn instance(
        &self,
        name: &str,
        id: &str,
    ) -> Result<Option<ServiceInstance<P>>, Error> {
        let path = self.path_of(name, id)?;
        match self.client.get(&path).await {
            Err(error) if error.is_no_node() => Ok(None),
            node => {
                let kind = ErrorKind::Unexpected("data of a service's instance");
                let failed = |_| Error::new(kind).of(OpCode::GetData, Some(&path));
                decoded(&node?).map(Some).map_err(failed)
            }
        }
    }

    /// The instances of a service, kept current.
    ///
    /// # Errors
    /// When the name is none of a node, or its node may not be read.
    ///
    /// # Cancel safety
    /// Dropping the future ends it.
    pub async fn cache(&self, name: &str) -> Result<ServiceCache<P>, Error> {
        let path = self.path_of_service(name)?;
        let cache = ChildrenCache::start(&self.client, &path).await?;
        Ok(ServiceCache { cache, path, decoded: parking_lot::Mutex::default() })
    }

    /// Instances of a service to choose from, see [`ServiceProvider`].
    ///
    /// # Errors
    /// As [`cache`](Self::cache).
    ///
    /// # Cancel safety
    /// Dropping the future ends it.
    pub async fn provider(
        &self,
        name: &str,
        strategy: ProviderStrategy,
    ) -> Result<ServiceProvider<P>, Error> {
        Ok(ServiceProvider::new(self.cache(name).await?, strategy))
    }

    fn path_of_service(&self, name: &str) -> Result<String, Error> {
        let path = join(&self.base, name);
        path::validate(&path)?;
        if name.contains('/') {
            return Err(ErrorKind::BadArgument("the name of a service has a slash").into());
        }
        Ok(path)
    }

    fn path_of(&self, name: &str, id: &str) -> Result<String, Error> {
        let path = join(&self.path_of_service(name)?, id);
        path::validate(&path)?;
        if id.contains('/') {
            return Err(ErrorKind::BadArgument("the id of an instance has a slash").into());
        }
        Ok(path)
    }
}

fn encoded<P: Serialize>(instance: &ServiceInstance<P>) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(instance).map_err(|error| {
        tracing::debug!(%error, id = instance.id, "payload cannot be written as JSON");
        ErrorKind::BadArgument("payload cannot be written as JSON").into()
    })
}

fn decoded<P: DeserializeOwned>(node: &Node) -> Result<ServiceInstance<P>, serde_json::Error> {
    serde_json::from_slice(&node.data)
}

/// The instance, or nothing but a warning.
fn shown<P: DeserializeOwned>(path: &str, node: &Node) -> Option<ServiceInstance<P>> {
    decoded(node).inspect_err(|error| tracing::warn!(%error, path, "this is no instance")).ok()
}

/// An instance that is registered. Dropping this unregisters it; [`unregister`](Self::unregister) waits until that is
/// done.
#[derive(Debug)]
#[must_use = "dropping it unregisters the instance"]
pub struct Registration<P> {
    node: PersistentNode,
    name: String,
    id: String,
    payload: PhantomData<fn() -> P>,
}

impl<P: Serialize> Registration<P> {
    /// Whether the instance can be found now, and changes of that.
    pub fn presence(&self) -> tokio::sync::watch::Receiver<Presence> {
        self.node.presence()
    }

    /// Replaces what is said of the instance, as [`PersistentNode::set`].
    ///
    /// # Errors
    /// When it is another instance, or has a payload that is none in JSON.
    pub fn update(&self, instance: &ServiceInstance<P>) -> Result<(), Error> {
        if (&*instance.name, &*instance.id) != (&*self.name, &*self.id) {
            return Err(ErrorKind::BadArgument("this is another instance").into());
        }
        self.node.set(encoded(instance)?);
        Ok(())
    }

    /// Waits until the instance may not be found any more: as [`PersistentNode::lost`].
    ///
    /// # Cancel safety
    /// It may be called again and again, and several times at once.
    pub async fn lost(&self) -> Loss {
        self.node.lost().await
    }

    /// Unregisters the instance, and waits until that is done.
    ///
    /// # Errors
    /// As [`PersistentNode::close`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves that to the background.
    pub async fn unregister(self) -> Result<(), Error> {
        self.node.close().await
    }

    /// Leaves the instance registered. One that is dynamic goes with its session.
    pub fn leave_registered(self) {
        self.node.leave_there();
    }
}

/// The instances of a service, kept current.
#[derive(Debug)]
pub struct ServiceCache<P> {
    cache: ChildrenCache,
    path: String,
    decoded: parking_lot::Mutex<Decoded<P>>,
}

/// Instances as they were decoded, with the nodes they came from.
#[derive(Debug)]
struct Decoded<P> {
    nodes: Vec<Arc<Node>>,
    instances: Arc<[Arc<ServiceInstance<P>>]>,
}

impl<P> Default for Decoded<P> {
    fn default() -> Self {
        Self { nodes: Vec::new(), instances: Arc::new([]) }
    }
}

impl<P: DeserializeOwned> ServiceCache<P> {
    /// The instances, in the order of their ids. Nodes that are no instances are left out.
    pub fn instances(&self) -> Arc<[Arc<ServiceInstance<P>>]> {
        let tree = self.cache.snapshot();
        let mut decoded = self.decoded.lock();
        let is_same = tree
            .children(&self.path)
            .map(|(_, node)| Arc::as_ptr(node))
            .eq(decoded.nodes.iter().map(Arc::as_ptr));
        if !is_same {
            let children = tree.children(&self.path);
            let instances = children.filter_map(|(id, node)| shown(&join(&self.path, id), node));
            decoded.instances = instances.map(Arc::new).collect();
            decoded.nodes = tree.children(&self.path).map(|(_, node)| Arc::clone(node)).collect();
        }
        Arc::clone(&decoded.instances)
    }

    /// The nodes of the instances as changes: those that are there, then each that comes, goes or changes. The service's
    /// own node is among them. When a change has been taken, [`instances`](Self::instances) shows it.
    pub fn changes(&self) -> Changes {
        self.cache.changes()
    }
}
