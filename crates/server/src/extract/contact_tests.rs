use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

#[track_caller]
fn faults(body: &str) -> Vec<String> {
    let problem = draft(body.as_bytes()).expect_err(body);
    assert_eq!(problem.status(), 400, "{body}");
    problem.errors.iter().map(Invalid::to_string).collect()
}

#[test]
fn a_contact_is_read_and_its_attributes_stay_as_they_were_written() {
    let draft = draft(
        r#" {"name":"Ada \"A\" Lovelace","phone":"+44 20 7946 0018","email":null,
            "tags":["a","b"],"attributes":{"n": 1.50, "big":123456789012345678901}} "#
            .as_bytes(),
    )
    .unwrap();
    assert_eq!(draft.name, "Ada \"A\" Lovelace");
    assert_eq!(draft.phone.as_str(), "+44 20 7946 0018");
    assert!(draft.email.is_none());
    assert_eq!(draft.tags.len(), 2);
    assert_eq!(
        draft.attributes.get(),
        r#"{"n": 1.50, "big":123456789012345678901}"#
    );
}

#[test]
fn every_fault_is_told_at_once_with_its_place_and_fix() {
    assert_eq!(
        faults(
            r#"{"nmae":"Ada","phone":7,"email":"ada","tags":["ok","a,b"],"attributes":[1],"name":""}"#
        ),
        [
            "/nmae: is not a field; did you mean `name`?",
            "/phone: must be a string, not a number",
            "/attributes: must be an object of names and values, not an array",
            "/name: is empty: give the contact a name",
            "/email: is not an e-mail address (it has no @): write e.g. \"ada@example.org\"",
            "/tags/1: has a comma or a control character, which separate tags elsewhere",
        ]
    );
    assert_eq!(
        faults("{}"),
        [
            "/name: is missing: a contact needs a name, e.g. \"Ada Lovelace\"",
            "/phone: is missing: a contact needs a phone number, e.g. \"+44 20 7946 0018\"",
        ]
    );
}

#[test]
fn each_kind_of_bad_body_is_refused_with_its_place() {
    let good = r#""name":"Ada","phone":"+442079460018""#;
    let deep = format!(
        r#"{{{good},"attributes":{{"a":{}1{}}}}}"#,
        "[".repeat(70),
        "]".repeat(70)
    );
    let long = format!(
        r#"{{{good},"attributes":{{"a":"{}"}}}}"#,
        "x".repeat(20_000)
    );
    let many = format!(r#"{{{good},"tags":[{}"z"]}}"#, "\"t\",".repeat(50));
    for (body, says) in [
        (String::new(), "/: expected an object"),
        ("null".into(), "/: must be an object, not null"),
        ("[]".into(), "/: must be an object, not an array"),
        (
            format!("{{{good}}} {{}}"),
            "/: expected the end of the body",
        ),
        (
            format!(r#"{{{good},"name":"Bob"}}"#),
            "/name: is given more than once",
        ),
        (
            format!(r#"{{{good},"attributes":{{"a":1,"a":2}}}}"#),
            "/attributes/a: is given more than once",
        ),
        (
            format!(r#"{{{good},"email":"a\u0000@b"}}"#),
            "/email: holds a NUL",
        ),
        (
            format!(r#"{{{good},"attributes":{{"x":{{"y":"\ud800"}}}}}}"#),
            "/attributes/x/y: holds \\ud800",
        ),
        (
            format!(r#"{{{good},"tags":"a"}}"#),
            "/tags: must be an array of strings, not a string",
        ),
        (
            format!(r#"{{{good},"tags":["a",null,{{}}]}}"#),
            "/tags/1: must be a string, not null",
        ),
        (
            format!(r#"{{{good},"email":true}}"#),
            "/email: must be a string, not true or false",
        ),
        (deep, "/attributes/a/0"),
        (
            long,
            "/attributes: are 20008 bytes of JSON, the limit is 16384",
        ),
        (many, "/tags: has 51 tags, the limit is 50"),
        (
            format!(r#"{{{good},"zz":1}}"#),
            "use one of name, phone, email, tags, attributes",
        ),
    ] {
        let faults = faults(&body);
        assert!(
            faults.iter().any(|fault| fault.contains(says)),
            "{says}: {faults:?}"
        );
    }
    let problem = draft(b"{\"name\":\"\xff\"}").unwrap_err();
    assert_eq!(problem.status(), 400);
    assert!(problem.message.contains("UTF-8"), "{}", problem.message);
}

#[test]
fn a_thousand_slips_are_not_a_thousand_complaints() {
    let body: String = (0..1_000).map(|n| format!("\"k{n}\":1,")).collect();
    assert_eq!(faults(&format!("{{{body}\"x\":1}}")).len(), FAULTS_MAX);
}

#[test]
fn a_contact_that_was_read_can_be_sent_back() {
    let read = json!({"id": 7, "created_at": {"odd": []}, "updated_at": null, "name": "Ada"});
    let patch = patch(read.to_string().as_bytes(), true).unwrap();
    assert_eq!(patch.name.as_deref(), Some("Ada"));
    assert!(super::patch(br#"{"id":7}"#, true).unwrap().is_empty());
    let error = super::patch(br#"{"name":null}"#, true).unwrap_err();
    assert_eq!(error.errors[0].path, "/name");
}

proptest! {
    /// The same verdict as that of serde on the model's own type.
    #[test]
    fn the_pass_over_the_text_agrees_with_the_models_type(
        members in prop::collection::vec((
            prop::sample::select(vec!["name", "phone", "email", "tags", "attributes", "nmae"]),
            prop::sample::select(vec![
                json!("Ada"), json!("+442079460018"), json!("ada@example.org"), json!(""),
                json!(["a", "b"]), json!(["a", 7]), json!({"a": {"b": [1, null]}}), json!(null),
                json!(7), json!(true),
            ]),
        ), 0..6),
        merge in any::<bool>(),
    ) {
        // A map has each key once, as what is refused here does not concern the model.
        let body: serde_json::Map<String, Value> =
            members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let body = Value::Object(body).to_string();
        let by_serde = serde_json::from_str::<ContactFields>(&body).ok();
        let wanted = by_serde.clone().and_then(|fields| ContactDraft::new(fields).ok());
        let found = draft(body.as_bytes()).ok();
        prop_assert_eq!(format!("{found:?}"), format!("{wanted:?}"), "{}", body);
        let wanted = by_serde.and_then(|fields| ContactPatch::new(fields, merge).ok());
        let found = patch(body.as_bytes(), merge).ok();
        prop_assert_eq!(format!("{found:?}"), format!("{wanted:?}"), "{}", body);
    }

    #[test]
    fn a_damaged_contact_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = br#"{"name":"A","phone":"1234567","tags":["\u00e9"],"attributes":{"a":[1]}}"#.to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        let _ = draft(&body);
    }
}
