//! The connections of one bus: to one Redis, or to those nodes of a cluster that it needs.

use crate::cluster::{Cluster, Known, Nodes, client_at};
use crate::connection::LostError;
use crate::sentinel::check_role;
use crate::{Kind, RedisBus, Way};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, Value};
use sansocket_runtime::adapter::BoxFuture;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::task::Poll;

/// The connections, by the position of their node.
pub(crate) struct Links {
    links: Vec<Link>,
    config: AsyncConnectionConfig,
}

#[derive(Clone)]
struct Link {
    client: Client,
    /// Not there before the first command for that node.
    connection: Option<MultiplexedConnection>,
}

/// The commands that go out at once, for each node that has some.
#[derive(Default)]
pub(crate) struct Batch {
    pipelines: Vec<(usize, Pipeline)>,
    len: usize,
}

/// The place of an answer: the position of the node, and that of the command among those for it.
pub(crate) type Answer = (usize, usize);

impl Batch {
    /// The place that the next command for a node will have.
    pub(crate) fn next(&mut self, node: usize) -> Answer {
        (node, self.of(node).len())
    }

    pub(crate) fn of(&mut self, node: usize) -> &mut Pipeline {
        let found = self.pipelines.iter().position(|(of, _)| *of == node);
        let found = found.unwrap_or_else(|| {
            self.pipelines.push((node, redis::pipe()));
            self.pipelines.len() - 1
        });
        &mut self.pipelines[found].1
    }

    pub(crate) fn add(&mut self, node: usize, command: redis::Cmd) {
        self.len += 1;
        self.of(node).add_command(command);
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// The answers to a batch.
pub(crate) struct Answers(Vec<(usize, Vec<Value>)>);

impl Answers {
    /// The answers of one node from that place on.
    pub(crate) fn from(&self, (node, position): Answer) -> &[Value] {
        let of = self.0.iter().find(|(of, _)| *of == node);
        of.and_then(|(_, answers)| answers.get(position..)).unwrap_or_default()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().flat_map(|(_, answers)| answers)
    }
}

impl Links {
    /// Connects to the Redis of the address, to the present master, or to the nodes of the cluster that are needed first.
    pub(crate) async fn connect(
        bus: &RedisBus,
        config: AsyncConnectionConfig,
        known: &Known,
        attempt: u32,
    ) -> Result<(Self, Option<Nodes>), LostError> {
        let client = match &bus.way {
            Way::Cluster(cluster) => {
                return Self::connect_cluster(bus, cluster, config, known, attempt).await;
            }
            Way::Sentinels(sentinels) => sentinels.master(&bus.client, &bus.settings).await?,
            Way::Direct => bus.client.clone(),
        };
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        if let Way::Sentinels(_) = &bus.way {
            check_role(&mut connection).await?;
        }
        Ok((Self { links: vec![Link { client, connection: Some(connection) }], config }, None))
    }

    async fn connect_cluster(
        bus: &RedisBus,
        cluster: &Cluster,
        config: AsyncConnectionConfig,
        known: &Known,
        attempt: u32,
    ) -> Result<(Self, Option<Nodes>), LostError> {
        let needs_all = bus.kind == Kind::Streams;
        let topology = cluster.topology(&bus.client, &bus.settings, known, attempt, needs_all).await?;
        let clients = topology.masters.iter().map(|place| client_at(&bus.client, place));
        let links = clients.map(|client| Ok(Link { client: client?, connection: None }));
        let mut links = Self { links: links.collect::<Result<_, RedisError>>()?, config };
        let home = links.find_home().await?;
        let nodes = Nodes::new(topology, home);
        // If they are not there, neither is the bus: to say that it is, and to lose it at once, helps nobody.
        for master in known.masters_of(&nodes)? {
            links.links[master].connected(&links.config).await?;
        }
        Ok((links, Some(nodes)))
    }

    /// Connects to some master that answers. It is another one for each process, so that none has all of them.
    async fn find_home(&mut self) -> Result<usize, LostError> {
        let count = self.links.len();
        let first = RandomState::new().hash_one(()) as usize % count.max(1);
        let mut last = LostError::NoTopology;
        for home in (0..count).map(|position| (first + position) % count) {
            match self.links[home].connected(&self.config).await {
                Ok(_) => return Ok(home),
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }

    /// The client of a node.
    pub(crate) fn client(&self, node: usize) -> &Client {
        &self.links[node].client
    }

    /// The positions of the nodes to which there is a connection.
    pub(crate) fn connected(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.links.len()).filter(|node| self.links[*node].connection.is_some())
    }

    /// Writes a batch, and waits for all answers. The nodes have theirs at the same time.
    pub(crate) async fn send(mut self, batch: Batch) -> (Self, Result<Answers, RedisError>) {
        let mut pipelines = batch.pipelines;
        if let [(node, pipeline)] = &mut pipelines[..] {
            let answers = self.links[*node].send(pipeline, &self.config).await;
            let node = *node;
            return (self, answers.map(|answers| Answers(vec![(node, answers)])));
        }
        let mut running: Vec<BoxFuture<_>> = Vec::new();
        for (node, mut pipeline) in pipelines {
            let (mut link, config) = (self.links[node].clone(), self.config.clone());
            running.push(Box::pin(async move {
                let answers = link.send(&mut pipeline, &config).await;
                (node, link, answers)
            }));
        }
        let mut all = Answers(Vec::new());
        let mut failed = None;
        poll_fn(|context| {
            running.retain_mut(|one| match one.as_mut().poll(context) {
                Poll::Ready((node, link, answers)) => {
                    self.links[node] = link;
                    match answers {
                        Ok(answers) => all.0.push((node, answers)),
                        Err(error) => failed = Some(error),
                    }
                    false
                }
                Poll::Pending => true,
            });
            // One that is lost is enough: nobody waits for the others.
            if running.is_empty() || failed.is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(running);
        (self, failed.map_or(Ok(all), Err))
    }
}

impl Link {
    async fn connected(
        &mut self,
        config: &AsyncConnectionConfig,
    ) -> Result<&mut MultiplexedConnection, RedisError> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => Ok(none.insert(self.client.get_multiplexed_async_connection_with_config(config).await?)),
        }
    }

    async fn send(
        &mut self,
        pipeline: &mut Pipeline,
        config: &AsyncConnectionConfig,
    ) -> Result<Vec<Value>, RedisError> {
        let connection = self.connected(config).await?;
        // One command that Redis refuses, by an access rule say, is no reason to lose the others.
        pipeline.ignore_errors();
        connection.send_packed_commands(pipeline, 0, pipeline.len()).await
    }
}
