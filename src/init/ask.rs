//! Asking a person at the terminal, or nobody.
//!
//! Prompts go to standard error, so that standard output is what the command is for. Secrets do not show while they are typed.

use std::io::{BufRead, Write};

use anyhow::bail;

/// Who is asked.
pub struct Asker(Option<Terminal>);

struct Terminal {
    lines: Box<dyn BufRead + Send>,
    prompts: Box<dyn Write + Send>,
    secret: fn(&mut Terminal) -> std::io::Result<String>,
}

impl Asker {
    /// The person at the terminal.
    pub fn terminal() -> Self {
        Self(Some(Terminal {
            lines: Box::new(std::io::BufReader::new(std::io::stdin())),
            prompts: Box::new(std::io::stderr()),
            secret: |_| rpassword::read_password(),
        }))
    }

    /// Nobody: what is missing is an error.
    pub fn nobody() -> Self {
        Self(None)
    }

    /// Whether anybody is there.
    pub fn asks(&self) -> bool {
        self.0.is_some()
    }

    /// Tells what was done, whether or not anybody is asked.
    pub fn say(&mut self, text: &str) {
        // Standard error that is closed tells nobody.
        let _ = match &mut self.0 {
            Some(terminal) => writeln!(terminal.prompts, "{text}"),
            None => writeln!(std::io::stderr(), "{text}"),
        };
    }

    /// Yes or no; nobody says no.
    pub fn agreed(&mut self, question: &str) -> anyhow::Result<bool> {
        let Some(terminal) = &mut self.0 else { return Ok(false) };
        let answer = terminal.line(&format!("{question} [y/N] "))?;
        Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
    }

    /// A text; the default when nothing is typed. Nobody answers nothing.
    pub fn text(&mut self, question: &str, default: &str) -> anyhow::Result<Option<String>> {
        let Some(terminal) = &mut self.0 else { return Ok(None) };
        let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        let typed = terminal.line(&format!("{question}{shown}: "))?;
        Ok(Some(if typed.is_empty() { default.to_owned() } else { typed }))
    }

    /// A text that is not shown; what is there already stays when nothing is typed.
    pub fn secret(&mut self, question: &str, there: &str) -> anyhow::Result<Option<String>> {
        let Some(terminal) = &mut self.0 else { return Ok(None) };
        let shown = if there.is_empty() { "" } else { " [as it is]" };
        terminal.prompt(&format!("{question} (not shown){shown}: "))?;
        let typed = (terminal.secret)(terminal)?.trim().to_owned();
        Ok(Some(if typed.is_empty() { there.to_owned() } else { typed }))
    }
}

impl Terminal {
    fn prompt(&mut self, text: &str) -> std::io::Result<()> {
        write!(self.prompts, "{text}")?;
        self.prompts.flush()
    }

    fn line(&mut self, prompt: &str) -> anyhow::Result<String> {
        self.prompt(prompt)?;
        let mut typed = String::new();
        if self.lines.read_line(&mut typed)? == 0 {
            bail!("the input ended before every question was answered");
        }
        Ok(typed.trim().to_owned())
    }
}

/// A person who types these lines, secrets too.
#[cfg(test)]
pub fn typing(lines: &str) -> Asker {
    Asker(Some(Terminal {
        lines: Box::new(std::io::Cursor::new(lines.to_owned())),
        prompts: Box::new(std::io::sink()),
        secret: |terminal| {
            let mut typed = String::new();
            terminal.lines.read_line(&mut typed)?;
            Ok(typed)
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_typed_is_the_default_and_the_end_of_input_is_an_error() {
        let mut asker = typing("\n one \n\ntwo\ny\nno\n");
        assert_eq!(asker.text("a", "x").unwrap().as_deref(), Some("x"));
        assert_eq!(asker.text("a", "x").unwrap().as_deref(), Some("one"));
        assert_eq!(asker.secret("a", "there").unwrap().as_deref(), Some("there"));
        assert_eq!(asker.secret("a", "there").unwrap().as_deref(), Some("two"));
        assert!(asker.agreed("a").unwrap());
        assert!(!asker.agreed("a").unwrap());
        assert!(asker.text("a", "x").is_err());
    }

    #[test]
    fn nobody_agrees_to_nothing_and_answers_nothing() {
        let mut nobody = Asker::nobody();
        assert!(!nobody.agreed("a").unwrap());
        assert_eq!(nobody.text("a", "x").unwrap(), None);
        assert_eq!(nobody.secret("a", "x").unwrap(), None);
    }
}
