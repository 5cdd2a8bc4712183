//! Tests that need a process of their own, for what belongs to the whole of one.

use std::process::Command;

/// Runs one ignored test of this program again, in a process with these variables and with none
/// that names a proxy.
///
/// * `test`: its name with its modules, as `proxy::child_sends_one_request`.
#[track_caller]
pub fn in_a_child(test: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{errors}"
    );
}

/// A variable that the parent has set.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}
