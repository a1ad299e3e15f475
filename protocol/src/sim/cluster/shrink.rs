//! Makes a story that fails smaller, as long as it still fails.

use super::Story;

/// Leaves out steps that a story does not need to fail: large parts first, at last single ones. `fails` is asked at most
/// `budget` times; the story that comes back fails.
pub fn shrink(story: &Story, budget: usize, mut fails: impl FnMut(&Story) -> bool) -> Story {
    let mut best = story.clone();
    let mut asked = 0;
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut is_smaller = false;
        while at < best.steps.len() {
            if asked == budget {
                return best;
            }
            asked += 1;
            let mut candidate = best.clone();
            // The others happen when they happened.
            let end = (at + size).min(best.steps.len());
            let skipped = candidate.steps.drain(at..end).map(|step| step.after).sum();
            if let Some(next) = candidate.steps.get_mut(at) {
                next.after = next.after.saturating_add(skipped);
            }
            if fails(&candidate) {
                best = candidate;
                is_smaller = true;
            } else {
                at += size;
            }
        }
        size = if size == 1 { usize::from(is_smaller) } else { size / 2 };
    }
    best
}
