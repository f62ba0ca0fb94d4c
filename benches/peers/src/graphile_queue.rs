//! graphile_worker (Rust), with what its own benchmark of throughput sets: a local queue, completions in batches.

use std::time::Duration;

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, WorkerContext, WorkerOptions,
    WorkerUtils,
};
use sqlx::PgPool;

use crate::{Job, Queue};

const SCHEMA: &str = "graphile_worker";

#[derive(Clone)]
pub struct Graphile {
    pool: PgPool,
    utils: WorkerUtils,
}

impl TaskHandler for Job {
    const IDENTIFIER: &'static str = "job";

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        self.begun();
        Ok::<(), String>(())
    }
}

fn options(pool: &PgPool) -> WorkerOptions {
    WorkerOptions::default().pg_pool(pool.clone()).schema(SCHEMA).listen_os_shutdown_signals(false).define_job::<Job>()
}

impl Queue for Graphile {
    const WAITING: &str = "SELECT COUNT(*) FROM graphile_worker._private_jobs";
    const EMPTY: &str = "TRUNCATE graphile_worker._private_jobs";

    async fn open(pool: &PgPool) -> Self {
        let utils = WorkerUtils::new(pool.clone(), SCHEMA);
        utils.migrate().await.unwrap();
        Self { pool: pool.clone(), utils }
    }

    async fn add(&mut self, job: Job) {
        self.utils.add_job(job, JobSpec::default()).await.unwrap();
    }

    async fn add_many(&mut self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        let spec = |job: &Job| RawJobSpec {
            identifier: Job::IDENTIFIER.to_owned(),
            payload: serde_json::to_value(job).unwrap(),
            spec: JobSpec::default(),
        };
        self.utils.add_raw_jobs(&jobs.iter().map(spec).collect::<Vec<_>>()).await.unwrap();
    }

    fn work(&self, in_bulk: bool) {
        let options = options(&self.pool);
        let options = if in_bulk {
            options
                .concurrency(500)
                .poll_interval(Duration::from_millis(5))
                .complete_job_batch_delay(Duration::from_millis(5))
                .local_queue(LocalQueueConfig::default().with_size(5_000))
        } else {
            options.concurrency(16).poll_interval(Duration::from_millis(100))
        };
        tokio::spawn(async move { options.init().await.unwrap().run().await.unwrap() });
    }
}
