//! The founding guide's two `curl` commands, run as they are printed.

use std::path::Path;
use std::time::Duration;

use autom8_tests::binary;
use autom8_tests::namespace::{self, Private};
use autom8_tests::server::run_to_end;
use serde_json::Value;

const GUIDE: &str = "tests/guide/performance-guide.md";
const LIMIT: Duration = Duration::from_secs(60);

/// The lines of the guide's shell block that holds `word`.
fn block_with(word: &str) -> String {
    let guide = std::fs::read_to_string(binary::repository_root().join(GUIDE)).unwrap();
    let block = guide
        .split("```bash\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .find(|block| block.contains(word));
    block
        .unwrap_or_else(|| panic!("{GUIDE} has no shell block with {word}"))
        .to_owned()
}

#[test]
fn the_printed_curl_commands_answer_on_the_printed_port() {
    let commands = block_with("curl http://localhost:5000/api/v1/metrics");
    assert_eq!(commands.matches("curl ").count(), 2, "{commands}");
    let folder = tempfile::tempdir().unwrap();
    // In a network of its own port 5000 is free whatever else this machine serves.
    let script = format!(
        "ip link set lo up
         env -i HOME=. PATH=\"$PATH\" '{}' serve --data data >serve.log 2>&1 &
         server=$!
         trap 'kill $server; wait $server || true' EXIT
         # A busy share needs two samples, so the first second has none.
         for attempt in $(seq 200); do
           curl -s http://localhost:5000/api/v1/metrics/system >sample.json || true
           grep -qF '\"per_core_percent\":[' sample.json && break
           sleep 0.1
         done
         {}",
        binary::autom8().display(),
        separated(&commands)
    );
    let command = match namespace::script(Private::Network, &script, folder.path()) {
        Ok(command) => command,
        Err(why) => panic!("{why}"),
    };
    let ended = run_to_end(command, LIMIT);
    let log = std::fs::read_to_string(folder.path().join("serve.log")).unwrap_or_default();
    assert_eq!(ended.code, 0, "{ended:?}\n{log}");
    let answers: Vec<Value> = ended
        .stdout
        .split(SEPARATOR)
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
        .collect();
    assert_eq!(answers.len(), 2, "{ended:?}");
    assert!(
        answers[0]["status"].is_string() && answers[0]["slo"].is_array(),
        "{}",
        answers[0]
    );
    assert!(answers[1]["cpu"]["percent"].is_number(), "{}", answers[1]);
    assert!(
        answers[1]["process"]["rss_bytes"].is_u64(),
        "{}",
        answers[1]
    );
    assert!(Path::new(&folder.path().join("data")).is_dir());
}

const SEPARATOR: &str = "── next ──";

/// The guide's lines, word for word, with a mark between the answers.
fn separated(commands: &str) -> String {
    commands.replace("\n\n", &format!("\necho '{SEPARATOR}'\n"))
}
