//! What only one route can get wrong: each field of its body, each parameter of its query.

use serde_json::{Value, json};

use super::attack::{Attack, Shot};
use super::routes::Takes;
use super::{JSON, Victim};

/// Bodies of one route, each good but for one field, and the path of that field.
struct Fields {
    method: &'static str,
    template: &'static str,
    good: Value,
    bad: Vec<(Value, &'static str)>,
}

pub(super) fn send(attack: &mut Attack, victim: &mut Victim) {
    for fields in [
        runs_batch(),
        toggle(),
        run(),
        keys(),
        contacts(),
        contact_changes("PATCH"),
        contact_changes("PUT"),
    ] {
        send_fields(attack, victim, &fields);
    }
    send_contact_batch(attack, victim);
}

/// A batch of contacts, each bad in another field: every one is refused by itself.
fn send_contact_batch(attack: &mut Attack, victim: &mut Victim) {
    let listed = victim.targets.iter().cloned();
    let Some(target) = listed
        .into_iter()
        .find(|target| target.takes == Takes::Items)
    else {
        return;
    };
    let path = target.present_path(&victim.present);
    let bad = bad_contact_fields();
    let items: Vec<Value> = bad
        .iter()
        .map(|(change, _)| {
            let mut item = json!({"name": "Ada", "phone": "+15550100201"});
            if let (Some(item), Some(change)) = (item.as_object_mut(), change.as_object()) {
                item.extend(change.clone());
            }
            item
        })
        .collect();
    let body = Value::from(items).to_string();
    let shot = Shot {
        method: &target.method,
        target: &path,
        headers: JSON,
        body: Some(body.as_bytes()),
    };
    let answer = attack.send(&shot);
    let results = answer.json()["results"].take();
    let results = results.as_array().map_or(&[][..], Vec::as_slice);
    if answer.status >= 300 || results.len() != bad.len() {
        attack.fault(&shot, &answer, "not one result for each item");
        return;
    }
    for (result, (change, place)) in results.iter().zip(&bad) {
        let field = place.trim_start_matches('/');
        let text = result.to_string();
        let is_refused = matches!(result["status"].as_u64(), Some(400..=499));
        if !is_refused || !text.contains(field) {
            let change: String = change.to_string().chars().take(80).collect();
            attack.note("a batch of contacts", format!("{change}: {text}"));
        }
    }
    victim.judge_harm(attack, "a batch of contacts");
}

fn send_fields(attack: &mut Attack, victim: &mut Victim, fields: &Fields) {
    let listed = victim
        .targets
        .iter()
        .find(|target| target.method == fields.method && target.template == fields.template);
    let Some(target) = listed else {
        return;
    };
    let path = target.present_path(&victim.present);
    for (change, place) in &fields.bad {
        let mut body = fields.good.clone();
        let (Some(body), Some(change)) = (body.as_object_mut(), change.as_object()) else {
            panic!("{target}: {change} is no object");
        };
        for (field, value) in change {
            // A field that is left out stands as null where null would be good.
            if value == "(absent)" {
                body.remove(field);
            } else {
                body.insert(field.clone(), value.clone());
            }
        }
        let text = Value::from(body.clone()).to_string();
        let shot = Shot {
            method: fields.method,
            target: &path,
            headers: JSON,
            body: Some(text.as_bytes()),
        };
        attack.refuse_at(&shot, place);
    }
    victim.judge_harm(attack, &format!("a field of {target}"));
}

fn runs_batch() -> Fields {
    Fields {
        method: "POST",
        template: "/api/v1/runs/batch",
        good: json!({"task": "present", "inputs": [{}]}),
        bad: vec![
            (json!({"task": "(absent)"}), "/task"),
            (json!({"task": ""}), "/task"),
            (json!({"task": null}), "/task"),
            (json!({"task": ["present"]}), "/task"),
            (json!({"task": "../present"}), "/task"),
            (json!({"inputs": "(absent)"}), "/inputs"),
            (json!({"inputs": null}), "/inputs"),
            (json!({"inputs": {}}), "/inputs"),
            (json!({"inputs": "[]"}), "/inputs"),
            (json!({"inputs": []}), "/inputs"),
            (json!({"inputs": ["a\u{0}b"]}), "/inputs/0"),
            (json!({"inputs": [0, "x".repeat(300_000)]}), "/inputs/1"),
            (json!({"inputs": vec![0; 10_001]}), "/inputs/10000"),
            (json!({"return_ids": "yes"}), "/return_ids"),
            (json!({"return_ids": null}), "/return_ids"),
            (json!({"return_ids": 1}), "/return_ids"),
        ],
    }
}

fn toggle() -> Fields {
    Fields {
        method: "PUT",
        template: "/api/v1/tasks/{name}/toggle",
        good: json!({"enabled": false}),
        bad: vec![
            (json!({"enabled": "(absent)"}), "/enabled"),
            (json!({"enabled": null}), "/enabled"),
            (json!({"enabled": 0}), "/enabled"),
            (json!({"enabled": "false"}), "/enabled"),
            (json!({"enabled": []}), "/enabled"),
            (json!({"disabled": true}), "/disabled"),
        ],
    }
}

fn run() -> Fields {
    Fields {
        method: "POST",
        template: "/api/v1/tasks/{name}/run",
        good: json!({"input": {}}),
        bad: vec![
            (json!({"input": "x".repeat(300_000)}), "/input"),
            (json!({"input": "a\u{0}b"}), "/input"),
            (json!({"inputs": []}), "/inputs"),
            (json!({"task": "present"}), "/task"),
        ],
    }
}

/// What is wrong with a contact's fields, however it is written.
fn bad_contact_fields() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"name": ""}), "/name"),
        (json!({"name": "   "}), "/name"),
        (json!({"name": null}), "/name"),
        (json!({"name": 5}), "/name"),
        (json!({"name": ["Ada"]}), "/name"),
        (json!({"name": "a\u{0}b"}), "/name"),
        (json!({"name": "n".repeat(100_000)}), "/name"),
        (json!({"phone": ""}), "/phone"),
        (json!({"phone": null}), "/phone"),
        (json!({"phone": 15_550_100_201_i64}), "/phone"),
        (json!({"phone": "call me"}), "/phone"),
        (json!({"phone": "123456"}), "/phone"),
        (json!({"phone": "1234567890123456"}), "/phone"),
        (json!({"phone": "++15550100201"}), "/phone"),
        (json!({"phone": "+1555010020x"}), "/phone"),
        (
            json!({"phone": "\u{ff11}\u{ff15}\u{ff15}\u{ff15}\u{ff10}\u{ff11}\u{ff10}\u{ff10}"}),
            "/phone",
        ),
        (json!({"phone": "9".repeat(10_000)}), "/phone"),
        (json!({"email": ""}), "/email"),
        (json!({"email": 5}), "/email"),
        (json!({"email": "nobody"}), "/email"),
        (json!({"email": "@a.example"}), "/email"),
        (json!({"email": "a@"}), "/email"),
        (json!({"email": "a b@a.example"}), "/email"),
        (json!({"email": "a@b@c.example"}), "/email"),
        (json!({"email": "a\r\nBcc: x@a.example"}), "/email"),
        (
            json!({"email": format!("{}@a.example", "a".repeat(10_000))}),
            "/email",
        ),
        (json!({"tags": "vip"}), "/tags"),
        (json!({"tags": {"vip": true}}), "/tags"),
        (json!({"tags": [5]}), "/tags"),
        (json!({"tags": [null]}), "/tags"),
        (json!({"tags": [""]}), "/tags"),
        (json!({"tags": ["t".repeat(10_000)]}), "/tags"),
        (
            json!({"tags": (0..10_000).map(|n| format!("t{n}")).collect::<Vec<_>>()}),
            "/tags",
        ),
        (json!({"attributes": []}), "/attributes"),
        (json!({"attributes": "{}"}), "/attributes"),
        (json!({"attributes": 5}), "/attributes"),
        (
            json!({"attributes": {"a": "x".repeat(500_000)}}),
            "/attributes",
        ),
        (json!({"fone": "1"}), "/fone"),
    ]
}

fn contacts() -> Fields {
    let mut bad = bad_contact_fields();
    bad.push((json!({"name": "(absent)"}), "/name"));
    bad.push((json!({"phone": "(absent)"}), "/phone"));
    Fields {
        method: "POST",
        template: "/api/v1/contacts",
        good: json!({"name": "Ada", "phone": "+15550100201", "email": "ada@a.example"}),
        bad,
    }
}

/// The first key closes the server to all without one, so that each of these must be refused.
fn keys() -> Fields {
    Fields {
        method: "POST",
        template: "/api/v1/keys",
        good: json!({"name": "intruder", "scopes": ["admin"]}),
        bad: vec![
            (json!({"name": "(absent)"}), "/name"),
            (json!({"name": ""}), "/name"),
            (json!({"name": null}), "/name"),
            (json!({"name": 5}), "/name"),
            (json!({"name": "a\u{0}b"}), "/name"),
            (json!({"name": "a\nb"}), "/name"),
            (json!({"name": "n".repeat(100_000)}), "/name"),
            (json!({"scopes": "(absent)"}), "/scopes"),
            (json!({"scopes": null}), "/scopes"),
            (json!({"scopes": []}), "/scopes"),
            (json!({"scopes": "admin"}), "/scopes"),
            (json!({"scopes": ["root"]}), "/scopes"),
            (json!({"scopes": ["Admin"]}), "/scopes"),
            (json!({"scopes": [5]}), "/scopes"),
            (json!({"scopes": ["read"]}), "/scopes"),
            (json!({"rate_limit": 5}), "/rate_limit"),
            (json!({"rate_limit": ""}), "/rate_limit"),
            (json!({"rate_limit": "0 per minute"}), "/rate_limit"),
            (json!({"rate_limit": "-1 per minute"}), "/rate_limit"),
            (
                json!({"rate_limit": "99999999999 per minute"}),
                "/rate_limit",
            ),
            (json!({"rate_limit": "5 per fortnight"}), "/rate_limit"),
            (json!({"expires_at": 5}), "/expires_at"),
            (json!({"expires_at": "never"}), "/expires_at"),
            (json!({"expires_at": "2001-01-01T00:00:00Z"}), "/expires_at"),
            (json!({"scope": ["read"]}), "/scope"),
            (json!({"key": "a8_chosen"}), "/key"),
            (json!({"is_admin": true}), "/is_admin"),
        ],
    }
}

fn contact_changes(method: &'static str) -> Fields {
    Fields {
        method,
        template: "/api/v1/contacts/{id}",
        good: json!({}),
        bad: bad_contact_fields(),
    }
}
