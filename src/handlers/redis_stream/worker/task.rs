//! A message that the handler has, and what its answer means.

use std::time::Duration;

use crate::delivery::Response;
use crate::syntax::reply::Reply;

/// The pause after the first attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A message that the handler has.
pub(super) struct Task {
    /// Of its entry.
    pub id: String,
    /// Of the message, to whoever reads the log.
    pub message: String,
    pub once: Option<String>,
    pub octets: u64,
    pub attempts: u64,
    /// The places of the recipients that it was given out for, among those of the entry.
    pub recipients: Vec<usize>,
    /// The places of those that needed no further attempt before.
    pub settled: Vec<usize>,
}

/// What the handler's answer means.
#[derive(PartialEq, Eq, Debug, Default)]
pub(super) struct Outcome {
    pub accepted: Vec<usize>,
    /// Those that are never tried again, with the reply.
    pub failed: Vec<(usize, String)>,
    /// Those that are tried again, with the reply.
    pub waiting: Vec<(usize, String)>,
}

impl Task {
    /// Nothing is tried again after `max_attempts`.
    pub fn outcome(&self, response: Option<Response>, max_attempts: u64) -> Outcome {
        let count = self.recipients.len();
        let replies = match response {
            Some(response) => response.into_each(count),
            None => vec![Reply::temporary("the handler gave no answer"); count],
        };
        let mut outcome = Outcome::default();
        for (place, reply) in self.recipients.iter().zip(replies) {
            if reply.is_positive() {
                outcome.accepted.push(*place);
            } else if reply.is_permanent() || self.attempts >= max_attempts {
                outcome.failed.push((*place, reply.to_string()));
            } else {
                outcome.waiting.push((*place, reply.to_string()));
            }
        }
        outcome
    }
}

/// How long an entry waits for its next attempt after so many.
pub(super) fn pause(attempts: u64, max: Duration) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(30);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(recipients: &[usize], attempts: u64) -> Task {
        let recipients = recipients.to_vec();
        let (id, message) = ("1-1".to_owned(), "1-1-1".to_owned());
        Task { id, message, once: None, octets: 0, attempts, recipients, settled: Vec::new() }
    }

    #[test]
    fn each_recipient_has_an_outcome_of_its_own() {
        let (yes, later, no) = (Reply::ok(), Reply::temporary("later"), Reply::permanent("no"));
        let each = Response::Each(vec![yes.clone(), later.clone(), no.clone()]);
        let outcome = task(&[0, 2, 5], 1).outcome(Some(each.clone()), 3);
        assert_eq!(outcome.accepted, [0]);
        assert_eq!(outcome.waiting, [(2, later.to_string())]);
        assert_eq!(outcome.failed, [(5, no.to_string())]);
        let outcome = task(&[0, 2, 5], 3).outcome(Some(each), 3);
        assert_eq!((outcome.waiting.len(), outcome.failed.len()), (0, 2));
        // Who has no reply is tried again.
        let outcome = task(&[0, 1], 1).outcome(Some(Response::Each(vec![yes])), 3);
        assert_eq!((outcome.accepted, outcome.waiting.len()), (vec![0], 1));
        assert_eq!(task(&[0, 1], 1).outcome(None, 3).waiting.len(), 2);
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let max = Duration::from_secs(900);
        let pauses: Vec<u64> = [0, 1, 2, 3, 10, 11, 500, u64::MAX].map(|n| pause(n, max).as_secs()).to_vec();
        assert_eq!(pauses, [1, 1, 2, 4, 512, 900, 900, 900]);
        assert_eq!(pause(40, Duration::MAX), Duration::from_secs(1 << 30));
    }
}
