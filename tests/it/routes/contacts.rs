use autom8_tests::{Client, Server, ServerOptions, wait};
use serde_json::{Value, json};

fn create(client: &Client, name: &str, phone: &str) -> Value {
    let body = json!({"name": name, "phone": phone, "attributes": {"n": 1}});
    client.post("/api/v1/contacts", &body).expect(201)
}

fn names(list: &Value) -> Vec<&str> {
    let contacts = list["contacts"].as_array().unwrap();
    contacts
        .iter()
        .map(|contact| contact["name"].as_str().unwrap())
        .collect()
}

#[test]
fn contacts_are_created_found_changed_and_deleted_and_outlive_a_kill() {
    let mut server = Server::start(&ServerOptions::default());
    let client = server.client();
    let ada = create(&client, "Ada", "+44 20 7946 0018");
    let bob = create(&client, "Bob", "1234567");
    let path = format!("/api/v1/contacts/{}", ada["id"]);
    assert_eq!(client.get(&path).expect(200), ada);
    let found = client.get("/api/v1/contacts/lookup?phone=+442079460018");
    assert_eq!(found.expect(200), ada);

    let changed = client
        .patch(
            &path,
            &json!({"email": "ada@example.org", "attributes": {"n": null, "vip": true}}),
        )
        .expect(200);
    assert_eq!(changed["attributes"], json!({"vip": true}));
    let problem = client
        .post(
            "/api/v1/contacts",
            &json!({"name": "C", "phone": "7654321", "email": "ADA@example.org"}),
        )
        .expect(409);
    assert_eq!(problem["errors"][0]["path"], "/email");
    let bob_path = format!("/api/v1/contacts/{}", bob["id"]);
    client.delete(&bob_path).expect(200);

    let before = [client.get(&path).body, client.get("/api/v1/contacts").body];
    server.kill();
    server.start_again();
    let client = server.client();
    let after = [client.get(&path).body, client.get("/api/v1/contacts").body];
    assert_eq!(after, before, "to the byte, from rows and no cache");
    client.get(&bob_path).expect(404);
    // The id of what was deleted is not given to another.
    assert!(create(&client, "New", "1234567")["id"].as_i64() > bob["id"].as_i64());
}

#[test]
fn a_batch_of_lines_and_its_repetition_after_a_restart_make_each_contact_once() {
    let mut server = Server::start(&ServerOptions::default());
    let lines =
        "{\"name\":\"B\",\"phone\":\"1111111\"}\nno JSON\n{\"name\":\"C\",\"phone\":\"2222222\"}\n";
    let send = |client: &Client| {
        let headers = [
            ("content-type", "application/x-ndjson"),
            ("idempotency-key", "monday"),
        ];
        let body = Some(lines.as_bytes());
        match client.send("POST", "/api/v1/contacts/batch", &headers, body) {
            Ok(answer) => answer.expect(200),
            Err(error) => panic!("{error}"),
        }
    };
    let answer = send(&server.client());
    let results = answer["results"].as_array().unwrap();
    let statuses: Vec<&Value> = results.iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, [201, 400, 201]);
    server.kill();
    server.start_again();
    let client = server.client();
    assert_eq!(send(&client), answer);
    let list = client.get("/api/v1/contacts").expect(200);
    assert_eq!(names(&list), ["B", "C"]);
    assert_eq!(list["meta"]["total"], 2);
}

#[test]
fn the_caches_are_told_of_and_can_be_cleared() {
    let server = Server::start(&ServerOptions::default());
    let client = server.client();
    let ada = create(&client, "Ada", "1234567");
    let path = format!("/api/v1/contacts/{}", ada["id"]);
    for _ in 0..3 {
        client.get(&path).expect(200);
        client.get("/api/v1/contacts").expect(200);
    }
    let report = wait::until("the hits in the report", wait::PATIENT, || {
        let report = client.get("/api/v1/metrics").expect(200);
        (report["cache"][1]["hits"] == 2).then_some(report)
    });
    assert_eq!(report["database"]["contacts"], 1);
    let layer = &report["cache"][0];
    assert_eq!(
        (&layer["name"], &layer["hits"], &layer["misses"]),
        (&json!("contact"), &json!(2), &json!(1))
    );
    let cleared = client
        .post_empty("/api/v1/performance/cache/clear")
        .expect(200);
    assert_eq!(cleared["cleared"], json!(["contact", "contact_list"]));
    assert_eq!(client.get(&path).expect(200), ada);
}
