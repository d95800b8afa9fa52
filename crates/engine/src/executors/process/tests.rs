//! Real processes. Where a test looks for a process, it looks for its number or for a name that
//! only it uses, and waits for a condition with a deadline.

use std::path::PathBuf;
use std::time::Duration;

use autom8_model::transition::RetryAdvice;
use serde_json::json;

use rustix::process::Pid;

use super::*;
use crate::executors::one_run::{context, log_text, with_input};

struct Shop {
    executor: ProcessExecutor,
    directory: tempfile::TempDir,
}

impl Shop {
    fn new() -> Shop {
        let directory = tempfile::tempdir().unwrap();
        let config = ProcessConfig {
            enabled: true,
            input_directory: directory.path().to_path_buf(),
        };
        Shop {
            executor: ProcessExecutor::new(config),
            directory,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn shell(&self, script: &str) -> (Ended, String) {
        self.run(context(json!({"process": {"argv": ["sh", "-c", script]}})))
            .await
    }

    async fn run(&self, context: RunContext) -> (Ended, String) {
        let ended = self.executor.execute(context.clone()).await;
        (ended, log_text(&context))
    }

    /// Starts a script in the background and waits until it has written its number to `started`.
    async fn started(&self, script: &str) -> (tokio::task::JoinHandle<Ended>, RunContext, i32) {
        let context = self.scripted(script);
        let executing = {
            let context = context.clone();
            let executor = ProcessExecutor::new(self.executor.config.clone());
            // The executor lives as long as the task: its thread's end would end the child.
            tokio::spawn(async move { executor.execute(context).await })
        };
        let pid = self.number_in("started").await;
        (executing, context, pid)
    }

    fn scripted(&self, script: &str) -> RunContext {
        let cwd = self.directory.path();
        context(json!({"process": {"argv": ["sh", "-c", script], "cwd": cwd}}))
    }

    async fn number_in(&self, file: &str) -> i32 {
        let path = self.path(file);
        let mut number = None;
        eventually("a process writes its number", || {
            number = std::fs::read_to_string(&path)
                .ok()
                .and_then(|text| text.strip_suffix('\n').and_then(|text| text.parse().ok()));
            number.is_some()
        })
        .await;
        number.unwrap()
    }
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if condition() {
            return;
        }
        timer::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {what}");
}

/// Whether a process exists and is no zombie.
fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

fn exists(pid: i32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// The exit code that a result tells of.
fn exit_code(result: Option<&Vec<u8>>) -> Option<i64> {
    let result: serde_json::Value = serde_json::from_slice(result?).unwrap();
    result["exit_code"].as_i64()
}

#[track_caller]
fn assert_completed(ended: &Ended) {
    match ended {
        Ended::Completed { result } => assert_eq!(exit_code(result.as_ref()), Some(0)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn exit_code_0_completes_and_both_streams_are_logged() {
    let (ended, log) = Shop::new().shell("echo out; echo err >&2").await;
    assert_completed(&ended);
    assert!(log.contains("out\n") && log.contains("err\n"), "{log}");
}

#[tokio::test]
async fn the_result_repeats_the_end_of_the_output_and_stays_within_its_bound() {
    let script = "head -c 100000 /dev/zero; echo the end";
    let (ended, _) = Shop::new().shell(script).await;
    let Ended::Completed {
        result: Some(result),
    } = ended
    else {
        panic!("{ended:?}")
    };
    assert!(
        result.len() < autom8_model::limits::RESULT_BYTES_MAX,
        "{} bytes",
        result.len()
    );
    let result: serde_json::Value = serde_json::from_slice(&result).unwrap();
    assert!(result["output"].as_str().unwrap().ends_with("the end\n"));
}

#[tokio::test]
async fn another_exit_code_fails_with_the_last_words_of_the_process() {
    let (ended, _) = Shop::new()
        .shell("echo first >&2; echo 'no such contact' >&2; exit 3")
        .await;
    let Ended::Failed {
        error,
        retry,
        result,
    } = ended
    else {
        panic!("{ended:?}")
    };
    assert_eq!(error, "exit code 3: no such contact");
    assert_eq!(
        (retry, exit_code(result.as_ref())),
        (RetryAdvice::Policy, Some(3))
    );
}

#[tokio::test]
async fn a_signal_is_named() {
    let (ended, _) = Shop::new().shell("kill -KILL $$").await;
    let Ended::Failed { error, .. } = ended else {
        panic!("{ended:?}")
    };
    assert!(error.starts_with("killed by signal 9 (SIGKILL"), "{error}");
}

#[tokio::test]
async fn a_process_knows_its_run_and_its_input_and_none_of_the_servers_secrets() {
    let shop = Shop::new();
    let script = "env; cat $AUTOM8_INPUT_FILE; stat -c ' mode %a' $AUTOM8_INPUT_FILE";
    let action = json!({"process": {"argv": ["sh", "-c", script], "env": {"MINE": "yes"}}});
    let context = with_input(context(action), r#"{"who":"ada"}"#);
    let run_id = format!("AUTOM8_RUN_ID={}\n", context.run);
    let (ended, log) = shop.run(context).await;
    assert_completed(&ended);
    for line in [
        run_id.as_str(),
        "AUTOM8_ATTEMPT=1\n",
        "AUTOM8_TASK=job\n",
        "MINE=yes\n",
    ] {
        assert!(log.contains(line), "{line} in {log}");
    }
    assert!(log.contains(r#"{"who":"ada"} mode 600"#), "{log}");
    assert!(
        !log.contains("CARGO"),
        "the test's own environment has come through: {log}"
    );
    assert_eq!(
        std::fs::read_dir(shop.directory.path()).unwrap().count(),
        0,
        "input is removed"
    );
}

#[test]
fn what_is_inherited_is_a_short_list() {
    let environment = [
        ("PATH", "/bin"),
        ("LC_ALL", "C"),
        ("TZ", "UTC"),
        ("DATABASE_URL", "postgres://u:p@h/d"),
        ("AUTOM8_API_KEY", "a8_secret"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("PATHS", "y"),
    ];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    let mut kept: Vec<_> = inherited(environment.into_iter()).into_keys().collect();
    kept.sort();
    assert_eq!(kept, ["LC_ALL", "PATH", "TZ"]);
}

#[tokio::test]
async fn standard_input_is_given_and_closed_or_closed_at_once() {
    let shop = Shop::new();
    let action = json!({"process": {"argv": ["cat"], "stdin": "given\n"}});
    assert_eq!(shop.run(context(action)).await.1, "given\n");
    let (ended, log) = shop
        .run(context(json!({"process": {"argv": ["cat"]}})))
        .await;
    assert_completed(&ended);
    assert_eq!(log, "");
    // A megabyte that nobody reads, to a process that ends.
    let unread = json!({"process": {"argv": ["true"], "stdin": "x".repeat(1 << 20)}});
    assert_completed(&shop.run(context(unread)).await.0);
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_not_tried_again() {
    let shop = Shop::new();
    let (ended, _) = shop
        .run(context(json!({"process": {"argv": ["no-such-program"]}})))
        .await;
    let Ended::Failed { error, retry, .. } = ended else {
        panic!("{ended:?}")
    };
    assert!(error.contains("cannot start `no-such-program`"), "{error}");
    assert!(error.contains("give the full path"), "{error}");
    assert_eq!(retry, RetryAdvice::Never);
}

#[tokio::test]
async fn while_it_is_off_the_switch_is_named() {
    let config = ProcessConfig {
        enabled: false,
        input_directory: "/nowhere".into(),
    };
    let ended = ProcessExecutor::new(config)
        .execute(context(json!({"process": {"argv": ["true"]}})))
        .await;
    let Ended::Failed { error, retry, .. } = ended else {
        panic!("{ended:?}")
    };
    assert!(error.contains("--allow-process"), "{error}");
    assert_eq!(retry, RetryAdvice::Never);
}

#[tokio::test]
async fn a_cancel_ends_a_willing_process_by_term() {
    let shop = Shop::new();
    let script = "trap 'echo bye; exit 0' TERM; echo $$ > started; while :; do sleep 0.01; done";
    let (executing, context, pid) = shop.started(script).await;
    context.cancel.cancel();
    assert_eq!(executing.await.unwrap(), Ended::Cancelled);
    assert!(log_text(&context).contains("bye\n"));
    assert!(!exists(pid), "it is reaped");
}

#[tokio::test]
async fn a_process_that_ignores_term_is_killed_after_the_grace_with_all_its_group() {
    let shop = Shop::new();
    let script = "trap '' TERM; sleep 1000 & echo $! > child; echo $$ > started; sleep 1000; wait";
    let (executing, context, pid) = shop.started(script).await;
    let child = shop.number_in("child").await;
    context.cancel.cancel();
    assert_eq!(executing.await.unwrap(), Ended::Cancelled);
    assert!(!exists(pid) && !lives(child));
}

#[tokio::test]
async fn a_dropped_attempt_takes_its_processes_with_it() {
    let shop = Shop::new();
    let context = shop.scripted("echo $$ > started; sleep 1000 & echo $! > child; wait");
    let executing = shop.executor.execute(context);
    let pids = async {
        (
            shop.number_in("started").await,
            shop.number_in("child").await,
        )
    };
    let (pid, child) = tokio::select! {
        pids = pids => pids,
        ended = executing => panic!("{ended:?}"),
    };
    // `select!` has dropped the execution.
    eventually("both are gone", || !exists(pid) && !lives(child)).await;
}

/// Each way out of a run, and whether something of it may be alive afterwards.
#[tokio::test]
async fn nothing_outlives_its_run() {
    let shop = Shop::new();
    let ways = [
        ("in the background", "sleep 1000 & echo $! > stray"),
        (
            "with nohup",
            "nohup sleep 1000 > /dev/null 2>&1 & echo $! > stray",
        ),
        (
            "with a session of its own",
            "setsid sh -c 'echo $$ > stray; exec sleep 1000' &",
        ),
        (
            "by a double fork",
            "(setsid sh -c '(sh -c \"echo \\$\\$ > stray; exec sleep 1000\" &) ' &) ",
        ),
        (
            "with a family",
            "setsid sh -c 'sleep 1000 & sleep 1000 & echo $$ > stray; exec sleep 1000' &",
        ),
    ];
    for (way, script) in ways {
        let script = format!("{script}\nuntil [ -s stray ]; do sleep 0.01; done");
        let context = shop.scripted(&script);
        let ended = shop.executor.execute(context).await;
        assert_completed(&ended);
        let stray = shop.number_in("stray").await;
        assert!(!lives(stray), "{way}: {stray} is alive");
        eventually("the stray is reaped", || !exists(stray)).await;
        std::fs::remove_file(shop.path("stray")).unwrap();
    }
}

#[tokio::test]
async fn an_escaped_process_that_holds_the_output_open_does_not_hold_up_the_run() {
    // It clears its environment, so it cannot be told from a stranger.
    let shop = Shop::new();
    let script = "setsid env -i sh -c 'echo $$ > stray; exec sleep 1000' &\n\
                  until [ -s stray ]; do sleep 0.01; done; echo done";
    let context = shop.scripted(script);
    let ended = shop.executor.execute(context.clone()).await;
    assert_completed(&ended);
    assert!(log_text(&context).contains("something still holds the output open"));
    let stray = Pid::from_raw(shop.number_in("stray").await).unwrap();
    rustix::process::kill_process(stray, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_flood_of_output_is_bounded_in_memory_and_marked() {
    let context = context(json!({"process": {"argv": ["sh", "-c", "yes | head -c 30000000"]}}));
    let ended = Shop::new().executor.execute(context.clone()).await;
    assert_completed(&ended);
    let captured = context.log.capture().unwrap();
    assert!(captured.truncated);
    assert!(captured.bytes.len() <= autom8_model::limits::RUN_LOG_BYTES_MAX + 64);
    assert_eq!(context.log.written(), 30_000_000);
}

#[tokio::test]
async fn leftover_inputs_of_a_crash_are_removed_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let leftover = directory.path().join("autom8-input-1.json");
    let other = directory.path().join("notes.txt");
    std::fs::write(&leftover, "{}").unwrap();
    std::fs::write(&other, "").unwrap();
    let input_directory = directory.path().to_path_buf();
    ProcessExecutor::new(ProcessConfig {
        enabled: true,
        input_directory,
    });
    assert!(!leftover.exists() && other.exists());
}

/// A server in a process of its own: this test's own binary, started again to run
/// [`a_server_if_asked_to`] with these variables. Its executor has `shop` as its directory.
fn server(shop: &Path, variables: &[(&str, &str)]) -> std::process::Child {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "executors::process::tests::a_server_if_asked_to",
            "--nocapture",
        ])
        .env("A_SERVER_IN", shop)
        .envs(variables.iter().copied())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_server_if_asked_to() {
    let Some(directory) = std::env::var_os("A_SERVER_IN") else {
        return;
    };
    let executor = ProcessExecutor::new(ProcessConfig {
        enabled: true,
        input_directory: directory.clone().into(),
    });
    if let Ok(script) = std::env::var("A_SERVER_RUNS") {
        let action = json!({"process": {
            "argv": ["sh", "-c", script],
            "cwd": directory.to_str().unwrap(),
        }});
        executor.execute(context(action)).await;
    }
}

/// A process that is ended with the test, however that ends.
struct Stranger(std::process::Child);

impl Stranger {
    fn start(environment: &[(&str, &str)]) -> Stranger {
        let mut command = std::process::Command::new("sleep");
        command.arg("1000").envs(environment.iter().copied());
        Stranger(command.spawn().unwrap())
    }

    fn lives(&self) -> bool {
        lives(self.0.id().try_into().unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn children_die_with_the_server_even_by_kill() {
    let shop = Shop::new();
    let script = "echo $$ > started; exec sleep 1000";
    let mut server = server(shop.directory.path(), &[("A_SERVER_RUNS", script)]);
    let child = shop.number_in("started").await;
    assert!(lives(child));
    server.kill().unwrap();
    server.wait().unwrap();
    eventually("the child is gone", || !lives(child)).await;
}

#[tokio::test]
async fn what_outlived_a_killed_server_is_ended_by_the_next_one_of_its_directory() {
    let shop = Shop::new();
    let script = "sleep 1000 & echo $! > child\n\
                  setsid sh -c 'sleep 1000 & echo $! > grandchild; echo $$ > session; wait' &\n\
                  echo $$ > started; wait";
    let mut killed = server(shop.directory.path(), &[("A_SERVER_RUNS", script)]);
    let leader = shop.number_in("started").await;
    let left = [
        shop.number_in("child").await,
        shop.number_in("session").await,
        shop.number_in("grandchild").await,
    ];
    killed.kill().unwrap();
    killed.wait().unwrap();
    eventually("the kernel has ended the leader", || !lives(leader)).await;
    let all_live = || left.iter().all(|pid| lives(*pid));
    assert!(all_live(), "the kernel has ended what only a server can");

    let owner = survivors::owner(shop.directory.path()).unwrap();
    let other_owner = format!("{owner}0");
    let strangers = [
        Stranger::start(&[]),
        Stranger::start(&[(survivors::OWNER, &other_owner)]),
        Stranger::start(&[("AUTOM8_RUN_ID", "1"), ("AUTOM8_ATTEMPT", "1")]),
    ];
    let elsewhere = tempfile::tempdir().unwrap();
    assert!(server(elsewhere.path(), &[]).wait().unwrap().success());
    assert!(all_live(), "a server has ended what is not its own");

    assert!(server(shop.directory.path(), &[]).wait().unwrap().success());
    // `new` has returned, so nothing is waited for.
    for pid in left {
        assert!(!lives(pid), "{pid} is alive");
    }
    for stranger in &strangers {
        assert!(stranger.lives());
    }
}

#[tokio::test]
async fn a_family_that_goes_on_forking_is_ended_whole() {
    let shop = Shop::new();
    // Each forks its successor and dies, so a list of processes is out of date when it is read.
    std::fs::write(
        shop.path("relay"),
        "sleep 1000 &\necho $! >> runners\n\
         if [ $1 -lt 300 ]; then sh ./relay $(($1 + 1)) & fi\n",
    )
    .unwrap();
    let script = "echo $$ > started; setsid sh ./relay 1 & wait; exec sleep 1000";
    let mut killed = server(shop.directory.path(), &[("A_SERVER_RUNS", script)]);
    shop.number_in("started").await;
    let runners = || std::fs::read_to_string(shop.path("runners")).unwrap_or_default();
    eventually("some have run", || runners().lines().count() > 20).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(server(shop.directory.path(), &[]).wait().unwrap().success());
    let runners = runners();
    for pid in runners.lines() {
        assert!(!lives(pid.parse().unwrap()), "{pid} is alive");
    }
}

#[tokio::test]
async fn a_start_leaves_its_own_line_alone() {
    let shop = Shop::new();
    let owner = survivors::owner(shop.directory.path()).unwrap();
    let own_child = Stranger::start(&[(survivors::OWNER, &owner)]);
    let swept = survivors::end(&owner);
    assert_eq!(swept, survivors::Swept::default());
    assert!(own_child.lives());
    // The next server may be started by a run of the last one.
    let marked = [(survivors::OWNER, owner.as_str())];
    let own_parent = server(shop.directory.path(), &marked).wait().unwrap();
    assert!(own_parent.success(), "it has ended itself");
}
