use super::*;
use crate::routes::test_bench::Bench;
use autom8_model::limits;
use axum::body::Body;
use axum::http::Request as HttpRequest;
use serde_json::{Value, json};

const ADA: &str = r#"{"name":"Ada Lovelace","phone":"+44 20 7946 0018","email":"Ada@Example.org",
    "tags":["customer","vip"],"attributes":{"city":"London", "n": 1.50}}"#;

fn names(page: &Value) -> Vec<String> {
    let contacts = page["contacts"].as_array().unwrap();
    let name = |contact: &Value| contact["name"].as_str().unwrap().to_owned();
    contacts.iter().map(name).collect()
}

#[tokio::test]
async fn a_contact_is_created_shown_listed_and_deleted() {
    let bench = Bench::start().await;
    let answer = bench.post("/api/v1/contacts", ADA).await;
    let created = answer.expect(201);
    let path = format!("/api/v1/contacts/{}", created["id"]);
    assert_eq!(answer.headers[header::LOCATION], path.as_str());
    assert!(
        answer
            .text()
            .contains(r#""attributes":{"city":"London", "n": 1.50}"#),
        "as it came: {}",
        answer.text()
    );
    for (field, value) in [
        ("name", json!("Ada Lovelace")),
        ("phone", json!("+44 20 7946 0018")),
        ("email", json!("Ada@Example.org")),
        ("tags", json!(["customer", "vip"])),
        ("updated_at", created["created_at"].clone()),
    ] {
        assert_eq!(created[field], value, "{field}");
    }
    let shown = bench.get(&path).await;
    assert_eq!(shown.headers[header::CONTENT_TYPE], "application/json");
    assert_eq!(shown.bytes, answer.bytes);
    let list = bench.get("/api/v1/contacts").await.expect(200);
    assert_eq!(list["contacts"], json!([created]));
    assert_eq!(
        list["meta"],
        json!({"total": 1, "limit": 100, "offset": 0, "next_cursor": null})
    );

    let gone = bench.send("DELETE", &path, None).await.expect(200);
    assert_eq!(gone, json!({"message": "Contact deleted"}));
    for answer in [
        bench.get(&path).await,
        bench.send("DELETE", &path, None).await,
        bench.put(&path, r#"{"name":"x"}"#).await,
        bench.patch(&path, "{}").await,
    ] {
        let message = answer.expect_problem(404);
        assert_eq!(message, format!("contact {} does not exist", created["id"]));
    }
    let list = bench.get("/api/v1/contacts").await.expect(200);
    assert_eq!(
        (&list["contacts"], &list["meta"]["total"]),
        (&json!([]), &json!(0))
    );
}

#[tokio::test]
async fn an_id_has_one_spelling_and_everything_else_is_not_found() {
    let bench = Bench::start().await;
    bench.post("/api/v1/contacts", ADA).await.expect(201);
    bench.get("/api/v1/contacts/1").await.expect(200);
    bench.get("/api/v1/contacts/%31").await.expect(200);
    for other in ["01", "+1", "-1", "0", "x", "9223372036854775808", "1%00"] {
        let path = format!("/api/v1/contacts/{other}");
        bench.get(&path).await.expect_problem(404);
    }
    bench
        .get("/api/v1/contacts/1?a=1")
        .await
        .expect_problem(400);
    bench
        .get("/api/v1/contacts/batch")
        .await
        .expect_problem(405);
}

#[tokio::test]
async fn put_replaces_the_fields_given_and_patch_merges_attributes() {
    let bench = Bench::start().await;
    let created = bench.post("/api/v1/contacts", ADA).await.expect(201);
    let path = format!("/api/v1/contacts/{}", created["id"]);

    let put = bench
        .put(
            &path,
            r#"{"name":"Ada King","attributes":{"a":{"x":1,"y":2}}}"#,
        )
        .await
        .expect(200);
    assert_eq!(put["name"], "Ada King");
    assert_eq!(put["attributes"], json!({"a": {"x": 1, "y": 2}}));
    assert_eq!(
        (&put["phone"], &put["tags"]),
        (&created["phone"], &created["tags"])
    );
    assert_eq!(put["created_at"], created["created_at"]);

    let patched = bench
        .patch(
            &path,
            r#"{"attributes":{"a":{"x":null,"z":3},"b":true},"email":null,"tags":["new"]}"#,
        )
        .await
        .expect(200);
    assert_eq!(
        patched["attributes"],
        json!({"a": {"y": 2, "z": 3}, "b": true})
    );
    assert_eq!(
        (&patched["email"], &patched["tags"]),
        (&Value::Null, &json!(["new"]))
    );
    assert_eq!(bench.get(&path).await.expect(200), patched);

    // What was read can be sent back, with a change; what only the server knows is passed over.
    let mut sent_back = patched.clone();
    sent_back["name"] = "Countess of Lovelace".into();
    sent_back["id"] = 999.into();
    for method in ["PUT", "PATCH"] {
        let answer = bench
            .send(method, &path, Some(&sent_back.to_string()))
            .await;
        let answer = answer.expect(200);
        assert_eq!(answer["id"], created["id"]);
        assert_eq!(answer["attributes"], patched["attributes"]);
    }
    let mut copy = patched;
    copy["phone"] = "+1 202 555 0143".into();
    assert_ne!(bench.contact(&copy).await["id"], created["id"]);
}

#[tokio::test]
async fn an_empty_change_writes_nothing() {
    let bench = Bench::start().await;
    let created = bench.post("/api/v1/contacts", ADA).await.expect(201);
    let path = format!("/api/v1/contacts/{}", created["id"]);
    let stamp = bench.state().store.contacts_stamp();
    for body in ["{}", r#"{"id":1,"created_at":"x","updated_at":null}"#] {
        assert_eq!(bench.patch(&path, body).await.expect(200), created);
        assert_eq!(bench.put(&path, body).await.expect(200), created);
    }
    assert_eq!(bench.state().store.contacts_stamp(), stamp);
}

#[tokio::test]
async fn bad_contacts_are_refused_with_every_field_and_nothing_is_written() {
    let bench = Bench::start().await;
    let answer = bench
        .post("/api/v1/contacts", r#"{"phone":"12","email":7,"nmae":"x"}"#)
        .await;
    let problem = answer.expect(400);
    let paths: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/email", "/nmae", "/name", "/phone"], "{problem}");

    let deep = format!(r#"{{"name":{}"#, "[".repeat(100_000));
    let huge = format!(r#"{{"name":"{}"}}"#, "x".repeat(BODY_BYTES_MAX as usize));
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        (&*deep, 400),
        (&*huge, 413),
    ] {
        bench
            .post("/api/v1/contacts", body)
            .await
            .expect_problem(status);
    }
    for content_type in ["text/plain", "application/x-ndjson", "multipart/form-data"] {
        let request = HttpRequest::post("/api/v1/contacts")
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(ADA))
            .unwrap();
        bench.send_request(request).await.expect_problem(415);
    }
    assert_eq!(bench.state().store.totals().contacts, 0);

    let created = bench.post("/api/v1/contacts", ADA).await.expect(201);
    let path = format!("/api/v1/contacts/{}", created["id"]);
    let filler = format!(r#"{{"attributes":{{"a":"{}"}}}}"#, "x".repeat(9_000));
    bench.patch(&path, &filler).await.expect(200);
    let too_much = filler.replace("\"a\"", "\"b\"");
    let message = bench.patch(&path, &too_much).await.expect_problem(400);
    assert!(message.starts_with("/attributes: are "), "{message}");
    let message = bench
        .patch(&path, r#"{"phone":null}"#)
        .await
        .expect_problem(400);
    assert!(message.starts_with("/phone: is null"), "{message}");
}

#[tokio::test]
async fn a_phone_and_an_email_belong_to_one_contact() {
    let bench = Bench::start().await;
    bench.post("/api/v1/contacts", ADA).await.expect(201);
    let other = bench
        .contact(&json!({"name": "B", "phone": "1234567"}))
        .await;
    let path = format!("/api/v1/contacts/{}", other["id"]);
    let spelled = r#"{"name":"C","phone":"+44(20)7946-0018"}"#;
    let cased = r#"{"name":"C","phone":"7654321","email":"ADA@EXAMPLE.ORG"}"#;
    for (answer, place) in [
        (bench.post("/api/v1/contacts", spelled).await, "/phone"),
        (bench.post("/api/v1/contacts", cased).await, "/email"),
        (bench.put(&path, spelled).await, "/phone"),
        (
            bench.patch(&path, r#"{"email":"ada@example.ORG"}"#).await,
            "/email",
        ),
    ] {
        let message = answer.expect_problem(409);
        assert!(message.contains("contact 1 has this"), "{message}");
        assert_eq!(answer.json()["errors"][0]["path"], place);
    }
    assert_eq!(bench.get(&path).await.expect(200), other);
    // Its own, spelled in another way, is no other's.
    bench
        .patch("/api/v1/contacts/1", r#"{"email":"ada@example.org"}"#)
        .await
        .expect(200);
}

#[tokio::test]
async fn a_contact_is_found_by_its_phone_or_its_email_however_they_are_written() {
    let bench = Bench::start().await;
    let ada = bench.post("/api/v1/contacts", ADA).await.expect(201);
    for query in [
        "phone=%2B442079460018",
        "phone=+44%2020%207946%200018",
        "phone=+44-20-7946-0018",
        "email=ada@example.org",
        "email=ADA%40EXAMPLE.ORG",
    ] {
        let path = format!("/api/v1/contacts/lookup?{query}");
        assert_eq!(bench.get(&path).await.expect(200), ada, "{query}");
    }
    for query in ["phone=442079460018", "email=grace@example.org"] {
        let path = format!("/api/v1/contacts/lookup?{query}");
        let message = bench.get(&path).await.expect_problem(404);
        assert!(message.starts_with("no contact has this"), "{message}");
    }
    for (query, place) in [
        ("", "?email"),
        ("phone=1", "?phone"),
        ("email=x", "?email"),
        ("phone=1234567&email=a@example.org", "?email"),
        ("phone=1234567&phone=1234567", "?phone"),
        ("mail=ada@example.org", "?mail"),
    ] {
        let answer = bench.get(&format!("/api/v1/contacts/lookup?{query}")).await;
        answer.expect_problem(400);
        let errors = &answer.json()["errors"];
        assert!(
            errors
                .as_array()
                .unwrap()
                .iter()
                .any(|fault| fault["path"] == place),
            "{query}: {errors}"
        );
    }
}

#[tokio::test]
async fn pages_follow_each_other_in_every_order_while_contacts_change() {
    let bench = Bench::start().await;
    bench.contacts(30).await;
    let untouched = |name: &String| {
        let number: usize = name
            .strip_prefix('c')
            .and_then(|n| n.parse().ok())
            .unwrap_or(99);
        number < 30 && !number.is_multiple_of(3)
    };
    let wanted: Vec<String> = (0..30)
        .map(|n| format!("c{n:02}"))
        .filter(untouched)
        .collect();
    for (turn, sort) in [
        "id",
        "-id",
        "name",
        "-name",
        "created_at",
        "-created_at",
        "updated_at",
        "-updated_at",
    ]
    .into_iter()
    .enumerate()
    {
        let (mut seen, mut cursor, mut page_number) = (Vec::new(), String::new(), 0);
        loop {
            let path = format!("/api/v1/contacts?limit=4&sort={sort}{cursor}");
            let page = bench.get(&path).await.expect(200);
            seen.extend(names(&page));
            // Others come, go and change their place meanwhile.
            let number = turn * 50 + page_number;
            let new = json!({"name": format!("{}new{number}", ["a", "z"][number % 2]),
                "phone": format!("+1202{number:07}")});
            let new = bench.contact(&new).await;
            let third = 1 + 3 * (number % 10);
            let moved = json!({"attributes": {"turn": number}});
            bench
                .patch(&format!("/api/v1/contacts/{third}"), &moved.to_string())
                .await
                .expect(200);
            if number.is_multiple_of(2) {
                let path = format!("/api/v1/contacts/{}", new["id"]);
                bench.send("DELETE", &path, None).await.expect(200);
            }
            page_number += 1;
            assert!(page_number < 40, "{sort} has no end");
            match page["meta"]["next_cursor"].as_str() {
                Some(next) => {
                    assert_eq!(page["contacts"].as_array().unwrap().len(), 4);
                    cursor = format!("&cursor={next}");
                }
                None => break,
            }
        }
        let mut found: Vec<String> = seen.into_iter().filter(untouched).collect();
        if sort.starts_with('-') {
            found.reverse();
        }
        assert_eq!(found, wanted, "{sort}");
    }
}

#[tokio::test]
async fn a_page_is_told_by_limit_offset_search_and_tag() {
    let bench = Bench::start().await;
    bench.contacts(12).await;
    bench.post("/api/v1/contacts", ADA).await.expect(201);
    let list = async |query: &str| {
        bench
            .get(&format!("/api/v1/contacts?{query}"))
            .await
            .expect(200)
    };

    let page = list("limit=5&offset=10").await;
    assert_eq!(names(&page), ["c10", "c11", "Ada Lovelace"]);
    assert_eq!(
        page["meta"],
        json!({"total": 13, "limit": 5, "offset": 10, "next_cursor": null})
    );
    assert_eq!(names(&list("offset=100000").await), [""; 0]);
    let first = list("limit=5&sort=-name").await;
    assert_eq!(names(&first), ["c11", "c10", "c09", "c08", "c07"]);
    let next = first["meta"]["next_cursor"].as_str().unwrap().to_owned();
    let second = list(&format!("limit=2&sort=-name&cursor={next}")).await;
    assert_eq!(names(&second), ["c06", "c05"]);
    assert_eq!(second["meta"]["offset"], Value::Null);
    assert_eq!(second["meta"]["total"], 13);

    for search in [
        "q=ada",
        "q=ADA@exam",
        "q=%2B4420794600",
        "q=+44%2020%207946%200",
        "tag=vip",
        "q=a&tag=vip",
    ] {
        let page = list(search).await;
        assert_eq!(names(&page), ["Ada Lovelace"], "{search}");
        assert_eq!(page["meta"]["total"], Value::Null, "{search}");
    }
    assert_eq!(names(&list("q=c0&limit=3").await), ["c00", "c01", "c02"]);
    assert_eq!(
        list("q=&limit=1").await["meta"]["total"],
        13,
        "everything begins with nothing"
    );
    assert_eq!(
        names(&list("tag=VIP").await),
        [""; 0],
        "tags are compared as written"
    );

    for (query, place) in [
        ("limit=0", "?limit"),
        ("limit=1001", "?limit"),
        ("offset=-1", "?offset"),
        ("offset=100001", "?offset"),
        (&*format!("sort=-name&offset=0&cursor={next}"), "?offset"),
        (&*format!("sort=name&cursor={next}"), "?cursor"),
        (&*format!("cursor={next}"), "?cursor"),
        (&*format!("sort=-name&cursor={next}A"), "?cursor"),
        ("cursor=", "?cursor"),
        ("cursor=aQAAAAAAAAAA", "?cursor"),
        ("cursor=13", "?cursor"),
        ("sort=nmae", "?sort"),
        ("sort=--id", "?sort"),
        ("tag=a,b", "?tag"),
        ("q=%00", "?q"),
        (&*format!("q={}", "x".repeat(255)), "?q"),
        ("filter=x", "?filter"),
    ] {
        let answer = bench.get(&format!("/api/v1/contacts?{query}")).await;
        answer.expect_problem(400);
        assert_eq!(answer.json()["errors"][0]["path"], place, "{query}");
    }
}

#[tokio::test]
async fn one_bad_item_of_a_batch_loses_no_other() {
    let bench = Bench::start().await;
    bench.post("/api/v1/contacts", ADA).await.expect(201);
    let items = [
        r#"{"name":"B","phone":"1111111"}"#,
        r#"{"name":"","phone":"1"}"#,
        r#"{"name":"C","phone":"+44 2079460018"}"#,
        r#"{"name":"D","phone":"111 1111"}"#,
        r#"{"name":"E","phone":"2222222","email":"ada@example.org"}"#,
        r#"{"name":"F","phone":"3333333"}"#,
        r#"{"name":"G\u0000","phone":"4444444"}"#,
    ];
    let broken = r#"{"name":"#;
    let wanted = [
        (201, None),
        (
            400,
            Some("/1/name: is empty: give the contact a name; /1/phone: has 1 digits"),
        ),
        (409, Some("/2/phone: contact 1 has this phone already")),
        (409, Some("/3/phone: contact 2 has this phone already")),
        (409, Some("/4/email: contact 1 has this email already")),
        (201, None),
        (400, Some("/6/name: holds a NUL")),
        (400, Some("/7/name: expected a string, but the body ends")),
    ];
    let check = |results: &Value, count: usize| {
        let results = results["results"].as_array().unwrap();
        assert_eq!(results.len(), count);
        for (index, (result, (status, says))) in results.iter().zip(&wanted).enumerate() {
            assert_eq!(result["index"], index);
            assert_eq!(result["status"], *status, "{result}");
            assert_eq!(result["id"].is_i64(), *status == 201, "{result}");
            match says {
                None => assert_eq!(result["error"], Value::Null),
                Some(says) => assert!(
                    result["error"].as_str().unwrap().starts_with(says),
                    "{result}"
                ),
            }
        }
    };
    let array = format!("[{}]", items.join(","));
    let answer = bench
        .post("/api/v1/contacts/batch", &array)
        .await
        .expect(200);
    check(&answer, items.len());
    let ids: Vec<&Value> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    for (id, name) in [(ids[0], "B"), (ids[5], "F")] {
        assert_eq!(
            bench
                .get(&format!("/api/v1/contacts/{id}"))
                .await
                .expect(200)["name"],
            name
        );
        bench
            .send("DELETE", &format!("/api/v1/contacts/{id}"), None)
            .await
            .expect(200);
    }
    // The same as lines; what was deleted can be there again. Ids are never used twice.
    let lines = format!("{}\n{broken}\n", items.join("\n"));
    let answer = bench
        .lines("/api/v1/contacts/batch", &lines)
        .await
        .expect(200);
    assert_eq!(
        answer["results"][0]["id"].as_i64(),
        ids[5].as_i64().map(|id| id + 1)
    );
    let results = answer.to_string().replace("contact 4", "contact 2");
    check(&serde_json::from_str(&results).unwrap(), items.len() + 1);
    assert_eq!(bench.state().store.totals().contacts, 3);

    for (body, status) in [("[]", 400), (&array[1..], 400), (&array[..40], 400)] {
        bench
            .post("/api/v1/contacts/batch", body)
            .await
            .expect_problem(status);
    }
    let none = bench
        .post("/api/v1/contacts/batch", "[{}]")
        .await
        .expect(200);
    assert_eq!(none["results"][0]["status"], 400);
    assert_eq!(bench.state().store.totals().contacts, 3);
}

#[tokio::test]
async fn a_full_batch_is_accepted_and_answered_in_order() {
    let bench = Bench::start().await;
    let line = |n: usize| match n % 1_000 {
        999 => "{}\n".to_owned(),
        _ => format!("{{\"name\":\"N{n}\",\"phone\":\"+4420794{n:05}\"}}\n"),
    };
    let body: String = (0..limits::BATCH_CONTACTS_MAX).map(line).collect();
    assert!(body.len() > READ_INLINE_BYTES_MAX);
    let answer = bench
        .lines("/api/v1/contacts/batch", &body)
        .await
        .expect(200);
    let results = answer["results"].as_array().unwrap();
    for (n, result) in results.iter().enumerate() {
        let status = if n % 1_000 == 999 { 400 } else { 201 };
        assert_eq!(
            (&result["index"], &result["status"]),
            (&json!(n), &json!(status))
        );
    }
    let total = limits::BATCH_CONTACTS_MAX as u64 - 10;
    assert_eq!(bench.state().store.totals().contacts, total);
    let last = results[results.len() - 2]["id"].as_i64().unwrap();
    let last = bench
        .get(&format!("/api/v1/contacts/{last}"))
        .await
        .expect(200);
    assert_eq!(last["name"], "N9998");
    let more = bench.lines("/api/v1/contacts/batch", &(body + "{}")).await;
    assert!(more.expect_problem(400).contains("send several batches"));
}

#[tokio::test]
async fn a_write_sent_twice_under_one_key_is_done_once() {
    let bench = Bench::start().await;
    let send = async |method: &str, path: &str, key: &str, body: &str| {
        let request = HttpRequest::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body.to_owned()))
            .unwrap();
        bench.send_request(request).await
    };
    let batch = r#"[{"name":"B","phone":"1111111"},{"name":"C"}]"#;
    for (method, path, key, body, status) in [
        ("POST", "/api/v1/contacts", "a", ADA, 201),
        (
            "PATCH",
            "/api/v1/contacts/1",
            "b",
            r#"{"attributes":{"n":2}}"#,
            200,
        ),
        ("PUT", "/api/v1/contacts/1", "c", r#"{"tags":["x"]}"#, 200),
        ("POST", "/api/v1/contacts/batch", "d", batch, 200),
        ("DELETE", "/api/v1/contacts/2", "e", "", 200),
    ] {
        let first = send(method, path, key, body).await;
        first.expect(status);
        let stamp = bench.state().store.contacts_stamp();
        let again = send(method, path, key, body).await;
        again.expect(status);
        assert_eq!(again.bytes, first.bytes, "{method} {path}");
        assert_eq!(
            again.headers.get(header::LOCATION),
            first.headers.get(header::LOCATION)
        );
        assert_eq!(
            bench.state().store.contacts_stamp(),
            stamp,
            "{method} {path}"
        );
        let other = send(method, path, key, &format!("{body} ")).await;
        other.expect_problem(422);
    }
}
