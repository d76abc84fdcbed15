//! The program and its files: started with secrets that nobody else sees, slowed down by its reader, ended
//! with it.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use towpath_ports::Secrets;

use super::*;

/// Secrets with a store: `${secret:NAME}` is `value of NAME`, with characters that JSON escapes.
struct Store;

#[async_trait]
impl Secrets for Store {
    async fn resolve(&self, template: &SecretTemplate) -> Result<String> {
        let text = template.template();
        Ok(text.replace("${secret:PIN}", "p\"i\\n-4711"))
    }
}

/// Waits until something is true, for ten seconds at most.
async fn until(what: impl Fn() -> bool) -> bool {
    for _ in 0..1000 {
        if what() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

fn is_running(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    // A process that has ended and that nobody has asked about is listed as Z.
    state.is_ok_and(|state| !state.contains(") Z "))
}

#[tokio::test]
async fn secrets_are_in_a_private_file_alone() {
    let mut tap = FakeTap::new(
        r#"
import stat
path = argument("--config")
assert stat.S_IMODE(os.stat(path).st_mode) == 0o600, oct(os.stat(path).st_mode)
assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
assert config["login"]["pin"] == 'p"i\\n-4711', config["login"]
assert config["port"] == 5432 and config["list"] == [True, 1.5]
assert not any("4711" in text for text in sys.argv) and not any("4711" in text for text in os.environ.values())
say("login with p\"i\\n-4711 and hunter2 failed")
say(json.dumps(config["login"]))
sys.exit(1)
"#,
    )
    .config("login", json!({ "pin": "${secret:PIN}", "password": "hunter2" }))
    .config("port", json!(5432))
    .config("list", json!([true, 1.5]));
    tap.context.secrets = Arc::new(Store);
    let failure = tap.failure().await;
    assert_eq!(failure.code, "R1203");
    let said = format!("{failure:?}");
    assert!(said.contains("login with *** and *** failed"), "{said}");
    assert!(
        !said.contains("4711") && !said.contains("hunter2"),
        "{said}"
    );
    assert_eq!(tap.left(), Vec::<String>::new());
}

#[tokio::test]
async fn files_of_a_program_are_there_until_it_has_ended() {
    let tap = FakeTap::new(
        "schema()\nids(1, 1001)\nsys.stdout.flush()\ntime.sleep(0.2)\nassert os.path.exists(argument('--catalog')) and os.path.exists(argument('--config'))\nids(1002, 1002)",
    );
    assert_eq!(tap.all().await.rows.len(), 1002);
    assert_eq!(tap.left(), Vec::<String>::new());
    // What a killed process left goes with the next read.
    let dead = tap.folder.path().join(".towpath/singer/dead");
    std::fs::create_dir_all(&dead).unwrap();
    std::fs::write(dead.join("lock"), "").unwrap();
    std::fs::write(dead.join("config.json"), "{\"password\": \"hunter2\"}").unwrap();
    tap.all().await;
    assert!(!dead.exists());
}

/// A tap that has told its process and one that it has started.
async fn started(folder: &Path) -> (String, String) {
    let pids = folder.join("pids");
    assert!(until(|| std::fs::read_to_string(&pids).is_ok_and(|text| text.ends_with('\n'))).await);
    let text = std::fs::read_to_string(pids).unwrap();
    let (tap, child) = text.trim().split_once(' ').unwrap();
    (tap.to_owned(), child.to_owned())
}

#[tokio::test]
async fn a_tap_ends_with_its_reader() {
    let tap = FakeTap::new(
        r#"
import subprocess
child = subprocess.Popen(["sleep", "600"])
open("pids", "w").write("%d %d\n" % (os.getpid(), child.pid))
schema()
ids(1, 5000)
sys.stdout.flush()
time.sleep(600)
"#,
    );
    let mut reader = tap.source().unwrap().open(&table(), None).await.unwrap();
    let mut splits = reader.splits();
    let Some(Ok(Assignment::Assigned(mut split))) = splits.next().await else {
        panic!("a split")
    };
    assert!(matches!(
        split.events.next().await,
        Some(Ok(Event::Rows(_)))
    ));
    let (own, child) = started(tap.folder.path()).await;
    assert!(is_running(&own) && is_running(&child));
    drop((split, splits, reader));
    assert!(until(|| !is_running(&own) && !is_running(&child)).await);
    assert!(until(|| tap.left().is_empty()).await);
}

#[tokio::test]
async fn a_slow_reader_slows_the_tap_down() {
    let tap = FakeTap::new(
        r#"
schema({"id": {"type": "integer"}, "text": {"type": "string"}})
count = open("count", "w")
for number in range(60000):
    record({"id": number, "text": "x" * 500})
    if number % 100 == 0:
        sys.stdout.flush()
        count.seek(0)
        count.write(str(number))
        count.flush()
"#,
    );
    let spec = ReadSpec {
        batch_bytes: 1 << 20,
        ..table()
    };
    let mut reader = tap.source().unwrap().open(&spec, None).await.unwrap();
    let mut splits = reader.splits();
    let Some(Ok(Assignment::Assigned(mut split))) = splits.next().await else {
        panic!("a split")
    };
    assert!(matches!(
        split.events.next().await,
        Some(Ok(Event::Rows(_)))
    ));
    let file = tap.folder.path().join("count");
    let written = || -> u64 {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.parse().unwrap_or_default()
    };
    // It comes to a stop, a few chunks of 1 MB ahead: 30 MB it never prints.
    let mut last = u64::MAX;
    while last != written() {
        last = written();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(last < 20_000, "{last}");
    let mut rows = 1_000;
    while let Some(event) = split.events.next().await {
        if let Event::Rows(some) = event.unwrap() {
            rows += some.len();
        }
    }
    assert_eq!(rows, 60_000);
}

#[tokio::test]
async fn many_lines_on_standard_error_do_not_stop_a_tap() {
    let tap = FakeTap::new(
        "schema()\nfor number in range(2000):\n  say('x' * 5000)\n  record({'id': number})",
    );
    assert_eq!(tap.all().await.rows.len(), 2000);
}

#[tokio::test]
async fn what_a_tap_leaves_running_is_not_waited_for() {
    for (code, rows) in [(0, Some(3)), (7, None)] {
        let tap = FakeTap::new(&format!(
            "import subprocess\nsubprocess.Popen(['sleep', '600'])\nschema()\nids(1, 3)\nsys.stdout.flush()\nos._exit({code})"
        ));
        let read = tap.read(&table(), None).await;
        match rows {
            Some(count) => assert_eq!(read.unwrap().rows.len(), count),
            None => assert_eq!(read.unwrap_err().code, "R1203"),
        }
    }
}
