//! How a service is connected to: the limits of time, the certificates, and that no answer leads elsewhere.
//!
//! Promise: a request goes to the host it was made for and nowhere else. The library's own client would follow a
//! redirect, and take the session token there; here a redirect is an error, whose way out is the region. Read
//! next: `listing.rs`.

use std::time::Duration;

use async_trait::async_trait;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
    HttpResponse, HttpService,
};
use object_store::{ClientOptions, Error};
use reqwest::Certificate;
use reqwest::redirect::Policy;

use crate::condition::Conditional;
use crate::listing::Checked;

/// How long one request may take, with the bytes it sends or gets.
pub(crate) const REQUEST: Duration = Duration::from_secs(120);
/// How long a connection may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// The same for the service that gives a machine its credentials, which is near or not there.
const CONNECT_NEAR: Duration = Duration::from_secs(1);

/// Makes clients that follow no redirects and check listings.
#[derive(Debug)]
pub(crate) struct CheckedConnector {
    certificates: Vec<Certificate>,
}

impl CheckedConnector {
    /// With certificates to be trusted beside those of the machine.
    pub(crate) fn new(certificates: Vec<Certificate>) -> Self {
        Self { certificates }
    }
}

impl HttpConnector for CheckedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let says = |key| options.get_config_value(&key);
        let connect = ClientConfigKey::ConnectTimeout;
        let usual = ClientOptions::new().with_connect_timeout(CONNECT);
        let is_usual = says(connect) == usual.get_config_value(&connect);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("towpath/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .timeout(REQUEST)
            .connect_timeout(if is_usual { CONNECT } else { CONNECT_NEAR })
            .https_only(says(ClientConfigKey::AllowHttp).as_deref() != Some("true"))
            // Compressed bytes would be others than the object has.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate();
        // As the library does, which says why.
        if says(ClientConfigKey::Http1Only).as_deref() == Some("true") {
            builder = builder.http1_only();
        }
        for certificate in &self.certificates {
            builder = builder.add_root_certificate(certificate.clone());
        }
        let client = builder.build().map_err(|error| Error::Generic {
            store: "S3",
            source: Box::new(error),
        })?;
        let client = HttpClient::new(Straight(HttpClient::new(client)));
        let client = HttpClient::new(Conditional(client));
        Ok(HttpClient::new(Checked::over(client)))
    }
}

/// An answer that leads elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("the service answered {status}: it leads to another address{}, which is not followed", at(.host.as_deref()))]
pub(crate) struct Redirected {
    status: u16,
    host: Option<String>,
}

fn at(host: Option<&str>) -> String {
    host.map_or_else(String::new, |host| format!(" (`{host}`)"))
}

/// Refuses redirects.
#[derive(Debug)]
struct Straight(HttpClient);

#[async_trait]
impl HttpService for Straight {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.0.execute(request).await?;
        let status = response.status().as_u16();
        // 304 says that an object is as it was.
        if !response.status().is_redirection() || status == 304 {
            return Ok(response);
        }
        let location = response.headers().get("location");
        let url = location.and_then(|value| url::Url::parse(value.to_str().ok()?).ok());
        let host = url.and_then(|url| url.host_str().map(str::to_owned));
        let redirected = Redirected { status, host };
        // Of this kind, because it would be the same the next time.
        Err(HttpError::new(HttpErrorKind::Decode, redirected))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use futures::StreamExt as _;
    use object_store::path::Path;
    use object_store::{ObjectStore as _, ObjectStoreExt as _};

    use crate::settings::settings;
    use crate::way_out;

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        other.set_nonblocking(true).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{}/b\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
            other.local_addr().unwrap()
        );
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 8192]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let variables = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "hidden"),
            ("AWS_SESSION_TOKEN", "hidden"),
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ];
        let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let builder = settings(&owned.into_iter().collect(), "b").unwrap();
        let store = builder.build().unwrap();
        let path = Path::from("a.csv");
        let listed = store.list(None).next().await.unwrap().map(|_| ());
        let put = store.put(&path, "x".into()).await.map(|_| ());
        for failed in [store.head(&path).await.map(|_| ()), listed, put] {
            let error = failed.unwrap_err();
            let text = error.to_string();
            assert!(text.contains("307") && !text.contains("hidden"), "{text}");
            assert!(way_out(&error).unwrap().contains("AWS_REGION"), "{text}");
        }
        assert!(other.accept().is_err());
    }
}
