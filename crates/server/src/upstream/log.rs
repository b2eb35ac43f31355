//! A file of newline-delimited JSON, one object a message.
//!
//! One thread owns the file. It takes all messages that wait, writes them at once, calls fdatasync, and only
//! then answers their senders (group commit). What was acknowledged is therefore on disk; what was not may
//! end in a torn line after a power cut, which the next start cuts off.

mod file;
mod line;

use std::sync::Mutex;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::{LogConfig, Retraction, UpstreamContext, UpstreamDevice, UpstreamLimits, accepted};
use crate::app::path::{Message, Reply, UpstreamError};
use crate::clock::Clock;
use crate::limits;
use file::LogFile;

type Answer = oneshot::Sender<Result<(), UpstreamError>>;

/// The open log of one tenant.
pub(super) struct Log {
    tenant: String,
    clock: Clock,
    limits: UpstreamLimits,
    queue: Mutex<Option<mpsc::Sender<Entry>>>,
    stopped: tokio::sync::Mutex<Option<oneshot::Receiver<()>>>,
}

struct Entry {
    line: Vec<u8>,
    answer: Answer,
}

impl Log {
    pub(super) async fn open(config: LogConfig, context: &UpstreamContext) -> Result<Self, UpstreamError> {
        let name = config.path.display().to_string();
        let opened = tokio::task::spawn_blocking(move || LogFile::open(&config.path, config.rotate_bytes)).await;
        let file = opened
            .map_err(std::io::Error::other)
            .and_then(|file| file)
            .map_err(|error| UpstreamError::Unavailable(format!("{name}: {error}")))?;
        let (queue, entries) = mpsc::channel(context.limits.in_flight_max);
        let (stop, stopped) = oneshot::channel();
        thread::Builder::new()
            .name("upstream-log".into())
            .spawn(move || write_all(file, entries, stop))
            .map_err(|error| UpstreamError::Unavailable(format!("no thread for {name}: {error}")))?;
        Ok(Self {
            tenant: context.tenant.clone(),
            clock: context.clock.clone(),
            limits: context.limits.clone(),
            queue: Mutex::new(Some(queue)),
            stopped: tokio::sync::Mutex::new(Some(stopped)),
        })
    }

    pub(super) async fn deliver(&self, device: &UpstreamDevice, message: Message) -> Result<Reply, UpstreamError> {
        self.write(line::encode(self.clock.now(), &self.tenant, device, &message)).await.map(|()| accepted())
    }

    pub(super) async fn retract(&self, device: &UpstreamDevice, retraction: Retraction) -> Result<(), UpstreamError> {
        self.write(line::encode_retraction(&self.tenant, device, retraction)).await
    }

    async fn write(&self, line: Vec<u8>) -> Result<(), UpstreamError> {
        let (answer, written) = oneshot::channel();
        self.enqueue(Entry { line, answer })?;
        match tokio::time::timeout(self.limits.answer, written).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(unavailable("the log stopped")),
            Err(_) => Err(unavailable("the disk did not answer in time")),
        }
    }

    fn enqueue(&self, entry: Entry) -> Result<(), UpstreamError> {
        let queue = self.queue.lock().expect("invariant: no panic while the queue is held");
        let queue = queue.as_ref().ok_or_else(|| unavailable("the log is closed"))?;
        queue.try_send(entry).map_err(|_| unavailable("too many messages wait for the disk"))
    }

    /// Lets the writer finish what it has and end.
    pub(super) async fn drain(&self) {
        drop(self.queue.lock().expect("invariant: no panic while the queue is held").take());
        if let Some(stopped) = self.stopped.lock().await.take() {
            // An error means that the thread is already gone, which is what we wait for.
            let _ = stopped.await;
        }
    }
}

fn write_all(mut file: LogFile, mut entries: mpsc::Receiver<Entry>, stop: oneshot::Sender<()>) {
    while let Some(first) = entries.blocking_recv() {
        let (bytes, answers) = gather(first, &mut entries);
        let outcome = file.append(&bytes).map_err(|error| unavailable(&format!("{}: {error}", file.name())));
        for answer in answers {
            // A sender that no longer waits was told 5.03; its line is written once more when it repeats.
            let _ = answer.send(outcome.clone());
        }
    }
    // Whoever waits for the end may open the file again at once.
    drop(file);
    // Nobody waits unless the log is being drained.
    let _ = stop.send(());
}

/// Everything that waits, up to a bound, as one write.
fn gather(first: Entry, entries: &mut mpsc::Receiver<Entry>) -> (Vec<u8>, Vec<Answer>) {
    let (mut bytes, mut answers) = (first.line, vec![first.answer]);
    while bytes.len() < limits::LOG_BATCH_BYTES {
        let Ok(next) = entries.try_recv() else { break };
        bytes.extend_from_slice(&next.line);
        answers.push(next.answer);
    }
    (bytes, answers)
}

fn unavailable(why: &str) -> UpstreamError {
    UpstreamError::Unavailable(why.to_owned())
}
