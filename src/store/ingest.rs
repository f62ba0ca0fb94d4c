//! Group commit: one writer gathers the deliveries of the moment and stores them in one transaction.
//!
//! No timer: while one commit runs, the next group forms; a lone request pays for nothing but its own commit.

use tokio::sync::{mpsc, oneshot};

use crate::domain::hint::{Delivery, Receipt};

/// Deliveries that may wait for the writer before senders are told to come back.
const QUEUE: usize = 4096;

/// The door for deliveries; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    queue: mpsc::Sender<Waiting>,
}

/// A delivery and where its answer goes.
pub type Waiting = (Delivery, oneshot::Sender<Receipt>);

/// Why a delivery was not stored; the sender should come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// Too many are waiting.
    #[error("too many deliveries are waiting to be stored")]
    Busy,
    /// The database did not take it, or the service is stopping.
    #[error("the delivery could not be stored")]
    NotStored,
}

impl Ingest {
    /// The door and the queue behind it, for the writer.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Waiting>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue }, waiting)
    }

    /// Stores a delivery; returns after the commit.
    ///
    /// # Errors
    /// When too many are waiting, or the commit failed. Nothing was stored then, or it is recognised by its delivery id.
    pub async fn accept(&self, delivery: Delivery) -> Result<Receipt, IngestError> {
        let (answer, receipt) = oneshot::channel();
        self.queue.try_send((delivery, answer)).map_err(|_| IngestError::Busy)?;
        receipt.await.map_err(|_| IngestError::NotStored)
    }
}
