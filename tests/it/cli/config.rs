use autom8_tests::server::{Ended, autom8_command, run_to_end};
use autom8_tests::wait;

fn config(file: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("autom8.toml"), file).unwrap();
    let mut command = autom8_command(folder.path());
    command
        .arg("config")
        .args(arguments)
        .envs(environment.iter().copied());
    run_to_end(command, wait::PATIENT)
}

#[test]
fn a_good_file_passes_and_each_value_names_its_origin() {
    let file = "[server]\nport = 5001\n";
    assert_eq!(config(file, &["check"], &[]).code, 0);
    let shown = config(file, &["show", "--origin"], &[("LOG_LEVEL", "debug")]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let line = |key: &str| {
        shown
            .stdout
            .lines()
            .find(|line| line.contains(key))
            .unwrap_or_else(|| panic!("{key}: {shown:?}"))
    };
    assert!(
        line("port").contains("5001") && line("port").contains("autom8.toml"),
        "{shown:?}"
    );
    assert!(shown.stdout.contains("LOG_LEVEL"), "{shown:?}");
    assert!(line("shutdown_grace").contains("default"), "{shown:?}");
}

#[test]
fn a_bad_file_is_refused_with_line_and_suggestion() {
    let ended = config("[server]\nprot = 5001\n", &["check"], &[]);
    assert_eq!(ended.code, 2, "{ended:?}");
    for word in ["prot", "port", "2", "autom8.toml"] {
        assert!(ended.stderr.contains(word), "{word}: {ended:?}");
    }
    let ended = config("[server]\nport = 99999\n", &["check"], &[]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("port"), "{ended:?}");
}

#[test]
fn production_without_a_rate_limit_is_refused() {
    let environment = [
        ("ENVIRONMENT", "production"),
        ("RATE_LIMIT_ENABLED", "false"),
    ];
    let ended = config("", &["check"], &environment);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.to_lowercase().contains("rate"), "{ended:?}");
}
