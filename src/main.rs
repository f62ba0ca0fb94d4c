//! The command line. Exit codes: 0 good, 1 a check or comparison failed, 2 usage or configuration.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use campaign_sync::app::{self, Options, Role};
use campaign_sync::config::{Config, parse_duration};
use campaign_sync::diagnosis::CheckState;
use campaign_sync::domain::clock::Clock;
use campaign_sync::domain::ids::SalesforceId;
use campaign_sync::store::erase::Whom;
use campaign_sync::store::people::Half;
use campaign_sync::store::time;
use campaign_sync::worker::points::Points;
use campaign_sync::{http, telemetry};
use clap::{Args, CommandFactory, Parser, Subcommand};
use secrecy::ExposeSecret;

/// Keeps Marketo programs and Salesforce campaigns the same, both ways.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    /// TOML file; else `campaign-sync.toml` when there is one. The environment (`CAMPAIGN_SYNC__SECTION__KEY`) comes after it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Any,
}

/// Commands, with those that have to do without a configuration.
#[derive(Debug, Subcommand)]
enum Any {
    /// Make a configuration: asks for what is needed, checks both logins, says what to paste on each side.
    Init(campaign_sync::init::Init),
    /// Print what a shell needs to complete commands; see docs/reference/cli.md for where to put it.
    Completions { shell: clap_complete::Shell },
    #[command(flatten)]
    Configured(Command),
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service: webhooks, REST API, workers.
    Serve(Serve),
    /// Bring the database schema up to date.
    Migrate,
    /// Print the OpenAPI document.
    Openapi,
    /// Print the effective configuration, secrets hidden.
    Config,
    /// Go through everything that the sync needs, and say how to mend what is missing. Exit code 1 when something is.
    Check {
        /// One JSON object, as `GET /diagnostics` answers it.
        #[arg(long)]
        json: bool,
    },
    /// Compare a mapping, or all of them, and mend what differs. Prints the differences; exit code 1 when some remain
    /// that no policy wants.
    Reconcile {
        /// Id of the mapping; all of them unless given.
        mapping: Option<uuid::Uuid>,
        /// Only say what would be done; exit code 1 when that is anything, or somebody has to see to what is held.
        #[arg(long)]
        dry_run: bool,
    },
    /// API keys.
    #[command(subcommand)]
    Keys(Keys),
    /// Take what says who somebody is out of everything that is kept. Erase them at the vendors first: while they exist there, the
    /// next read brings the address back.
    Erase(Erase),
    /// The service against emulated vendors, with people at work on both sides.
    #[cfg(feature = "sandbox")]
    Demo(campaign_sync::demo::Demo),
    /// Only the emulated vendors.
    #[cfg(feature = "sandbox")]
    Emulate(Emulate),
}

impl Command {
    /// Of the logs, unless `RUST_LOG` says otherwise.
    fn log_level(&self) -> &'static str {
        match self {
            // What they do is told in words.
            Self::Check { .. } => "off",
            Self::Reconcile { .. } => "error",
            // One line is all that they say; a database may be talkative.
            Self::Keys(_) | Self::Erase(_) => "warn",
            #[cfg(feature = "sandbox")]
            Self::Demo(_) => "warn",
            _ => "info",
        }
    }
}

#[derive(Args, Debug)]
struct Serve {
    /// What this process does.
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    /// Address and port instead of `server.listen`; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<std::net::SocketAddr>,
    /// Leave the schema as it is.
    #[arg(long)]
    no_migrate: bool,
}

/// Whom to erase: one of the three.
#[derive(Args, Debug)]
struct Erase {
    #[command(flatten)]
    whom: Named,
    /// Only count.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Named {
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    marketo_id: Option<i64>,
    /// Of a lead or contact.
    #[arg(long, value_name = "ID")]
    salesforce_id: Option<SalesforceId>,
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
}

impl Named {
    fn whom(self) -> Option<Whom> {
        let by = self.marketo_id.map(Half::Marketo).or(self.salesforce_id.map(Half::Salesforce));
        by.map(Whom::By).or(self.email.map(Whom::Email))
    }
}

#[derive(Debug, Subcommand)]
enum Keys {
    /// Make a key; prints it, and nothing else. It cannot be shown again.
    Create {
        #[arg(long)]
        name: String,
        /// `read`, `write`, `admin`, separated by commas.
        #[arg(long, value_delimiter = ',', required = true)]
        scope: Vec<http::Scope>,
        /// After how long it opens nothing any more, such as `90d`; never unless given.
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        expires: Option<Duration>,
    },
    /// List keys that are in use.
    List,
    /// Revoke a key by its id.
    Revoke { id: String },
}

/// `emulate`
#[cfg(feature = "sandbox")]
#[derive(Args, Debug)]
struct Emulate {
    #[arg(long, default_value = "127.0.0.1:0")]
    marketo_listen: std::net::SocketAddr,
    #[arg(long, default_value = "127.0.0.1:0")]
    salesforce_listen: std::net::SocketAddr,
    #[arg(long, default_value = "127.0.0.1:0")]
    control_listen: std::net::SocketAddr,
    /// JSON file of channels, programs, people, campaigns and members.
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = match cli.command {
        Any::Configured(command) => command,
        Any::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "campaign-sync", &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
        Any::Init(init) => {
            telemetry::start("off");
            return finish(async { Ok(ExitCode::from(u8::from(!init.run(cli.config).await?))) });
        }
    };
    let config = match Config::load(cli.config.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    telemetry::start(command.log_level());
    #[cfg(feature = "otlp")]
    telemetry::spans::start();
    let code = finish(run(command, config));
    #[cfg(feature = "otlp")]
    telemetry::spans::end();
    code
}

/// Runs to the end, and says what went wrong.
fn finish(work: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no threads to run on: {error}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(work) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "what a command prints is its result")]
async fn run(command: Command, mut config: Config) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(serve) => {
            if let Some(listen) = serve.listen {
                config.server.listen = listen;
            }
            let options = Options { role: serve.role, migrate: !serve.no_migrate, announce: true, points: points()? };
            let service = app::start(&config, options).await?;
            return Ok(ExitCode::from(u8::from(!service.run_until(told_to_stop()?).await)));
        }
        Command::Migrate => {
            let store = app::connect(&config, Clock::system()).await?;
            store.migrate().await.context("the schema cannot be brought up to date")?;
            println!("the schema is up to date");
        }
        Command::Openapi => print!("{}", http::openapi_json()?),
        Command::Config => print!("{}", config.effective()?),
        Command::Check { json } => return check(&config, json).await,
        Command::Reconcile { mapping, dry_run } => {
            let mapping = mapping.map(|id| id.to_string());
            let good = app::reconcile(&config, mapping.as_deref(), dry_run, told_to_stop()?).await?;
            return Ok(ExitCode::from(u8::from(!good)));
        }
        Command::Keys(keys) => return manage_keys(keys, &config).await,
        Command::Erase(erase) => return erase_person(erase, &config).await,
        #[cfg(feature = "sandbox")]
        Command::Demo(demo) => return Ok(ExitCode::from(u8::from(!demo.run(told_to_stop()?).await?))),
        #[cfg(feature = "sandbox")]
        Command::Emulate(emulate) => {
            let emulators = campaign_sync::sandbox::start(campaign_sync::sandbox::EmulateOptions {
                marketo_listen: emulate.marketo_listen,
                salesforce_listen: emulate.salesforce_listen,
                control_listen: emulate.control_listen,
                seed: emulate.seed,
                ..Default::default()
            })
            .await?;
            println!("{}", emulators.listening());
            tokio::select! {
                () = emulators.run() => {}
                () = told_to_stop()? => {}
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "what a command prints is its result")]
async fn check(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let items = app::check(config).await?;
    if json {
        println!("{}", serde_json::json!({ "items": items }));
    } else {
        for item in &items {
            println!("{}", item.line());
        }
    }
    let failed = items.iter().any(|item| item.state == CheckState::Fail);
    Ok(ExitCode::from(u8::from(failed)))
}

#[expect(clippy::print_stdout, reason = "what a command prints is its result")]
async fn erase_person(erase: Erase, config: &Config) -> anyhow::Result<ExitCode> {
    let Some(whom) = erase.whom.whom() else { return Ok(ExitCode::from(2)) };
    let store = app::connect(config, Clock::system()).await?;
    store.migrate().await.context("the schema cannot be brought up to date")?;
    let erased = store.erase(&whom, erase.dry_run, "command line").await?;
    println!("{:24}  {}", "people meant", erased.people.len());
    for (table, rows) in &erased.rows {
        println!("{table:24}  {rows}");
    }
    if erase.dry_run {
        println!("nothing was changed");
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "what a command prints is its result")]
async fn manage_keys(keys: Keys, config: &Config) -> anyhow::Result<ExitCode> {
    let store = app::connect(config, Clock::system()).await?;
    store.migrate().await.context("the schema cannot be brought up to date")?;
    match keys {
        Keys::Create { name, scope, expires } => {
            let expires_at = expires.map(|after| (store.clock().now() + after).as_millisecond());
            let (_, key) = http::create_key(&store, &name, &scope, expires_at, "command line").await?;
            println!("{}", key.expose_secret());
        }
        Keys::List => {
            println!("{:36}  {:24}  {:17}  {:24}  last used", "id", "name", "scopes", "expires");
            let when = |at: Option<i64>| at.map_or_else(|| "never".to_owned(), |at| time(at).to_string());
            for key in store.keys("", 1000).await? {
                let (expires, used) = (when(key.expires_at), when(key.last_used_at));
                println!("{:36}  {:24}  {:17}  {expires:24}  {used}", key.id, key.name, key.scopes.join(","));
            }
        }
        Keys::Revoke { id } => {
            if !store.revoke_key(&id, "command line").await? {
                eprintln!("no key in use has the id {id}; `campaign-sync keys list` shows them");
                return Ok(ExitCode::from(2));
            }
            println!("revoked {id}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// SIGTERM or ctrl-c.
fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    })
}

/// Fault tests end the process at a named point: `CAMPAIGN_SYNC_KILL_AT=written:2` on the third time it is reached.
#[cfg(feature = "sandbox")]
fn points() -> anyhow::Result<Points> {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use campaign_sync::worker::points::Point;

    let Ok(plan) = std::env::var("CAMPAIGN_SYNC_KILL_AT") else { return Ok(Points::default()) };
    let (name, times) = plan.split_once(':').unwrap_or((&plan, "0"));
    let others = [Point::Polled].into_iter().chain(Point::OF_DELIVERIES);
    let at = Point::ALL.into_iter().chain(others).find(|point| point.as_str() == name);
    let at = at.with_context(|| format!("CAMPAIGN_SYNC_KILL_AT names no point: {name}"))?;
    let left = AtomicUsize::new(times.parse()?);
    Ok(Points::new(move |point| {
        if point == at && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_err() {
            std::process::abort();
        }
        false
    }))
}

#[cfg(not(feature = "sandbox"))]
fn points() -> anyhow::Result<Points> {
    Ok(Points::default())
}
