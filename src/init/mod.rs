//! `campaign-sync init`: from nothing to a configuration that is known to work, and what to paste on each side.
//!
//! Owns the order of the steps. Every answer may come from a flag, from the environment, from the file that is there, or from a person;
//! without a terminal nobody is asked, and what is missing is named. Is a user of the other rooms: it reads and writes
//! nothing of its own but the file.

mod ask;
mod file;
mod paste;
mod questions;
mod trial;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::app;
use crate::config::{Config, DEFAULT_FILE};
use crate::diagnosis::{CheckState, Item};
use crate::domain::clock::Clock;
use ask::Asker;
use file::Draft;
use questions::{MARKETO, Question, SALESFORCE, SERVICE};

/// Lines of the checklist that say whether a vendor lets us in.
const MARKETO_LOGIN: &str = "marketo_credentials";
const SALESFORCE_LOGIN: &str = "salesforce_credentials";
const ORGANISATION: &str = "salesforce.organization_id";

/// Answers and switches. Secrets are read from files or from the environment, since arguments show in the list of processes.
#[derive(Args, Clone, Debug, Default)]
pub struct Init {
    /// Where Marketo and Salesforce reach this service, such as https://sync.example.com
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// `sqlite://FILE` or `postgres://...`; one with a password is better set as CAMPAIGN_SYNC__DATABASE__URL.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// REST endpoint, such as https://123-ABC-456.mktorest.com
    #[arg(long, value_name = "URL")]
    marketo_base_url: Option<String>,
    #[arg(long, value_name = "ID")]
    marketo_client_id: Option<String>,
    /// Or CAMPAIGN_SYNC__MARKETO__CLIENT_SECRET in the environment.
    #[arg(long, value_name = "FILE")]
    marketo_client_secret_file: Option<PathBuf>,
    /// My Domain, such as https://acme.my.salesforce.com
    #[arg(long, value_name = "URL")]
    salesforce_login_url: Option<String>,
    #[arg(long, value_name = "ID")]
    salesforce_client_id: Option<String>,
    /// Client credentials flow; or CAMPAIGN_SYNC__SALESFORCE__CLIENT_SECRET in the environment.
    #[arg(long, value_name = "FILE")]
    salesforce_client_secret_file: Option<PathBuf>,
    /// JWT bearer flow.
    #[arg(long, value_name = "NAME")]
    salesforce_username: Option<String>,
    /// JWT bearer flow: the private key in PEM.
    #[arg(long, value_name = "FILE")]
    salesforce_private_key_file: Option<PathBuf>,
    /// Change a configuration that is there without asking. Its other settings and its webhook secrets stay.
    #[arg(long)]
    force: bool,
    /// Ask nobody, even on a terminal.
    #[arg(long)]
    no_input: bool,
    /// Log in nowhere: for a machine that does not reach the vendors.
    #[arg(long)]
    no_check: bool,
    /// Only send the test webhooks to the running service and go through the checklist; the configuration stays.
    #[arg(long)]
    test_only: bool,
}

impl Init {
    /// Goes through all steps; whether everything that was checked is good.
    ///
    /// # Errors
    /// When an answer is missing or cannot be used, or the file cannot be written.
    pub async fn run(self, file: Option<PathBuf>) -> anyhow::Result<bool> {
        let path = file.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        if !self.test_only {
            let mut asker = if self.asks() { Asker::terminal() } else { Asker::nobody() };
            self.configure(&path, &mut asker).await?;
        }
        let config = Config::load(Some(&path), std::env::vars())?;
        if !self.test_only {
            paste::print(&config);
        }
        let delivered = trial::deliver(&config).await;
        let checked = self.no_check || checklist(&config).await?;
        if !self.test_only {
            paste::print_next(&path);
        }
        Ok(checked && (delivered || !self.test_only))
    }

    fn asks(&self) -> bool {
        !self.no_input && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    async fn configure(&self, path: &Path, asker: &mut Asker) -> anyhow::Result<()> {
        let mut draft = Draft::open(path)?;
        if draft.exists && !self.force {
            let question =
                format!("{} is there. Change it? Its other settings and its webhook secrets stay", path.display());
            if !asker.agreed(&question)? {
                bail!("{} is there, and was left as it is; --force changes it without asking", path.display());
            }
        }
        if !self.no_check {
            // Learnt anew: the answers may lead to another organisation.
            draft.set(ORGANISATION, String::new());
        }
        self.answer(&mut draft, asker, &SERVICE, None).await?;
        self.answer(&mut draft, asker, &MARKETO, Some(MARKETO_LOGIN)).await?;
        self.answer(&mut draft, asker, &SALESFORCE, Some(SALESFORCE_LOGIN)).await?;
        draft.make_secrets()?;
        if !self.no_check {
            learn_organisation(&mut draft).await?;
        }
        draft.config()?;
        draft.write()?;
        asker.say(&format!("wrote {} (readable by you alone)", path.display()));
        Ok(())
    }

    /// Answers a group of questions, and looks whether the vendor lets us in with them; a person may try again.
    async fn answer(
        &self,
        draft: &mut Draft,
        asker: &mut Asker,
        questions: &[Question],
        login: Option<&str>,
    ) -> anyhow::Result<()> {
        draft.asked_again = false;
        loop {
            for question in questions {
                questions::answer(question, self, draft, asker)?;
            }
            let problem = match (draft.config(), login) {
                (Err(error), _) => error.to_string(),
                (Ok(config), Some(login)) if !self.no_check => match log_in(&config, login).await? {
                    Item { state: CheckState::Ok | CheckState::Warn, found, .. } => {
                        asker.say(&format!("ok    {login}: {found}"));
                        return Ok(());
                    }
                    item => format!("{login}: {}\n{}", item.found, item.remedy.unwrap_or_default()),
                },
                _ => return Ok(()),
            };
            if !asker.asks() {
                bail!("{problem}\nnothing was written; --no-check writes the configuration all the same");
            }
            asker.say(&format!("fail  {problem}\n\nOnce more:"));
            draft.again(questions);
        }
    }
}

/// One line of the checklist, with a database of the moment: the real one may be that of a running service.
async fn log_in(config: &Config, line: &str) -> anyhow::Result<Item> {
    let scratch = file::Scratch::new()?;
    let mut config = config.clone();
    config.database.url = scratch.database().into();
    let items = app::check(&config).await?;
    items.into_iter().find(|item| item.id == line).context("the checklist lacks the line of the login")
}

/// The organisation that we are logged in to: webhooks of any other are refused from now on.
async fn learn_organisation(draft: &mut Draft) -> anyhow::Result<()> {
    let salesforce = app::salesforce(&draft.config()?, Clock::system())?;
    let identity = salesforce.log_in_anew().await.context("Salesforce does not say who we are")?;
    draft.set(ORGANISATION, identity.organization_id.to_string());
    Ok(())
}

/// Prints the checklist; whether no line fails.
#[expect(clippy::print_stdout, reason = "what a command prints is its result")]
async fn checklist(config: &Config) -> anyhow::Result<bool> {
    println!("\nThe checklist (campaign-sync check)\n");
    let items = app::check(config).await?;
    for item in &items {
        println!("{}", item.line());
    }
    Ok(items.iter().all(|item| item.state != CheckState::Fail))
}
