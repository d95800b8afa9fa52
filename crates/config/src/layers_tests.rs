use std::path::Path;
use std::time::Duration;

use super::*;
use crate::ListenAddress;

#[derive(Default)]
struct Given<'a> {
    file: &'a str,
    environment: &'a [(&'a str, &'a str)],
    flags: &'a [(&'a str, &'a str)],
}

impl Given<'_> {
    fn load(&self) -> Result<Config, ConfigError> {
        let secret = |path: &Path| match path.to_str() {
            Some("/run/secrets/database") => Ok("sqlite:/secret/autom8.db\n".to_owned()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        Config::load(&Sources {
            file: (!self.file.is_empty()).then(|| FileText {
                path: "autom8.toml".to_owned(),
                text: self.file.to_owned(),
            }),
            environment: self
                .environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            flags: self
                .flags
                .iter()
                .map(|(key, value)| (Setting::by_key(key).expect("a key"), (*value).to_owned()))
                .collect(),
            read_secret: &secret,
        })
    }

    fn faults(&self) -> Vec<String> {
        match self.load() {
            Ok(_) => Vec::new(),
            Err(error) => error.faults.iter().map(ToString::to_string).collect(),
        }
    }
}

fn shown(config: &Config, key: &str) -> (String, String) {
    let setting = Setting::by_key(key).expect("a key");
    (config.shown(setting), config.origin(setting).to_string())
}

#[test]
fn flags_win_over_environment_over_file_over_defaults_and_each_value_says_so() {
    let file = "[server]\nport = 1\n\n[retention]\nage = \"2d\"\n";
    for (environment, flags, value, origin) in [
        (&[][..], &[][..], "1", "autom8.toml:2"),
        (&[("API_PORT", "2")], &[], "2", "environment API_PORT"),
        (
            &[("API_PORT", "2"), ("AUTOM8_SERVER_PORT", "3")],
            &[],
            "3",
            "environment AUTOM8_SERVER_PORT",
        ),
        (
            &[("AUTOM8_SERVER_PORT", "3")],
            &[("server.port", "4")],
            "4",
            "flag --port",
        ),
        (&[("API_PORT", "")], &[], "1", "autom8.toml:2"),
    ] {
        let config = Given {
            file,
            environment,
            flags,
        }
        .load()
        .unwrap();
        let expected = (value.to_owned(), origin.to_owned());
        assert_eq!(shown(&config, "server.port"), expected);
        assert_eq!(config.retention.age, Duration::from_secs(2 * 86_400));
        let default = ("full".to_owned(), "default".to_owned());
        assert_eq!(shown(&config, "storage.durability"), default);
    }
}

#[test]
fn every_setting_can_be_given_in_the_file_and_in_the_environment() {
    for setting in SETTINGS {
        let default = setting.default_shown();
        if matches!(default.as_str(), "unset" | "none") {
            continue;
        }
        let (section, name) = setting.key.rsplit_once('.').unwrap();
        let written = match setting.kind {
            crate::value::Kind::Text => format!("\"{default}\""),
            _ => default.clone(),
        };
        let file = format!("[{section}]\n{name} = {written}\n");
        let config = Given {
            file: &file,
            ..Given::default()
        }
        .load()
        .unwrap();
        assert_eq!(shown(&config, setting.key).1, "autom8.toml:2");
        let variable = setting.environment_name();
        let environment = [(variable.as_str(), default.as_str())];
        let config = Given {
            environment: &environment,
            ..Given::default()
        }
        .load()
        .unwrap();
        assert_eq!(
            shown(&config, setting.key),
            (default.clone(), format!("environment {variable}"))
        );
    }
}

#[test]
fn slips_in_the_file_are_refused_with_line_and_suggestion() {
    for (file, expected) in [
        (
            "[server]\nlisen = \"::1\"",
            "autom8.toml:2: unknown setting `server.lisen`: did you mean `server.listen`?",
        ),
        (
            "[sever]\nport = 1",
            "autom8.toml:1: unknown setting `sever`: did you mean `server`?",
        ),
        (
            "\n\nport = 1",
            "autom8.toml:3: unknown setting `port`: did you mean `server.port`?",
        ),
        (
            "[executors.proces]\nenabled = true",
            "autom8.toml:1: unknown setting `executors.proces`: did you mean `executors.process`?",
        ),
        (
            "[server]\nfrobnicate = 1",
            "autom8.toml:2: unknown setting `server.frobnicate`: `autom8 config explain` lists all settings",
        ),
        (
            "[server]\nport = \"80\"",
            "autom8.toml:2: `server.port` wants a whole number without quotes",
        ),
        (
            "[server]\nlisten = 80",
            "autom8.toml:2: `server.listen` wants a text in quotes",
        ),
        (
            "[executors.process]\nenabled = 1",
            "autom8.toml:2: `executors.process.enabled` wants true or false without quotes",
        ),
        (
            "[security]\ntrusted_proxies = \"::1\"",
            "autom8.toml:2: `security.trusted_proxies` wants a list of texts, e.g. [\"10.0.0.0/8\"]",
        ),
        (
            "server = 1",
            "autom8.toml:1: `server` is a section: write [server]",
        ),
    ] {
        assert_eq!(
            Given {
                file,
                ..Given::default()
            }
            .faults(),
            [expected]
        );
    }
    let faults = Given {
        file: "[server\nport = 1",
        ..Given::default()
    }
    .faults();
    assert!(
        faults[0].starts_with("autom8.toml:1: this is not TOML: "),
        "{faults:?}"
    );
}

#[test]
fn values_out_of_range_name_their_key_and_source() {
    let environment = [
        ("AUTOM8_EXECUTORS_SLOTS", "0"),
        ("RATE_LIMIT_DEFAULT", "lots"),
        ("TIMEZONE", "Mars/Olympus"),
        ("LOG_LEVEL", "loud"),
        ("AUTOM8_SECURITY_TRUSTED_PROXIES", "10.0.0.0/8, 10.1.2.3/8"),
        ("AUTOM8_TELEMETRY_SAMPLE_INTERVAL", "1ms"),
    ];
    let faults = Given {
        environment: &environment,
        ..Given::default()
    }
    .faults();
    for (name, _) in environment {
        let place = format!("environment {name}: ");
        assert_eq!(
            faults.iter().filter(|f| f.starts_with(&place)).count(),
            1,
            "{name}: {faults:?}"
        );
    }
    assert_eq!(faults.len(), environment.len(), "all faults at once");
}

#[test]
fn an_unknown_variable_of_a_section_is_refused_and_others_are_left_alone() {
    let faults = |name: &str| {
        Given {
            environment: &[(name, "1")],
            ..Given::default()
        }
        .faults()
    };
    assert_eq!(
        faults("AUTOM8_SERVER_PROT"),
        [
            "environment AUTOM8_SERVER_PROT: no setting has this name: did you mean AUTOM8_SERVER_PORT?"
        ]
    );
    for foreign in [
        "AUTOM8_SERVER_URL",
        "AUTOM8_RUN_ID",
        "AUTOM8_TEST_X",
        "SERVER_PROT",
        "AUTOM8_LOGO",
    ] {
        assert_eq!(faults(foreign), Vec::<String>::new(), "{foreign}");
    }
}

#[test]
fn a_secret_is_read_from_the_file_that_is_named_but_not_from_both() {
    let named = ("DATABASE_URL_FILE", "/run/secrets/database");
    let config = Given {
        environment: &[named],
        ..Given::default()
    }
    .load()
    .unwrap();
    assert_eq!(config.database_path(), Path::new("/secret/autom8.db"));
    assert_eq!(
        shown(&config, "storage.database_url").1,
        "environment DATABASE_URL_FILE"
    );

    let both = [named, ("DATABASE_URL", "sqlite:autom8.db")];
    let faults = Given {
        environment: &both,
        ..Given::default()
    }
    .faults();
    assert_eq!(
        faults,
        ["environment DATABASE_URL: DATABASE_URL_FILE is set too: remove one of the two"]
    );
    let missing = [("DATABASE_URL_FILE", "/nowhere")];
    let faults = Given {
        environment: &missing,
        ..Given::default()
    }
    .faults();
    assert!(
        faults[0].contains("cannot read the file it names (/nowhere)"),
        "{faults:?}"
    );
}

#[test]
fn a_port_in_the_address_and_a_port_of_its_own_are_one_port() {
    for (file, environment, flags, expected) in [
        (
            "",
            &[("API_HOST", "127.0.0.1:81")][..],
            &[][..],
            "127.0.0.1:81",
        ),
        ("[server]\nport = 1", &[("API_HOST", "::1")], &[], "[::1]:1"),
        // The address is of a higher layer than the port of the file, and lower than the flag's.
        (
            "[server]\nport = 1",
            &[("API_HOST", "127.0.0.1:81")],
            &[],
            "127.0.0.1:81",
        ),
        (
            "",
            &[("API_HOST", "127.0.0.1:81")],
            &[("server.port", "82")],
            "127.0.0.1:82",
        ),
        (
            "",
            &[],
            &[("server.listen", "127.0.0.1:83"), ("server.port", "83")],
            "127.0.0.1:83",
        ),
    ] {
        let config = Given {
            file,
            environment,
            flags,
        }
        .load()
        .unwrap();
        let expected = ListenAddress::Tcp(expected.parse().unwrap());
        assert_eq!(config.server.address(), expected);
    }
    let flags = [("server.listen", "127.0.0.1:83"), ("server.port", "84")];
    let faults = Given {
        flags: &flags,
        ..Given::default()
    }
    .faults();
    assert!(
        faults[0].starts_with("flag --port: ") && faults[0].contains("names port 83"),
        "{faults:?}"
    );
}

#[test]
fn the_databases_url_and_the_data_directory_are_one_place() {
    let url = [("DATABASE_URL", "sqlite:there/autom8.db")];
    let config = Given {
        environment: &url,
        ..Given::default()
    }
    .load()
    .unwrap();
    assert_eq!(config.storage.directory, Path::new("there"));
    assert_eq!(
        shown(&config, "storage.directory").1,
        "environment DATABASE_URL"
    );

    let flags = [("storage.directory", "here")];
    let config = Given {
        environment: &url,
        flags: &flags,
        ..Given::default()
    }
    .load()
    .unwrap();
    assert_eq!(config.storage.directory, Path::new("here"));
    assert_eq!(config.storage.database_url, None);

    let both = [url[0], ("AUTOM8_STORAGE_DIRECTORY", "here")];
    let faults = Given {
        environment: &both,
        ..Given::default()
    }
    .faults();
    assert!(faults[0].contains("remove one of the two"), "{faults:?}");
}

#[test]
fn production_without_a_rate_limit_must_be_asked_for_in_so_many_words() {
    let unsafe_production = [
        ("ENVIRONMENT", "production"),
        ("RATE_LIMIT_ENABLED", "false"),
    ];
    let faults = Given {
        environment: &unsafe_production,
        ..Given::default()
    }
    .faults();
    assert!(
        faults[0].starts_with("environment RATE_LIMIT_ENABLED: "),
        "{faults:?}"
    );
    let file = "[security]\nallow_production_without_rate_limit = true";
    assert!(
        Given {
            file,
            environment: &unsafe_production,
            ..Given::default()
        }
        .load()
        .is_ok()
    );
    let development = [("RATE_LIMIT_ENABLED", "false")];
    assert!(
        Given {
            environment: &development,
            ..Given::default()
        }
        .load()
        .is_ok()
    );
}

#[test]
fn what_others_can_reach_is_warned_of_and_what_is_open_on_this_machine_is_not() {
    let warnings = |file: &str| {
        let given = Given {
            file,
            ..Given::default()
        };
        given.load().unwrap().warnings()
    };
    for listen in ["0.0.0.0", "[::]:80", "192.168.1.2"] {
        let found = warnings(&format!("[server]\nlisten = \"{listen}\""));
        assert!(
            found.len() == 1 && found[0].contains("without TLS"),
            "{found:?}"
        );
        let file =
            format!("[server]\nlisten = \"{listen}\"\n[security]\nrate_limit_enabled = false");
        assert!(warnings(&file)[1].contains("the rate limit is off"));
    }
    let file = "[security]\ntrusted_proxies = [\"10.0.0.0/8\", \"::/0\"]";
    assert!(warnings(file)[0].contains("::/0"));
    for fine in [
        "",
        "[server]\nlisten = \"unix:a.sock\"",
        "[server]\nenvironment = \"production\"\n[security]\ntrusted_proxies = [\"10.0.0.0/8\"]",
        "[security]\nrate_limit_enabled = false",
    ] {
        assert_eq!(warnings(fine), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn the_file_of_the_first_key_has_the_name_that_the_command_line_reads_too() {
    let environment = [("AUTOM8_API_KEY_FILE", "/run/secrets/key")];
    let config = Given {
        environment: &environment,
        ..Given::default()
    }
    .load()
    .unwrap();
    assert_eq!(
        config.security.api_key_file.as_deref(),
        Some(Path::new("/run/secrets/key"))
    );
}

#[test]
fn a_burst_that_nobody_could_save_up_is_refused() {
    let faults = |burst: u32| {
        let file =
            format!("[security]\nrate_limit_default = \"10 per day\"\nrate_limit_burst = {burst}");
        let given = Given {
            file: &file,
            ..Given::default()
        };
        given.load().err().map(|error| error.to_string())
    };
    assert_eq!(faults(30), None);
    let refused = faults(31).unwrap();
    assert!(
        refused.starts_with("autom8.toml:3: ") && refused.contains("31 requests"),
        "{refused}"
    );
}
