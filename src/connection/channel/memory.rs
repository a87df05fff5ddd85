//! Whole conversations over memory, for tests and fuzzing.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};

use super::*;
use crate::connection::shutdown::Shutdown;
use crate::content::store::ContentStore;
use crate::delivery::Delivery;
use crate::envelope::tls_info::TlsInfo;
use crate::io::tls::TlsAcceptor;

/// A client that has sent what it will ever send, in packets, and closes behind it.
struct Memory {
    packets: VecDeque<Vec<u8>>,
    written: Vec<Vec<u8>>,
}

impl Read for Memory {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(packet) = self.packets.front_mut() else {
            return Ok(0);
        };
        let n = packet.len().min(buf.len());
        buf[..n].copy_from_slice(&packet[..n]);
        packet.drain(..n);
        if packet.is_empty() {
            self.packets.pop_front();
        }
        Ok(n)
    }
}

impl Write for Memory {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.written.push(buf.to_vec());
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for &mut Memory {
    fn set_read_deadline(&mut self, _: Instant) {}

    fn set_write_deadline(&mut self, _: Instant) {}

    fn allow_read(&mut self, _: Instant, _: Duration) {}

    fn allow_write(&mut self, _: Instant, _: Duration) {}

    fn close_writing(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close_reading(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn has_input(&mut self) -> io::Result<bool> {
        // Each packet comes when it is waited for.
        Ok(false)
    }

    fn acknowledge(&mut self) {}

    fn reset_at_close(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn start_tls(&mut self, _: &dyn TlsAcceptor) -> io::Result<TlsInfo> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What came of a conversation.
#[derive(PartialEq, Eq, Debug)]
pub struct Outcome {
    /// All that the server said.
    pub replies: String,
    /// In how many writes.
    pub writes: usize,
    /// Those that were delivered, in their order.
    pub messages: Vec<Message>,
}

/// A message that was delivered.
#[derive(PartialEq, Eq, Debug)]
pub struct Message {
    /// The reverse-path.
    pub mail_from: String,
    /// The forward-paths.
    pub recipients: Vec<String>,
    /// The octets.
    pub content: Vec<u8>,
}

/// Holds a conversation with a client that sends these packets, whatever it is answered, and closes. All messages are
/// accepted.
pub fn converse(config: Config, packets: &[&[u8]]) -> Outcome {
    let shared = Arc::new(Shared {
        store: ContentStore::new(&config),
        stress: Arc::new(Stress::new(config.max_connections, config.stress_timeout)),
        addresses: Arc::new(Addresses::new(&config)),
        offers: Offers::default(),
        config: Arc::new(config),
        counters: Arc::default(),
        listener: ListenerId::default(),
        implicit_tls: false,
        server: 0xabc,
        tls: None,
        transcripts: None,
        observer: None,
        faults: None,
        #[cfg(feature = "auth")]
        authenticator: None,
        #[cfg(feature = "auth")]
        sasl_mechanisms: Vec::new(),
    });
    let (deliveries, receiver): (_, Receiver<Delivery>) = bounded(0);
    let consumer = thread::spawn(move || {
        let mut messages = Vec::new();
        for delivery in receiver {
            let mail = delivery.envelope();
            messages.push(Message {
                mail_from: mail.mail_from().to_string(),
                recipients: mail.recipients().iter().map(ToString::to_string).collect(),
                content: mail.bytes().map(|bytes| bytes.into_owned()).unwrap_or_default(),
            });
            delivery.accept();
        }
        messages
    });
    let buffers = ConnectionBuffers::new(deliveries);
    let activity = Arc::new(Activity::new(Arc::<Shutdown>::default(), buffers.canceller()));
    let ends = (Endpoint::Unix(None), Endpoint::Unix(None));
    let packets = packets.iter().filter(|p| !p.is_empty()).map(|p| p.to_vec()).collect();
    let mut memory = Memory { packets, written: Vec::new() };
    // Nothing more comes once the buffers are gone.
    Channel::new(shared, &mut memory, Ok(None), ends, 1, buffers, activity).run();
    Outcome {
        replies: String::from_utf8_lossy(&memory.written.concat()).into_owned(),
        writes: memory.written.len(),
        messages: consumer.join().unwrap_or_default(),
    }
}
