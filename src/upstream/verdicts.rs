//! A server's replies for the recipients of a message, so far as they are kept.

use crate::syntax::reply::Reply;

/// In octets, the texts that are kept whole: a server may answer for a thousand recipients with 64 KiB each.
const WHOLE: usize = 64 * 1024;
/// What is kept of each text beyond that.
const SHORT: usize = 256;

/// Replies for recipients, in their order.
pub(crate) struct Verdicts {
    replies: Vec<Reply>,
    room: usize,
}

impl Verdicts {
    pub fn new() -> Verdicts {
        Verdicts { replies: Vec::new(), room: WHOLE }
    }

    pub fn push(&mut self, reply: Reply) {
        let reply = match self.replies.last() {
            // Said again, it takes no room again.
            Some(last) if *last == reply => last.clone(),
            _ => {
                let reply = if reply.text().len() > self.room { reply.shortened(SHORT) } else { reply };
                self.room = self.room.saturating_sub(reply.text().len());
                reply.shared()
            }
        };
        self.replies.push(reply);
    }

    pub fn len(&self) -> usize {
        self.replies.len()
    }

    /// The reply for the first recipient, if it is the only one so far.
    pub fn only(&self) -> Option<&Reply> {
        if let [only] = &self.replies[..] { Some(only) } else { None }
    }

    /// The replies for so many recipients, with `missing` for those that none came for.
    pub fn filled(mut self, recipients: usize, missing: Reply) -> Vec<Reply> {
        self.replies.resize(recipients, missing.shared());
        self.replies
    }

    pub fn into_replies(self) -> Vec<Reply> {
        self.replies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let mut all = Verdicts::new();
        let text = "x".repeat(60 * 1024);
        for n in 0..1000 {
            all.push(Reply::new(550, "5.1.1", format!("{n} {text}")));
        }
        let replies = all.into_replies();
        assert!(replies[0].text().len() > 60 * 1024);
        assert_eq!((replies[999].text().len(), &replies[999].text()[..5]), (SHORT, "999 x"));
        assert!(replies.iter().map(|reply| reply.text().len()).sum::<usize>() < WHOLE + 1000 * SHORT);
    }

    #[test]
    fn what_is_said_again_is_kept_once() {
        let mut all = Verdicts::new();
        (0..1000).for_each(|_| all.push(Reply::new(250, "2.1.5", "y".repeat(60 * 1024))));
        let replies = all.into_replies();
        assert!(replies.iter().all(|reply| std::ptr::eq(reply.text(), replies[0].text())));
    }
}
