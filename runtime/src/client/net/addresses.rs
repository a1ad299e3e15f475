//! The addresses of a host, of which some may not answer: they are tried in parallel, each a little later than the one
//! before (RFC 8305).

use crate::base::runtime::{Runtime, Timer};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// The time for which an address is tried alone (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first address of a host that answers. An adapter's `dial` uses it.
///
/// The kinds of addresses take turns, beginning with that of the first (a name often has one of each, and one kind may
/// lead nowhere). The next address is tried as soon as one has failed, or after 250 ms, while earlier tries go on. Tries
/// that are not needed any more are dropped. No task is spawned.
///
/// # Errors
/// The last failure, or that there is no address.
pub async fn connect_to_any<T, Fut>(
    runtime: &dyn Runtime,
    addresses: impl IntoIterator<Item = SocketAddr>,
    mut connect: impl FnMut(SocketAddr) -> Fut,
) -> io::Result<T>
where
    Fut: Future<Output = io::Result<T>>,
{
    let mut left = taking_turns(addresses);
    let mut tries: Vec<Pin<Box<Fut>>> = Vec::new();
    let mut timer: Option<Box<dyn Timer>> = None;
    let mut failure = None;
    // The next one is to be tried.
    let mut due = true;
    poll_fn(move |context| {
        loop {
            let mut at = 0;
            while let Some(running) = tries.get_mut(at) {
                match running.as_mut().poll(context) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                    Poll::Ready(Err(error)) => {
                        drop(tries.remove(at));
                        failure = Some(error);
                        due = true;
                    }
                    Poll::Pending => at += 1,
                }
            }
            due = due || timer.as_mut().is_some_and(|timer| timer.poll_elapsed(context).is_ready());
            let next = if due { left.pop_front() } else { None };
            if let Some(address) = next {
                due = false;
                tries.push(Box::pin(connect(address)));
                timer = (!left.is_empty()).then(|| runtime.timer(runtime.now() + HEAD_START));
            } else if tries.is_empty() {
                let nowhere = || io::Error::new(io::ErrorKind::NotFound, "the host's name has no address");
                return Poll::Ready(Err(failure.take().unwrap_or_else(nowhere)));
            } else {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Orders addresses so that the two kinds take turns (RFC 8305, section 4).
fn taking_turns(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut first = VecDeque::new();
    let mut second = VecDeque::new();
    for address in addresses {
        let is_first = first.front().is_none_or(|known: &SocketAddr| known.is_ipv6() == address.is_ipv6());
        if is_first { first.push_back(address) } else { second.push_back(address) }
    }
    let mut turns = VecDeque::with_capacity(first.len() + second.len());
    while !first.is_empty() || !second.is_empty() {
        turns.extend(first.pop_front());
        turns.extend(second.pop_front());
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::in_memory::InMemory;
    use crate::base::runtime::BoxFuture;
    use futures_channel::oneshot;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Waker};

    type Network = Arc<Mutex<Vec<(SocketAddr, oneshot::Sender<io::Result<SocketAddr>>)>>>;

    /// A connection that is being made: what has been dialled waits in the network for its answer.
    struct Story {
        runtime: InMemory,
        network: Network,
        connecting: BoxFuture<io::Result<SocketAddr>>,
    }

    impl Story {
        fn of(addresses: &[&str]) -> Self {
            let addresses: Vec<SocketAddr> =
                addresses.iter().map(|address| address.parse().expect("an address")).collect();
            let runtime = InMemory::new();
            let network = Network::default();
            let (clock, dialled) = (runtime.clone(), network.clone());
            let connecting = Box::pin(async move {
                connect_to_any(&clock, addresses, |address| {
                    let (sender, receiver) = oneshot::channel();
                    dialled.lock().unwrap().push((address, sender));
                    async move { receiver.await.expect("an answer") }
                })
                .await
            });
            Self { runtime, network, connecting }
        }

        fn poll(&mut self) -> Poll<io::Result<SocketAddr>> {
            self.connecting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        }

        /// Those that are being tried, in order.
        fn tried(&mut self) -> Vec<String> {
            assert!(self.poll().is_pending());
            self.network.lock().unwrap().iter().map(|(address, _)| address.to_string()).collect()
        }

        fn wait(&self, millis: u64) {
            self.runtime.advance(Duration::from_millis(millis));
        }

        fn answer(&self, address: &str, answer: Result<(), &str>) {
            let mut network = self.network.lock().unwrap();
            let at = network.iter().position(|(dialled, _)| dialled.to_string() == address);
            let (address, sender) = network.remove(at.expect("it is being tried"));
            let answer = answer.map(|()| address).map_err(io::Error::other);
            sender.send(answer).expect("somebody waits for it");
        }
    }

    #[test]
    fn the_kinds_of_addresses_take_turns() {
        let order = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap());
            taking_turns(addresses).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            order(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]),
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]
        );
        assert_eq!(order(&["1.1.1.1:1", "2.2.2.2:1", "[::1]:1"]), ["1.1.1.1:1", "[::1]:1", "2.2.2.2:1"]);
        assert!(order(&[]).is_empty());
    }

    #[test]
    fn one_that_does_not_answer_delays_the_next_by_a_quarter_of_a_second() {
        let mut story = Story::of(&["[::1]:1", "127.0.0.1:1"]);
        assert_eq!(story.tried(), ["[::1]:1"]);
        story.wait(249);
        assert_eq!(story.tried(), ["[::1]:1"]);
        story.wait(1);
        assert_eq!(story.tried(), ["[::1]:1", "127.0.0.1:1"]);
        story.answer("127.0.0.1:1", Ok(()));
        let Poll::Ready(Ok(address)) = story.poll() else { panic!("it has answered") };
        assert_eq!(address.to_string(), "127.0.0.1:1");
        // The other one is not tried any more.
        drop(story.connecting);
        assert!(story.network.lock().unwrap().iter().all(|(_, sender)| sender.is_canceled()));
    }

    #[test]
    fn one_that_answers_late_is_taken_all_the_same() {
        let mut story = Story::of(&["[::1]:1", "127.0.0.1:1"]);
        story.tried();
        story.wait(250);
        story.tried();
        story.answer("[::1]:1", Ok(()));
        assert!(matches!(story.poll(), Poll::Ready(Ok(address)) if address.is_ipv6()));
    }

    #[test]
    fn one_that_fails_delays_nobody() {
        let mut story = Story::of(&["[::1]:1", "127.0.0.1:1", "[::2]:1"]);
        assert_eq!(story.tried(), ["[::1]:1"]);
        story.answer("[::1]:1", Err("refused"));
        assert_eq!(story.tried(), ["127.0.0.1:1"]);
        // Each has its own head start.
        story.wait(249);
        assert_eq!(story.tried(), ["127.0.0.1:1"]);
        story.wait(1);
        assert_eq!(story.tried(), ["127.0.0.1:1", "[::2]:1"]);
        story.answer("127.0.0.1:1", Err("unreachable"));
        assert_eq!(story.tried(), ["[::2]:1"]);
        story.answer("[::2]:1", Err("the last"));
        assert!(matches!(story.poll(), Poll::Ready(Err(error)) if error.to_string() == "the last"));
    }

    #[test]
    fn a_name_without_an_address_is_an_error() {
        let mut story = Story::of(&[]);
        assert!(matches!(story.poll(), Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotFound));
    }
}
