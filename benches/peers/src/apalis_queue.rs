//! apalis-postgres, woken by the database as well as by a timer, since with the timer alone it is slower by orders of magnitude.

use std::time::Duration;

use apalis::prelude::*;
use apalis_postgres::{Config, PgTask, PostgresStorage, Pubsub, queries};
use sqlx::PgPool;

use crate::{Job, Queue};

const QUEUE: &str = "jobs";

#[derive(Clone)]
pub struct Apalis {
    pool: PgPool,
    storage: PostgresStorage<Job>,
}

async fn handle(job: Job) -> Result<(), BoxDynError> {
    job.begun();
    Ok(())
}

impl Queue for Apalis {
    const WAITING: &str = "SELECT COUNT(*) FROM apalis.jobs WHERE status <> 'Done'";
    const EMPTY: &str = "TRUNCATE apalis.jobs";

    async fn open(pool: &PgPool) -> Self {
        PostgresStorage::<()>::setup(pool).await.unwrap();
        let storage = PostgresStorage::new(pool).with_config(Config::default().queue(QUEUE));
        Self { pool: pool.clone(), storage }
    }

    async fn add(&mut self, job: Job) {
        self.storage.push(job).await.unwrap();
    }

    async fn add_many(&mut self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        let tasks: Vec<PgTask> =
            jobs.iter().map(|job| TaskBuilder::new(serde_json::to_vec(job).unwrap()).build()).collect();
        let mut connection = self.pool.acquire().await.unwrap();
        queries::push_tasks(&mut *connection, QUEUE, tasks).await.unwrap();
    }

    fn work(&self, in_bulk: bool) {
        let size = if in_bulk { 1_000 } else { 16 };
        let every = Duration::from_millis(if in_bulk { 5 } else { 100 });
        let strategy = Strategy::new().stream(Pubsub::new(self.pool.clone(), QUEUE.to_owned())).interval(every);
        let backend = PostgresStorage::<Job>::new(&self.pool)
            .with_config(Config::default().queue(QUEUE).batch_size(size).lock_tasks(false))
            .poll_with_strategy(strategy);
        let worker = WorkerBuilder::new("peers").backend(backend).concurrency(size).build(handle);
        tokio::spawn(async move { worker.run().await.unwrap() });
    }
}
