//! An envelope on its way to whoever consumes it, and the answer's way back.

pub(crate) mod handler;
pub(crate) mod receive;

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};

use crate::delivery::receive::receive;
use crate::envelope::Envelope;
use crate::syntax::reply::Reply;

/// The answer to a message.
///
/// Several types convert to it: `()` and `None` accept, a [`Reply`] is sent as it is, and a `Result<_, Reply>` refuses with
/// its `Err` or converts its `Ok`: `Result<(), Reply>`, `Result<Reply, Reply>`, `Result<Response, Reply>`. A
/// [`std::io::Error`] converts to a `Reply`, so `?` works in a handler. To accept a message is to promise that it is safe:
/// return only when it is.
///
/// ```
/// use pillarbox::{Reply, Response};
///
/// assert_eq!(Response::from(()), Response::All(Reply::ok()));
/// let full: Result<(), Reply> = Err(Reply::temporary("disk full"));
/// assert_eq!(Response::from(full), Response::All(Reply::temporary("disk full")));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Response {
    /// One answer for every recipient.
    All(Reply),
    /// An answer for each recipient, in the order of [`Envelope::recipients`]; a missing one counts as
    /// `451 4.3.0`.
    ///
    /// SMTP has a single reply to a message. It is the first success if all succeed, else the first refusal, with 4xx before
    /// 5xx: recipients that were served already may then get the message twice, but nobody misses it.
    Each(Vec<Reply>),
}

impl Response {
    /// An answer for each recipient, from replies or `Result<(), Reply>`s in their order.
    pub fn each<R: Into<Response>>(answers: impl IntoIterator<Item = R>) -> Response {
        Response::Each(answers.into_iter().map(|answer| answer.into().into_one(1)).collect())
    }

    /// Whether it accepts the message for anybody.
    pub(crate) fn accepts(&self) -> bool {
        match self {
            Response::All(reply) => reply.is_positive(),
            Response::Each(replies) => replies.iter().any(Reply::is_positive),
        }
    }

    /// The reply for each of `recipients`.
    pub(crate) fn into_each(self, recipients: usize) -> Vec<Reply> {
        match self {
            Response::All(reply) if recipients > 1 => vec![reply.into_final().shared(); recipients],
            Response::All(reply) => vec![reply.into_final(); recipients],
            Response::Each(replies) => {
                if replies.len() != recipients {
                    log::error!("{} answers for {recipients} recipients", replies.len());
                }
                let missing = std::iter::repeat_n(Reply::LOCAL_ERROR, recipients.saturating_sub(replies.len()));
                replies.into_iter().take(recipients).map(Reply::into_final).chain(missing).collect()
            }
        }
    }

    /// The one reply that is true for all of `recipients`.
    pub(crate) fn into_one(self, recipients: usize) -> Reply {
        let replies = match self {
            Response::All(reply) => return reply.into_final(),
            Response::Each(replies) => replies,
        };
        if replies.len() < recipients {
            log::error!("{} answers for {recipients} recipients: 451 is sent for all", replies.len());
            return Reply::LOCAL_ERROR;
        }
        let replies: Vec<Reply> = replies.into_iter().map(Reply::into_final).collect();
        let worst = replies.iter().find(|r| r.is_transient()).or_else(|| replies.iter().find(|r| r.is_permanent()));
        worst.or(replies.first()).cloned().unwrap_or(Reply::LOCAL_ERROR)
    }
}

impl From<()> for Response {
    fn from((): ()) -> Response {
        Response::All(Reply::ok())
    }
}

impl From<Reply> for Response {
    fn from(reply: Reply) -> Response {
        Response::All(reply)
    }
}

impl From<Option<Reply>> for Response {
    fn from(reply: Option<Reply>) -> Response {
        Response::All(reply.unwrap_or(Reply::ok()))
    }
}

impl<T: Into<Response>> From<Result<T, Reply>> for Response {
    fn from(result: Result<T, Reply>) -> Response {
        match result {
            Ok(response) => response.into(),
            Err(reply) => Response::All(reply.into_refusal()),
        }
    }
}

/// An [`Envelope`] that waits for its answer: what the far end of the channel receives.
///
/// Its client waits for up to [`handler_timeout`](crate::Builder::handler_timeout). If you drop a delivery without an
/// answer, the client gets `451 4.3.0`, keeps the message and tries again.
///
/// ```
/// # use std::io::Write;
/// use pillarbox::{Reply, Server};
///
/// let (server, deliveries) = Server::builder().deliveries("127.0.0.1:0")?;
/// # let mut client = std::net::TcpStream::connect(server.local_addr())?;
/// # client.write_all(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n.\r\n")?;
/// for delivery in &deliveries {
///     println!("{}", delivery.envelope().mail_from());
///     delivery.accept();
/// #   break;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a delivery that is dropped is answered 451"]
pub struct Delivery {
    // Boxed: it crosses the channel, and a pointer is cheaper to move than an envelope.
    envelope: Box<Envelope>,
    answer: AnswerSlot,
}

impl Delivery {
    /// A message whose answer goes to a channel with its number. The channel needs room for the answers of all messages that were
    /// given out.
    #[cfg(feature = "redis")]
    pub(crate) fn numbered(envelope: Envelope, number: u64, answers: Sender<NumberedAnswer>) -> Delivery {
        let answer = AnswerSlot { to: Some(AnswerTo::Numbered(number, answers)) };
        Delivery { envelope: Box::new(envelope), answer }
    }

    /// The message.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The message, for a handler that changes it before it gives the delivery to
    /// [another](crate::Handler::process_delivery).
    pub fn envelope_mut(&mut self) -> &mut Envelope {
        &mut self.envelope
    }

    /// Accepts the message: `250 2.0.0 OK` with its id. From then on you are responsible for it.
    pub fn accept(self) {
        self.respond(());
    }

    /// Answers the message, with a [`Reply`] or anything else that converts to a [`Response`]. Its connection's thread frees the
    /// message before the client sees the reply; what it holds counts towards
    /// [`memory_budget`](crate::Builder::memory_budget) until then.
    pub fn respond(self, response: impl Into<Response>) {
        self.answer.send(response.into(), Some(self.envelope));
    }

    /// Separates the message from its answer, to answer later.
    pub fn take(self) -> (Envelope, PendingAnswer) {
        (*self.envelope, PendingAnswer(self.answer))
    }

    /// Whether a client still waits for the answer. Once the handler's time is over, or a shutdown has cut the connection, the client
    /// was told to try again, and nobody hears one.
    #[cfg(unix)]
    pub(crate) fn is_awaited(&self) -> bool {
        self.answer.is_awaited()
    }
}

impl AsRef<Envelope> for Delivery {
    fn as_ref(&self) -> &Envelope {
        &self.envelope
    }
}

impl Debug for Delivery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("envelope", &self.envelope).finish_non_exhaustive()
    }
}

/// The answer that a client waits for, without its message: see [`Delivery::take`]. Dropping it answers `451 4.3.0`.
#[must_use = "an answer that is dropped is 451"]
pub struct PendingAnswer(AnswerSlot);

impl PendingAnswer {
    /// Answers the message.
    pub fn respond(self, response: impl Into<Response>) {
        self.0.send(response.into(), None);
    }
}

impl Debug for PendingAnswer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAnswer").finish_non_exhaustive()
    }
}

/// What comes back to a waiting worker.
pub(crate) enum Answer {
    /// From whoever consumed the message; with the message, if that was not taken. It is freed quickest by the worker whose thread has
    /// made it: in the heap of another, threads wait for each other.
    Response(Response, Option<Box<Envelope>>),
    /// From nobody: the delivery was dropped.
    Dropped,
    /// From a shutdown whose grace time is over.
    Cut,
}

struct AnswerSlot {
    // None once it was used.
    to: Option<AnswerTo>,
}

enum AnswerTo {
    /// A connection's worker, which waits.
    Worker(Arc<AnswerChannel>),
    /// Whoever has given out several messages, and knows them by number.
    #[cfg(feature = "redis")]
    Numbered(u64, Sender<NumberedAnswer>),
}

/// What became of a message with a number; no response if its delivery was dropped.
#[cfg(feature = "redis")]
pub(crate) type NumberedAnswer = (u64, Option<Response>);

/// Where answers go, and whether anybody still listens: the channel itself does not tell.
struct AnswerChannel {
    sender: Sender<Answer>,
    is_abandoned: AtomicBool,
}

impl AnswerSlot {
    fn send(mut self, response: Response, message: Option<Box<Envelope>>) {
        self.put(Answer::Response(response, message));
    }

    fn put(&mut self, answer: Answer) {
        match self.to.take() {
            // There is room for one answer and a cut; a worker that gave up waiting has dropped its end.
            Some(AnswerTo::Worker(to)) => drop(to.sender.try_send(answer)),
            // There is room for the answers of all that were given out.
            #[cfg(feature = "redis")]
            Some(AnswerTo::Numbered(number, to)) => {
                let response = if let Answer::Response(response, _) = answer { Some(response) } else { None };
                let _ = to.try_send((number, response));
            }
            None => {}
        }
    }

    #[cfg(unix)]
    fn is_awaited(&self) -> bool {
        match &self.to {
            Some(AnswerTo::Worker(to)) => !to.is_abandoned.load(Ordering::Relaxed),
            #[cfg(feature = "redis")]
            Some(AnswerTo::Numbered(..)) => true,
            None => false,
        }
    }
}

impl Drop for AnswerSlot {
    fn drop(&mut self) {
        self.put(Answer::Dropped);
    }
}

/// A connection's way to the consumer and back: one answer channel for all of its messages, since making one costs more
/// than using it.
pub(crate) struct Dispatch {
    deliveries: Sender<Delivery>,
    // From the first message on: a connection that only waits shall not hold its memory.
    back: Option<WayBack>,
}

/// The two ends of the way that answers take.
struct WayBack {
    channel: Arc<AnswerChannel>,
    answers: Receiver<Answer>,
}

/// Why there is no response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Undelivered {
    /// The handler time is over; a response may still come and will be thrown away.
    Late,
    /// The delivery was dropped unanswered, or nobody receives deliveries any more.
    Dropped,
    /// The server shuts down and its grace time is over.
    Cut,
}

impl Dispatch {
    pub fn new(deliveries: Sender<Delivery>) -> Dispatch {
        Dispatch { deliveries, back: None }
    }

    /// Where a shutdown can reach a worker that waits here; none as long as none can wait.
    pub fn canceller(&self) -> Option<Sender<Answer>> {
        self.back.as_ref().map(|back| back.channel.sender.clone())
    }

    /// Makes ready to [`deliver`](Dispatch::deliver). If it was not, gives the new [canceller](Dispatch::canceller).
    pub fn prepare(&mut self) -> Option<Sender<Answer>> {
        if self.back.is_some() {
            return None;
        }
        self.back = Some(WayBack::new());
        self.canceller()
    }

    /// Hands an envelope over and waits for the answer.
    pub fn deliver(&mut self, envelope: Box<Envelope>, deadline: Instant) -> Result<Response, Undelivered> {
        let back = self.back.get_or_insert_with(WayBack::new);
        let answer = AnswerSlot { to: Some(AnswerTo::Worker(back.channel.clone())) };
        match self.deliveries.send_deadline(Delivery { envelope, answer }, deadline) {
            Ok(()) => {}
            // The delivery that comes back drops its slot; that answer must not be taken for the next message's.
            Err(SendTimeoutError::Timeout(_)) => return Err(self.abandoned(Undelivered::Late)),
            Err(SendTimeoutError::Disconnected(_)) => return Err(self.abandoned(Undelivered::Dropped)),
        }
        match receive(&back.answers, Some(deadline)) {
            Ok(Answer::Response(response, message)) => {
                drop(message);
                Ok(response)
            }
            Ok(Answer::Dropped) => Err(Undelivered::Dropped),
            Ok(Answer::Cut) => Err(self.abandoned(Undelivered::Cut)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(self.abandoned(Undelivered::Late)),
        }
    }

    /// An answer may still be under way: nobody shall hear it.
    pub fn abandon(&mut self) {
        if let Some(back) = self.back.take() {
            back.channel.is_abandoned.store(true, Ordering::Relaxed);
        }
    }

    fn abandoned(&mut self, why: Undelivered) -> Undelivered {
        self.abandon();
        why
    }
}

impl WayBack {
    /// Room for one answer and for a cut beside it, so that neither ever waits.
    fn new() -> WayBack {
        let (sender, answers) = bounded(2);
        WayBack { channel: Arc::new(AnswerChannel { sender, is_abandoned: AtomicBool::new(false) }), answers }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_reply_that_is_true_for_all() {
        let no = || Reply::permanent("no");
        let later = || Reply::temporary("later");
        let one = |replies: Vec<Reply>, n| Response::Each(replies).into_one(n);
        assert_eq!(one(vec![Reply::ok(), Reply::ok()], 2), Reply::ok());
        assert_eq!(one(vec![Reply::ok(), no()], 2), no());
        assert_eq!(one(vec![no(), later(), Reply::ok()], 3), later());
        assert_eq!(one(vec![Reply::ok()], 2), Reply::LOCAL_ERROR);
        assert_eq!(one(vec![], 0), Reply::LOCAL_ERROR);
    }

    #[test]
    fn a_shutdown_reaches_each_way_back() {
        let (deliveries, queue) = bounded(2);
        let mut dispatch = Dispatch::new(deliveries);
        assert!(dispatch.canceller().is_none());
        for _ in 0..2 {
            let canceller = dispatch.prepare().unwrap();
            assert!(dispatch.prepare().is_none() && dispatch.canceller().is_some());
            assert!(canceller.try_send(Answer::Cut).is_ok());
            let envelope = Box::new(Envelope::builder().recipient("a@bench.example").build().unwrap());
            let deadline = Instant::now() + Duration::from_secs(3600);
            assert_eq!(dispatch.deliver(envelope, deadline), Err(Undelivered::Cut));
        }
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn a_message_that_nobody_takes_goes_back_with_its_answer() {
        let WayBack { channel, answers } = WayBack::new();
        let delivery = || Delivery {
            envelope: Box::new(Envelope::builder().recipient("a@bench.example").build().unwrap()),
            answer: AnswerSlot { to: Some(AnswerTo::Worker(channel.clone())) },
        };
        delivery().accept();
        assert!(matches!(answers.try_recv(), Ok(Answer::Response(_, Some(_)))));
        let (_message, answer) = delivery().take();
        answer.respond(());
        assert!(matches!(answers.try_recv(), Ok(Answer::Response(_, None))));
    }

    #[test]
    fn a_reply_for_each() {
        let no = Reply::permanent("no");
        assert_eq!(Response::All(no.clone()).into_each(2), [no.clone(), no.clone()]);
        let two = Response::Each(vec![Reply::ok(), no.clone()]);
        assert_eq!(two.clone().into_each(2), [Reply::ok(), no.clone()]);
        assert_eq!(two.clone().into_each(3), [Reply::ok(), no, Reply::LOCAL_ERROR]);
        assert_eq!(two.into_each(1), [Reply::ok()]);
    }

    #[test]
    fn responses_from_what_is_at_hand() {
        assert_eq!(Response::from(None), Response::All(Reply::ok()));
        assert_eq!(Response::from(Some(Reply::permanent("x"))), Response::All(Reply::permanent("x")));
        // An Err that says 250 does not accept.
        assert_eq!(Response::from(Err::<(), _>(Reply::ok())), Response::All(Reply::LOCAL_ERROR));
        let each = Response::each([Ok(()), Err(Reply::permanent("x"))]);
        assert_eq!(each, Response::Each(vec![Reply::ok(), Reply::permanent("x")]));
        assert_eq!(Response::from(Ok(each.clone())), each);
        assert_eq!(Response::from(Ok(Reply::permanent("x"))), Response::All(Reply::permanent("x")));
    }
}
