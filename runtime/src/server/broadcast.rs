//! Broadcasts: events for many sockets at once.

use crate::base::error::{BroadcastAckError, EmitError};
use crate::handler::ack::MESSAGE;
use crate::handler::timed::Timed;
use crate::server::namespace::NamespaceInner;
use crate::server::recovery::Recorder;
use crate::server::rooms::{Rooms, names};
use crate::server::socket::{Delivery, Socket};
#[cfg(feature = "cluster")]
use sansocket_protocol::cluster::Message;
use sansocket_protocol::hub::{Command, Effect, HubError, Target};
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{Args, EncodeError, ToArgs};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A selection of a namespace's sockets to broadcast to: all, or those in some rooms, minus those in others. A socket
/// that is in several of the rooms counts once.
///
/// An event is encoded once, whatever the number of sockets. One emitter reaches each socket in the order of
/// its calls; two emitters at the same time may reach two sockets in different orders.
///
/// ```
/// use sansocket_runtime::{BroadcastAckError, EmitError, Server, Socket};
/// use std::time::Duration;
///
/// // From a handler: everybody in the room but the sender.
/// async fn typing(socket: Socket) -> Result<(), EmitError> {
///     socket.to("lobby").except("muted").volatile().emit("typing", socket.id())
/// }
///
/// // From anywhere: everybody in one of two rooms, with their answers.
/// async fn poll(io: &Server) -> Result<usize, BroadcastAckError> {
///     let answers = io.to("red").to("blue").emit_with_ack("ready?", &(), Duration::from_secs(5)).await?;
///     Ok(answers.iter().filter(|answer| answer.get::<bool>(0) == Ok(true)).count())
/// }
///
/// // The sockets themselves: moved, counted, sent away.
/// fn close(io: &Server) {
///     let _ = io.to("lobby").join("closing");
///     println!("{} have to go", io.to("closing").sockets().len());
///     io.to("closing").disconnect();
/// }
///
/// // Lists of rooms, and the flags that an event may have.
/// fn flags(io: &Server, rooms: &[String]) -> Result<(), EmitError> {
///     io.to(rooms).except(["muted", "away"]).volatile().compress(false).local().emit("tick", &1)
/// }
/// ```
#[derive(Clone)]
#[must_use = "a broadcast does nothing until one of its verbs is called"]
pub struct Broadcast {
    pub(super) namespace: Arc<NamespaceInner>,
    pub(super) target: Target,
    /// Rooms were asked for, if perhaps none: without any in the target, nobody is meant.
    narrowed: bool,
}

impl Broadcast {
    pub(crate) fn new(namespace: Arc<NamespaceInner>, target: Target) -> Self {
        Self { namespace, target, narrowed: false }
    }

    /// Adds the sockets in a room, or in several. Without `to`, all sockets are selected; with an empty list of rooms, none
    /// is.
    pub fn to(mut self, rooms: impl Rooms) -> Self {
        rooms.each(&mut |room| self.target.rooms.push(room.into()));
        self.narrowed = true;
        self
    }

    /// Leaves the sockets in a room out, or those in several.
    pub fn except(mut self, rooms: impl Rooms) -> Self {
        rooms.each(&mut |room| self.target.except.push(room.into()));
        self
    }

    /// Calls that wait that long for the answers.
    pub fn timeout(self, timeout: Duration) -> Timed<Self> {
        Timed { calls: self, timeout }
    }

    /// Returns whether nobody is meant, here and on other nodes: a target without rooms would be everybody.
    pub(super) fn is_to_nobody(&self) -> bool {
        self.narrowed && self.target.rooms.is_empty()
    }

    /// Selects sockets of this process only, and not those of other nodes.
    pub fn local(mut self) -> Self {
        self.target = self.target.local();
        self
    }

    /// Skips sockets to which the event could not leave at once. It does not concern events that ask for an
    /// acknowledgement: those wait.
    pub fn volatile(mut self) -> Self {
        self.target = self.target.volatile();
        self
    }

    /// Sets whether the event may be compressed, where the server and the connection do so. Default yes. For data that
    /// is compressed already, and for secrets beside something that a stranger chooses.
    pub fn compress(mut self, compress: bool) -> Self {
        self.target = self.target.compress(compress);
        self
    }

    /// An event for all, encoded once.
    pub(super) fn encode<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        id: Option<u64>,
        args: &T,
    ) -> Result<Frame, EncodeError> {
        let frame = self.namespace.encoder.event(event, id, args)?;
        Ok(frame.compress(self.target.flags.compress.unwrap_or(true)))
    }

    /// A snapshot, taken under the lock; nothing is sent under it.
    pub(super) fn recipients(&self) -> Vec<Socket> {
        if self.is_to_nobody() {
            return Vec::new();
        }
        self.namespace.hub().reached(&self.target)
    }

    /// The recorder that keeps its event for clients that are away: not if it is volatile.
    pub(super) fn recorder(&self) -> Option<&Recorder> {
        self.namespace.recorder().filter(|_| !self.target.flags.volatile)
    }

    /// Carries a command out: in the hub if it is about rooms, and else on each socket. Gives the sockets that were
    /// asked for.
    pub(super) fn apply(&self, command: &Command) -> Result<Vec<Socket>, HubError> {
        if self.is_to_nobody() {
            return Ok(Vec::new());
        }
        if command.changes_rooms() {
            let mut hub = self.namespace.hub_mut();
            let effect = hub.apply(&self.target, command);
            #[cfg(feature = "cluster")]
            if let (Some(membership), Command::Join { rooms } | Command::Leave { rooms }) =
                (&self.namespace.membership, command)
            {
                rooms.iter().for_each(|room| membership.look_at_room(&hub, room));
            }
            drop(hub);
            if let Effect::Joined(joined) = effect.inspect_err(|_| self.namespace.room_refused())? {
                if joined.refused > 0 {
                    (0..joined.refused).for_each(|_| self.namespace.room_refused());
                    let limit = self.namespace.hub().limits().rooms_per_socket;
                    return Err(HubError::TooManyRooms { limit });
                }
            }
            return Ok(Vec::new());
        }
        if let (Some(recorder), Command::Emit { frame, ack: None }) = (self.recorder(), command) {
            #[cfg(feature = "cluster")]
            if recorder.logs(&self.target) {
                recorder.log(&self.namespace, &self.target, frame);
                return Ok(Vec::new());
            }
            let watched = self.namespace.handlers.outgoing.watch(self.namespace.encoder.parser(), frame);
            let queued = recorder.broadcast(&self.namespace, &self.target, frame, watched.is_some());
            if let Some(watched) = watched {
                queued.iter().for_each(|socket| socket.show(&watched));
            }
            return Ok(Vec::new());
        }
        let mut recipients = self.recipients();
        match command {
            Command::Emit { frame, .. } => {
                let delivery = if self.target.flags.volatile { Delivery::Volatile } else { Delivery::Queue };
                let watched = self.namespace.handlers.outgoing.watch(self.namespace.encoder.parser(), frame);
                for socket in &recipients {
                    let queued = socket.deliver(frame, delivery);
                    if let (Some(watched), Ok(true)) = (&watched, queued) {
                        socket.show(watched);
                    }
                }
            }
            Command::Disconnect => recipients.iter().for_each(Socket::disconnect),
            Command::Close => recipients.iter().for_each(Socket::close),
            Command::Fetch => {
                recipients.retain(Socket::is_joined);
                return Ok(recipients);
            }
            // The core may learn more of them; this crate is of its own version.
            _ => {}
        }
        Ok(Vec::new())
    }

    /// Emits an event to each socket. A socket that is gone meanwhile, or too slow, is not an error.
    ///
    /// # Errors
    /// [`EmitError::Encode`].
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        let frame = self.encode(event, None, args)?;
        let command = Command::Emit { frame, ack: None };
        // Only rooms can refuse.
        let _ = self.apply(&command);
        #[cfg(feature = "cluster")]
        if let Command::Emit { frame, .. } = &command {
            self.tell_event(frame, event, args);
        }
        Ok(())
    }

    /// Emits an event to each socket, as [`emit`](Self::emit), and lets other tasks run in between: for broadcasts to a
    /// thousand sockets and more, which otherwise hold a thread of the runtime for as long as they take, about a
    /// microsecond for each socket.
    ///
    /// The call itself encodes the event, selects the sockets and queues the event for the first slice of them
    /// ([`broadcast_slice`](crate::ServerBuilder::broadcast_slice)). The future serves the others, a slice at a time. A
    /// socket that leaves the room or is disconnected by the server in the meantime still gets the event. A socket whose
    /// connection is closed through another namespace does not.
    ///
    /// If you await the future before you emit something else, each socket gets both in this order. If you drop it, or
    /// if the server shuts down, the rest is sent at once: nothing is lost. Events of other emitters may overtake it,
    /// for example an answer that a client of the first slice sends to the room.
    ///
    /// With connection state recovery, the rest is sent before the next event to all or to a room. If recovery is shared
    /// on Redis streams, everything is sent at once. The call also tells the other nodes of a cluster, which send the
    /// event to their sockets without a pause.
    ///
    /// ```
    /// # use sansocket_runtime::{EmitError, Server};
    /// async fn announce(io: Server, text: String) -> Result<(), EmitError> {
    ///     io.to("everybody").emit_async("news", &text).await?;
    ///     io.to("everybody").emit("news is over", &()) // behind it, at each socket
    /// }
    /// ```
    ///
    /// # Errors
    /// [`EmitError::Encode`].
    pub fn emit_async<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
    ) -> impl Future<Output = Result<(), EmitError>> + Send + 'static + use<T> {
        let slice = self.namespace.server().map_or(usize::MAX, |server| server.0.broadcast_slice());
        let begun = self.encode(event, None, args).map(|frame| {
            let rest = self.begin(&frame, slice);
            #[cfg(feature = "cluster")]
            self.tell_event(&frame, event, args);
            rest
        });
        async move {
            if let Some(rest) = begun? {
                rest.send(slice).await;
            }
            Ok(())
        }
    }

    /// Emits the event `message`, as [`emit`](Self::emit).
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn send<T: ToArgs + ?Sized>(&self, args: &T) -> Result<(), EmitError> {
        self.emit(MESSAGE, args)
    }

    /// Emits an event to each socket and collects the acknowledgements. Resolves once: when all have answered,
    /// or `timeout` is over. The event is sent by the call, not by the first poll. Answers beyond the builder's
    /// `max_broadcast_answers` bytes count as missing; the answers from other nodes of a cluster may have as many again.
    /// [`call`](Self::call) tells who has answered, and decodes the
    /// answers.
    pub fn emit_with_ack<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<Args>, BroadcastAckError>> + Send + 'static + use<T> {
        let asked = self.ask_all::<T, ()>(event, args, timeout);
        async move {
            let (answers, missing, missing_nodes) = asked?.collect().await;
            if missing == 0 && missing_nodes == Some(0) {
                return Ok(answers);
            }
            Err(BroadcastAckError::Incomplete { answers, missing, missing_nodes })
        }
    }

    /// The selected sockets of this process.
    pub fn sockets(&self) -> Vec<Socket> {
        self.apply(&Command::Fetch).unwrap_or_default()
    }

    /// Makes all of them join a room, or several.
    ///
    /// # Errors
    /// [`HubError`] if a name is too long, or if a socket is in too many rooms; the others have then joined, and all of
    /// them the other rooms. If both are so, the error is about the name.
    pub fn join(&self, rooms: impl Rooms) -> Result<(), HubError> {
        #[cfg_attr(not(feature = "cluster"), expect(unused_variables))]
        let (result, rooms) = self.join_rooms(names(&rooms));
        #[cfg(feature = "cluster")]
        if !rooms.is_empty() {
            self.tell(|target| Message::Join { target, rooms });
        }
        result
    }

    /// Makes the sockets of this process join the rooms whose names are not too long, and returns those.
    pub(super) fn join_rooms(&self, mut rooms: Vec<Arc<str>>) -> (Result<(), HubError>, Vec<Arc<str>>) {
        let limit = self.namespace.hub().limits().room_name_bytes;
        let asked = rooms.len();
        rooms.retain(|room| room.len() <= limit);
        let too_long = asked - rooms.len();
        (0..too_long).for_each(|_| self.namespace.room_refused());
        let command = Command::Join { rooms };
        let joined = self.apply(&command).map(drop);
        let Command::Join { rooms } = command else { return (joined, Vec::new()) };
        let result = if too_long > 0 { Err(HubError::RoomNameTooLong { limit }) } else { joined };
        (result, rooms)
    }

    /// Makes all of them leave a room, or several.
    pub fn leave(&self, rooms: impl Rooms) {
        let command = Command::Leave { rooms: names(&rooms) };
        let _ = self.apply(&command);
        #[cfg(feature = "cluster")]
        if let Command::Leave { rooms } = command {
            if !rooms.is_empty() {
                self.tell(|target| Message::Leave { target, rooms });
            }
        }
    }

    /// Disconnects all of them from the namespace.
    pub fn disconnect(&self) {
        let _ = self.apply(&Command::Disconnect);
        #[cfg(feature = "cluster")]
        self.tell(|target| Message::Disconnect { target, close: false });
    }

    /// Closes the connections of all of them, whatever other namespaces they are in.
    pub fn close(&self) {
        let _ = self.apply(&Command::Close);
        #[cfg(feature = "cluster")]
        self.tell(|target| Message::Disconnect { target, close: true });
    }
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("namespace", &self.namespace.name)
            .field("target", &self.target)
            .finish()
    }
}
