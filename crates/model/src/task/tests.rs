use super::*;

fn parse(json: &str) -> Result<TaskSpec, serde_json::Error> {
    serde_json::from_str(json)
}

#[test]
fn a_minimal_task_gets_the_defaults_of_the_contract() {
    let task = parse(r#"{"name": "ping", "do": {"http": {"url": "https://a.example/"}}}"#).unwrap();
    assert!(task.validate().is_ok());
    let written = serde_json::to_value(&task).unwrap();
    assert_eq!(written["retry"]["max_attempts"], 3);
    assert_eq!(written["retry"]["backoff"], "1s");
    assert_eq!(written["timeout"], "15m");
    assert_eq!(written["queue"], "default");
    assert_eq!(written["overlap"], "skip");
    assert_eq!(written["catch_up"], "latest");
    assert_eq!(written["on_crash"], "retry");
    assert_eq!(written["enabled"], true);
    assert_eq!(written["do"]["http"]["method"], "GET");
}

#[test]
fn an_unknown_field_or_kind_is_an_error_that_lists_the_known() {
    let error = parse(r#"{"name": "a", "do": {"builtin": "noop"}, "shedule": {}}"#).unwrap_err();
    assert!(error.to_string().contains("shedule"), "{error}");
    let error = parse(r#"{"name": "a", "do": {"fax": {}}}"#).unwrap_err();
    assert!(error.to_string().contains("process"), "{error}");
    let error = parse(r#"{"name": "a", "do": {"builtin": "bakup"}}"#).unwrap_err();
    assert!(error.to_string().contains("backup"), "{error}");
}

#[test]
fn every_complaint_is_given_at_once_with_its_path() {
    let task = parse(
        r#"{"name": "a", "do": {"process": {"argv": [], "env": {"A=B": "x"}}},
            "queue": "UPPER", "priority": 101, "timeout": "8d",
            "retry": {"max_attempts": 0}}"#,
    )
    .unwrap();
    let paths: Vec<String> = task
        .validate()
        .unwrap_err()
        .into_iter()
        .map(|invalid| invalid.path)
        .collect();
    for path in [
        "/queue",
        "/priority",
        "/timeout",
        "/retry/max_attempts",
        "/do/process/argv",
    ] {
        assert!(
            paths.iter().any(|p| p == path),
            "{path} is missing in {paths:?}"
        );
    }
}

#[test]
fn built_ins_read_and_write_both_forms() {
    for (json, back) in [
        (r#""backup""#, r#""backup""#),
        (
            r#"{"name":"backup","keep":3}"#,
            r#"{"name":"backup","keep":3}"#,
        ),
        (r#"{"name":"backup"}"#, r#""backup""#),
    ] {
        let action: BuiltinAction = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&action).unwrap(), back);
    }
    assert!(serde_json::from_str::<BuiltinAction>(r#"{"name":"noop","keep":1}"#).is_err());
    assert!(serde_json::from_str::<BuiltinAction>(r#"{"name":"backup","keep":0}"#).is_err());
}

#[test]
fn an_address_literal_is_found_in_a_url() {
    let action = |url: &str| HttpAction {
        method: "GET".into(),
        url: url.into(),
        headers: BTreeMap::new(),
        body: None,
    };
    assert_eq!(
        action("http://[::1]:80/x").literal_address(),
        Some("::1".parse().unwrap())
    );
    assert_eq!(
        action("http://10.0.0.1:80").literal_address(),
        Some("10.0.0.1".parse().unwrap())
    );
    assert_eq!(action("http://a.example").literal_address(), None);
}
