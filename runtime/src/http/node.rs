//! The HTTP of a server that is a node of a cluster: requests that should have gone to another node, which are passed on to
//! it or refused, and those that come from there.

use crate::base::runtime;
use crate::base::trace::debug;
use crate::cluster::{Cluster, Forwarding};
use crate::http::body::read_body;
use crate::http::gate::Gate;
use crate::http::handshake::{ConnInfo, Handshake};
use crate::session::handle::Answer;
use http::Request;
use http_body::Body as HttpBody;
use http_body_util::Full;
use sansocket_protocol::cluster::{ForwardError, ForwardFailure, ForwardedAnswer, ForwardedRequest};
use sansocket_protocol::engine::{Body, RefusalCode, RequestHead, Response};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Gate {
    /// The server is a node from now on: the ids of its sessions say which.
    pub(crate) fn join_cluster(&self, cluster: &Arc<Cluster>) {
        self.router().set_mark(cluster.mark());
        let _ = self.cluster.set(cluster.clone());
    }

    /// The other node whose session a refused request names, if it is known.
    pub(super) fn other_node(&self, head: &RequestHead<'_>, reply: &Response) -> Option<Arc<str>> {
        let cluster = self.cluster.get()?;
        reply.refused().filter(|refusal| refusal.code == RefusalCode::UnknownSession)?;
        cluster.owner_of(head.query().session.as_deref()?)
    }

    /// Whether a request that was refused like this may be passed on.
    pub(super) fn forwards(&self, refusal: &Response) -> bool {
        let is_unknown = |refusal: &Response| {
            refusal.refused().is_some_and(|refusal| refusal.code == RefusalCode::UnknownSession)
        };
        self.cluster.get().is_some_and(|cluster| cluster.forwards) && is_unknown(refusal)
    }

    /// Passes a request on to the node of its session, if it is one that can be, and answers as that does.
    ///
    /// # Errors
    /// The answer to a request that has none from there.
    pub(super) async fn elsewhere<B>(
        self: &Arc<Self>,
        request: &Request<()>,
        head: &RequestHead<'_>,
        refusal: Response,
        body: B,
        peer: ConnInfo,
    ) -> Result<Response, Response>
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Send,
    {
        let Some((cluster, asked)) = self.cluster.get().zip(ForwardedRequest::of(head)) else {
            return Err(self.refused(refusal));
        };
        let declared = head.headers.header("content-length").and_then(|length| length.parse::<usize>().ok());
        // While it is open here: the shutdown of this node waits for the answer of the other one.
        let running = self.shutdown.start();
        let address = self.address_behind(request, peer);
        let forwarding = match cluster.forward(address, &asked.session) {
            Ok(forwarding) => forwarding,
            Err(ForwardError::NoOwner) => return Err(self.refused(refusal)),
            Err(error) => return Err(self.not_forwarded(error)),
        };
        let mut body = Box::pin(body);
        let asked = match self.body_of(asked, declared, body.as_mut(), &forwarding).await {
            Ok(asked) => asked,
            Err(reply) => return Ok(self.reply(self.refused(reply), Some(body), running)),
        };
        match forwarding.send(asked).await {
            Ok(reply) => {
                let mut reply = self.compressed(reply, request.headers(), |_| {});
                reply.body = forwarding.until_written(reply.body);
                Ok(self.reply(reply, Some(body), running))
            }
            Err(error) => Err(self.not_forwarded(error)),
        }
    }

    /// The address of a client behind a load balancer, if the application tells it: that of the connection is the balancer's.
    fn address_behind(&self, request: &Request<()>, peer: ConnInfo) -> Option<IpAddr> {
        let tell = self.hooks.client_address.as_ref()?;
        let handshake = Handshake::new(request, peer);
        let told = self.caught(|| tell(&handshake)).flatten();
        told.or_else(|| handshake.peer_addr().map(|peer| peer.ip()))
    }

    fn not_forwarded(&self, error: ForwardError) -> Response {
        debug!(%error, "a request for a session of another node has no answer");
        self.refused(error.response())
    }

    /// Reads the body of a POST that is to be passed on. It counts as it comes, so that none holds what it only announces.
    ///
    /// # Errors
    /// The answer to one that is too large, breaks off, takes too long, or comes while others hold all that bodies may.
    async fn body_of<B: HttpBody>(
        &self,
        asked: ForwardedRequest,
        declared: Option<usize>,
        body: Pin<&mut B>,
        forwarding: &Forwarding,
    ) -> Result<ForwardedRequest, Response> {
        if !asked.is_post {
            return Ok(asked);
        }
        let limit = self.config.max_payload;
        if declared.is_some_and(|length| length > limit) {
            return Err(Response::new(413));
        }
        let mut refused = None;
        let read = read_body(body, limit, |_, bytes| {
            refused = forwarding.grow(bytes).err();
            refused.is_none()
        });
        let read = runtime::timeout(self.runtime(), self.deadlines.body, read).await;
        if let Some(error) = refused {
            return Err(error.response());
        }
        match read {
            Some(Ok(Body::Complete(body))) => Ok(asked.with_body(body)),
            Some(Ok(_)) => Err(Response::new(413)),
            Some(Err(())) => Err(Response::new(400)),
            None => Err(Response::new(408).header("connection", "close")),
        }
    }

    /// The answer of a session of this node to a request that came to another one.
    pub(crate) async fn answer_forwarded(self: Arc<Self>, request: ForwardedRequest) -> ForwardedAnswer {
        let Some(session) = self.session(&request.session) else { return ForwardedAnswer::NoSession };
        let (target, headers) = (request.target(), request.headers());
        let head = RequestHead { method: request.method(), target: &target, headers: &headers };
        let Ok((mut handed, receiver, wants)) = self.hand_over(&session, &head.parse()) else {
            return ForwardedAnswer::NoSession;
        };
        let body = pin!(Full::new(request.body));
        let answer = match self.answer_to(&handed, receiver, wants, Some(body)).await {
            Ok(answer) => answer,
            // The body is there, so it neither breaks off nor takes its time.
            Err(reply) => return ForwardedAnswer::Response(reply),
        };
        handed.answered = true;
        match answer {
            Ok(Answer::Respond(reply)) => {
                self.counters.polling_bytes_out.fetch_add(reply.body.len() as u64, Ordering::Relaxed);
                ForwardedAnswer::Response(*reply)
            }
            // The session is gone, or the request overlapped another.
            Ok(Answer::Abort) | Err(_) => ForwardedAnswer::Response(Response::new(400)),
            Ok(Answer::Switch) => ForwardedAnswer::Failed(ForwardFailure::NoAnswer),
        }
    }
}
