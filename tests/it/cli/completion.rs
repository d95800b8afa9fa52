use autom8_tests::server::{autom8_command, run_to_end};
use autom8_tests::wait;

#[test]
fn completions_are_printed_for_each_shell() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let mut command = autom8_command(folder.path());
        command.args(["completion", shell]);
        let ended = run_to_end(command, wait::PATIENT);
        assert_eq!(ended.code, 0, "{ended:?}");
        for word in ["autom8", "serve", "contacts", "keys", "audit", "key-file"] {
            assert!(ended.stdout.contains(word), "{shell}: {word} is missing");
        }
    }
}
