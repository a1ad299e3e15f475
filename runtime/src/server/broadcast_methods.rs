//! The shorthands of a broadcast to everybody, which a namespace has for its sockets and a server for those of `/`.

/// Makes the methods of a broadcast for a type that has `broadcast()`.
macro_rules! broadcast_methods {
    () => {
        /// The sockets in a room, or in several, as the target of a broadcast. A socket's id is the name of a room that it is
        /// always in; it is there alone unless the application lets another one `join` a room of that name.
        pub fn to(&self, rooms: impl Rooms) -> Broadcast {
            self.broadcast().to(rooms)
        }

        /// All sockets but those in a room, or in several, as the target of a broadcast.
        pub fn except(&self, rooms: impl Rooms) -> Broadcast {
            self.broadcast().except(rooms)
        }

        /// All sockets of this process, and not those of other nodes, as the target of a broadcast.
        pub fn local(&self) -> Broadcast {
            self.broadcast().local()
        }

        /// All sockets to which an event can leave at once, as the target of a broadcast.
        pub fn volatile(&self) -> Broadcast {
            self.broadcast().volatile()
        }

        /// All sockets, as the target of a broadcast whose events may be compressed or not.
        pub fn compress(&self, compress: bool) -> Broadcast {
            self.broadcast().compress(compress)
        }

        /// Calls of all sockets that wait that long for the answers.
        pub fn timeout(&self, timeout: Duration) -> Timed<Broadcast> {
            self.broadcast().timeout(timeout)
        }

        /// Emits an event to all sockets.
        ///
        /// # Errors
        /// [`EmitError::Encode`].
        pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
            self.broadcast().emit(event, args)
        }

        /// Emits an event to all sockets, and lets other tasks run in between: see [`Broadcast::emit_async`].
        pub fn emit_async<T: ToArgs + ?Sized>(
            &self,
            event: &str,
            args: &T,
        ) -> impl Future<Output = Result<(), EmitError>> + Send + 'static + use<T> {
            self.broadcast().emit_async(event, args)
        }

        /// Emits the event `message` to all sockets.
        ///
        /// # Errors
        /// [`EmitError::Encode`].
        pub fn send<T: ToArgs + ?Sized>(&self, args: &T) -> Result<(), EmitError> {
            self.broadcast().send(args)
        }

        /// Emits an event to all sockets, and awaits the answer of each: see [`Broadcast::call`].
        pub fn call<T: ToArgs + ?Sized, R: DeserializeOwned + Send + 'static>(
            &self,
            event: &str,
            args: &T,
        ) -> impl Future<Output = Result<Vec<Answer<R>>, EmitError>> + Send + 'static + use<T, R> {
            self.broadcast().call(event, args)
        }

        /// Emits an event to all sockets, and gives their answers as they come: see [`Broadcast::call_stream`].
        ///
        /// # Errors
        /// [`EmitError::Encode`].
        pub fn call_stream<T: ToArgs + ?Sized, R: DeserializeOwned>(
            &self,
            event: &str,
            args: &T,
        ) -> Result<Answers<R>, EmitError> {
            self.broadcast().call_stream(event, args)
        }

        /// Emits a [typed event](TypedEvent) to all sockets.
        ///
        /// # Errors
        /// [`EmitError::Encode`].
        pub fn emit_typed<E: TypedEvent>(&self, event: E, payload: &E::Payload) -> Result<(), EmitError> {
            self.broadcast().emit_typed(event, payload)
        }

        /// Emits a [typed event](TypedEvent) to all sockets, and awaits the answer of each: see [`Broadcast::call`].
        pub fn call_typed<E: TypedEvent>(
            &self,
            event: E,
            payload: &E::Payload,
        ) -> impl Future<Output = Result<Vec<Answer<E::Answer>>, EmitError>> + Send + 'static + use<E> {
            self.broadcast().call_typed(event, payload)
        }

        /// Emits an event to all sockets, and collects their acknowledgements: see [`Broadcast::emit_with_ack`].
        pub fn emit_with_ack<T: ToArgs + ?Sized>(
            &self,
            event: &str,
            args: &T,
            timeout: Duration,
        ) -> impl Future<Output = Result<Vec<Args>, BroadcastAckError>> + Send + 'static + use<T> {
            self.broadcast().emit_with_ack(event, args, timeout)
        }

        /// All sockets of this process.
        pub fn sockets(&self) -> Vec<Socket> {
            self.broadcast().sockets()
        }
    };
}

pub(crate) use broadcast_methods;
