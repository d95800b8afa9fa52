//! `autom8 contacts rm ID…`

use super::whom::{self, Whom};
use crate::confirm;
use crate::failure::{Exit, Failure};
use crate::server_arguments::ServerArguments;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The contacts' ids, e-mails or phones; digits alone are an id.
    #[arg(value_name = "ID", required = true)]
    whom: Vec<Whom>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn run(server: &ServerArguments, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = server.client()?;
    let output = server.output();
    for whom in &arguments.whom {
        let id = match arguments.yes {
            true => whom.id(&client).await?,
            false => {
                // Who it is is known before anybody is asked.
                let id = whom.id(&client).await?;
                let contact = client.contact(id).await.map_err(whom::explained)?;
                confirm::ask(
                    &format!("Remove contact {id}, {}?", contact.value.name),
                    &format!("removing contact {id}"),
                    &format!("autom8 contacts rm {id} --yes"),
                )?;
                id
            }
        };
        let removed = client.remove_contact(id).await;
        let removed = removed.map_err(whom::explained)?;
        output.answer(&removed, |_| format!("Removed contact {id}"))?;
    }
    Ok(Exit::Ok)
}
