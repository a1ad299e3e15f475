//! Our client against our server, in memory, over a link that is cut after every single step of a scenario: by every
//! transport, in every way that links break. Whatever was cut, the client comes back in time, nothing arrives twice,
//! what was emitted after the disconnect arrives in order, each acknowledgement is decided once, and nothing is left
//! behind on either side.

mod pair;
mod wire;

use pair::{Cut, Pair, Plan};
use sansocket_protocol::engine::TransportKind;
use sansocket_protocol::engine::TransportKind::{Polling, WebSocket};

const TRANSPORTS: [&[TransportKind]; 3] = [&[Polling], &[WebSocket], &[Polling, WebSocket]];

fn cut_everywhere(cut: Cut, down_ms: u64) {
    for transports in TRANSPORTS {
        for seed in 0..2 {
            let plan = Plan { transports, seed, cut, down_ms, at: None, again: None };
            let steps = Pair::run(plan);
            assert!(steps > 40, "{transports:?}: {steps} steps");
            for at in 0..steps {
                Pair::run(Plan { at: Some(at), ..plan });
            }
        }
    }
}

#[test]
fn without_a_cut_everything_arrives() {
    for transports in TRANSPORTS {
        for seed in 0..50 {
            Pair::run(Plan { transports, seed, cut: Cut::Broken, down_ms: 0, at: None, again: None });
        }
    }
}

#[test]
fn a_link_that_breaks_for_a_moment() {
    cut_everywhere(Cut::Broken, 0);
}

#[test]
fn a_link_that_breaks_for_a_while() {
    cut_everywhere(Cut::Broken, 12_000);
}

#[test]
fn a_link_that_falls_silent() {
    cut_everywhere(Cut::Silent, 0);
    cut_everywhere(Cut::Silent, 9_000);
}

#[test]
fn a_loss_that_only_the_client_notices() {
    cut_everywhere(Cut::OnlyClientKnows, 500);
}

#[test]
fn a_loss_that_only_the_server_notices() {
    cut_everywhere(Cut::OnlyServerKnows, 500);
}

#[test]
fn a_server_that_is_restarted() {
    cut_everywhere(Cut::Restart, 700);
}

#[test]
fn a_link_that_breaks_again_and_again() {
    for transports in TRANSPORTS {
        for cut in [Cut::Broken, Cut::Silent, Cut::OnlyClientKnows, Cut::Restart] {
            for distance in 1..40 {
                let again = Some((10, distance));
                Pair::run(Plan { transports, seed: 5, cut, down_ms: 300, at: Some(3), again });
            }
        }
    }
}
