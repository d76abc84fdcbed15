//! `logs`: prints the events of a run, at once or while the run goes on.
//!
//! It calls `app/src/logs.rs` and prints one line per event, or one JSON object per line. It does not read
//! the log file of a program; it prints its path.

use towpath_app::{LogPiece, LogsReport, LogsRequest, follow, has_ended, logs as lines_of};
use towpath_ports::RunEvent;

use super::project_args::{CommandResult, ProjectArgs};
use super::runs::{INTERRUPTED, word};
use crate::args::{Format, LogsArguments};
use crate::draw;
use crate::exit::Exit;
use crate::terminal;

pub(super) async fn logs(place: &ProjectArgs, arguments: LogsArguments) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let request = LogsRequest::of(arguments.run.as_deref());
    if !arguments.follow {
        let piece = lines_of(&services, &plan.environment, &request).await?;
        match arguments.format {
            Format::Json => draw::json(&LogsReport::from(piece))?,
            Format::Text => {
                outln!("{}", title(&piece));
                text(&piece);
            }
        }
        return Ok(Exit::Done);
    }
    let waits = |run: &str| errln!("Waiting for {run} to start.");
    let mut logs = follow(&services, &plan.environment, &request, waits).await?;
    let mut begun = false;
    loop {
        let piece = logs.next().await?;
        if !begun && arguments.format == Format::Text {
            outln!("{}", title(&piece));
        }
        begun = true;
        match arguments.format {
            Format::Json => json_lines(&piece)?,
            Format::Text => text(&piece),
        }
        if terminal::is_closed() {
            return Ok(Exit::Done);
        }
        if piece.is_last {
            if !has_ended(&piece.run) {
                let run = &piece.run.name;
                errln!(
                    "The process of {run} has ended; to continue: towpath run {}",
                    run.pipeline
                );
            }
            return Ok(Exit::Done);
        }
        logs.pause().await;
    }
}

/// The run and its state; a run whose process died is not shown as running.
fn title(piece: &LogPiece) -> String {
    let state = match piece.is_last && !has_ended(&piece.run) {
        true => INTERRUPTED.to_owned(),
        false => word(&piece.run.state),
    };
    format!("{} · {state}", piece.run.name)
}

fn text(piece: &LogPiece) {
    for event in &piece.events {
        outln!("{}", line(event));
    }
    for printed in &piece.printed {
        for line in printed.text.lines() {
            outln!("      {} │ {}", printed.task, without_colours(line));
        }
    }
}

/// A line of a program without the sequences that colour it, which carry no text.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';');
        match end.and_then(|end| part.get(end..)?.strip_prefix('m')) {
            Some(rest) => text.push_str(rest),
            None => text.push_str(&format!("\u{1b}[{part}")),
        }
    }
    text
}

fn line(event: &RunEvent) -> String {
    let task = event.task.as_ref().map_or("", |task| task.as_str());
    let body = match &event.body {
        serde_json::Value::Null => String::new(),
        body => body.to_string(),
    };
    let line = format!(
        "{:>4}  {}  {:<18} {task}  {body}",
        event.seq,
        towpath_app::time_text(event.at_us),
        event.kind
    );
    line.trim_end().to_owned()
}

fn json_lines(piece: &LogPiece) -> Result<(), towpath_vocab::Failure> {
    for event in &piece.events {
        draw::json_line(event)?;
    }
    for printed in &piece.printed {
        draw::json_line(printed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::without_colours;

    #[test]
    fn only_colours_are_left_out() {
        let line = "\u{1b}[1;32mOK\u{1b}[0m 5 rows \u{1b}[2Jx \u{1b}[";
        assert_eq!(without_colours(line), "OK 5 rows \u{1b}[2Jx \u{1b}[");
    }
}
