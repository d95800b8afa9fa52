//! Files of contacts, as streams: neither an upload nor a download is ever whole in memory.

use autom8_model::RunId;
use autom8_model::contact_import::{ContactKey, OnDuplicate};
use reqwest::{Method, Response, header};
use serde::Serialize;

use super::{Address, Answer, Client, ClientError, http_client};
use crate::RunView;
use crate::contact_file::{ExportInput, FileFormat};

/// A body that is sent as it is read.
pub use reqwest::Body as UploadBody;

/// How a file is to be imported.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ImportQuery {
    pub format: FileFormat,
    pub on_duplicate: OnDuplicate,
    pub key: ContactKey,
    #[serde(serialize_with = "as_number")]
    pub dry_run: bool,
}

fn as_number<S: serde::Serializer>(flag: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(u8::from(*flag))
}

/// A file that comes, piece by piece.
#[derive(Debug)]
pub struct Download {
    client: Client,
    response: Response,
}

impl Download {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`ClientError::Interrupted`] when it breaks off.
    pub async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, ClientError> {
        let chunk = self.response.chunk().await;
        chunk.map_err(|error| self.client.failed(&error))
    }
}

impl Client {
    /// Uploads a file of contacts, of so many bytes if they are known, and gives the run that
    /// takes them.
    pub async fn import_contacts(
        &self,
        query: &ImportQuery,
        bytes: Option<u64>,
        file: UploadBody,
    ) -> Result<Answer<RunView>, ClientError> {
        let mut request = self
            .request(Method::POST, &["contacts", "import"])
            .query(query)
            .header(header::CONTENT_TYPE, query.format.content_type())
            .body(file);
        if let Some(bytes) = bytes {
            request = request.header(header::CONTENT_LENGTH, bytes);
        }
        // The server is silent while it listens: how long an upload takes is no sign of anything.
        let patient = self.with_silence(None)?;
        let response = patient.send(request).await?;
        let status = response.status();
        let text = patient.text(response).await?;
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Answer { value, text }),
            Err(error) => Err(self.unreadable(status, error)),
        }
    }

    /// Every row of an import that failed, a line of JSON each.
    pub async fn import_failures(&self, run: RunId) -> Result<Download, ClientError> {
        self.download(&["contacts", "imports", &run.to_string(), "failures"])
            .await
    }

    /// Begins to write contacts into a file of the server.
    pub async fn export_contacts(
        &self,
        export: &ExportInput,
    ) -> Result<Answer<RunView>, ClientError> {
        self.ask(self.post_once(&["contacts", "export"]).query(export))
            .await
    }

    /// The file that an export has written.
    pub async fn contact_export(&self, run: RunId) -> Result<Download, ClientError> {
        self.download(&["contacts", "exports", &run.to_string()])
            .await
    }

    async fn download(&self, path: &[&str]) -> Result<Download, ClientError> {
        let request = self.get(path).header(header::ACCEPT, "*/*");
        Ok(Download {
            response: self.send(request).await?,
            client: self.clone(),
        })
    }

    /// The same client with another limit on the silence of the server.
    fn with_silence(&self, silence_max: Option<std::time::Duration>) -> Result<Self, ClientError> {
        let refused = |reason: String| ClientError::Address {
            server: self.server.clone(),
            reason,
        };
        let address = Address::parse(&self.server).map_err(refused)?;
        let http = http_client(&address, silence_max).map_err(refused)?;
        Ok(Client {
            http,
            ..self.clone()
        })
    }
}
