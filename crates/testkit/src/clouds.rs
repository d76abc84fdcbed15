//! Emulators of the object stores of Azure and Google (Azurite, fake-gcs-server), started by a test and stopped
//! with it.
//!
//! Promise: one empty bucket in a temporary folder, on a free loopback port. They take long to install, so only
//! `make conformance` runs tests with them: `xtask/setup.sh --conformance` installs them. They are not the services
//! themselves: what an emulator does not know is tested nowhere. Read next: `s3.rs`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::installed;
use crate::ports::Port;

/// The account of every Azurite, and its key, which its documentation names.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// A signature of that key for everything in the account, until 2099.
const SAS: &str = "sv=2021-06-08&ss=b&srt=sco&sp=rwdlac&se=2099-01-01T00%3A00%3A00Z&spr=https%2Chttp&sig=1agykGYzV%2Fh%2FVK4tD3c5Jp7MvLMzQ54AcPCwmCFIqTk%3D";

const LONGEST_START: Duration = Duration::from_secs(120);

/// A running emulator.
#[derive(Debug)]
pub struct CloudEmulator {
    folder: TempDir,
    port: Port,
    process: Child,
}

impl Drop for CloudEmulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl CloudEmulator {
    /// Azurite, with one empty container of this name.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub fn azure(container: &str) -> Result<Self, String> {
        let program = installed("azurite/node_modules/.bin/azurite-blob")?;
        let emulator = Self::start(&program, |command, port, folder| {
            command
                .args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"])
                .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
                .arg("--location")
                .arg(folder);
        })?;
        let path = format!("/{ACCOUNT}/{container}?restype=container&{SAS}");
        emulator.until_made("PUT", &path, "")?;
        Ok(emulator)
    }

    /// fake-gcs-server, with one empty bucket of this name.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub fn google(bucket: &str) -> Result<Self, String> {
        let program = installed("bin/fake-gcs-server")?;
        let emulator = Self::start(&program, |command, port, folder| {
            let url = format!("http://127.0.0.1:{port}");
            command
                .args(["-scheme", "http", "-host", "127.0.0.1"])
                .args(["-port", &port.to_string(), "-public-host"])
                .arg(format!("127.0.0.1:{port}"))
                .args(["-external-url", &url, "-backend", "memory"])
                .arg("-filesystem-root")
                .arg(folder);
        })?;
        let body = format!("{{\"name\":\"{bucket}\"}}");
        emulator.until_made("POST", "/storage/v1/b?project=test", &body)?;
        Ok(emulator)
    }

    /// What a program must have in its environment to use it as Azure.
    pub fn azure_variables(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}/{ACCOUNT}", self.port.number());
        [
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
            ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
            ("AZURE_STORAGE_ENDPOINT", &endpoint),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// The same with a shared access signature in the place of the key.
    pub fn azure_variables_signed(&self) -> Vec<(String, String)> {
        let mut variables = self.azure_variables();
        variables.retain(|(name, _)| name != "AZURE_STORAGE_ACCOUNT_KEY");
        variables.push(("AZURE_STORAGE_SAS_TOKEN".to_owned(), SAS.to_owned()));
        variables
    }

    /// What a program must have in its environment to use it as Google.
    pub fn google_variables(&self) -> Vec<(String, String)> {
        let host = format!("http://127.0.0.1:{}", self.port.number());
        vec![("STORAGE_EMULATOR_HOST".to_owned(), host)]
    }

    fn start(
        program: &Path,
        arguments: impl FnOnce(&mut Command, u16, &Path),
    ) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("towpath-cloud-").tempdir();
        let folder =
            folder.map_err(|error| format!("cannot create a temporary folder: {error}"))?;
        let port = Port::free().map_err(|error| format!("cannot find a free port: {error}"))?;
        let log = std::fs::File::create(folder.path().join("log"));
        let log = log.map_err(|error| format!("cannot create a log: {error}"))?;
        let mut command = Command::new(program);
        arguments(&mut command, port.number(), folder.path());
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        Ok(Self {
            folder,
            port,
            process,
        })
    }

    /// Asks until it answers that something was made.
    fn until_made(&self, method: &str, path: &str, body: &str) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let said = send(self.port.number(), method, path, body).unwrap_or_default();
            let status = said.split(' ').nth(1).unwrap_or_default();
            if matches!(status, "200" | "201" | "409") {
                return Ok(());
            }
            if began.elapsed() > LONGEST_START {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                let log = log.unwrap_or_default();
                return Err(format!("the emulator did not start: {said}\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn send(port: u16, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn installed(name: &str) -> Result<PathBuf, String> {
    let program = installed::servers().join(name);
    match program.is_file() {
        true => Ok(program),
        false => Err(format!(
            "this test needs {}: run `xtask/setup.sh --clouds`",
            program.display()
        )),
    }
}
