use super::*;

fn fields(json: &str) -> ContactFields {
    serde_json::from_str(json).unwrap()
}

fn faults(json: &str) -> Vec<(String, String)> {
    ContactDraft::new(fields(json))
        .unwrap_err()
        .into_iter()
        .map(|fault| (fault.path, fault.message))
        .collect()
}

#[test]
fn a_phone_is_the_same_however_it_is_written_and_stays_as_given() {
    for (given, key) in [
        ("+44 20 7946 0018", "+442079460018"),
        ("+44-(20)-7946.0018", "+442079460018"),
        (" 030/1234567 ", "0301234567"),
        ("1234567", "1234567"),
        ("0044 20 7946 0018", "+442079460018"),
        ("00 44 20 7946 0018", "+442079460018"),
        ("+44 (0)20 7946 0018", "+442079460018"),
        ("+44\u{a0}20\u{2013}7946\u{2011}0018", "+442079460018"),
        ("(030) 1234567", "0301234567"),
        ("0001234567", "0001234567"),
        ("123456789012345", "123456789012345"),
    ] {
        let phone: Phone = given.parse().unwrap();
        assert_eq!(phone.key(), key);
        assert_eq!(phone.as_str(), given.trim());
    }
    for bad in [
        "",
        "   ",
        "123456",
        "1234567890123456",
        "+0301234567",
        "12+34567",
        "++1234567",
        "1234567x",
        "१२३४५६७८",
        "+",
        "1234567\0",
        &"1 ".repeat(21),
    ] {
        let message = bad.parse::<Phone>().unwrap_err();
        assert!(message.contains("write e.g."), "{bad}: {message}");
    }
}

#[test]
fn an_email_is_compared_without_regard_to_case_and_stays_as_given() {
    let email: Email = "Ada.Lovelace+x@Example.ORG".parse().unwrap();
    assert_eq!(email.key(), "ada.lovelace+x@example.org");
    assert_eq!(email.as_str(), "Ada.Lovelace+x@Example.ORG");
    "ünï@bücher.example".parse::<Email>().unwrap();
    "root@localhost".parse::<Email>().unwrap();
    for bad in [
        "",
        "ada",
        "@example.org",
        "ada@",
        "ada@@example.org",
        "a@b@c.org",
        "ada lovelace@example.org",
        "ada@example..org",
        "ada@-example.org",
        ".ada@example.org",
        "a..b@example.org",
        "ada@exam_ple.org",
        "<ada@example.org>",
        "ada\n@example.org",
        &format!("{}@example.org", "a".repeat(65)),
        &format!("a@{}.org", "b".repeat(64)),
    ] {
        assert!(bad.parse::<Email>().is_err(), "{bad}");
    }
}

#[test]
fn every_fault_of_a_contact_is_named_at_once() {
    assert_eq!(
        faults("{}")
            .iter()
            .map(|(path, _)| path.as_str())
            .collect::<Vec<_>>(),
        ["/name", "/phone"]
    );
    let found =
        faults(r#"{"name":" ","phone":"12","email":"x","tags":["ok","","a,b"],"attributes":[1]}"#);
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/name",
            "/phone",
            "/email",
            "/tags/1",
            "/tags/2",
            "/attributes"
        ]
    );
    let many = format!(
        r#"{{"name":"A","phone":"1234567","tags":{:?}}}"#,
        vec!["t"; limits::CONTACT_TAGS_MAX + 1]
    );
    assert_eq!(faults(&many)[0].0, "/tags");
    let large = format!(
        r#"{{"name":"A","phone":"1234567","attributes":{{"a":"{}"}}}}"#,
        "x".repeat(limits::ATTRIBUTES_BYTES_MAX)
    );
    assert_eq!(faults(&large)[0].0, "/attributes");
}

#[test]
fn a_draft_trims_its_name_and_keeps_each_tag_once() {
    let draft = ContactDraft::new(fields(
        r#"{"name":" Ada ","phone":"+1 234 5678","email":null,"tags":["vip"," vip","x"],
           "attributes":{"b":1.50,"a":[ ]}}"#,
    ))
    .unwrap();
    assert_eq!(draft.name, "Ada");
    assert!(draft.email.is_none());
    let tags: Vec<&str> = draft.tags.iter().map(Tag::as_str).collect();
    assert_eq!(tags, ["vip", "x"]);
    assert_eq!(draft.attributes.get(), r#"{"b":1.50,"a":[ ]}"#);
}

fn contact() -> Contact {
    let draft = ContactDraft::new(fields(
        r#"{"name":"Ada","phone":"+1 234 5678","email":"ada@example.org","tags":["vip"],
           "attributes":{"city":"London","n":1.50,"deep":{"a":1,"b":2}}}"#,
    ))
    .unwrap();
    Contact {
        id: ContactId(7),
        name: draft.name,
        phone: draft.phone,
        email: draft.email,
        tags: draft.tags,
        attributes: draft.attributes,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

fn patched(json: &str, merge: bool) -> Contact {
    ContactPatch::new(fields(json), merge)
        .unwrap()
        .apply(&contact())
        .unwrap()
}

#[test]
fn a_patch_changes_what_it_names_and_nothing_else() {
    let same = patched("{}", true);
    assert_eq!(
        serde_json::to_string(&same).unwrap(),
        serde_json::to_string(&contact()).unwrap()
    );
    let changed = patched(r#"{"name":"Ada King","email":null,"tags":[]}"#, true);
    assert_eq!(changed.name, "Ada King");
    assert!(changed.email.is_none() && changed.tags.is_empty());
    assert_eq!(changed.phone, contact().phone);
    for (json, path) in [
        (r#"{"name":null}"#, "/name"),
        (r#"{"phone":null}"#, "/phone"),
        (r#"{"phone":"x"}"#, "/phone"),
        (r#"{"email":""}"#, "/email"),
    ] {
        let refused = ContactPatch::new(fields(json), true).unwrap_err();
        assert_eq!(refused[0].path, path, "{json}");
    }
}

#[test]
fn attributes_are_merged_by_patch_and_replaced_by_put() {
    let patch =
        r#"{"attributes":{"city":null,"n":2.0,"deep":{"b":null,"c":{"d":null,"e":3}},"new":[1]}}"#;
    assert_eq!(
        patched(patch, true).attributes.get(),
        r#"{"n":2.0,"deep":{"a":1,"c":{"e":3}},"new":[1]}"#
    );
    let put = r#"{"attributes":{"only":true}}"#;
    assert_eq!(patched(put, false).attributes.get(), r#"{"only":true}"#);
    assert_eq!(
        patched(r#"{"attributes":null}"#, true).attributes.get(),
        "{}"
    );
    let large = format!(
        r#"{{"attributes":{{"x":"{}"}}}}"#,
        "x".repeat(limits::ATTRIBUTES_BYTES_MAX - 8)
    );
    let refused = ContactPatch::new(fields(&large), true)
        .unwrap()
        .apply(&contact())
        .unwrap_err();
    assert_eq!(refused.path, "/attributes");
}

#[test]
fn the_json_of_a_contact_is_that_of_the_contract() {
    assert_eq!(
        serde_json::to_string(&contact()).unwrap(),
        r#"{"id":7,"name":"Ada","phone":"+1 234 5678","email":"ada@example.org","tags":["vip"],"attributes":{"city":"London","n":1.50,"deep":{"a":1,"b":2}},"created_at":"1970-01-01T00:00:00Z","updated_at":"1970-01-01T00:00:00Z"}"#
    );
}

#[test]
fn the_beginning_of_a_name_in_any_case_is_the_beginning_of_its_key() {
    for name in [
        "Ada Lovelace",
        "ΟΔΥΣΣΕΥΣ",
        "Straße",
        "İstanbul",
        "ÉMILE",
        "李小龍",
    ] {
        let chars: Vec<char> = name.chars().collect();
        for length in 0..=chars.len() {
            let beginning: String = chars[..length].iter().collect();
            assert!(
                name_key(name).starts_with(&name_key(&beginning)),
                "{beginning} of {name}"
            );
        }
    }
    assert_eq!(name_key("Οδυσσεύς"), name_key("ΟΔΥΣΣΕΎΣ"));
}
