//! Makes a scenario that fails smaller, as long as it still fails.

use super::scenario::Scenario;

/// Leaves out of a scenario what it does not need to fail. `fails` is asked at most `budget` times; the scenario that
/// comes back fails.
///
/// Greedy: first large parts of the steps, then smaller ones, at last single steps; then what the clients have of
/// jitter and namespaces.
pub fn shrink(scenario: &Scenario, budget: usize, mut fails: impl FnMut(&Scenario) -> bool) -> Scenario {
    let mut best = scenario.clone();
    let mut asked = 0;
    let mut try_it = |best: &mut Scenario, candidate: Scenario| {
        asked += 1;
        let fails = asked <= budget && fails(&candidate);
        if fails {
            *best = candidate;
        }
        (fails, asked < budget)
    };
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut smaller = false;
        while at < best.steps.len() {
            let mut candidate = best.clone();
            candidate.steps.drain(at..(at + size).min(best.steps.len()));
            let (fails, goes_on) = try_it(&mut best, candidate);
            smaller |= fails;
            if !fails {
                at += size;
            }
            if !goes_on {
                return best;
            }
        }
        // Single steps until none can go any more.
        size = if size == 1 { usize::from(smaller) } else { size / 2 };
    }
    for at in 0..best.settings.clients.len() {
        let mut candidate = best.clone();
        candidate.settings.clients[at].link.jitter = core::time::Duration::ZERO;
        try_it(&mut best, candidate);
        let mut candidate = best.clone();
        candidate.settings.clients[at].namespaces = 1;
        try_it(&mut best, candidate);
    }
    best
}
